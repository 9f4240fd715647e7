"""`tidewire demo`: an embedded Postgres, a marketplace that keeps busy, and a page that shows its rows travel."""

import socket
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final

import typer
import uvloop

from tidewire import __version__, assemble
from tidewire.cli.loop import run_async
from tidewire.cli.output import err
from tidewire.cli.serve import listen, serve_until_signal
from tidewire.cli.tail import Printer
from tidewire.demo.door import DemoDoor
from tidewire.demo.marketplace import SCHEMA, Person, prepare
from tidewire.demo.traffic import keep_busy
from tidewire.hub.authorize import sign_token
from tidewire.hub.tasks import Tasks
from tidewire.model.errors import ConfigurationError
from tidewire.postgres.connection import connect
from tidewire.server.console import Console
from tidewire.server.secret import shared_secrets
from tidewire.settings import Settings

HOST: Final = "127.0.0.1"
KEPT: Final = ("data_dir", "postgres_bin", "postgres_port", "slot", "port")
"""Settings that say where the demo runs. All others are as they come, so that it is the same demo for everybody."""

WELCOME: Final = """\
[bold]Tidewire[/] {version} serves a small marketplace with a year of bookings, on an embedded PostgreSQL {postgres}.

  open   [bold]{url}[/]

{console}  write something yourself   [bold]{psql}[/]
  see rows in the terminal   [bold]tidewire tail[/]
  stop                       Ctrl-C
"""
CONSOLE: Final = """\
  and see what the server does (this link counts once, for ten minutes)
         {url}{path}

"""
WATCHING: Final = """\
[bold]Tidewire[/] follows the write-ahead log of an embedded PostgreSQL {postgres}.
A small marketplace is at work. Each line is one row, with the time from its commit to this screen.

  write something yourself   [bold]{psql}[/]
  see what programs see      [bold]tidewire tail --json[/]
  stop                       Ctrl-C
"""


def demo(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port of the page; 0 is any free one.")] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Print rows as they commit, and serve no page.")] = False,
    changes: Annotated[
        int | None, typer.Option(min=1, help="With --terminal: stop after this many changes; otherwise Ctrl-C.")
    ] = None,
    pace_s: Annotated[float, typer.Option(min=0.0, max=60.0, help="Mean time between two writes, in seconds.")] = 0.4,
) -> None:
    """Start an embedded Postgres with a marketplace in it, and a page that shows how its rows travel.

    DATABASE_URL is ignored: sample data belongs into the embedded server only.
    """
    if changes is not None and not terminal:
        raise ConfigurationError(
            "reading the command line: expected --changes with --terminal, got it alone", hint="add --terminal"
        )
    settings = _settings(port)
    if terminal:
        with assemble.database(settings) as dsn:
            _, postgres = _prepare(dsn)
            err.print(WATCHING.format(postgres=postgres, psql=f"psql '{dsn}'"))
            run_async(_show(settings, dsn, changes, pace_s))
        return
    with closing(open_listener(settings, may_move=port is None)) as listener, assemble.database(settings) as dsn:
        people, postgres = _prepare(dsn)
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        said = partial(WELCOME.format, version=__version__, postgres=postgres, url=url, psql=f"psql '{dsn}'")
        doors = DemoDoor(people, partial(sign_token, secret=shared_secrets(settings)[0])).routes()
        uvloop.run(
            serve_until_signal(
                settings,
                dsn,
                listener,
                lambda console: said(console=_console_lines(url, console)),
                doors=doors,
                beside=partial(keep_busy, dsn, pace_s),
            )
        )


def _console_lines(url: str, console: Console | None) -> str:
    path = None if console is None else console.sign_in_path()
    return "" if path is None else CONSOLE.format(url=url, path=path)


def _settings(port: int | None) -> Settings:
    given = assemble.settings(port=port)
    return Settings(**{name: getattr(given, name) for name in KEPT}, host=HOST, api_schemas=(SCHEMA,))


def open_listener(settings: Settings, *, may_move: bool) -> socket.socket:
    """Open the listening socket; where something else has the port and nobody insists on it, at any free one."""
    try:
        return listen(HOST, settings.port)
    except ConfigurationError:
        if not may_move:
            raise
        return listen(HOST, 0)


def _prepare(dsn: str) -> tuple[tuple[Person, ...], str]:
    """Return whom one can be in the demo, and the version of Postgres."""
    with closing(connect(dsn)) as connection:
        people = prepare(connection, datetime.now(UTC).date())
        major, minor = divmod(connection.info.server_version, 10_000)
    return people, f"{major}.{minor}"


async def _show(settings: Settings, dsn: str, changes: int | None, pace_s: float) -> None:
    """Print what commits while the marketplace keeps busy, until enough was shown."""
    printer = Printer((), None, as_json=False, with_latency=True)
    async with assemble.spectate(settings, dsn) as seen, Tasks() as tasks:
        tasks.start(keep_busy(dsn, pace_s), name="demo traffic")
        async for item in seen.items:
            printer.print(item, seen.epoch)
            if changes is not None and printer.printed >= changes:
                return
