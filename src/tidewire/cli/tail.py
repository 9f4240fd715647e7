"""`tidewire tail`: live changes as they commit, as a readable line each or as JSON lines."""

import sys
import time
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Annotated

import typer
from rich.text import Text

from tidewire import assemble
from tidewire.cli.loop import run_async
from tidewire.cli.output import err, out
from tidewire.model.change import Change, LogicalMessage, Resync, Transaction
from tidewire.model.errors import ConfigurationError, SlotLost
from tidewire.model.line import change_json, message_json, row_words, timestamp_text
from tidewire.model.position import StreamPosition, parse_position
from tidewire.postgres.source import PostgresSource

EARLIEST = "earliest"
COLOURS = {"INSERT": "green", "UPDATE": "yellow", "DELETE": "red", "TRUNCATE": "magenta"}


def tail(  # noqa: PLR0917 - typer turns parameters into options, which have no order
    table: Annotated[
        list[str] | None, typer.Option("--table", "-t", help="Only this table (name or schema.name); repeatable.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Begin after this position of an earlier line, or at 'earliest': the oldest change kept."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once/--follow", help="Stop when everything committed by now is shown.")
    ] = False,
    durable: Annotated[
        bool, typer.Option("--durable", help="Go on where the last durable tail stopped; nothing between is missed.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines; the default when the output is not a terminal.")
    ] = False,
    database_url: Annotated[str | None, typer.Option(help="The database to follow [env: DATABASE_URL].")] = None,
) -> None:
    """Show row changes the moment they commit.

    Looking on disturbs nothing: a temporary replication slot is used and is gone when you stop. With --durable the
    durable slot is used instead: Postgres keeps the log from the last line written, until you come back.
    """
    if durable and since is not None:
        raise ConfigurationError(
            "reading the command line: expected --since or --durable, got both",
            hint="--durable goes on by itself; use --since to look at the past without moving on",
        )
    after = _parse_since(since)
    settings = assemble.settings(database_url=database_url)
    printer = Printer(tuple(table or ()), after, as_json=as_json or not sys.stdout.isatty())
    with assemble.database(settings) as dsn:
        if durable:
            run_async(_follow_durably(assemble.durable_source(settings, dsn, once=once), printer))
        else:
            run_async(_look_on(assemble.spectate(settings, dsn, past=since is not None, once=once), printer))


async def _look_on(spectating: AbstractAsyncContextManager[assemble.Spectator], printer: "Printer") -> None:
    async with spectating as seen:
        printer.begin(seen.epoch)
        async for item in seen.items:
            printer.print(item, seen.epoch)


async def _follow_durably(source: PostgresSource, printer: "Printer") -> None:
    """Confirm what was written, and only then: whoever reads our output gets everything at least once."""
    while True:
        try:
            async with aclosing(source.transactions()) as parts:
                async for part in parts:
                    printer.print(part, source.epoch)
                    if part.end_lsn is not None:
                        source.confirm(part.end_lsn)
        except SlotLost as lost:
            printer.print(Resync(await source.restart(), lost.message), source.epoch)
        else:
            return


class Printer:
    """Chooses what is shown, and how. Give it each transaction with the epoch it belongs to."""

    def __init__(
        self, tables: tuple[str, ...], after: StreamPosition | None, *, as_json: bool, with_latency: bool = False
    ) -> None:
        self._tables = frozenset(tables)
        self._after = after
        self._as_json = as_json
        self._with_latency = with_latency
        self.printed = 0

    def begin(self, epoch: str) -> None:
        """Check that the wanted position belongs to this history; tell a person at the terminal what is going on."""
        if self._after is not None and self._after.epoch != epoch:
            raise ConfigurationError(
                "reading the past: the position belongs to another history of this database",
                hint="use --since earliest, or leave it out to begin now",
            )
        if not self._as_json:
            err.print("[dim]watching; stop with Ctrl-C[/]")

    def print(self, item: Transaction | Resync, epoch: str) -> None:
        """Write the events that were asked for; one flush a part, so that a pipe sees them at once."""
        if isinstance(item, Resync):
            err.print(Text.assemble(("gap ", "bold red"), f"changes were missed: {item.reason}"))
            return
        lines = [line for event in item.events if (line := self._line(event, item, epoch)) is not None]
        if not lines:
            return
        self.printed += len(lines)
        for line in lines:
            if isinstance(line, Text):
                out.print(line, overflow="ellipsis", no_wrap=True, crop=True, soft_wrap=False)
            else:
                sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def _line(self, event: Change | LogicalMessage, part: Transaction, epoch: str) -> str | Text | None:
        if self._after is not None and (event.lsn, event.index) <= (self._after.lsn, self._after.index):
            return None
        if isinstance(event, LogicalMessage):
            if self._tables or not self._as_json:
                return None
            return message_json(event, epoch, part.commit_time_us)
        if self._tables and not self._tables & {event.relation.name, event.relation.qualified_name}:
            return None
        if self._as_json:
            return change_json(event, epoch, part.commit_time_us)
        latency_ms = (time.time_ns() // 1000 - part.commit_time_us) / 1000
        return Text.assemble(
            (timestamp_text(part.commit_time_us)[11:23], "dim"),
            (f" {latency_ms:5.1f} ms " if self._with_latency else " ", "cyan"),
            (f"{event.operation:<8}", COLOURS[event.operation]),
            " ",
            (event.relation.qualified_name, "bold"),
            " ",
            row_words(event),
        )


def _parse_since(since: str | None) -> StreamPosition | None:
    return parse_position(since) if since is not None and since != EARLIEST else None
