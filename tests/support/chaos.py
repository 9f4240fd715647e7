"""Chaos: writers, readers on a bad network, a server and a database that are killed, tables that change, short tokens.

`run` plays it and returns what was found and what was done; afterwards everything must be as the history says.
"""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final
from urllib.request import urlopen

import psycopg
from msgspec import Struct

from tests.support.chaos_followers import Follower
from tests.support.chaos_history import TABLES, owed, prepare, writing
from tests.support.chaos_lines import Dial
from tests.support.chaos_proxy import ChaosProxy
from tests.support.command import COMMAND, environment
from tests.support.log import fetch
from tests.support.server import migrate
from tests.support.tokens import SECRET
from tests.support.waiting import wait_until
from tidewire.postgres.embedded import EmbeddedPostgres

STRIKE_S: Final = 0.5
STRUCK: Final = 0.05
"""So often, and so many of the connections."""
START_LIMIT_S: Final = 30.0
SETTLE_LIMIT_S: Final = 60.0
OPEN_FOLLOWERS: Final = 10
"""Only every tenth follower reads what everybody may see, or the readers would be the bottleneck."""
SETTINGS: Final = {
    "TIDEWIRE_JWT_SECRET": SECRET,
    "TIDEWIRE_REFUSAL_DELAY_S": "0.05",
    "TIDEWIRE_TOKEN_INTERVAL_S": "1",
    "TIDEWIRE_ACCOUNTS": "false",
    "TIDEWIRE_DATA_API": "false",
}


class Plan(Struct, frozen=True):
    """How long, how many, how fast, and how often what is killed."""

    seconds: float
    followers: int
    per_s: float
    server_kills_every_s: float
    postgres_kills_every_s: float
    schema_changes_every_s: float = 5.0


class Served:
    """`tidewire serve` on one port, through all its lives."""

    def __init__(self, dsn: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.log = folder / "serve.log"
        self._dsn = dsn
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [COMMAND, "--log-level", "info", "serve", "--port", str(self.port)],
                env=environment(self._dsn) | SETTINGS,
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                return True
        except OSError:
            return False

    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Chaos:
    """Play it with `run`; `tally` has what was found, and `done` what was done."""

    def __init__(self, postgres: EmbeddedPostgres, folder: Path, dice: Random, dials: Sequence[Dial]) -> None:
        self.tally: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.followers: list[Follower] = []
        self.postgres_version = ""
        self._postgres = postgres
        self._folder = folder
        self._dice = dice
        self._dials = dials

    async def run(self, plan: Plan) -> None:
        dsn = self._postgres.dsn()
        self.postgres_version = str(fetch(dsn, "show server_version"))
        migrate(dsn)
        prepare(dsn)
        served = Served(dsn, self._folder)
        served.start()
        try:
            await asyncio.to_thread(wait_until, served.is_ready, limit_s=START_LIMIT_S)
            async with ChaosProxy(served.port, self._dice) as proxy:
                await self._play(plan, dsn, served, proxy)
                self.done.update(proxy.injected)
        finally:
            served.kill()

    async def _play(self, plan: Plan, dsn: str, served: Served, proxy: ChaosProxy) -> None:
        self.followers = [self._follower(number, proxy.port) for number in range(plan.followers)]
        async with asyncio.TaskGroup() as group:
            for follower in self.followers:
                group.create_task(follower.run())
            await _until(lambda: all(follower.is_ready for follower in self.followers), START_LIMIT_S)
            proxy.calm = False
            with writing(dsn, self._dice, per_s=plan.per_s) as writers:
                await self._disturb(plan, dsn, served, proxy)
            self.done["transactions"] = sum(writer.transactions for writer in writers)
            proxy.calm = True
            proxy.end_all()
            await self._settle(dsn)
            for follower in self.followers:
                follower.stop()
        self._check(dsn)

    def _follower(self, number: int, port: int) -> Follower:
        tables = TABLES if number % OPEN_FOLLOWERS == 0 else TABLES[1:]
        return Follower(number, tables, self._dials[number % len(self._dials)], port, Random(self._dice.random()))  # noqa: S311 - the same every time

    async def _disturb(self, plan: Plan, dsn: str, served: Served, proxy: ChaosProxy) -> None:
        until_s = time.monotonic() + plan.seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(self._strike(proxy, until_s))
            group.create_task(self._kill_server(served, plan.server_kills_every_s, until_s))
            group.create_task(self._kill_postgres(plan.postgres_kills_every_s, until_s))
            group.create_task(self._change_tables(dsn, plan.schema_changes_every_s, until_s))

    async def _strike(self, proxy: ChaosProxy, until_s: float) -> None:
        while time.monotonic() < until_s:
            proxy.disturb(STRUCK)
            await asyncio.sleep(STRIKE_S)

    async def _kill_server(self, served: Served, every_s: float, until_s: float) -> None:
        async for _ in self._moments(every_s, until_s):
            await asyncio.to_thread(served.kill)
            self.done["server killed"] += 1
            served.start()
            await asyncio.to_thread(wait_until, served.is_ready, limit_s=START_LIMIT_S)

    async def _kill_postgres(self, every_s: float, until_s: float) -> None:
        async for _ in self._moments(every_s, until_s):
            await asyncio.to_thread(self._crash)
            self.done["postgres killed"] += 1

    def _crash(self) -> None:
        with psycopg.connect(self._postgres.dsn()) as connection:
            row = connection.execute("show data_directory").fetchone()
        pid = Path(str(row[0] if row else ""), "postmaster.pid").read_text(encoding="ascii").split()[0]
        os.kill(int(pid), signal.SIGKILL)
        self._postgres.stop()
        self._postgres.start()

    async def _change_tables(self, dsn: str, every_s: float, until_s: float) -> None:
        async for number in self._moments(every_s, until_s):
            table = self._dice.choice(TABLES)
            add = f"alter table {table} add column extra_{number} int default {number}"
            drop = f"alter table {table} drop column if exists extra_{number - self._dice.randint(1, 3)}"
            with suppress(psycopg.Error):
                await asyncio.to_thread(_execute, dsn, "set lock_timeout = '2s'", self._dice.choice([add, drop]))
                self.done["table changed"] += 1

    async def _moments(self, every_s: float, until_s: float) -> AsyncIterator[int]:
        """Yield now and then, on average so often, as long as there is time to recover."""
        number = 0
        while True:
            pause_s = every_s * (0.5 + self._dice.random())
            if time.monotonic() + pause_s > until_s:
                return
            await asyncio.sleep(pause_s)
            number += 1
            yield number

    async def _settle(self, dsn: str) -> None:
        """Wait until everybody was told as much as they are owed, or it has taken too long."""
        wanted = {f: len(owed(dsn, f.number, f.tables)) for f in self.followers}
        with suppress(AssertionError):  # what is missing is found below
            await _until(lambda: all(len(f.told) >= wanted[f] for f in self.followers), SETTLE_LIMIT_S)
        await asyncio.sleep(1.0)  # for what should not come

    def _check(self, dsn: str) -> None:
        for follower in self.followers:
            self.tally.update(follower.found(owed(dsn, follower.number, follower.tables)))
            self.done["connections"] += follower.lines
            self.done["resumed"] += follower.resumed


def _execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def _until(condition: Callable[[], bool], limit_s: float) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {limit_s} s"
        await asyncio.sleep(0.05)
