"""Turns facts into findings by asking every check in turn. Pure; the facts come from doctor.py."""

from collections.abc import Iterator

from tidewire.postgres import (
    findings_access,
    findings_publication,
    findings_server,
    findings_slot,
    findings_table,
)
from tidewire.postgres.doctor_facts import Facts
from tidewire.postgres.finding import Check, Finding, Severity

CHECKS: tuple[Check, ...] = (
    *findings_server.CHECKS,
    *findings_publication.CHECKS,
    *findings_slot.CHECKS,
    *findings_table.CHECKS,
    *findings_access.CHECKS,
)
"""In the order in which problems are best repaired: the server before what stands on it."""


def examine(facts: Facts) -> tuple[Finding, ...]:
    """Return at least one finding per check; those that are not `ok` want their fix."""
    return tuple(finding for check in CHECKS for finding in _ask(check, facts))


def _ask(check: Check, facts: Facts) -> Iterator[Finding]:
    seen = False
    for observation in check.look(facts):
        seen = True
        yield Finding(
            code=check.code,
            severity=observation.severity,
            message=observation.message,
            fix=observation.fix,
            table=observation.table,
        )
    if not seen:
        yield Finding(code=check.code, severity=Severity.OK, message=check.fine)
