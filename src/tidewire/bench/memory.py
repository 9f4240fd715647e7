"""How much memory one transaction of two million rows takes to pass: the peak of a process that only reads it."""

import json
import resource
import subprocess
import sys
import time
from contextlib import aclosing, closing

import uvloop

from tidewire.bench.report import Report, judge
from tidewire.bench.server import PUBLICATION, bench_server
from tidewire.model.errors import BenchmarkFailed
from tidewire.postgres.connection import connect
from tidewire.postgres.slot import TemporarySlot
from tidewire.postgres.source import PostgresSource

ROWS = 2_000_000
QUICK_ROWS = 200_000
LIMIT_MIB = 300.0
QUEUE_BYTES = 64 * 2**20
TIMEOUT_S = 900


def run(*, quick: bool, bin_dir: str | None = None) -> Report:
    """Write the transaction, then let a fresh process read it and tell its peak."""
    rows = QUICK_ROWS if quick else ROWS
    with bench_server(bin_dir, fsync="off") as server:
        with closing(connect(server.dsn)) as connection:
            connection.execute("select pg_create_logical_replication_slot('bench', 'pgoutput')")
            connection.execute(
                "insert into bench (name, note) select 'name ' || n, 'a longer text with the number ' || n"
                " from generate_series(1, %s) as n",
                [rows],
            )
        reader = subprocess.run(
            [sys.executable, "-m", "tidewire.bench.memory", server.dsn],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if reader.returncode != 0:
            raise BenchmarkFailed(f"reading one large transaction: {reader.stderr.strip()[-300:]}")
        seen = json.loads(reader.stdout.splitlines()[-1])
        version = server.programs.version
    if seen["rows"] != rows:
        raise BenchmarkFailed(f"reading one large transaction: expected {rows} rows, got {seen['rows']}")
    figures = {"rows": rows, "peak_rss_mib": seen["peak_rss_mib"], "parts": seen["parts"], "seconds": seen["seconds"]}
    return judge("memory", postgres=version, figures=figures, ratios={}, needs={"peak_rss_mib": ("<=", LIMIT_MIB)})


async def read_one(dsn: str) -> dict[str, float]:
    """Read up to the end of the first transaction, holding nothing."""
    source = PostgresSource(dsn, TemporarySlot(copy_of="bench", past=True), (PUBLICATION,), queue_bytes=QUEUE_BYTES)
    started = time.perf_counter()
    rows = parts = 0
    async with aclosing(source.transactions()) as transactions:
        async for part in transactions:
            rows, parts = rows + len(part.events), parts + 1
            if part.complete:
                break
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = time.perf_counter() - started
    return {"rows": rows, "parts": parts, "seconds": seconds, "peak_rss_mib": peak_kib / 1024}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(read_one(sys.argv[1]))))
