"""The slot behind a source: standby and takeover, loss and a new epoch, half-made slots, looking on without a trace."""

import asyncio
from collections.abc import AsyncIterable
from contextlib import aclosing

import psycopg
import pytest

from tests.support.log import (
    LIMIT_S,
    PUBLICATION,
    SLOT,
    Follower,
    emit,
    execute,
    fetch,
    following,
    make_source,
    prepare_database,
    prepare_slot,
    shown,
    wait_until,
)
from tests.support.postgres import MakeServer
from tidewire.model.change import Transaction
from tidewire.model.errors import ConfigurationError, SlotLost, SlotTaken
from tidewire.model.position import parse_lsn
from tidewire.postgres.slot import UNKEPT, TemporarySlot
from tidewire.postgres.source import PostgresSource

OURS = f"slot_name = '{SLOT}'"
THINGS = "create table things (id int primary key, label text)"
CONFIRMED = f"select confirmed_flush_lsn - '0/0' from pg_replication_slots where {OURS}"
ACTIVE = f"select active from pg_replication_slots where {OURS}"
READ = f"select write_lsn - '0/0' from pg_stat_replication join pg_replication_slots on active_pid = pid where {OURS}"
END = "select pg_current_wal_flush_lsn() - '0/0'"
STATE = f"select state from realtime.tidewire_slots where {OURS}"
EPOCH = f"select epoch from realtime.tidewire_slots where {OURS}"


def _insert(dsn: str, *numbers: int) -> None:
    execute(dsn, *(f"insert into things values ({number}, 'x')" for number in numbers))


def _rows(*numbers: int) -> list[str]:
    return [f"INSERT things ({number}, x)" for number in numbers]


async def _expect_lost(source: PostgresSource) -> SlotLost:
    """Read, confirming everything, until the slot is found lost."""
    async with asyncio.timeout(LIMIT_S), aclosing(source.transactions()) as parts:
        with pytest.raises(SlotLost) as found:
            await _confirm_all(source, parts)
    assert found.value.hint
    return found.value


async def _confirm_all(source: PostgresSource, parts: AsyncIterable[Transaction]) -> None:
    async for part in parts:
        source.confirm(part.end_lsn or part.commit_lsn)


# --- idle ----------------------------------------------------------------------------------------------


async def test_an_idle_slot_moves_on_while_only_unpublished_tables_are_written(any_database: str) -> None:
    prepare_database(any_database, THINGS, "create schema private", "create table private.noise (id int)")
    async with following(any_database) as log, asyncio.TaskGroup() as group:
        await log.read()
        execute(any_database, "insert into private.noise select generate_series(1, 5000)")
        target = fetch(any_database, END)
        idle = group.create_task(log.next(limit_s=60))
        await wait_until(lambda: fetch(any_database, CONFIRMED) >= target, "the slot has passed the noise")
        assert not idle.done()
        idle.cancel()


async def test_a_slot_never_passes_what_is_not_confirmed(any_database: str) -> None:
    prepare_database(any_database, THINGS, "create schema private", "create table private.noise (id int)")
    async with following(any_database) as log, asyncio.TaskGroup() as group:
        await log.read()
        _insert(any_database, 1)
        held = await log.next(confirm=False)
        waiting = group.create_task(log.next(limit_s=60))
        execute(any_database, "insert into private.noise select generate_series(1, 5000)")
        target = fetch(any_database, END)
        # Our own answer says how far we have read: from here on nothing but the missing confirmation holds the slot.
        await wait_until(lambda: fetch(any_database, READ) >= target, "the noise was read")
        assert fetch(any_database, CONFIRMED) <= held.commit_lsn
        assert held.end_lsn is not None
        log.source.confirm(held.end_lsn)
        await wait_until(lambda: fetch(any_database, CONFIRMED) >= target, "the slot has moved on")
        waiting.cancel()


