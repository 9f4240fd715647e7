"""How long readers of one table wait at most while a million rows are committed at once into another that is followed.

Everything is real: Postgres, `tidewire serve`, sockets, row-level security. The large table has a reader as well, who
is told every row; it counts for as long as that takes.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from tidewire.bench.crowd import Arrival
from tidewire.bench.report import Need, Report, judge, percentile
from tidewire.bench.storm_stage import StormStage, Written, storm_stage
from tidewire.model.errors import BenchmarkFailed

BYSTANDERS: Final = 5
BYSTANDER_PER_S: Final = 50.0
PEAK_MIB: Final = 300
TOLD_LIMIT_S: Final = 600.0


class Plan(Struct, frozen=True, kw_only=True):
    """One form of the benchmark, long or short."""

    rows: int
    calm_s: float
    """For how long the bystanders are timed before."""
    needs: Mapping[str, Need]


PLAN: Final = Plan(
    rows=1_000_000, calm_s=5, needs={"bystander_max_ms": ("<=", 1000), "server_peak_mib": ("<=", PEAK_MIB)}
)
QUICK_PLAN: Final = Plan(rows=40_000, calm_s=1, needs={"server_peak_mib": ("<=", PEAK_MIB)})
"""Too few rows to judge times by."""


class _Times(Struct, frozen=True):
    """When what happened, as Unix time."""

    calm_s: float
    began_s: float
    committed_s: float
    told_s: float


def run(*, quick: bool, bin_dir: str | None = None) -> Report:
    """Write the rows while others are written and read, and look at how old those were when they came."""
    plan = QUICK_PLAN if quick else PLAN
    with (
        storm_stage(bin_dir) as stage,
        stage.bystanders(BYSTANDERS) as bystanders,
        stage.readers("bench_bulk", 1) as reader,
    ):
        with stage.writing_beside(bystander_per_s=BYSTANDER_PER_S):
            calm_s = time.time()
            time.sleep(plan.calm_s)
            cpu_s, began_s = stage.server_cpu_s(), time.time()
            stage.write_bulk(plan.rows)
            committed_s = time.time()
            told = reader.arrivals(plan.rows, limit_s=TOLD_LIMIT_S)
            times = _Times(calm_s, began_s, committed_s, max(at_s for *_, at_s in told))
            figures = {"rows": float(plan.rows), **_bulk_figures(stage, plan, times, told, cpu_s)}
        written = stage.written("bench_bystander")
        figures |= _bystander_figures(times, written, bystanders.arrivals(len(written)))
        figures["server_peak_mib"] = stage.server_peak_mib()
        return judge("bulk", postgres=stage.postgres, figures=figures, ratios={}, needs=plan.needs)


def _bulk_figures(
    stage: StormStage, plan: Plan, times: _Times, told: Sequence[Arrival], cpu_s: float
) -> dict[str, float]:
    if [mark for _, mark, _ in told] != list(range(1, plan.rows + 1)):
        raise BenchmarkFailed(f"following the large table: expected {plan.rows} rows in order, once each, got others")
    return {
        "written_s": times.committed_s - times.began_s,
        "first_told_s": told[0][2] - times.committed_s,
        "told_s": times.told_s - times.committed_s,
        "server_cpu_s": stage.server_cpu_s() - cpu_s,
    }


def _bystander_figures(times: _Times, written: Written, arrivals: Sequence[Arrival]) -> dict[str, float]:
    """Return how old rows were when bystanders had them: before, while rows were written, and while told."""
    if len(arrivals) != len(written) * BYSTANDERS:
        raise BenchmarkFailed(f"standing by: expected {len(written)} rows for each, got {len(arrivals)} in all")
    spans = {
        "calm": (times.calm_s, times.began_s),
        "written": (times.began_s, times.committed_s),
        "told": (times.committed_s, times.told_s),
    }
    ages_ms: dict[str, list[float]] = {name: [] for name in spans}
    for _, mark, at_s in arrivals:
        for name, (begin_s, end_s) in spans.items():
            if begin_s <= written[mark] < end_s:
                ages_ms[name].append((at_s - written[mark]) * 1000)
    figures = {}
    for name, ages in ages_ms.items():
        ages.sort()
        figures[f"bystander_{name}_p50_ms"] = percentile(ages, 0.5)
        figures[f"bystander_{name}_p99_ms"] = percentile(ages, 0.99)
    return figures | {"bystander_max_ms": max(ages_ms["written"][-1], ages_ms["told"][-1])}
