"""The shape of one finding and of one check. What is checked stands in the findings_* modules."""

from collections.abc import Callable, Iterator
from enum import StrEnum

from msgspec import Struct

from tidewire.postgres.doctor_facts import Facts


class Severity(StrEnum):
    """`ok` needs nothing; a `warning` will hurt some day or some reader; an `error` keeps changes from arriving."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Observation(Struct, frozen=True):
    """One thing a check saw; `fix` is ready to paste, line by line."""

    severity: Severity
    message: str
    fix: str = ""
    table: str | None = None


class Check(Struct, frozen=True):
    """A question about the facts. `code` names it for ever; `fine` is the answer when `look` sees nothing."""

    code: str
    fine: str
    look: Callable[[Facts], Iterator[Observation]]


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer: what was found, and the exact command or SQL that repairs it."""

    code: str
    severity: Severity
    message: str
    fix: str = ""
    table: str | None = None


def error(message: str, fix: str, table: str | None = None) -> Observation:
    """Something that keeps changes from being followed or read."""
    return Observation(Severity.ERROR, message, fix, table)


def warning(message: str, fix: str, table: str | None = None) -> Observation:
    """Something that works today and will hurt later, or hurts some readers."""
    return Observation(Severity.WARNING, message, fix, table)


def note(message: str, fix: str = "", table: str | None = None) -> Observation:
    """Something worth knowing that needs no repair; a fix is an offer."""
    return Observation(Severity.OK, message, fix, table)


def megabytes(size_bytes: int) -> str:
    """Write a size so that a person sees its order of magnitude."""
    if size_bytes >= 10 * 2**30:
        return f"{size_bytes / 2**30:.0f} GB"
    return f"{size_bytes / 2**20:.0f} MB"


def minutes(age_s: float) -> str:
    """Write an age so that a person sees its order of magnitude."""
    if age_s >= 2 * 86_400:
        return f"{age_s / 86_400:.0f} days"
    return f"{age_s / 3600:.0f} hours" if age_s >= 2 * 3600 else f"{age_s / 60:.0f} minutes"
