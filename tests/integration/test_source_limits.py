"""Large transactions and slow consumers: memory stays bounded, and neither the walsender nor a checkpoint suffers."""

import asyncio

import pytest

from tests.support.log import (
    SLOT,
    emit,
    execute,
    fetch,
    following,
    identities,
    make_source,
    prepare_database,
    prepare_slot,
    shown,
    wait_until,
)
from tidewire.wal.assembler import PART_BYTES, PART_EVENTS

THINGS = "create table things (id int primary key, label text)"
ROWS = 60_037  # no multiple of a part, so that the last part holds something
WALSENDER = f"from pg_stat_replication join pg_replication_slots on active_pid = pid where slot_name = '{SLOT}'"
ACTIVE = f"select active from pg_replication_slots where slot_name = '{SLOT}'"


async def test_a_large_transaction_flows_in_parts_while_the_walsender_is_answered(any_database: str) -> None:
    """The first part is held for longer than Postgres waits for a silent standby."""
    name = fetch(any_database, "select current_database()")
    prepare_database(any_database, THINGS, f"alter database {name} set wal_sender_timeout = '2s'")
    async with following(any_database) as log:
        execute(any_database, f"insert into things select n, 'x' from generate_series(1, {ROWS}) n")
        emit(any_database, "end")
        parts = [await log.next()]
        walsender = fetch(any_database, f"select pid {WALSENDER}")
        heard = fetch(any_database, f"select reply_time::text {WALSENDER}")
        later = f"select reply_time > '{heard}'::timestamptz + '3 s' {WALSENDER}"
        await wait_until(lambda: fetch(any_database, later), "it was answered for three seconds")
        parts += await log.read_to("end")
        assert fetch(any_database, f"select pid {WALSENDER}") == walsender, "the connection held"

    assert [index for _, index in identities(parts)] == list(range(ROWS))
    assert len({(part.xid, part.commit_lsn, part.commit_time_us) for part in parts}) == 1
    assert [part.complete for part in parts] == [False] * (len(parts) - 1) + [True]
    assert max(len(part.events) for part in parts) <= PART_EVENTS


async def test_wide_rows_make_parts_by_size(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        execute(any_database, "insert into things select n, repeat('x', 100000) from generate_series(1, 100) n")
        parts = await log.read()
    assert [index for _, index in identities(parts)] == list(range(100))
    assert max(len(part.events) for part in parts) <= PART_BYTES // 100_000 + 1


@pytest.mark.timeout(40)
@pytest.mark.parametrize("together", [False, True], ids=["many-transactions", "one-transaction"])
async def test_a_full_queue_hangs_up_and_the_source_resumes(any_database: str, *, together: bool) -> None:
    name = fetch(any_database, "select current_database()")
    # Postgres itself would never give up, so only the source can end the connection.
    prepare_database(any_database, THINGS, f"alter database {name} set wal_sender_timeout = 0")
    await prepare_slot(any_database)
    block = "do $$ begin for n in 1..{} loop insert into things values (n, repeat('x', 1000)); {} end loop; end $$"
    async with following(any_database, make_source(any_database, queue_bytes=256 * 1024)) as log:
        await asyncio.to_thread(execute, any_database, block.format(12_000, "" if together else "commit;"))
        emit(any_database, "end")
        parts = [await log.next()]
        await wait_until(
            lambda: fetch(any_database, ACTIVE) is False, "the walsender is gone while the consumer pauses"
        )
        async with asyncio.timeout(5):
            await asyncio.to_thread(execute, any_database, "checkpoint")
        parts += await log.read_to("end")
    assert shown(parts) == [f"INSERT things ({n}, {'x' * 1000})" for n in range(1, 12_001)]
