"""From commit to decoded: how old a transaction is when Python has it, while the server writes at a steady rate."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import psycopg
import uvloop

from tidewire.bench.report import Need, Report, judge, percentile
from tidewire.bench.server import PUBLICATION, BenchServer, bench_server
from tidewire.hub.tasks import Tasks
from tidewire.postgres.connection import connect_async, translated
from tidewire.postgres.slot import TemporarySlot
from tidewire.postgres.source import PostgresSource

WRITERS = {100: 1, 1000: 1, 5000: 2}
"""Transactions per second → sessions that write them. More sessions than cores would measure the scheduler."""

SECONDS = 15
QUICK_SECONDS = 4
WARM_UP_S = 1.0
QUEUE_BYTES = 64 * 2**20
NEEDS: dict[str, Need] = {"commit_to_decoded_p99_ms_1000": ("<=", 6.0), "commit_to_decoded_p99_ms_5000": ("<=", 2.0)}


def run(*, quick: bool, bin_dir: str | None = None) -> Report:
    """Measure each rate. The age counts from the commit record, so it includes the flush to disk."""
    seconds = QUICK_SECONDS if quick else SECONDS
    figures: dict[str, float] = {}
    with bench_server(bin_dir) as server:
        for rate, writers in WRITERS.items():
            ages_ms = sorted(uvloop.run(_measure(server, rate, writers, seconds)))
            figures[f"commit_to_decoded_p50_ms_{rate}"] = percentile(ages_ms, 0.50)
            figures[f"commit_to_decoded_p99_ms_{rate}"] = percentile(ages_ms, 0.99)
            figures[f"achieved_per_s_{rate}"] = len(ages_ms) / seconds
        version = server.programs.version
    return judge("latency", postgres=version, figures=figures, ratios={}, needs=NEEDS)


async def _measure(server: BenchServer, rate: int, writers: int, seconds: float) -> list[float]:
    """Return the age in milliseconds of every transaction that was committed after the warm-up."""
    source = PostgresSource(server.dsn, TemporarySlot(copy_of="bench"), (PUBLICATION,), queue_bytes=QUEUE_BYTES)
    ages_ms: list[float] = []
    async with _writing(server, rate, writers, seconds + 2 * WARM_UP_S):
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


@asynccontextmanager
async def _writing(server: BenchServer, rate: int, writers: int, seconds: float) -> AsyncIterator[None]:
    """Have the server write `rate` transactions per second for so long, from so many sessions."""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(Tasks())
        for number in range(writers):
            connection = await stack.enter_async_context(await connect_async(server.dsn))
            tasks.start(_write(connection, rate / writers, seconds), name=f"writer {number}")
        yield


async def _write(connection: psycopg.AsyncConnection[Any], rate: float, seconds: float) -> None:
    with translated("writing for the benchmark"):
        await connection.execute("call bench_pace(%s, %s)", [rate, seconds])


def _now_us() -> int:
    return time.time_ns() // 1000
