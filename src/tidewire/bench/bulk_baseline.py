"""How far behind a large transaction Postgres is by itself: `pg_recvlogical` alone follows it, and keeps nothing.

It is asked for the same blocks as by our source, so what it takes is the walsender's.
"""

import subprocess
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
_FOLLOWED: Final = "select active::int from pg_replication_slots where slot_name = %s"
_MARK: Final = "select (pg_logical_emit_message(true, 'beside it', '') - '0/0'::pg_lsn)::bigint"
_SENT: Final = """
    select (sender.sent_lsn - '0/0'::pg_lsn)::bigint
    from pg_replication_slots as slot join pg_stat_replication as sender on sender.pid = slot.active_pid
    where slot.slot_name = %s
"""


def baseline_max_ms(form: Form, rows: int, bin_dir: str | None) -> float:
    """Return how old what was committed beside a large transaction was at most when it was sent.

    It is measured twice on a server as ours has it, and the smaller one counts.
    """
    write = form.prepare(rows)
    with bench_server(bin_dir, **WAL) as server:
        make_tables(server.dsn, "bench_storm")
        oldest_s = []
        for _ in range(ROUNDS):
            with (
                closing(connect(server.dsn)) as connection,
                _followed(server, connection) as follower,
                ThreadPoolExecutor(1) as beside,
            ):
                writing = beside.submit(carry_out, write, server.dsn)
                oldest_s.append(_oldest_s(connection, follower, writing))
                writing.result()
                connection.execute(sql.SQL("truncate {}").format(sql.Identifier(form.table)))
    return min(oldest_s) * 1000


@contextmanager
def _followed(server: BenchServer, connection: psycopg.Connection[Any]) -> Iterator[subprocess.Popen[str]]:
    """Have the log followed from here on, until the block ends."""
    connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [SLOT])
    in_blocks = make_conninfo(server.dsn, options=f"-c logical_decoding_work_mem={BLOCK_KIB}kB")
    asked = BenchServer(in_blocks, server.programs)
    command = recvlogical_command(asked, SLOT, "supabase_realtime", proto_version="2", streaming="on")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as follower:
        try:
            deadline_s = time.monotonic() + LIMIT_S
            while not _number(connection, _FOLLOWED, [SLOT]):
                _expect(follower, deadline_s)
                time.sleep(POLL_S)
            yield follower
        finally:
            follower.kill()
            drop_slot(connection, SLOT)


def _oldest_s(
    connection: psycopg.Connection[Any], follower: subprocess.Popen[str], writing: Future[tuple[float, float]]
) -> float:
    """Commit something small again and again until writing has ended; return how old the oldest was when sent."""
    oldest_s, deadline_s = 0.0, time.monotonic() + LIMIT_S
    marks: deque[tuple[int, float]] = deque()
    is_over = False
    with translated("following with pg_recvlogical"):
        while marks or not is_over:
            _expect(follower, deadline_s)
            if not is_over:
                is_over = writing.done()  # asked first: the last mark lies behind all that was written
                at_s = time.monotonic()
                marks.append((_number(connection, _MARK, []), at_s))
            sent = _number(connection, _SENT, [SLOT])
            while marks and marks[0][0] <= sent:
                oldest_s = max(oldest_s, time.monotonic() - marks.popleft()[1])
            time.sleep(POLL_S)
    return oldest_s


def _number(connection: psycopg.Connection[Any], question: LiteralString, values: list[Any]) -> int:
    row = connection.execute(question, values).fetchone()
    return int(row[0]) if row else 0


def _expect(follower: subprocess.Popen[str], deadline_s: float) -> None:
    if follower.poll() is not None:
        said = " ".join(follower.communicate()[1].split())[-300:]
        raise BenchmarkFailed(f"following with pg_recvlogical: expected it to run, got its end: {said}")
    if time.monotonic() > deadline_s:
        raise BenchmarkFailed(f"following with pg_recvlogical: expected it to be there within {LIMIT_S:g} s")
