"""Kills a reader of the log again and again while rows are written, and checks what all its lives together saw."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
from msgspec import Struct

from tests.support.log import prepare_database, prepare_slot, wait_until
from tests.support.recorder import END

ROOT = Path(__file__).parents[2]
SMALL = 150
"""Transactions of one row in each round."""
LARGE = 2500
"""Rows of the one transaction in each round that takes several parts."""


class Record(Struct, frozen=True):
    """What the reader wrote: one (commit LSN, index, key) per event, repeats included, in the order of arrival."""

    events: list[tuple[int, int, int]]

    @property
    def distinct(self) -> list[tuple[int, int, int]]:
        return list(dict.fromkeys(self.events))


async def run_rounds(dsn: str, folder: Path, rounds: int, *, seed: int) -> None:
    """Kill `rounds` readers one after another, let the last one catch up, and check that nothing is missing."""
    prepare_database(dsn, "create table things (id int primary key, label text)")
    await prepare_slot(dsn)
    dice = random.Random(seed)  # noqa: S311 - the same moments in every run
    file = folder / "events"
    file.touch()
    for number in range(rounds):
        first = number * (SMALL + LARGE)
        async with _reader(dsn, file):
            writing = asyncio.to_thread(_write, dsn, first)
            killing = _wait_for_lines(file, dice.randrange(SMALL + LARGE))
            await asyncio.gather(writing, killing)
    written = rounds * (SMALL + LARGE)
    async with _reader(dsn, file):
        await wait_until(lambda: _seen_last(file, written), "the last key arrived", limit_s=60)
    record = _read(file)
    repeats = len(record.events) - len(record.distinct)
    print(f"{rounds} kills, {written} rows, {repeats} repeats")  # noqa: T201 - the figures of this test
    _check(record, written)


def _check(record: Record, written: int) -> None:
    distinct = record.distinct
    places = [(lsn, index) for lsn, index, _ in distinct]
    keys = [key for _, _, key in distinct]
    missing = sorted(set(range(written)) - set(keys))
    assert not missing, f"{len(missing)} rows never arrived, the first is {missing[0]}"
    assert len(set(places)) == len(places), "one place names two rows"
    assert places == sorted(places), "after repeats are dropped, places only grow"
    assert keys == list(range(written)), "the order of arrival is the order of commits"


@asynccontextmanager
async def _reader(dsn: str, file: Path) -> AsyncIterator[None]:
    """A reader that is killed without warning at the end, as by a crash."""
    with (file.parent / "reader.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.recorder", dsn, str(file), cwd=ROOT, stdout=log, stderr=log
        )
    try:
        yield
        assert process.returncode is None, f"the reader ended by itself: {(file.parent / 'reader.log').read_text()}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _write(dsn: str, first: int) -> None:
    """Write one row per transaction with increasing keys, and once many rows in one."""
    with psycopg.connect(dsn, autocommit=True) as writer:
        for key in range(first, first + SMALL):
            writer.execute("insert into things values (%s, 'x')", [key])
        writer.execute(
            "insert into things select n, 'y' from generate_series(%s::int, %s) n",
            [first + SMALL, first + SMALL + LARGE - 1],
        )


async def _wait_for_lines(file: Path, more: int) -> None:
    """Return once so many more events were written by the reader."""
    before = _count(file)
    await wait_until(lambda: _count(file) >= before + more, f"{more} more events")


def _count(file: Path) -> int:
    return len(_events(file))


def _seen_last(file: Path, written: int) -> bool:
    events = _events(file)
    return bool(events) and events[-1][2] == written - 1


def _read(file: Path) -> Record:
    return Record(_events(file))


def _events(file: Path) -> list[tuple[int, int, int]]:
    """Return place and key of each event that was written to its end."""
    lines = (line.split() for line in file.read_text(encoding="ascii").splitlines())
    return [(int(line[0]), int(line[1]), int(line[2])) for line in lines if line[3:] == [END]]
