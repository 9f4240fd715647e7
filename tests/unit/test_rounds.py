"""A round with a crowd on board does little in each turn of the loop."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from tests.support.client import FORMS
from tidewire.bus.memory import MemoryBus
from tidewire.hub.admission import ASKED_AT_ONCE
from tidewire.hub.change_frames import ChangeFrames
from tidewire.hub.guards import Guards
from tidewire.hub.history import PAGE, History
from tidewire.hub.rounds import (
    BEGUN_IN_A_TURN,
    MATCHED_IN_A_TURN,
    OUT_AT_ONCE,
    TOLD_IN_A_TURN,
    Parts,
    Round,
)
from tidewire.hub.tasks import Tasks
from tidewire.hub.travellers import Place, Receiver, Start, Traveller
from tidewire.match.rule import Rule
from tidewire.match.subscription import Audience, Subscription
from tidewire.model.change import Change, Row, Transaction
from tidewire.model.position import Lsn
from tidewire.model.relation import Column, PgType, Relation
from tidewire.ports import CHANGES, Envelope
from tidewire.testing.outbox import RecordingOutbox
from tidewire.testing.rows import inserted
from tidewire.testing.tables import OpenVisibility, ScriptedRules, opaque_rule
from tidewire.wal.envelope import Era, encode

ID = Column("id", PgType(23, "int4"), identity=True, primary=True)
TODOS = Relation(1, "public", "todos", "full", (ID,))
SECRETS = Relation(2, "public", "secrets", "full", (ID,))
COMMITS, ROWS_EACH = 50, 10
BEGIN = 100


class NotedBus(MemoryBus):
    """Notes behind what somebody has read."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.read: list[int | None] = []

    async def history(self, topic: str, *, after: int | None = None, limit: int = 1000) -> Sequence[Envelope]:
        self.read.append(after)
        return await super().history(topic, after=after, limit=limit)


