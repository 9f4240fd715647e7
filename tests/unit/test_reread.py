"""After a start the past is read beside the news: whoever asks finds both as one stream, or hears that it is gone."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tidewire.bus.memory import MemoryBus
from tidewire.hub.history import NOT_READ_YET, OTHER_HISTORY, TOO_OLD, History
from tidewire.hub.reread import reread
from tidewire.model.change import LogicalMessage, Resync, Transaction
from tidewire.model.errors import DatabaseUnreachable, PostgresError
from tidewire.model.position import MAX_INDEX, Lsn, StreamPosition
from tidewire.model.relation import Column, PgType, Relation
from tidewire.ports import CHANGES, PAST, Envelope
from tidewire.testing import ScriptedSource, inserted
from tidewire.wal.envelope import Era, encode
from tidewire.wal.uptime import UPTIME_PREFIX, Uptimes

RELATION = Relation(1, "public", "t", "default", (Column("id", PgType(20, "int8")),))
ERA = Era(1, "epoch0")
NEWS = Lsn(40)
DEADLINE_S = 10


class Copy(ScriptedSource):
    """A source that begins where the slot stood."""

    began_at = Lsn(10)


def commit(lsn: int, *, first: int = 0, complete: bool = True) -> Transaction:
    return inserted(RELATION, [("1",), ("2",)], lsn=lsn, first_index=first, complete=complete)


def at(lsn: int, index: int = MAX_INDEX, epoch: str = "epoch0") -> StreamPosition:
    return StreamPosition(epoch, Lsn(lsn), index)


class Scene:
    """A history that began at 10, with news from 40 on."""

    def __init__(self, *, history_bytes: int = 2**20, patience_s: float = DEADLINE_S) -> None:
        self.bus = MemoryBus(clock=lambda: 0.0, kept=(CHANGES, PAST), history_bytes=history_bytes)
        self.history = History(self.bus, patience_s=patience_s)
        self.history.begin("epoch0", Lsn(10), news_from=NEWS)
        self.uptimes = Uptimes()
        self._sequence = 0

    async def news(self, item: Transaction | Resync, era: Era = ERA) -> None:
        key = era.key(item if isinstance(item, Transaction) else None)
        await self.bus.publish(CHANGES, encode(item), key=key)
        self._sequence += 1
        self.history.mark(Envelope(CHANGES, self._sequence, key, b""), item)

    async def reread(self, *steps: Transaction | Exception) -> None:
        source = Copy(*steps)
        source.finish()
        async with asyncio.timeout(DEADLINE_S):
            await reread(source, self.bus, self.history, self.uptimes)

    async def behind(self, position: StreamPosition) -> list[int]:
        """Return of each message with something behind a position in it of which commit it is."""
        found: list[int] = []
        sequence = self.history.before(position)
        while page := await self.history.page(sequence):
            sequence = page[-1][0]
            items = [item for _, item in page if isinstance(item, Transaction)]
            found += [each.commit_lsn for each in items if (each.commit_lsn, each.events[-1].index) > _place(position)]
        return found


def _place(position: StreamPosition) -> tuple[int, int]:
    return position.lsn, position.index


@pytest.fixture
async def scene() -> AsyncGenerator[Scene, None]:
    made = Scene()
    yield made
    await made.bus.close()


async def test_past_and_news_are_one_stream(scene: Scene) -> None:
    await scene.news(commit(40))
    await scene.reread(commit(10), commit(20, complete=False), commit(20, first=2), commit(30))
    await scene.news(commit(50))
    for position, expected in {
        at(9): [10, 20, 20, 30, 40, 50],
        at(10): [20, 20, 30, 40, 50],
        at(20, 1): [20, 30, 40, 50],
        at(20): [30, 40, 50],
        at(30): [40, 50],
        at(35): [40, 50],
        at(40): [50],
        at(50): [],
    }.items():
        assert await scene.history.refuses(position) is None, position
        assert await scene.behind(position) == expected, position
    assert await scene.history.refuses(at(8)) == TOO_OLD


async def test_the_past_ends_where_the_news_begin(scene: Scene) -> None:
    await scene.reread(commit(10), commit(40), commit(50))
    assert [envelope.key for envelope in await scene.bus.history(PAST)] == [ERA.key(commit(10))]
    assert await scene.behind(at(10)) == []


async def test_what_comes_again_after_a_reconnection_lies_there_once(scene: Scene) -> None:
    await scene.reread(commit(10), commit(20), commit(10), commit(20), commit(30))
    assert await scene.behind(at(9)) == [10, 20, 30]
    assert await scene.behind(at(20)) == [30]


async def test_whoever_stood_in_the_past_waits_until_it_was_read(scene: Scene) -> None:
    assert scene.history.wants_past
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(scene.history.refuses(at(10)))
        assert await scene.history.refuses(at(40)) is None, "news are there at once"
        assert not asking.done()
        await scene.reread(commit(10), commit(20))
        assert await asking is None
    assert not scene.history.wants_past


async def test_whoever_waits_too_long_is_told() -> None:
    scene = Scene(patience_s=0.0)
    assert await scene.history.refuses(at(10)) == NOT_READ_YET
    assert await scene.history.refuses(at(40)) is None
    await scene.bus.close()


async def test_a_past_that_cannot_be_read_is_too_long_ago(scene: Scene) -> None:
    await scene.news(commit(40))
    await scene.reread(commit(10), PostgresError("no slot is free"), commit(20))
    assert await scene.history.refuses(at(10)) == TOO_OLD
    assert await scene.history.refuses(at(40)) is None


async def test_a_database_that_is_away_for_a_moment_costs_nobody_the_past(scene: Scene) -> None:
    away = DatabaseUnreachable("it was killed as well")
    await scene.reread(commit(10), away, commit(20, complete=False), away, commit(20, first=2), commit(30))
    assert await scene.history.refuses(at(9)) is None
    assert await scene.behind(at(9)) == [10, 20, 20, 30]
    assert await scene.behind(at(20)) == [30]


async def test_a_database_that_stays_away_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewire.hub.reread.MOST_ATTEMPTS", 2)
    away = DatabaseUnreachable("no connection")
    await scene.reread(away, commit(10), away, commit(20))
    assert await scene.history.refuses(at(10)) == TOO_OLD


async def test_a_copy_that_began_later_than_thought_says_so(scene: Scene) -> None:
    source = Copy(commit(20), commit(30))
    source.began_at = Lsn(20)
    source.finish()
    await reread(source, scene.bus, scene.history, scene.uptimes)
    assert await scene.history.refuses(at(15)) == TOO_OLD
    assert await scene.history.refuses(at(20)) is None


async def test_a_past_that_memory_does_not_hold_is_too_long_ago() -> None:
    scene = Scene(history_bytes=2000)
    await scene.reread(*(commit(lsn) for lsn in range(10, 40)))
    assert await scene.history.refuses(at(10)) == TOO_OLD
    assert await scene.history.refuses(at(38)) is None
    for lsn in range(40, 60):
        await scene.news(commit(lsn))
    assert await scene.history.refuses(at(38)) == TOO_OLD, "the news behind it are gone"
    await scene.bus.close()


async def test_a_history_that_breaks_meanwhile_ends_the_wait(scene: Scene) -> None:
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(scene.history.refuses(at(10)))
        await asyncio.sleep(0)
        await scene.news(Resync("other", "the slot was lost"), Era(2, "other"))
        assert await asking == OTHER_HISTORY
    await scene.reread(commit(10))
    assert await scene.history.refuses(at(10)) == OTHER_HISTORY
    assert await scene.history.refuses(at(5, epoch="other")) is None, "all of a new history comes"


async def test_messages_of_the_old_history_that_come_late_change_nothing(scene: Scene) -> None:
    scene.history.begin("other", Lsn(100), news_from=Lsn(100))
    await scene.news(commit(50))
    await scene.news(Resync("other", "the slot was lost"), Era(2, "other"))
    assert scene.history.epoch == "other"
    assert await scene.history.refuses(at(50, epoch="other")) == TOO_OLD
    await scene.news(commit(110), Era(2, "other"))
    assert await scene.behind(at(100, epoch="other")) == [110]


async def test_what_the_past_says_about_its_age_is_noted_once(scene: Scene) -> None:
    def mark(lsn: int, uptime: int) -> Transaction:
        message = LogicalMessage(Lsn(lsn), 0, UPTIME_PREFIX, str(uptime).encode())
        return Transaction(lsn, Lsn(lsn), lsn, (message,), Lsn(lsn + 1))

    await scene.reread(mark(10, 100), commit(20), DatabaseUnreachable("away"), mark(10, 100), commit(20), mark(30, 105))
    assert scene.uptimes.ages() == [(11, 5), (31, 0)]
    assert scene.uptimes.last_us == 105
