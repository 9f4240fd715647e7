"""`tidewire demo`: an embedded Postgres, a small booking business that keeps busy, and its changes as they commit."""

import asyncio
import random
from contextlib import closing
from typing import Annotated

import msgspec
import typer

from tidewire import assemble
from tidewire.cli.loop import run_async
from tidewire.cli.output import err
from tidewire.cli.tail import Printer
from tidewire.hub.tasks import Tasks
from tidewire.postgres import queries
from tidewire.postgres.connection import connect, connect_async, translated
from tidewire.postgres.migrate import apply, find_pending
from tidewire.postgres.migration_files import read_migrations
from tidewire.postgres.publish import publish
from tidewire.postgres.table_names import TableName
from tidewire.settings import Settings

GUESTS = ("Ada", "Björk", "Chidi", "Dilara", "Emeka", "Fatima", "Goro", "Hana", "Inés", "Jun")
SERVICES = {"Massage": "65.00", "Haircut": "28.50", "Yoga": "15.00", "Facial": "49.90", "Manicure": "22.00"}
TABLES = (TableName("demo", "bookings"), TableName("demo", "payments"))
WELCOME = """\
[bold]Tidewire[/] follows the write-ahead log of an embedded PostgreSQL {version}.
A small booking business is at work. Each line is one row, with the time from its commit to this screen.

  write something yourself   [bold]{psql}[/]
  see what programs see      [bold]tidewire tail --json[/]
  stop                       Ctrl-C
"""


def demo(
    changes: Annotated[int | None, typer.Option(min=1, help="Stop after this many changes; otherwise Ctrl-C.")] = None,
    pace_s: Annotated[float, typer.Option(min=0.0, max=60.0, help="Mean time between two writes, in seconds.")] = 0.7,
) -> None:
    """Start the embedded Postgres and a small writer, and watch rows arrive.

    DATABASE_URL is ignored: sample data belongs into the embedded server only.
    """
    settings = msgspec.structs.replace(assemble.settings(), database_url=None)
    with assemble.database(settings) as dsn:
        version = prepare(dsn)
        err.print(WELCOME.format(version=version, psql=f"psql '{dsn}'"))
        run_async(_show(settings, dsn, changes, pace_s))


def prepare(dsn: str) -> str:
    """Bring the database to where the demo can start, and return its version. Running it again changes nothing."""
    with closing(connect(dsn)) as connection:
        apply(connection, find_pending(connection, read_migrations()))
        with translated("making the demo tables"):
            connection.execute(queries.load("demo_schema"))
        publish(connection, TABLES, full=True)
        major, minor = divmod(connection.info.server_version, 10_000)
        return f"{major}.{minor}"


async def _show(settings: Settings, dsn: str, changes: int | None, pace_s: float) -> None:
    """Print what commits while the business keeps writing, until enough was shown."""
    printer = Printer((), None, as_json=False, with_latency=True)
    async with assemble.spectate(settings, dsn) as seen, Tasks() as tasks:
        tasks.start(keep_busy(dsn, pace_s), name="demo writer")
        async for item in seen.items:
            printer.print(item, seen.epoch)
            if changes is not None and printer.printed >= changes:
                return


async def keep_busy(dsn: str, pace_s: float) -> None:
    """Write for ever, at an uneven pace; what happens is the same in every run."""
    dice = random.Random(7)  # noqa: S311 - a story, not a secret
    async with await connect_async(dsn) as connection:
        while True:
            name, values = _next_scene(dice)
            with translated("writing for the demo"):
                await connection.execute(queries.load(name), values)
            await asyncio.sleep(dice.uniform(0.2, 1.8) * pace_s)


def _next_scene(dice: random.Random) -> tuple[str, dict[str, str]]:
    (scene,) = dice.choices(("book", "confirm", "complete", "cancel", "forget"), (10, 8, 6, 2, 1))
    service = dice.choice(tuple(SERVICES))
    values = {
        "guest": dice.choice(GUESTS),
        "service": service,
        "price": SERVICES[service],
        "method": dice.choice(("card", "cash", "transfer")),
    }
    return f"demo_{scene}", values