async def test_what_an_earlier_connection_handed_out_still_awaits_its_confirmation(any_database: str) -> None:
    """It is not sent again to the same source, so only the source's memory of it holds the slot."""
    prepare_database(any_database, THINGS, "create schema private", "create table private.noise (id int)")
    async with following(any_database) as log, asyncio.TaskGroup() as group:
        await log.read()
        _insert(any_database, 1, 2)
        held = [await log.next(confirm=False), await log.next(confirm=False)]
        execute(any_database, f"select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where {OURS}")
        execute(any_database, "insert into private.noise select generate_series(1, 5000)")
        waiting = group.create_task(_read_on(log))
        target = fetch(any_database, END)
        await wait_until(lambda: (fetch(any_database, READ) or 0) >= target, "the noise was read")
        assert fetch(any_database, CONFIRMED) <= held[0].commit_lsn
        for part in held:
            assert part.end_lsn is not None
            log.source.confirm(part.end_lsn)
        await wait_until(lambda: fetch(any_database, CONFIRMED) >= target, "the slot has moved on")
        waiting.cancel()


async def test_a_confirmation_given_while_disconnected_is_told_to_the_next_connection(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log, asyncio.TaskGroup() as group:
        await log.read()
        _insert(any_database, 1)
        part = await log.next(confirm=False)
        execute(any_database, f"select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where {OURS}")
        assert part.end_lsn is not None
        log.source.confirm(part.end_lsn)
        waiting = group.create_task(_read_on(log))
        await wait_until(lambda: fetch(any_database, CONFIRMED) >= part.end_lsn, "the slot has moved on")
        waiting.cancel()


# --- standby and takeover ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["closes", "is cut off"])
async def test_a_second_node_waits_and_takes_over_without_a_gap(any_database: str, how: str) -> None:
    prepare_database(any_database, THINGS)
    await prepare_slot(any_database)
    async with (
        following(any_database, make_source(any_database)) as first,
        following(any_database, make_source(any_database)) as second,
        asyncio.TaskGroup() as group,
    ):
        await first.read()
        taken = group.create_task(second.read_to("end"))
        await wait_until(lambda: second.source.status == "standby", "the second node waits")
        _insert(any_database, 1, 2)
        assert shown([await first.next(), await first.next(confirm=False)]) == _rows(1, 2)
        assert second.source.status == "standby"
        if how == "closes":
            await first.close()
        else:
            # Nobody iterates the first source, so its node does not come back.
            execute(any_database, f"select pg_terminate_backend(active_pid) from pg_replication_slots where {OURS}")
        _insert(any_database, 3)
        emit(any_database, "end")
        found = [line for line in shown(await taken) if line.startswith("INSERT")]
    assert second.source.status == "streaming"
    assert second.source.epoch == first.source.epoch
    # A confirmation that was under way when the first node died may be lost: repeats are allowed, holes are not.
    assert found == _rows(2, 3) or (how == "is cut off" and found == _rows(1, 2, 3))


@pytest.mark.timeout(60)
async def test_a_node_that_waits_survives_a_restart_of_postgres(make_server: MakeServer) -> None:
    server = make_server()
    dsn = server.dsn()
    prepare_database(dsn, THINGS)
    await prepare_slot(dsn)
    async with (
        following(dsn, make_source(dsn)) as first,
        following(dsn, make_source(dsn)) as second,
        asyncio.TaskGroup() as group,
    ):
        await first.read()
        taken = group.create_task(second.next())
        await wait_until(lambda: second.source.status == "standby", "the second node waits")
        await asyncio.to_thread(server.stop)
        await first.close()
        await wait_until(lambda: second.source.status == "reconnecting", "the second node misses the server")
        await asyncio.to_thread(server.start)
        await wait_until(lambda: second.source.status == "streaming", "the second node took over")
        _insert(dsn, 1)
        assert shown([await taken]) == _rows(1)


async def test_a_node_that_comes_back_while_another_streams_waits_again(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    await prepare_slot(any_database)
    async with (
        following(any_database, make_source(any_database)) as first,
        following(any_database, make_source(any_database)) as second,
    ):
        await first.read()
        execute(any_database, f"select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where {OURS}")
        before = fetch(any_database, CONFIRMED)
        _insert(any_database, 1)
        assert shown(await second.read())[-1:] == _rows(1)
        async with asyncio.TaskGroup() as group:
            holding = group.create_task(second.next())
            await wait_until(lambda: fetch(any_database, CONFIRMED) > before, "the second node has moved the slot")
            waiting = group.create_task(first.next())
            await wait_until(lambda: first.source.status == "standby", "the first node waits")
            _insert(any_database, 2)
            assert shown([await holding]) == _rows(2)
            waiting.cancel()


async def test_closing_a_source_ends_whoever_iterates_it(database: str) -> None:
    prepare_database(database, THINGS)
    async with following(database) as log, asyncio.TaskGroup() as group:
        await log.read()
        waiting = group.create_task(_reads_nothing_more(log))
        await asyncio.sleep(0)
        await log.source.close()
        await waiting
        await wait_until(lambda: fetch(database, ACTIVE) is False, "the walsender is gone")


async def _reads_nothing_more(log: Follower) -> None:
    with pytest.raises(StopAsyncIteration):
        await log.next()


async def test_a_slot_moved_by_somebody_else_is_lost_to_us(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        _insert(any_database, 1)
        await log.read()
    _insert(any_database, 2)
    execute(any_database, f"select pg_replication_slot_advance('{SLOT}', pg_current_wal_lsn())")
    old = log.source.epoch
    lost = await _expect_lost(log.source)
    assert "beyond" in lost.message
    assert await log.source.restart() != old, "nobody may believe that the history goes on"


# --- lost and found ------------------------------------------------------------------------------------


async def test_a_dropped_slot_is_lost_and_a_restart_begins_a_new_epoch(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        _insert(any_database, 1)
        await log.read()
    old = log.source.epoch
    execute(any_database, f"select pg_drop_replication_slot('{SLOT}')")
    _insert(any_database, 2)
    lost = await _expect_lost(log.source)
    assert "dropped" in lost.message
    assert log.source.status == "lost"

    new = await log.source.restart()
    assert new == log.source.epoch == fetch(any_database, EPOCH) != old
    async with following(any_database, log.source) as again:
        _insert(any_database, 3)
        assert shown(await again.read()) == _rows(3)


async def test_a_slot_dropped_while_it_streams_is_lost(any_database: str) -> None:
    """The walsender holds the slot, so it is ended first; whoever drops the slot must be faster than our return."""
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        await log.read()
        name = fetch(any_database, "select current_database()")
        execute(
            any_database,
            "create function drop_it() returns void language plpgsql as $$ begin loop begin"
            f" perform pg_terminate_backend(active_pid) from pg_replication_slots where {OURS};"
            f" perform pg_drop_replication_slot('{SLOT}'); return;"
            " exception when object_in_use then null; end; end loop; end $$",
        )
        execute(any_database, f"select drop_it() /* {name} */")
        with pytest.raises(SlotLost):
            await log.next()


async def test_a_new_epoch_made_elsewhere_is_a_loss_here(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        await log.read()
    execute(any_database, f"select pg_drop_replication_slot('{SLOT}')")
    other = make_source(any_database)
    await _expect_lost(other)
    epoch = await other.restart()
    lost = await _expect_lost(log.source)
    assert "another node" in lost.message
    assert await log.source.restart() == epoch, "the other node's repair is used, not repeated"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("version", ["embedded-18", "debian-15"])
async def test_a_slot_whose_log_was_removed_is_lost_within_seconds(make_server: MakeServer, version: str) -> None:
    dsn = make_server(version, max_slot_wal_keep_size="1MB", max_wal_size="32MB").dsn()
    prepare_database(dsn, THINGS)
    filler = "insert into things select n, repeat('x', 900) from generate_series({0}00000, {0}20000) n"
    statements = [text for n in (1, 2, 3) for text in (filler.format(n), "select pg_switch_wal()", "checkpoint")]
    async with following(dsn) as log:
        _insert(dsn, 1)
        await log.next(confirm=False)
        await asyncio.to_thread(execute, dsn, *statements)
        with pytest.raises(SlotLost) as found:
            await _read_on(log)
    assert "removed" in found.value.message
    assert fetch(dsn, f"select wal_status from pg_replication_slots where {OURS}") == "lost"
    epoch = await log.source.restart()
    assert epoch == fetch(dsn, EPOCH)
    async with following(dsn, log.source) as again:
        _insert(dsn, 2)
        assert shown(await again.read()) == _rows(2)


async def _read_on(log: Follower) -> None:
    """Read without confirming."""
    while True:
        await log.next(confirm=False)


# --- half-made, hand-made, somebody else's ----------------------------------------------------------------------------


@pytest.mark.parametrize("there", [False, True], ids=["before-the-slot", "after-the-slot"])
async def test_a_crash_while_the_slot_was_made_is_repaired(any_database: str, *, there: bool) -> None:
    prepare_database(any_database, THINGS)
    execute(any_database, f"insert into realtime.tidewire_slots values ('{SLOT}', 'half', 'pending')")
    if there:
        execute(any_database, f"select pg_create_logical_replication_slot('{SLOT}', 'pgoutput')")
    _insert(any_database, 1)
    async with following(any_database) as log:
        _insert(any_database, 2)
        assert shown(await log.read()) == _rows(2)
        assert log.source.epoch == fetch(any_database, EPOCH) != "half"
        assert fetch(any_database, STATE) == "ready"


async def test_a_slot_made_by_hand_is_adopted_with_its_past(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    execute(any_database, f"select pg_create_logical_replication_slot('{SLOT}', 'pgoutput')")
    _insert(any_database, 1)
    async with following(any_database) as log:
        assert shown(await log.read()) == _rows(1)
        assert log.source.epoch == fetch(any_database, EPOCH)


async def test_two_nodes_that_start_at_once_make_one_slot(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    starts = await asyncio.gather(*(prepare_slot(any_database) for _ in range(4)))
    assert len({start.epoch for start in starts}) == 1
    assert {start.confirmed for start in starts} == {starts[0].confirmed}


async def test_a_name_that_belongs_to_something_else_is_refused(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    other = fetch(any_database, "select datname from pg_database where datname = 'postgres'")
    elsewhere = psycopg.conninfo.make_conninfo(any_database, dbname=other)
    for make in (
        f"select pg_create_physical_replication_slot('{SLOT}')",
        f"select pg_create_logical_replication_slot('{SLOT}', 'pgoutput')",
    ):
        execute(elsewhere, make)
        try:
            with pytest.raises(SlotTaken) as refused:
                await make_source(any_database).transactions().__anext__()
            assert refused.value.hint
            assert fetch(any_database, STATE) is None
        finally:
            execute(elsewhere, f"select pg_drop_replication_slot('{SLOT}')")


# --- publications --------------------------------------------------------------------------------------


async def test_without_its_publication_a_source_starts_nothing(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    with pytest.raises(ConfigurationError) as refused:
        await make_source(any_database, publications=("nowhere",)).transactions().__anext__()
    assert "nowhere" in refused.value.message
    assert refused.value.hint
    assert fetch(any_database, f"select count(*) from pg_replication_slots where {OURS}") == 0, "nothing half-made"


async def test_a_publication_made_after_the_slot(any_database: str) -> None:
    """Before 18 Postgres cannot decode what lies before the publication; from 18 on nothing of it is published."""
    prepare_database(any_database, THINGS)
    execute(any_database, f"drop publication {PUBLICATION}")
    await prepare_slot(any_database)
    _insert(any_database, 1)
    execute(any_database, f"create publication {PUBLICATION} for table things")
    source = make_source(any_database)
    if fetch(any_database, "select current_setting('server_version_num')::int") < 180000:
        lost = await _expect_lost(source)
        assert "publication" in lost.message
        epoch = source.epoch
        assert await source.restart() != epoch
    async with following(any_database, source) as log:
        _insert(any_database, 2)
        assert shown(await log.read()) == _rows(2)


# --- looking on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("active", [False, True], ids=["idle", "active"])
async def test_a_copy_reads_the_past_and_disturbs_nothing(any_database: str, *, active: bool) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        await log.read()
        if not active:
            await log.close()
        _insert(any_database, 1)
        confirmed = fetch(any_database, CONFIRMED)
        async with following(any_database, make_source(any_database, TemporarySlot(copy_of=SLOT, past=True))) as look:
            assert shown(await look.read())[-1:] == _rows(1)
            assert look.source.epoch == fetch(any_database, EPOCH)
            assert fetch(any_database, CONFIRMED) == confirmed
        left = "select count(*) from pg_replication_slots where database = current_database()"
        await wait_until(lambda: fetch(any_database, left) == 1, "only the durable slot is left")
        if active:
            assert shown([await log.next()]) == _rows(1)


@pytest.mark.parametrize("durable", [False, True], ids=["alone", "beside-a-durable-slot"])
async def test_a_temporary_slot_follows_from_now_on(any_database: str, *, durable: bool) -> None:
    prepare_database(any_database, THINGS)
    if durable:
        await prepare_slot(any_database)
    _insert(any_database, 1)
    async with (
        following(any_database, make_source(any_database, TemporarySlot(copy_of=SLOT))) as look,
        asyncio.TaskGroup() as group,
    ):
        first = group.create_task(look.next())
        await look.source.ready()
        _insert(any_database, 2)
        assert shown([await first]) == _rows(2)
        assert look.source.epoch == (fetch(any_database, EPOCH) if durable else UNKEPT)


@pytest.mark.parametrize("moved", [False, True], ids=["where it was", "moved on"])
async def test_a_copy_that_is_made_anew_leaves_nothing_out(any_database: str, *, moved: bool) -> None:
    """What the durable slot has let go of between two copies cannot be read any more, and nobody would know."""
    prepare_database(any_database, THINGS)
    await prepare_slot(any_database)
    _insert(any_database, 1)
    async with following(any_database, make_source(any_database, TemporarySlot(copy_of=SLOT, past=True))) as look:
        assert shown(await look.read()) == _rows(1)
        _insert(any_database, 2)
        assert shown([await look.next()]) == _rows(2)
        if moved:
            _insert(any_database, 3)
            execute(any_database, f"select pg_replication_slot_advance('{SLOT}', pg_current_wal_flush_lsn())")
        copies = "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where temporary and active"
        execute(any_database, f"{copies} and database = current_database()")
        _insert(any_database, 4)
        if not moved:
            assert shown([await look.next()]) == _rows(4)
            return
        with pytest.raises(SlotLost, match="was moved"):
            await _read_to_the_end(look)


async def _read_to_the_end(look: Follower) -> None:
    while True:
        await look.next()


async def test_a_copy_of_nothing_is_refused(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    with pytest.raises(SlotLost) as refused:
        await make_source(any_database, TemporarySlot(copy_of="nowhere", past=True)).transactions().__anext__()
    assert refused.value.hint


async def test_the_position_of_a_slot_is_the_one_postgres_shows(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    start = await prepare_slot(any_database)
    text = fetch(any_database, f"select confirmed_flush_lsn::text from pg_replication_slots where {OURS}")
    assert start.confirmed == parse_lsn(text)
