"""A standby takes the place of a dead primary: the slot is there too, and the same source goes on without a gap."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.log import (
    SLOT,
    Follower,
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
from tests.support.postgres import FAST, MakeServer
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.programs import find_programs
from tidewire.postgres.slot import DurableSlot

STANDBY = "standby"
"""Name of the physical slot through which the standby follows; the primary lets no reader get ahead of it."""

SYNCED = f"select synced and not temporary from pg_replication_slots where slot_name = '{SLOT}'"
CONFIRMED = f"select confirmed_flush_lsn - '0/0' from pg_replication_slots where slot_name = '{SLOT}'"
SYNC_LIMIT_S = 60.0
"""The worker that copies slots rests for up to half a minute when it found nothing to do."""


def _insert(dsn: str, first: int, last: int) -> None:
    execute(dsn, *(f"insert into things values ({number}, 'x')" for number in range(first, last + 1)))


def _rows(first: int, last: int) -> list[str]:
    return [f"INSERT things ({number}, x)" for number in range(first, last + 1)]


async def _let_the_slot_be_copied(log: Follower, primary: str, standby: str) -> None:
    """The standby keeps a slot only once it stands beyond the standby's own first snapshot, so we let it move on."""
    async with asyncio.timeout(SYNC_LIMIT_S):
        while not fetch(standby, SYNCED):
            execute(primary, "select pg_log_standby_snapshot()")
            await log.read()
            end = log.parts[-1].end_lsn or 0
            await wait_until(partial(_stands_at, primary, end), "the slot has moved on")


def _stands_at(dsn: str, lsn: int) -> bool:
    return int(fetch(dsn, CONFIRMED)) >= lsn


def _crash(dsn: str) -> None:
    """Kill the postmaster as the kernel would; its children notice and end."""
    folder = Path(str(fetch(dsn, "show data_directory")))
    os.kill(int((folder / "postmaster.pid").read_text(encoding="ascii").split()[0]), signal.SIGKILL)


@contextmanager
def _standby_of(primary: EmbeddedPostgres, folder: Path) -> Iterator[str]:
    """Copy the primary while it runs, and follow it."""
    dsn = primary.dsn()
    data = folder / "standby"
    data.mkdir(mode=0o755)
    backup = [find_programs().path("pg_basebackup"), "-d", dsn, "-D", str(data / "pgdata"), "--checkpoint=fast"]
    subprocess.run([*backup, "--no-sync", "--write-recovery-conf", f"--slot={STANDBY}"], check=True, timeout=60)
    owner = Path(str(fetch(dsn, "show data_directory"))).stat()
    if owner.st_uid != os.geteuid():
        for path in [data / "pgdata", *(data / "pgdata").rglob("*")]:
            shutil.chown(path, owner.st_uid, owner.st_gid)
    settings = {
        "primary_conninfo": make_conninfo(dsn, application_name=STANDBY),
        "primary_slot_name": STANDBY,
        "hot_standby_feedback": "on",
        "sync_replication_slots": "on",
    }
    with EmbeddedPostgres(data, settings={**FAST, **settings}) as standby:
        yield standby.dsn()


def _either(*dsns: str) -> str:
    """Return a connection string for whichever of these servers is the primary."""
    given = [conninfo_to_dict(dsn) for dsn in dsns]
    hosts, ports = (",".join(str(one[key]) for one in given) for key in ("host", "port"))
    return make_conninfo(dsns[0], host=hosts, port=ports, target_session_attrs="read-write")


@pytest.mark.timeout(120)
async def test_a_promoted_standby_is_followed_without_a_gap(make_server: MakeServer, folder: Path) -> None:
    server = make_server(synchronized_standby_slots=STANDBY)
    primary = server.dsn()
    prepare_database(primary, "create table things (id int primary key, label text)")
    execute(primary, f"select pg_create_physical_replication_slot('{STANDBY}', true)")
    await prepare_slot(primary, failover=True)
    durable = DurableSlot(SLOT, failover=True)
    with _standby_of(server, folder) as standby:
        source = make_source(_either(primary, standby), durable)
        async with following(primary, source) as log, asyncio.TaskGroup() as group:
            _insert(primary, 1, 20)
            assert shown(await log.read()) == _rows(1, 20)
            epoch = source.epoch
            await _let_the_slot_be_copied(log, primary, standby)
            _insert(primary, 21, 40)
            assert shown(await log.read(confirm=False)) == _rows(21, 40)

            await asyncio.to_thread(_crash, primary)
            await asyncio.to_thread(execute, standby, "select pg_promote()")
            async with following(standby, make_source(_either(primary, standby), durable)) as fresh:
                await fresh.read(confirm=False)
            assert identities(log.parts)[-21:] == identities(fresh.parts)[-22:-1], "repeats have the same places"

            reading = group.create_task(log.read_to("end", limit_s=40))
            _insert(standby, 41, 60)
            emit(standby, "end")
            assert shown(await reading)[-20:] == _rows(41, 60)
            assert [row for row in shown(log.parts) if row.startswith("INSERT")] == _rows(1, 60), "no gap, no repeat"
            assert source.epoch == epoch
