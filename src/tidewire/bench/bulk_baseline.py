"""How far behind a large transaction Postgres is by itself: `pg_recvlogical` alone follows it, and keeps nothing.

It is asked for the same blocks as by our source, so what it takes is the walsender's.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tidewire.bench.bulk_forms import Form, carry_out
from tidewire.bench.realtime_server import WAL
from tidewire.bench.recvlogical import drop_slot, recvlogical_command
from tidewire.bench.server import BenchServer, bench_server, make_tables
from tidewire.model.errors import BenchmarkFailed
from tidewire.postgres.connection import connect, translated
from tidewire.postgres.replication import BLOCK_KIB

ROUNDS: Final = 2
POLL_S: Final = 0.01
LIMIT_S: Final = 120.0
SLOT: Final = "baseline"
_FOLLOWED: Final = "select active from pg_replication_slots where slot_name = %s"
_SENT: Final = """
    select coalesce(bool_or(sender.sent_lsn >= %s::pg_lsn), false)
    from pg_replication_slots as slot join pg_stat_replication as sender on sender.pid = slot.active_pid
    where slot.slot_name = %s
"""


def baseline_s(form: Form, rows: int, bin_dir: str | None) -> float:
    """Return how long after the commit the last of it was sent, on a server as ours has it; the smaller of two."""
    write = form.prepare(rows)
    with bench_server(bin_dir, **WAL) as server:
        make_tables(server.dsn, "bench_storm")
        seconds = []
        for _ in range(ROUNDS):
            with closing(connect(server.dsn)) as connection, _followed(server, connection) as follower:
                _, committed_s = carry_out(write, server.dsn)
                _wait_until_sent(connection, follower)
                seconds.append(time.time() - committed_s)
                connection.execute(sql.SQL("truncate {}").format(sql.Identifier(form.table)))
    return min(seconds)


@contextmanager
def _followed(server: BenchServer, connection: psycopg.Connection[Any]) -> Iterator[subprocess.Popen[str]]:
    """Have the log followed from here on, until the block ends."""
    connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [SLOT])
    in_blocks = make_conninfo(server.dsn, options=f"-c logical_decoding_work_mem={BLOCK_KIB}kB")
    asked = BenchServer(in_blocks, server.programs)
    command = recvlogical_command(asked, SLOT, "supabase_realtime", proto_version="2", streaming="on")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as follower:
        try:
            _wait(connection, follower, _FOLLOWED, [SLOT])
            yield follower
        finally:
            follower.kill()
            drop_slot(connection, SLOT)


def _wait_until_sent(connection: psycopg.Connection[Any], follower: subprocess.Popen[str]) -> None:
    """Wait until a message that lies behind the transaction has been sent: then all of that has been."""
    row = connection.execute("select pg_logical_emit_message(true, 'behind it', '')::text").fetchone()
    _wait(connection, follower, _SENT, [row and row[0], SLOT])


def _wait(
    connection: psycopg.Connection[Any], follower: subprocess.Popen[str], question: LiteralString, values: list[Any]
) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    with translated("following with pg_recvlogical"):
        while not (row := connection.execute(question, values).fetchone()) or not row[0]:
            if follower.poll() is not None:
                said = " ".join(follower.communicate()[1].split())[-300:]
                raise BenchmarkFailed(f"following with pg_recvlogical: expected it to run, got its end: {said}")
            if time.monotonic() > deadline_s:
                raise BenchmarkFailed(f"following with pg_recvlogical: expected it to be there within {LIMIT_S:g} s")
            time.sleep(POLL_S)
