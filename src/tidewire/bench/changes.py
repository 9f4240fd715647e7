"""Row changes to many followers: how many a second are matched and delivered, and how old they are on arrival.

Everything is real: Postgres, `tidewire serve`, WebSocket clients that joined through the protocol. Writer, database,
server and clients share one machine. Every delivery is counted; one too few or too many fails the benchmark.
"""

import tempfile
from pathlib import Path
from typing import Final

from msgspec import Struct

from tidewire.bench.changes_stage import Stage, stage
from tidewire.bench.compiler import compile_programs
from tidewire.bench.report import Need, Report, judge, median

WARM_UP_ROWS = 5_000


class Plan(Struct, frozen=True, kw_only=True):
    """One form of the benchmark, long or short."""

    sizes: tuple[int, ...]
    """How many subscriptions there are, smallest first."""
    rounds: int
    rows: int
    """Written in a round with filters, so that each change concerns one subscription."""
    unfiltered_deliveries: int
    """In a round without filters every change concerns all, so there are fewer rows."""
    clients: int
    """Connected while ages are measured."""
    per_s: int
    each: int
    """Rows for each of these clients."""
    needs: dict[str, Need]


PLAN: Final = Plan(
    sizes=(100, 1_000, 5_000),
    rounds=3,
    rows=50_000,
    unfiltered_deliveries=300_000,
    clients=1_000,
    per_s=500,
    each=10,
    needs={
        "eq_5000_per_s": (">=", 20_000),
        "eq_flat": ("<=", 1.5),
        "commit_to_client_p99_ms": ("<=", 15.0),
    },
)
QUICK_PLAN: Final = Plan(
    sizes=(100, 500), rounds=1, rows=5_000, unfiltered_deliveries=50_000, clients=100, per_s=250, each=5, needs={}
)
"""Too little to judge by, so nothing is needed."""

UPSTREAM: Final = {"upstream_eq_1000_per_s": 82.0, "upstream_eq_5000_per_s": 17.0}
"""Not measured here: what upstream's SQL was once measured at on two cores; see docs/explain/benchmarks.md."""


def run(*, quick: bool, bin_dir: str | None = None) -> Report:
    """Measure all sizes in turn, round by round; `eq_flat` is the smallest against the largest within one round."""
    plan = QUICK_PLAN if quick else PLAN
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="tidewire-bench-") as folder:
        receiver = compile_programs(Path(folder)).receiver
        with stage(receiver, bin_dir) as running:
            _measure_ages(running, plan, figures)
            for _ in range(plan.rounds):
                for size in plan.sizes:
                    _measure_filtered(running, plan, size, figures)
                    _measure_unfiltered(running, plan, size, figures)
            version = running.postgres
    smallest, largest = (figures[f"eq_{size}_per_s"] for size in (plan.sizes[0], plan.sizes[-1]))
    return judge(
        "changes",
        postgres=version,
        figures={name: median(rounds) for name, rounds in figures.items()} | UPSTREAM,
        ratios={"eq_flat": median([few / many for few, many in zip(smallest, largest, strict=True)])},
        needs=plan.needs,
    )


def _measure_ages(running: Stage, plan: Plan, figures: dict[str, list[float]]) -> None:
    """Write at a steady pace while many are connected. The first rows only warm up."""
    with running.followers(plan.clients, filtered=True) as listener:
        running.pace(listener, per_s=plan.per_s, each=1)
        arrivals = running.pace(listener, per_s=plan.per_s, each=plan.each)
    _add(figures, "commit_to_client_p50_ms", arrivals.p50_ms)
    _add(figures, "commit_to_client_p99_ms", arrivals.p99_ms)


def _measure_filtered(running: Stage, plan: Plan, size: int, figures: dict[str, list[float]]) -> None:
    """Let each follow the rows of a user of its own."""
    with running.followers(size, filtered=True) as listener:
        running.flood(listener, WARM_UP_ROWS, filtered=True)
        flood = running.flood(listener, plan.rows, filtered=True)
    _add(figures, f"eq_{size}_per_s", flood.changes_per_s)
    _add(figures, f"eq_{size}_server_us_per_change", flood.server_us_per_change)


def _measure_unfiltered(running: Stage, plan: Plan, size: int, figures: dict[str, list[float]]) -> None:
    """Let all follow every row."""
    with running.followers(size, filtered=False) as listener:
        flood = running.flood(listener, _whole_transactions(plan.unfiltered_deliveries // size), filtered=False)
    _add(figures, f"all_{size}_deliveries_per_s", flood.deliveries_per_s)
    _add(figures, f"all_{size}_server_us_per_delivery", flood.server_us_per_change / size)


def _whole_transactions(rows: int) -> int:
    return max(rows // 10, 1) * 10


def _add(figures: dict[str, list[float]], name: str, value: float) -> None:
    figures.setdefault(name, []).append(value)
