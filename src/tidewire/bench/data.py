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
    seconds=4.0,
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
    async with sides(server) as both:
        measuring = _Measuring(server, both, plan)
        for question in QUESTIONS:
            await measuring.warm_up(question)
        for _ in range(plan.rounds):
            for question in QUESTIONS:
                await measuring.steady(question)
                await measuring.full(question)
    return measuring.rounds


class _Measuring:
    """Takes figures of one question after the other, ours and plain psycopg's next to each other."""

    def __init__(self, server: RealtimeServer, both: Sides, plan: Plan) -> None:
        self.rounds: Rounds = {}
        self._server = server
        self._both = both
        self._plan = plan
        self._numbers = count(0, 100_000)  # nobody asks as many questions in one go, so no insert comes twice

    async def warm_up(self, question: Question) -> None:
        for asks in (self._both.ours(question), self._both.plain(question)):
            await saturated_per_s(asks, seconds=WARM_UP_S, first=next(self._numbers))

    async def steady(self, question: Question) -> None:
        """At a rate that leaves both sides idle most of the time: what a user of a service that is not full feels."""
        name, rate, seconds = question.name, self._plan.rate, self._plan.seconds
        before_s = self._server.process.cpu_s()
        ours = await steady_ms(self._both.ours(question), rate=rate, seconds=seconds, first=next(self._numbers))
        cpu_s = self._server.process.cpu_s() - before_s
        plain = await steady_ms(self._both.plain(question), rate=rate, seconds=seconds, first=next(self._numbers))
        for side, times_ms in (("", ours), ("psycopg_", plain)):
            self._add(f"{side}{name}_p50_ms", percentile(times_ms, 0.5))
            self._add(f"{side}{name}_p99_ms", percentile(times_ms, 0.99))
        self._add(f"overhead_{name}_p50_ms", percentile(ours, 0.5) - percentile(plain, 0.5))
        self._add(f"{name}_server_us", cpu_s / len(ours) * 1e6)

    async def full(self, question: Question) -> None:
        """With all asking without a pause, where the time of an answer is only their number by the throughput."""
        name, seconds = question.name, self._plan.full_seconds
        before_s = self._server.process.cpu_s()
        ours = await saturated_per_s(self._both.ours(question), seconds=seconds, first=next(self._numbers))
        cpu_s = self._server.process.cpu_s() - before_s
        plain = await saturated_per_s(self._both.plain(question), seconds=seconds, first=next(self._numbers))
        self._add(f"full_{name}_per_s", ours)
        self._add(f"psycopg_full_{name}_per_s", plain)
        self._add(f"full_{name}_server_us", cpu_s / (ours * seconds) * 1e6)

    def _add(self, name: str, value: float) -> None:
        self.rounds.setdefault(name, []).append(value)
