"""From source to reader: confirm only what the bus holds, repeat rather than lose, and say so where history breaks."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import pytest

from tidewire.bus.memory import MemoryBus
from tidewire.hub.pump import TURN_BYTES, transactions
from tidewire.hub.relay import relay
from tidewire.hub.tasks import Tasks
from tidewire.model.change import Resync, Transaction
from tidewire.model.errors import BusError, DatabaseUnreachable, DecodeError, SlotLost, SubscriberLagged
from tidewire.model.relation import Column, PgType, Relation
from tidewire.ports import CHANGES, ChangeSource
from tidewire.testing import ScriptedSource, inserted
from tidewire.wal.envelope import Era, era_of

DEADLINE_S = 10
RELATION = Relation(1, "public", "t", "default", (Column("id", PgType(20, "int8")),))


def commit(lsn: int, *, first: int = 0, rows: int = 2, complete: bool = True) -> Transaction:
    return inserted(
        RELATION, [(str(first + row),) for row in range(rows)], lsn=lsn, first_index=first, complete=complete
    )


@pytest.fixture
async def bus() -> AsyncGenerator[MemoryBus, None]:
    bus = MemoryBus(clock=lambda: 0.0, queue_bytes=4096, patience_s=60)
    yield bus
    await bus.close()


async def everything(bus: MemoryBus) -> list[Transaction | Resync]:
    """Read the whole stream from its beginning to where it stands now."""
    newest = len(await bus.history(CHANGES))
    items: list[Transaction | Resync] = []
    if newest:
        async with aclosing(transactions(bus, after=0)) as stream:
            async for item in stream:
                items.append(item)
                if len(items) == newest:
                    break
    return items


async def play(bus: MemoryBus, *steps: Transaction | Exception, epoch: str = "epoch") -> ScriptedSource:
    source = ScriptedSource(*steps, epoch=epoch)
    source.finish()
    async with asyncio.timeout(DEADLINE_S):
        await relay(source, bus)
    return source


# --- relay ---------------------------------------------------------------------------------------------------


async def test_what_is_committed_arrives_and_is_confirmed(bus: MemoryBus) -> None:
    sent = [commit(10), commit(20), commit(30)]
    source = await play(bus, *sent)
    assert await everything(bus) == sent
    assert source.confirmed == 31


async def test_nothing_is_confirmed_before_the_bus_holds_it(bus: MemoryBus) -> None:
    """A stuck reader makes publishing wait, and as long as it waits Postgres must remember."""
    stuck = await bus.subscribe((CHANGES,))
    source = ScriptedSource(*(commit(lsn, rows=100) for lsn in range(10, 20)))
    async with Tasks() as tasks:
        tasks.start(relay(source, bus), name="relay")
        for _ in range(50):
            await asyncio.sleep(0)
        held = [item for item in await everything(bus) if isinstance(item, Transaction)]
        assert 0 < len(held) < 10
        assert source.confirmed == held[-1].end_lsn
        stuck.close()
        async with asyncio.timeout(DEADLINE_S):
            await source.until_confirmed(20)


async def test_a_large_transaction_is_confirmed_with_its_last_part(bus: MemoryBus) -> None:
    parts = [commit(10, complete=False), commit(10, first=2, complete=False)]
    source = await play(bus, *parts)
    assert await everything(bus) == parts
    assert source.confirmed == 0
    source.play(commit(10, first=4))
    await relay(source, bus)
    assert source.confirmed == 11


async def test_a_relay_that_starts_again_repeats_nothing(bus: MemoryBus) -> None:
    sent = [commit(10), commit(20, complete=False), commit(20, first=2)]
    for _ in range(3):
        source = await play(bus, *sent)
        assert source.confirmed == 21  # what the bus holds already may be forgotten as well
    assert await everything(bus) == sent


async def test_a_relay_that_dies_between_parts_loses_nothing(bus: MemoryBus) -> None:
    first, second, third = commit(10, complete=False), commit(10, first=2, complete=False), commit(10, first=4)
    with suppress(DatabaseUnreachable):
        await play(bus, first, DatabaseUnreachable("gone"), second, third)
    await play(bus, first, second, third)
    assert await everything(bus) == [first, second, third]


async def test_an_error_of_the_source_ends_the_relay(bus: MemoryBus) -> None:
    with pytest.raises(DatabaseUnreachable):
        await play(bus, commit(10), DatabaseUnreachable("gone"))


async def test_a_closed_bus_ends_the_relay_and_confirms_nothing(bus: MemoryBus) -> None:
    source = ScriptedSource(commit(10))
    await bus.close()
    with pytest.raises(BusError):
        await relay(source, bus)
    assert source.confirmed == 0


async def test_a_relay_cancelled_while_publishing_closes_its_source(bus: MemoryBus) -> None:
    class Watched(ScriptedSource):
        def transactions(self) -> AsyncGenerator[Transaction, None]:
            self.stream = super().transactions()
            return self.stream

    source = Watched(*(commit(lsn, rows=100) for lsn in range(10, 20)))
    await bus.subscribe((CHANGES,))
    async with Tasks() as tasks:
        tasks.start(relay(source, bus), name="relay")
        for _ in range(50):
            await asyncio.sleep(0)
    assert 0 < source.confirmed < 20
    with pytest.raises(StopAsyncIteration):  # a stream still open would give the next transaction
        await anext(source.stream)


# --- where history breaks ------------------------------------------------------------------------------------


async def test_a_lost_slot_is_announced_and_the_stream_goes_on_from_low_lsns(bus: MemoryBus) -> None:
    source = await play(bus, commit(1000), SlotLost("its WAL was removed"), commit(10), commit(20))
    assert await everything(bus) == [commit(1000), Resync("epoch1", "its WAL was removed"), commit(10), commit(20)]
    assert source.confirmed == 21
    keys = [envelope.key for envelope in await bus.history(CHANGES)]
    assert keys == sorted(keys)
    assert [era_of(key) for key in keys] == [Era(1, "epoch0"), *[Era(2, "epoch1")] * 3]


async def test_a_slot_lost_before_anything_was_read_is_announced_too(bus: MemoryBus) -> None:
    """Who follows this bus already may have loaded data under the old history."""
    await play(bus, SlotLost("invalidated"), commit(10))
    assert await everything(bus) == [Resync("epoch1", "invalidated"), commit(10)]


async def test_a_slot_may_be_lost_again_and_again(bus: MemoryBus) -> None:
    await play(bus, commit(30), SlotLost("a"), SlotLost("b"), commit(20), SlotLost("c"), commit(10))
    assert await everything(bus) == [
        commit(30),
        Resync("epoch1", "a"),
        Resync("epoch2", "b"),
        commit(20),
        Resync("epoch3", "c"),
        commit(10),
    ]


async def test_a_new_history_is_noticed_although_nobody_saw_the_slot_go(bus: MemoryBus) -> None:
    """The process died between making the new slot and saying so."""
    await play(bus, commit(1000))
    await play(bus, commit(10), commit(20), epoch="other")
    items = await everything(bus)
    assert isinstance(items[1], Resync)
    assert items[1].epoch == "other0"
    assert [items[0], *items[2:]] == [commit(1000), commit(10), commit(20)]


async def test_a_standby_takes_over_in_the_era_that_another_node_began(bus: MemoryBus) -> None:
    standby = ScriptedSource(commit(5))
    async with Tasks() as tasks:
        tasks.start(relay(standby, bus), name="standby")
        await standby.until_confirmed(6)
        await play(bus, commit(1000), SlotLost("lost"), commit(10))
        await standby.restart()  # finds the epoch that the other node's slot has
        standby.play(commit(20))
        async with asyncio.timeout(DEADLINE_S):
            await standby.until_confirmed(21)
    assert await everything(bus) == [commit(5), commit(1000), Resync("epoch1", "lost"), commit(10), commit(20)]


async def test_a_node_left_behind_cannot_write_into_the_new_era(bus: MemoryBus) -> None:
    behind = ScriptedSource(commit(1000))
    async with Tasks() as tasks:
        tasks.start(relay(behind, bus), name="left behind")
        await behind.until_confirmed(1001)
        await play(bus, commit(10), epoch="other")
        before = await everything(bus)
        behind.play(commit(2000))
        await behind.until_confirmed(2001)
    assert await everything(bus) == before


async def test_two_nodes_that_open_an_era_at_once_agree_on_the_order(bus: MemoryBus) -> None:
    await play(bus, commit(1000))
    gate = asyncio.Event()

    class Slow(MemoryBus):
        """The same topics, seen by a node whose answers are late."""

        async def last_key(self, topic: str) -> str:
            key = await bus.last_key(topic)
            await gate.wait()
            return key

        async def publish(self, topic: str, payload: bytes, *, key: str = "") -> None:
            await bus.publish(topic, payload, key=key)

    source = ScriptedSource(commit(10), epoch="a")
    async with Tasks() as tasks:
        tasks.start(relay(source, Slow(clock=lambda: 0.0)), name="slow")
        for _ in range(20):
            await asyncio.sleep(0)
        await play(bus, commit(10), epoch="b")
        gate.set()
        async with asyncio.timeout(DEADLINE_S):
            await source.until_confirmed(11)
    resyncs = [item.epoch for item in await everything(bus) if isinstance(item, Resync)]
    assert resyncs == ["b0", "a0"]
    assert (await everything(bus))[-1] == commit(10)


async def test_a_bus_with_keys_of_somebody_else_is_refused(bus: MemoryBus) -> None:
    await bus.publish(CHANGES, b"", key="not ours")
    with pytest.raises(DecodeError):
        await play(bus, commit(10))


# --- pump ----------------------------------------------------------------------------------------------------


async def test_a_reader_follows_from_now(bus: MemoryBus) -> None:
    await play(bus, commit(10))
    async with aclosing(transactions(bus)) as stream, Tasks() as tasks:
        seen: list[Transaction | Resync] = []
        arrived = asyncio.Event()

        async def read() -> None:
            async for item in stream:
                seen.append(item)
                arrived.set()

        tasks.start(read(), name="reader")
        await asyncio.sleep(0)
        await play(bus, commit(10), commit(20))
        async with asyncio.timeout(DEADLINE_S):
            await arrived.wait()
    assert seen == [commit(20)]


async def test_a_reader_continues_after_a_sequence(bus: MemoryBus) -> None:
    await play(bus, commit(10), commit(20), commit(30))
    async with aclosing(transactions(bus, after=2)) as stream:
        assert await anext(stream) == commit(30)


async def test_a_reader_too_late_is_told() -> None:
    bus = MemoryBus(clock=lambda: 0.0, history_bytes=1000)
    await play(bus, *(commit(lsn) for lsn in range(10, 20)))
    with pytest.raises(SubscriberLagged):
        await anext(transactions(bus, after=0))


async def test_a_reader_that_stops_leaves_nothing_behind() -> None:
    bus = MemoryBus(clock=lambda: 0.0, queue_bytes=1, patience_s=60)
    async with aclosing(transactions(bus, after=0)) as stream:
        await play(bus, commit(10))
        await anext(stream)
    async with asyncio.timeout(DEADLINE_S):  # nobody is left to wait for
        await play(bus, commit(20), commit(30), commit(40))


async def test_a_long_backlog_gives_others_a_turn() -> None:
    bus = MemoryBus(clock=lambda: 0.0)
    count = 3
    for lsn in range(count):
        await play(bus, inserted(RELATION, [("x" * TURN_BYTES,)], lsn=lsn + 1))
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with Tasks() as tasks:
        tasks.start(tick(), name="others")
        assert len(await everything(bus)) == count
        assert turns >= count - 1


def test_the_scripted_source_is_a_change_source() -> None:
    source: ChangeSource = ScriptedSource()
    assert source.epoch == "epoch0"


# --- the scripted source keeps the promises of a source --------------------------------------------------------


async def collect(source: ScriptedSource, count: int) -> Sequence[Transaction]:
    collected: list[Transaction] = []
    async with aclosing(source.transactions()) as stream:
        while len(collected) < count:
            collected.append(await anext(stream))
    return collected


async def test_the_script_begins_again_at_what_was_not_confirmed() -> None:
    source = ScriptedSource(commit(10), commit(20, complete=False), commit(20, first=2), commit(30))
    assert [each.commit_lsn for each in await collect(source, 3)] == [10, 20, 20]
    source.confirm(commit(10).end_lsn or commit(10).commit_lsn)
    assert [each.commit_lsn for each in await collect(source, 3)] == [20, 20, 30]


async def test_the_script_wants_a_restart_after_a_lost_slot() -> None:
    source = ScriptedSource(commit(10), SlotLost("lost"), commit(5))
    for _ in range(2):
        with pytest.raises(SlotLost):
            await collect(source, 2)
    assert await source.restart() == "epoch1"
    assert [each.commit_lsn for each in await collect(source, 1)] == [5]
