"""Everything goes wrong at once, and at the end everybody has been told exactly what the database's history says."""

import os
import statistics
import time
from pathlib import Path

import msgspec
import pytest
import uvloop

from tests.parity.installed import install_pypi_client
from tests.support.chaos import KILLS, Chaos, Plan
from tests.support.chaos_lines import PollLine, SocketLine, StreamLine
from tests.support.chaos_proxy import FAULTS
from tests.support.chaos_schema import KINDS
from tests.support.postgres import MakeServer
from tidewire.bench.report import Need, judge

SHORT = Plan(
    seconds=5, followers=30, stock=3, per_s=100, kills_every_s=0.8, changes_every_s=0.5, struck=0.1, token_s=(3, 6)
)
LONG_S = float(os.environ.get("TIDEWIRE_CHAOS_S", "1800"))
LONG = Plan(
    seconds=LONG_S,
    followers=200,
    stock=10,
    per_s=200,
    kills_every_s=50,
    changes_every_s=5,
    struck=0.02,
    token_s=(15, 45),
)
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "chaos.json"
NEVER = ("lost", "repeated", "out_of_order", "leaked", "misplaced", "gaps")
ALWAYS = (*FAULTS, "reorder", *KILLS, *KINDS, "token_expired", "token_renewed", "resumed")
IN_TIME = ("token_refused", "repeats_dropped", "sessions_forgotten")
"""What comes by chance."""
DIALS = (SocketLine.dial, StreamLine.dial, SocketLine.dial, PollLine.dial)


def play(request: pytest.FixtureRequest, make_server: MakeServer, folder: Path, plan: Plan, seed: int) -> Chaos:
    assert request.config.cache is not None
    python = install_pypi_client(request.config.cache.mkdir("parity"))
    chaos = Chaos(make_server(), folder, python, seed)
    uvloop.run(chaos.run(plan, DIALS))  # readers and network must not be slower than what they read from
    print(f"seed {seed}: found {dict(chaos.tally)}, after {dict(chaos.done)}")  # noqa: T201 - the test's figures
    found = {name: chaos.tally[name] for name in NEVER}
    assert not any(found.values()), (found, chaos.complaints[:5])
    assert chaos.tally["told"] > chaos.done["transactions"], "the readers must hear something"
    assert all(chaos.done[name] for name in ALWAYS), [name for name in ALWAYS if not chaos.done[name]]
    return chaos


@pytest.mark.timeout(240)
def test_a_short_chaos_loses_nothing(request: pytest.FixtureRequest, make_server: MakeServer, folder: Path) -> None:
    seed = int(os.environ.get("TIDEWIRE_CHAOS_SEED", "1"))
    chaos = play(request, make_server, folder, SHORT, seed)
    assert chaos.done["connections"] > 2 * SHORT.followers


@pytest.mark.soak
@pytest.mark.timeout(LONG.seconds * 1.5 + 300)
def test_a_long_chaos_loses_nothing(request: pytest.FixtureRequest, make_server: MakeServer, folder: Path) -> None:
    """Of half an hour, or of as many seconds as TIDEWIRE_CHAOS_S says. The figures go to benchmarks/results."""
    chaos = play(request, make_server, folder, LONG, time.time_ns())
    assert all((chaos.done + chaos.tally)[name] for name in IN_TIME)
    print(f"memory of the server's lives: {[round(each) for each in chaos.memory_mib]} MiB")  # noqa: T201 - the same
    third = -(-len(chaos.memory_mib) // 3)
    figures = {
        **dict.fromkeys(NEVER, 0),
        **chaos.tally,
        **chaos.done,
        "followers": LONG.followers,
        "transactions_per_s": chaos.done["transactions"] / chaos.done["seconds"],
        "server_memory_first_mib": statistics.median(chaos.memory_mib[:third]),
        "server_memory_last_mib": statistics.median(chaos.memory_mib[-third:]),
    }
    needs: dict[str, Need] = dict.fromkeys(NEVER, ("<=", 0))
    report = judge("chaos", postgres=chaos.postgres_version, figures=figures, ratios={}, needs=needs)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
