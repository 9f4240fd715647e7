"""Chaos: writers, readers on a bad network, a server and a database that are killed, tables that change, short tokens.

`run` plays it; afterwards everything must be as the history says. What happens is random, but all kinds come in turn.
"""

import asyncio
import gc
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final, Literal, TypeVar

import psycopg
from msgspec import Struct

from tests.support.chaos_followers import Follower
from tests.support.chaos_history import History, Journal, Owed, Places
from tests.support.chaos_lines import Dial
from tests.support.chaos_proxy import ChaosProxy
from tests.support.chaos_schema import KINDS, Kind, SchemaChanges
from tests.support.chaos_server import Served, crash
from tests.support.chaos_stock import StockFollower, StockFollowers
from tests.support.chaos_tables import TABLES, Reader, prepare
from tests.support.chaos_writers import writing
from tests.support.log import fetch
from tests.support.server import migrate
from tests.support.waiting import wait_until
from tidewire.postgres.embedded import EmbeddedPostgres

STRIKE_S: Final = 0.5
START_LIMIT_S: Final = 120.0
STILL_S: Final = 25.0
"""What has not come, and nothing else either, for so long, comes no more."""
POLL_S: Final = 0.1
REPORT_S: Final = 30.0
LAST_SHOWN: Final = 12
QUIET_S: Final = 0.5
"""How long to wait for what should not come."""
OPEN_READERS: Final = 20
"""Only so many read what everybody may see, or the readers would be the bottleneck."""
STRANGERS: Final = 28
SERVICES: Final = 104
"""One of so many readers is a stranger, and one the service."""

Killed = Literal["server_killed", "postgres_killed", "both_killed"]
AnyFollower = Follower | StockFollower
K = TypeVar("K", bound=str)
KILLS: Final[tuple[Killed, ...]] = ("server_killed", "postgres_killed", "both_killed")


class Plan(Struct, frozen=True):
    """How long at least, how many readers, how fast writers, how often what, and for how long tokens are valid."""

    seconds: float
    followers: int
    stock: int
    per_s: float
    kills_every_s: float
    changes_every_s: float
    struck: float
    """The part of the connections that something befalls, twice a second."""
    token_s: tuple[int, int]