class NotedVisibility(OpenVisibility):
    """Notes about how many rows each question was."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def seers(
        self, rule: Rule, relation: Relation, rows: Sequence[Row], audiences: Sequence[Audience]
    ) -> list[list[int]]:
        self.asked.append(len(rows))
        return await super().seers(rule, relation, rows, audiences)


class Walk:
    """A round through a past of some commits, with so many travellers who missed all of them."""

    def __init__(self) -> None:
        self.bus = NotedBus(clock=lambda: 0.0)
        self.history = History(self.bus, written=lambda: BEGIN + 10 * COMMITS)
        self.history.begin("one", Lsn(BEGIN), news_from=Lsn(BEGIN))
        self.rules = ScriptedRules()
        self.rules.rules["secrets"] = opaque_rule("anon", SECRETS)
        self.visibility = NotedVisibility()
        self.round = Round(Parts(self.history, Guards(self.rules), self.visibility, ChangeFrames()), 0)
        self.told: list[bytes] = []
        self.out: list[Place] = []

    async def commit(self, commits: int = COMMITS, *, secret: int = 0) -> None:
        """Commit rows, so many of each transaction in a table about which only Postgres can tell."""
        for number in range(1, commits + 1):
            lsn = Lsn(BEGIN + 10 * number)
            ids = [str(number * ROWS_EACH + each) for each in range(ROWS_EACH)]
            rows = [inserted(SECRETS if place < secret else TODOS, (id_,)) for place, id_ in enumerate(ids)]
            changes = tuple(Change(lsn, n, row.operation, row.shape, row.data) for n, row in enumerate(rows))
            transaction = Transaction(number, lsn, 0, changes, Lsn(lsn + 1))
            await self.bus.publish(CHANGES, encode(transaction), key=Era(1, "one").key(transaction))

    def board(self, number: int, *, table: str = "todos", sequence: int = 0, is_there: bool = True) -> None:
        wanted = Subscription(
            id=number,
            connection=number,
            topic="realtime:room",
            wire_id=1,
            schema="public",
            table=table,
            event="*",
            filter="",
            select=None,
            audience=Audience("anon"),
        )
        receiver = Receiver(number, RecordingOutbox(), FORMS[2], 2**16, self.told.append, lambda: is_there)
        start = Start((BEGIN + 10 * sequence, ROWS_EACH), wanted, None)
        self.round.board(Traveller(receiver, "realtime:room", [start], sequence, self.out.append))

    async def steps(self, travellers: int) -> list[tuple[int, ...]]:
        """Run it; return for each turn how many began, frames were told, got out, and commits were gone through."""
        seen = [(0, 0, 0, 0)]
        async with Tasks() as tasks:
            tasks.start(self.round.run(), name="walk")
            while len(self.out) < travellers:
                await asyncio.sleep(0)
                begun = len(self.round._matcher) + len(self.out)
                seen.append((begun, len(self.told), len(self.out), self.round._sequence))
        return [tuple(now - before for now, before in zip(*each, strict=True)) for each in pairwise(reversed(seen))]


async def test_a_crowd_begins_is_told_and_gets_out_in_small_steps() -> None:
    walk, travellers = Walk(), 3 * BEGUN_IN_A_TURN + 5
    await walk.commit()
    for number in range(travellers):
        walk.board(number)
    begun, told, out, passed = zip(*await walk.steps(travellers), strict=True)
    assert (sum(begun), sum(told), sum(out)) == (travellers, travellers * COMMITS * ROWS_EACH, travellers)
    assert sum(passed) == COMMITS
    assert max(begun) <= BEGUN_IN_A_TURN
    assert max(told) <= TOLD_IN_A_TURN
    assert max(out) <= OUT_AT_ONCE
    assert max(passed) <= MATCHED_IN_A_TURN // ROWS_EACH


async def test_what_is_nobodys_is_gone_through_in_small_steps_too() -> None:
    walk = Walk()
    await walk.commit()
    walk.board(1, table="other")
    _, told, _, passed = zip(*await walk.steps(1), strict=True)
    assert (sum(told), sum(passed)) == (0, COMMITS)
    assert max(passed) <= MATCHED_IN_A_TURN // ROWS_EACH


@pytest.mark.parametrize(
    ("commits", "secret", "asked"),
    [
        pytest.param(COMMITS, 1, [COMMITS], id="one of ten in doubt"),
        pytest.param(COMMITS, ROWS_EACH, [ASKED_AT_ONCE, ASKED_AT_ONCE, 100], id="all of them"),
        pytest.param(200, 1, [91, 91, 18], id="a long way"),
    ],
)
async def test_postgres_is_asked_few_questions(commits: int, secret: int, asked: Sequence[int]) -> None:
    walk = Walk()
    await walk.commit(commits, secret=secret)
    walk.board(1, table="*")
    async with asyncio.timeout(10):
        await walk.round.run()
    assert walk.visibility.asked == asked
    assert len(walk.told) == commits * ROWS_EACH


async def test_nobody_walks_where_only_those_who_have_left_missed_something() -> None:
    walk = Walk()
    await walk.commit(5 * PAGE)
    walk.board(1, is_there=False)
    walk.board(2, sequence=4 * PAGE + 10)
    async with asyncio.timeout(10):
        await walk.round.run()
    assert walk.bus.read == [0, 4 * PAGE + 10, 5 * PAGE]
    assert len(walk.told) == (PAGE - 10) * ROWS_EACH


@pytest.mark.parametrize("ends", [True, False])
async def test_a_large_transaction_that_comes_by_goes_first(monkeypatch: pytest.MonkeyPatch, *, ends: bool) -> None:
    monkeypatch.setattr("tidewire.hub.rounds.GIVEN_WAY_POLLS", 1000 if ends else 3)
    walk = Walk()
    await walk.commit()
    walk.board(1)
    walk.history.is_passing_rows = True
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(walk.round.run())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not walk.told
        walk.history.is_passing_rows = not ends
    assert len(walk.told) == COMMITS * ROWS_EACH


def test_rows_of_a_large_transaction_come_by_until_anything_else_does() -> None:
    walk = Walk()
    packed = Transaction(1, Lsn(BEGIN), 0, (inserted(TODOS, ("1",)),), None, shapes=(inserted(TODOS, ("1",)).shape,))
    end = Transaction(1, Lsn(BEGIN), 0, (), Lsn(BEGIN + 1))
    for sequence, (item, expected) in enumerate([(packed, True), (packed, True), (end, False)], 1):
        walk.history.mark(Envelope(CHANGES, sequence, Era(1, "one").key(item), b""), item)
        assert walk.history.is_passing_rows is expected
