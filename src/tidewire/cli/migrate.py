"""`tidewire migrate`: brings the database objects up to date, or shows what that would do. Progress goes to stderr."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import psycopg
import typer
from msgspec import UNSET, Struct, UnsetType
from rich.table import Table
from rich.text import Text

from tidewire import assemble
from tidewire.cli.failure import Failure, describe
from tidewire.cli.output import err, out, print_json
from tidewire.model.errors import ConfigurationError, TidewireError
from tidewire.postgres.connection import connect
from tidewire.postgres.migrate import Standing, Upkeep, apply, find_pending, keep_up, read_status, write_script
from tidewire.postgres.migration_files import Half, read_migrations
from tidewire.postgres.privilege_gaps import Gap, find_gaps, refuse_gaps

_STYLES = {"applied": "green", "pending": "yellow", "changed": "bold red", "newer": "cyan"}


class Report(Struct, frozen=True, kw_only=True):
    """What `--json` prints, in every mode; a mode leaves out what it did not do. `missing` is for an administrator."""

    ok: bool
    applied: Sequence[str] | UnsetType = UNSET
    partitions: Upkeep | UnsetType = UNSET
    sql: str | UnsetType = UNSET
    migrations: Sequence[Standing] | UnsetType = UNSET
    missing: Sequence[Gap] = ()
    error: Failure | UnsetType = UNSET


def migrate(
    *,
    database_url: str | None = typer.Option(None, "--database-url", help="The database; otherwise DATABASE_URL."),
    pre: bool = typer.Option(False, "--pre", help="Only the half that is safe while older code still runs."),
    post: bool = typer.Option(False, "--post", help="Only the half to apply once no older code runs."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the SQL that would run, and run nothing."),
    status: bool = typer.Option(False, "--status", help="List the migrations and which are applied."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Bring roles, schemas, functions and publications up to date. Running it again is harmless."""
    half: Half | None = "pre" if pre else "post" if post else None
    if (pre and post) or (status and dry_run):
        raise ConfigurationError(
            "reading the command line: expected at most one of --pre and --post, and of --status and --dry-run",
            hint="without --pre and --post both halves are applied",
        )
    try:
        with (
            assemble.database(assemble.settings(database_url=database_url)) as dsn,
            closing(connect(dsn)) as connection,
        ):
            if status:
                _show_status(connection, as_json=json)
            elif dry_run:
                _show_sql(connection, half, as_json=json)
            else:
                _run(connection, half, as_json=json)
    except TidewireError as error:
        if not json:
            raise
        print_json(Report(ok=False, error=describe(error)))
        raise typer.Exit(1) from None


def _run(connection: psycopg.Connection[Any], half: Half | None, *, as_json: bool) -> None:
    applied: list[str] = []
    gaps: tuple[Gap, ...] = ()

    def progress(label: str) -> None:
        applied.append(label)
        err.print(Text.assemble(("applied ", "green"), label))

    try:
        pending = find_pending(connection, read_migrations(), half)
        if pending:
            gaps = find_gaps(connection)
            refuse_gaps(gaps)
        apply(connection, pending, progress)
        upkeep = keep_up(connection)
    except TidewireError as error:
        if not as_json:
            raise
        print_json(Report(ok=False, applied=applied, missing=gaps, error=describe(error)))
        raise typer.Exit(1) from None
    _warn(gaps)
    if as_json:
        print_json(Report(ok=True, applied=applied, partitions=upkeep, missing=gaps))
    else:
        out.print(_summary(applied, upkeep))


def _summary(applied: Sequence[str], upkeep: Upkeep) -> str:
    partitions = f"{upkeep.created} partitions of realtime.messages made, {upkeep.dropped} dropped"
    if applied:
        return f"{len(applied)} migrations applied, {partitions}."
    if upkeep != Upkeep(created=0, dropped=0):
        return f"No migration to apply, {partitions}."
    return "Nothing to do."


def _show_sql(connection: psycopg.Connection[Any], half: Half | None, *, as_json: bool) -> None:
    pending = find_pending(connection, read_migrations(), half)
    gaps = find_gaps(connection) if pending else ()
    text = "\n".join(write_script(connection, migration) for migration in pending)
    if as_json:
        print_json(Report(ok=True, sql=text, missing=gaps))
        return
    _warn(gaps)
    # Not through rich: brackets in SQL are no markup, and the text is made to be piped into a file.
    print(text or "-- nothing to do")


def _show_status(connection: psycopg.Connection[Any], *, as_json: bool) -> None:
    standings = read_status(connection, read_migrations())
    unfinished = any(standing.state in {"pending", "changed"} for standing in standings)
    gaps = find_gaps(connection) if unfinished else ()
    if as_json:
        print_json(Report(ok=not unfinished, migrations=standings, missing=gaps))
        return
    table = Table("version", "half", "name", "state", "applied at")
    for standing in standings:
        table.add_row(
            f"{standing.version:04}",
            standing.half,
            Text(standing.name),
            Text(standing.state, style=_STYLES[standing.state]),
            f"{standing.applied_at:%Y-%m-%d %H:%M:%S %Z}" if standing.applied_at else "",
        )
    out.print(table)
    _warn(gaps)


def _warn(gaps: Sequence[Gap]) -> None:
    for gap in gaps:
        label = ("missing ", "bold red") if gap.required else ("warning ", "bold yellow")
        err.print(Text.assemble(label, gap.what))
        err.print(Text.assemble(("    fix ", "bold"), gap.sql))
