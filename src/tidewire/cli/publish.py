"""`tidewire publish`: chooses the tables whose changes are followed. All the named tables change, or none."""

from collections.abc import Sequence
from contextlib import closing

import typer
from msgspec import UNSET, Struct, UnsetType
from rich.text import Text

from tidewire import assemble
from tidewire.cli.failure import Failure, describe
from tidewire.cli.output import err, out, print_json
from tidewire.model.errors import ConfigurationError, TidewireError
from tidewire.postgres.connection import connect
from tidewire.postgres.publish import PUBLICATION, Outcome, publish, withdraw
from tidewire.postgres.table_names import find_tables, parse_tables

_SENTENCES = {
    "added": "is published now",
    "kept": "was published already",
    "removed": "is no longer published",
    "absent": "was not published",
}
_IDENTITIES = {"full": "old rows complete", "key": "old rows: key columns", "none": "old rows: nothing"}


class Report(Struct, frozen=True):
    """What `--json` prints."""

    ok: bool
    publication: str
    tables: Sequence[Outcome] = ()
    error: Failure | UnsetType = UNSET


def publish_tables(
    *,
    tables: list[str] = typer.Argument(None, metavar="[TABLE]...", help="Names as in SQL, with or without a schema."),
    every: bool = typer.Option(False, "--all", help="Every ordinary or partitioned table of the schema."),
    full: bool = typer.Option(False, "--full", help="Also set REPLICA IDENTITY FULL: old rows arrive complete."),
    schema: str = typer.Option("public", "--schema", help="The schema of names without one, and of --all."),
    remove: bool = typer.Option(False, "--remove", help="Stop publishing instead; replica identities stay."),
    database_url: str | None = typer.Option(None, "--database-url", help="The database; otherwise DATABASE_URL."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Publish tables, so that their changes reach readers. Running it again is harmless."""
    names = tables or []
    if bool(names) == every:
        raise ConfigurationError(
            "reading the command line: expected either names of tables or --all", hint="tidewire publish TABLE..."
        )
    if remove and full:
        raise ConfigurationError("reading the command line: expected --full or --remove, got both", hint="drop one")
    try:
        with (
            assemble.database(assemble.settings(database_url=database_url)) as dsn,
            closing(connect(dsn)) as connection,
        ):
            chosen = find_tables(connection, schema=schema) if every else parse_tables(connection, names, schema=schema)
            outcomes = withdraw(connection, chosen) if remove else publish(connection, chosen, full=full)
    except TidewireError as error:
        if not json:
            raise
        print_json(Report(ok=False, publication=PUBLICATION, error=describe(error)))
        raise typer.Exit(1) from None
    if json:
        print_json(Report(ok=True, publication=PUBLICATION, tables=outcomes))
    else:
        _print(outcomes)
    for outcome in outcomes:
        if outcome.warning:
            err.print(Text.assemble(("warning ", "bold yellow"), outcome.warning))


def _print(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        line = Text.assemble((outcome.table, "bold"), " ", _SENTENCES[outcome.action])
        if outcome.action in {"added", "kept"}:
            line.append(f" ({_IDENTITIES[outcome.identity]})", style="dim")
        out.print(line)
