"""From commit to decoded: how old a transaction is when Python has it, while `pgbench` writes at a steady rate."""

import math
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import uvloop

from tidewire.bench.report import Need, Report, judge, percentile
from tidewire.bench.server import PUBLICATION, BenchServer, bench_server
from tidewire.model.errors import BenchmarkFailed
from tidewire.postgres.slot import TemporarySlot
from tidewire.postgres.source import PostgresSource

CLIENTS = {100: 2, 1000: 4, 5000: 16}
"""Transactions per second → connections that write them."""

SECONDS = 15
QUICK_SECONDS = 4
WARM_UP_S = 1.0
QUEUE_BYTES = 64 * 2**20
NEEDS: dict[str, Need] = {"commit_to_decoded_p99_ms_1000": ("<=", 6.0), "commit_to_decoded_p99_ms_5000": ("<=", 2.0)}
SCRIPT = "insert into bench (name, note) values ('name', 'a note of some length')\n"


def run(*, quick: bool, bin_dir: str | None = None) -> Report:
    """Measure each rate. The age counts from the commit record, so it includes the flush to disk."""
    seconds = QUICK_SECONDS if quick else SECONDS
    figures: dict[str, float] = {}
    with bench_server(bin_dir) as server:
        for rate, clients in CLIENTS.items():
            ages_ms = sorted(uvloop.run(_measure(server, rate, clients, seconds)))
            figures[f"commit_to_decoded_p50_ms_{rate}"] = percentile(ages_ms, 0.50)
            figures[f"commit_to_decoded_p99_ms_{rate}"] = percentile(ages_ms, 0.99)
            figures[f"achieved_per_s_{rate}"] = len(ages_ms) / seconds
        version = server.programs.version
    return judge("latency", postgres=version, figures=figures, ratios={}, needs=NEEDS)


async def _measure(server: BenchServer, rate: int, clients: int, seconds: int) -> list[float]:
    """Return the age in milliseconds of every transaction that was committed after the warm-up."""
    source = PostgresSource(server.dsn, TemporarySlot(copy_of="bench"), (PUBLICATION,), queue_bytes=QUEUE_BYTES)
    ages_ms: list[float] = []
    with _writing(server, rate, clients, seconds + 2 * WARM_UP_S):
        begin_us = _now_us() + int(WARM_UP_S * 1e6)
        end_us = begin_us + int(seconds * 1e6)
        async with aclosing(source.transactions()) as transactions:
            async for part in transactions:
                seen_us = _now_us()
                if part.commit_time_us > end_us:
                    break
                if part.commit_time_us >= begin_us:
                    ages_ms.append((seen_us - part.commit_time_us) / 1000)
                source.confirm(part.end_lsn or part.commit_lsn)
    return ages_ms


@contextmanager
def _writing(server: BenchServer, rate: int, clients: int, seconds: float) -> Iterator[None]:
    """Run pgbench at `rate` transactions per second for so long; each inserts one row."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.sql"
        script.write_text(SCRIPT, encoding="ascii")
        command = [
            server.programs.path("pgbench"),
            *("--no-vacuum", "--file", str(script), "--rate", str(rate), "--client", str(clients), "--jobs", "1"),
            *("--time", str(math.ceil(seconds)), "--protocol", "prepared", server.dsn),
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as pgbench:
            yield
            _, complaint = pgbench.communicate(timeout=60)
        if pgbench.returncode != 0:
            raise BenchmarkFailed(f"writing with pgbench: {complaint.decode(errors='replace').strip()[-200:]}")


def _now_us() -> int:
    return time.time_ns() // 1000
