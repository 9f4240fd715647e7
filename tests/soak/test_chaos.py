"""Everything goes wrong at once, and at the end everybody has been told exactly what the database's history says."""

import os
import time
from pathlib import Path
from random import Random

import msgspec
import pytest

from tests.support.chaos import Chaos, Plan
from tests.support.chaos_lines import PollLine, SocketLine, StreamLine
from tests.support.postgres import MakeServer
from tidewire.bench.report import Need, judge

SHORT = Plan(seconds=14, followers=30, per_s=100, server_kills_every_s=8, postgres_kills_every_s=8)
LONG_S = float(os.environ.get("TIDEWIRE_CHAOS_S", "1800"))
LONG = Plan(seconds=LONG_S, followers=200, per_s=200, server_kills_every_s=30, postgres_kills_every_s=90)
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "chaos.json"
FAULTS = ("lost", "repeated", "out_of_order", "leaked", "gaps")
DIALS = (SocketLine.dial, StreamLine.dial, SocketLine.dial, PollLine.dial)


async def play(make_server: MakeServer, folder: Path, plan: Plan, seed: int) -> Chaos:
    chaos = Chaos(make_server(), folder, Random(seed), DIALS)  # noqa: S311 - the same every time
    await chaos.run(plan)
    print(f"seed {seed}: found {dict(chaos.tally)}, after {dict(chaos.done)}")  # noqa: T201 - the test's figures
    found = {name: chaos.tally[name] for name in FAULTS}
    assert not any(found.values()), (found, [follower.gaps for follower in chaos.followers if follower.gaps][:5])
    assert chaos.tally["told"] > chaos.done["transactions"], "the readers must hear something"
    return chaos


@pytest.mark.timeout(180)
async def test_a_short_chaos_loses_nothing(make_server: MakeServer, folder: Path) -> None:
    chaos = await play(make_server, folder, SHORT, 1)
    assert chaos.done["server killed"] > 0
    assert chaos.done["postgres killed"] > 0
    assert chaos.done["connections"] > 2 * len(chaos.followers)


@pytest.mark.soak
@pytest.mark.timeout(LONG.seconds * 1.5 + 300)
async def test_a_long_chaos_loses_nothing(make_server: MakeServer, folder: Path) -> None:
    """Of half an hour, or of as many seconds as TIDEWIRE_CHAOS_S says. The figures go to benchmarks/results."""
    chaos = await play(make_server, folder, LONG, time.time_ns())
    figures = {"seconds": LONG.seconds, "followers": LONG.followers, **chaos.tally, **chaos.done}
    needs: dict[str, Need] = dict.fromkeys(FAULTS, ("<=", 0))
    named = {name.replace(" ", "_"): float(count) for name, count in figures.items()}
    report = judge("chaos", postgres=chaos.postgres_version, figures=named, ratios={}, needs=needs)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