class Chaos:
    """Play it with `run`; `tally` has what was found, and `done` what was done."""

    def __init__(self, postgres: EmbeddedPostgres, folder: Path, python: Path, seed: int) -> None:
        """`python` is that of the environment of PyPI's client."""
        self.tally: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.memory_mib: Sequence[float] = []
        self.postgres_version = ""
        self._postgres = postgres
        self._folder = folder
        self._python = python
        self._dice = Random(seed)  # noqa: S311 - the same every time
        self._tables = list(TABLES)
        self._followers: list[Follower] = []
        self._stock: Sequence[StockFollower] = []

    async def run(self, plan: Plan, dials: Sequence[Dial]) -> None:
        dsn = self._postgres.dsn()
        self.postgres_version = str(fetch(dsn, "show server_version"))
        migrate(dsn)
        prepare(dsn)
        served = Served(dsn, self._folder)
        served.start()
        try:
            await asyncio.to_thread(wait_until, served.is_ready, limit_s=START_LIMIT_S)
            async with ChaosProxy(served.port, self._dice) as proxy:
                await self._play(plan, dsn, served, proxy, dials)
                self.done.update(proxy.injected)
        finally:
            served.kill()
            self.memory_mib = served.memory_mib

    async def _play(self, plan: Plan, dsn: str, served: Served, proxy: ChaosProxy, dials: Sequence[Dial]) -> None:
        places: Places = {}
        self._followers = [
            _follower(number, plan, places, dials[number % len(dials)], port=proxy.port, dice=self._dice)
            for number in range(plan.followers - plan.stock)
        ]
        journals = [Journal(Reader(number), places, hears_twice=True) for number in range(plan.stock)]
        stock = StockFollowers(journals, served.killed_s)
        self._stock = list(stock.each.values())
        everybody: list[AnyFollower] = [*self._followers, *self._stock]
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(follower.run()) for follower in self._followers]
            running.append(group.create_task(stock.run(self._python, proxy.port)))
            await _until(lambda: all(follower.is_ready for follower in everybody), START_LIMIT_S)
            proxy.calm = False
            began_s = time.monotonic()
            with writing(dsn, self._tables, self._dice, per_s=plan.per_s) as writers:
                await self._disturb(plan, dsn, served, proxy)
                self.done["seconds"] = round(time.monotonic() - began_s)
            self.done["transactions"] = sum(writer.transactions for writer in writers)
            proxy.calm = True
            for follower in self._followers:
                follower.is_calm = True
            proxy.end_all()
            owed = await self._settle(dsn)
            for task in running:
                task.cancel()
        self._check(owed)

    async def _disturb(self, plan: Plan, dsn: str, served: Served, proxy: ChaosProxy) -> None:
        next_s = time.monotonic() + REPORT_S
        until_s = time.monotonic() + plan.seconds
        async with asyncio.TaskGroup() as group:
            others = [
                group.create_task(self._kill(served, plan.kills_every_s, until_s)),
                group.create_task(self._change_tables(dsn, plan.changes_every_s, until_s)),
            ]
            while not all(other.done() for other in others) or not self._are_tokens_over():
                proxy.disturb(plan.struck)
                if time.monotonic() > next_s:
                    next_s += REPORT_S
                    self._report(proxy)
                    gc.freeze()  # what was told stays: looking through millions of it took a quarter of the time
                await asyncio.sleep(STRIKE_S)

    def _report(self, proxy: ChaosProxy) -> None:
        """Say how it goes: half an hour is long."""
        everybody: list[AnyFollower] = [*self._followers, *self._stock]
        found, done = Counter[str](), Counter(faults=proxy.injected.total())
        for each in everybody:
            found.update(each.journal.tally)
            done.update(each.done)
        done.update({name: self.done[name] for name in (*KILLS, *KINDS)})
        now = datetime.now(UTC)
        print(f"{now:%H:%M:%S} {dict(found)} {dict(done)} {_behind(self._followers, now)}", flush=True)  # noqa: T201 - progress

    def _are_tokens_over(self) -> bool:
        """Tell whether a token has expired while its reader was there, and another was renewed before."""
        return all(any(each.done[name] for each in self._followers) for name in ("token_expired", "token_renewed"))

    async def _kill(self, served: Served, every_s: float, until_s: float) -> None:
        async for kind in self._moments(lambda: KILLS, every_s, until_s):
            self.done[kind] += 1
            async with asyncio.TaskGroup() as group:
                if kind != "postgres_killed":
                    group.create_task(asyncio.to_thread(served.kill))
                if kind != "server_killed":
                    group.create_task(asyncio.to_thread(crash, self._postgres))
            if kind != "postgres_killed":
                served.start()
            await asyncio.to_thread(wait_until, served.is_ready, limit_s=START_LIMIT_S)

    async def _change_tables(self, dsn: str, every_s: float, until_s: float) -> None:
        changes = SchemaChanges(dsn, self._tables, self._dice)
        async for kind in self._moments(changes.kinds, every_s, until_s):
            while not await self._change(changes, kind):  # noqa: ASYNC110 - until it succeeds; nothing tells of that
                await asyncio.sleep(STRIKE_S)
            self.done[kind] += 1

    async def _change(self, changes: SchemaChanges, kind: Kind) -> bool:
        """Make a change, and let everybody follow what is new; False if the database was not there, or too busy."""
        table = changes.next_table
        readers = [follower for follower in self._followers if follower.journal.reader.role != "anon"]
        for follower in readers:
            follower.expect(table)
        try:
            await asyncio.to_thread(changes.make, kind)
        except psycopg.Error:
            return False
        if table in self._tables:
            for follower in readers:
                follower.follow(table)
        return True

    async def _moments(self, kinds: Callable[[], Sequence[K]], every_s: float, until_s: float) -> AsyncIterator[K]:
        """Yield kinds now and then, in any order but all in turn: until the time is over, and each has come."""
        come: set[K] = set()
        deck: list[K] = []
        while time.monotonic() < until_s or not come.issuperset(kinds()):
            await asyncio.sleep(every_s * (0.5 + self._dice.random()))
            deck = deck or self._dice.sample(kinds(), len(kinds()))
            kind = deck.pop()
            come.add(kind)
            yield kind

    async def _settle(self, dsn: str) -> Mapping[AnyFollower, Sequence[Owed]]:
        """Wait until everybody was told what they are owed, or it has taken too long; return what that is."""
        history = await asyncio.to_thread(History.read, dsn)
        everybody: list[AnyFollower] = [*self._followers, *self._stock]
        owed = {each: history.owed(each.journal.reader, each.tables) for each in everybody}
        told, since_s = -1, time.monotonic()
        while self._waits_for(owed) and time.monotonic() - since_s < STILL_S:
            if (now := sum(each.journal.tally["told"] for each in everybody)) > told:
                told, since_s = now, time.monotonic()
            await asyncio.sleep(POLL_S)
        await asyncio.sleep(QUIET_S)
        return owed

    def _waits_for(self, owed: Mapping[AnyFollower, Sequence[Owed]]) -> bool:
        if any(len(each.journal.told) < len(owed[each]) for each in self._followers):
            return True
        return any(each.journal.found(owed[each])["lost"] for each in self._stock)

    def _check(self, owed: Mapping[AnyFollower, Sequence[Owed]]) -> None:
        for follower, wanted in owed.items():
            self.tally.update(follower.journal.found(wanted))
            self.done.update(follower.done)
            self.complaints += (*follower.journal.complaints, *follower.complaints)


def _follower(number: int, plan: Plan, places: Places, dial: Dial, *, port: int, dice: Random) -> Follower:
    tables: Sequence[str] = TABLES if number % OPEN_READERS == 0 else TABLES[1:]
    role = "authenticated"
    if number % STRANGERS == STRANGERS // 4:
        role, tables = "anon", TABLES[:2]
    elif number % SERVICES == SERVICES // 8:
        role, tables = "service_role", TABLES
    journal = Journal(Reader(number, role), places)
    return Follower(journal, tables, dial, port, Random(dice.random()), token_s=plan.token_s)  # noqa: S311 - the same every time


def _behind(followers: Sequence[Follower], now: datetime) -> str:
    """Say how old what readers were told last is, in seconds: for the middle one, and for the last of them."""
    told = [(each.told_of, each.journal.reader.number) for each in followers]
    ages = sorted(((now - datetime.fromisoformat(at)).total_seconds(), number) for at, number in told if at)
    last = ", ".join(f"{number}: {age_s:.0f}" for age_s, number in reversed(ages[-LAST_SHOWN:]))
    return f"seconds behind: {statistics.median(age_s for age_s, _ in ages):.1f}; by reader {last}"


async def _until(condition: Callable[[], bool], limit_s: float) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {limit_s} s"
        await asyncio.sleep(POLL_S)
