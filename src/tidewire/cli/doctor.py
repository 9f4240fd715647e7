"""`tidewire doctor`: prints what keeps changes from arriving and the command that repairs it. Changes nothing."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import typer
from msgspec import Struct
from rich.padding import Padding
from rich.text import Text

from tidewire import assemble
from tidewire.cli.output import complain, out, print_json
from tidewire.model.errors import TidewireError
from tidewire.postgres.doctor import gather
from tidewire.postgres.doctor_facts import Facts, Unseen
from tidewire.postgres.finding import Finding, Severity
from tidewire.postgres.findings import examine

EXIT_CODES = {Severity.OK: 0, Severity.WARNING: 1, Severity.ERROR: 2}
MOST_ALIKE = 10
"""A thousand tables with the same lack must not push everything else off the screen."""
_HEADINGS = {
    Severity.ERROR: ("errors", "bold red"),
    Severity.WARNING: ("warnings", "bold yellow"),
    Severity.OK: ("fine", "bold green"),
}


class Report(Struct, frozen=True):
    """What `--json` prints. `ok` means that nothing wants a repair."""

    ok: bool
    server: dict[str, Any] | None
    findings: tuple[Finding, ...]
    unseen: tuple[Unseen, ...] = ()


def doctor(
    database_url: str | None = typer.Option(None, "--database-url", help="The database; otherwise DATABASE_URL."),
    table: list[str] = typer.Option([], "--table", "-t", help="Look at this table only (repeatable)."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document with every finding."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="List what is fine as well."),
) -> None:
    """Find what keeps changes from arriving. Exit code: 0 healthy, 1 warnings, 2 errors or no connection."""
    try:
        chosen = assemble.settings(database_url=database_url)
        with assemble.database(chosen) as dsn:
            facts = gather(
                dsn,
                slot=chosen.slot,
                publications=chosen.publications,
                tables=table,
                retention_bytes=chosen.retention_bytes,
            )
    except TidewireError as error:
        if json:
            print_json(_refused(error))
        else:
            complain(error)
        raise typer.Exit(EXIT_CODES[Severity.ERROR]) from None
    findings = examine(facts)
    if json:
        print_json(_report(facts, findings))
    else:
        _print_all(facts, findings, verbose=verbose)
    raise typer.Exit(EXIT_CODES[_worst(findings)])


def _worst(findings: Sequence[Finding]) -> Severity:
    return max((finding.severity for finding in findings), key=EXIT_CODES.__getitem__, default=Severity.OK)


def _refused(error: TidewireError) -> Report:
    finding = Finding(code=error.code, severity=Severity.ERROR, message=error.message, fix=error.hint)
    return Report(ok=False, server=None, findings=(finding,))


def _report(facts: Facts, findings: tuple[Finding, ...]) -> Report:
    server = {"version": facts.server.version, "database": facts.server.database, "role": facts.server.role}
    return Report(_worst(findings) is Severity.OK, server, findings, facts.unseen)


def _print_all(facts: Facts, findings: Sequence[Finding], *, verbose: bool) -> None:
    server = facts.server
    out.print(Text(f"PostgreSQL {server.version}, database {server.database}, role {server.role}"))
    for severity, (heading, style) in _HEADINGS.items():
        chosen = [finding for finding in findings if finding.severity is severity]
        if chosen and (verbose or severity is not Severity.OK):
            out.print(Text(f"\n{heading}", style=style))
            for _code, alike in groupby(chosen, key=lambda finding: finding.code):
                _print_alike(tuple(alike), style)
    if facts.unseen:
        out.print(Text("\nnot seen with this role", style="bold"))
        for unseen in facts.unseen:
            _print_indented(Text(unseen.what))
            _print_fix(unseen.fix)
    out.print(Text(f"\n{_last_line(findings)}", style="bold"))


def _print_alike(findings: Sequence[Finding], style: str) -> None:
    for finding in findings[:MOST_ALIKE]:
        _print_one(finding, style)
    more = len(findings) - MOST_ALIKE
    if more > 0:
        _print_indented(Text(f"{findings[0].code}  and {more} more; --json lists all, --table chooses"))


def _print_one(finding: Finding, style: str) -> None:
    subject = f"{finding.table} " if finding.table else ""
    _print_indented(Text.assemble((finding.code, style), _visible(f"  {subject}{finding.message}")))
    if finding.fix:
        _print_fix(finding.fix)


def _print_indented(text: Text) -> None:
    out.print(Padding(text, (0, 0, 0, 2)), soft_wrap=False)


def _print_fix(fix: str) -> None:
    """Print the lines unbroken, so that they can be copied from any width of terminal."""
    for number, line in enumerate(fix.split("\n")):
        label = "fix  " if number == 0 else "     "
        out.print(Text.assemble("    ", (label, "bold"), (_visible(line), "cyan")), soft_wrap=True)


def _visible(text: str) -> str:
    """Names come from the database, and one with an escape sequence in it must not steer the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _last_line(findings: Sequence[Finding]) -> str:
    errors, warnings = (
        sum(finding.severity is severity for finding in findings) for severity in (Severity.ERROR, Severity.WARNING)
    )
    if not errors and not warnings:
        return "Healthy. Watch changes arrive: tidewire tail"
    counts = [
        f"{count} {word}{'s' * (count > 1)}" for count, word in ((errors, "error"), (warnings, "warning")) if count
    ]
    return f"{' and '.join(counts)}: run the fixes from the top, then tidewire doctor again."
