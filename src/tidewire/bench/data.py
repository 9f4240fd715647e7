"""Requests to the data API, against the same statements through plain psycopg: what a request costs on top of Postgres.

Everything is real: `tidewire serve` in a process of its own, HTTP on fifty kept connections, row-level security. An
answer that is not the right one fails the benchmark.
"""

from itertools import count
from typing import Final

import uvloop
from msgspec import Struct

from tidewire.bench.data_questions import QUESTIONS, Question
from tidewire.bench.data_stage import Sides, sides
from tidewire.bench.pacing import saturated_per_s, steady_ms
from tidewire.bench.realtime_server import RealtimeServer, realtime_server
from tidewire.bench.report import Need, Report, judge, median, percentile


class Plan(Struct, frozen=True, kw_only=True):
    """One form of the benchmark, long or short."""

    rounds: int
    seconds: float
    """How long each side is asked at the steady rate in a round."""
    rate: float
    """Questions a second at the steady rate."""
    full_seconds: float
    """How long each side is asked without a pause in a round."""
    needs: dict[str, Need]


PLAN: Final = Plan(
    rounds=5,
    seconds=6.0,
    rate=200.0,
    full_seconds=2.0,
    needs={
        **{f"overhead_{question.name}_p50_ms": ("<=", 1.0) for question in QUESTIONS},
        "overhead_p50_ms": ("<=", 1.0),
        **{f"{question.name}_p99_ms": ("<=", 100.0) for question in QUESTIONS},
    },
)
QUICK_PLAN: Final = Plan(rounds=2, seconds=1.0, rate=100.0, full_seconds=0.3, needs={})
"""Too little to judge by, so nothing is needed."""

WARM_UP_S: Final = 0.5

Rounds = dict[str, list[float]]


def run(*, quick: bool, bin_dir: str | None = None) -> Report:
    """Measure all questions in turn, round by round, ours and plain psycopg one after the other."""
    plan = QUICK_PLAN if quick else PLAN
    with realtime_server("bench_data", bin_dir) as server:
        rounds = uvloop.run(_measure(server, plan))
        version = server.postgres
    figures = {name: median(values) for name, values in rounds.items()}
    overheads = {f"overhead_{each.name}_p50_ms": figures.pop(f"overhead_{each.name}_p50_ms") for each in QUESTIONS}
    return judge(
        "data",
        postgres=version,
        figures=figures,
        ratios={**overheads, "overhead_p50_ms": max(overheads.values())},
        needs=plan.needs,
    )


async def _measure(server: RealtimeServer, plan: Plan) -> Rounds:
    rounds: Rounds = {}
    numbers = count(0, 100_000)
    async with sides(server) as both:
        for question in QUESTIONS:
            for side in (both.ours, both.plain):
                await saturated_per_s(side(question), seconds=WARM_UP_S, first=next(numbers))
        for _ in range(plan.rounds):
            for question in QUESTIONS:
                await _measure_steady(server, both, question, plan, rounds, numbers)
                await _measure_full(server, both, question, plan, rounds, numbers)
    return rounds


async def _measure_steady(
    server: RealtimeServer, both: Sides, question: Question, plan: Plan, rounds: Rounds, numbers: "count[int]"
) -> None:
    """At a rate that leaves both sides idle most of the time: what a user of a service that is not full feels."""
    name = question.name
    before_s = server.process.cpu_s()
    ours = await steady_ms(both.ours(question), rate=plan.rate, seconds=plan.seconds, first=next(numbers))
    cpu_s = server.process.cpu_s() - before_s
    plain = await steady_ms(both.plain(question), rate=plan.rate, seconds=plan.seconds, first=next(numbers))
    for side, times_ms in (("", ours), ("psycopg_", plain)):
        _add(rounds, f"{side}{name}_p50_ms", percentile(times_ms, 0.5))
        _add(rounds, f"{side}{name}_p99_ms", percentile(times_ms, 0.99))
    _add(rounds, f"overhead_{name}_p50_ms", percentile(ours, 0.5) - percentile(plain, 0.5))
    _add(rounds, f"{name}_server_us", cpu_s / len(ours) * 1e6)


async def _measure_full(
    server: RealtimeServer, both: Sides, question: Question, plan: Plan, rounds: Rounds, numbers: "count[int]"
) -> None:
    """With all clients asking without a pause, the time of an answer is only the number of clients by throughput."""
    name = question.name
    before_s = server.process.cpu_s()
    ours = await saturated_per_s(both.ours(question), seconds=plan.full_seconds, first=next(numbers))
    cpu_s = server.process.cpu_s() - before_s
    plain = await saturated_per_s(both.plain(question), seconds=plan.full_seconds, first=next(numbers))
    _add(rounds, f"full_{name}_per_s", ours)
    _add(rounds, f"psycopg_full_{name}_per_s", plain)
    _add(rounds, f"full_{name}_server_us", cpu_s / (ours * plan.full_seconds) * 1e6)


def _add(rounds: Rounds, name: str, value: float) -> None:
    rounds.setdefault(name, []).append(value)
