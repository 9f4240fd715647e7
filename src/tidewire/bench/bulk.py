"""How long readers of one table wait at most while a million rows are committed at once into another that is followed.

Everything is real: Postgres, `tidewire serve`, sockets, row-level security. The large table has a reader as well, who
is told every row; it counts for as long as that takes. How long Postgres itself is behind is measured in the same run.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from tidewire.bench.bulk_baseline import baseline_max_ms
from tidewire.bench.bulk_forms import FORMS, Form, carry_out
from tidewire.bench.crowd import Arrival
from tidewire.bench.report import Need, Report, judge, percentile
from tidewire.bench.storm_stage import StormStage, Written, storm_stage
from tidewire.model.errors import BenchmarkFailed

BYSTANDERS: Final = 5
BYSTANDER_PER_S: Final = 50.0
TOLD_LIMIT_S: Final = 600.0
MEMORY: Final[dict[str, Need]] = {"server_peak_mib": ("<=", 300)}


class Plan(Struct, frozen=True, kw_only=True):
    """One form of the benchmark, long or short."""

    rows: int
    calm_s: float
    """For how long the bystanders are timed before."""
    needs: Mapping[str, Need]


PLAN: Final = Plan(
    rows=1_000_000,
    calm_s=5,
    needs={**MEMORY, "statement_added_ms": ("<=", 1000), "import_added_ms": ("<=", 1000)},
)
QUICK_PLAN: Final = Plan(rows=40_000, calm_s=1, needs=MEMORY)
"""Too few rows to judge times by."""


class _Passage(Struct, frozen=True):
    """How one form went by. Times are Unix time."""

    name: str
    began_s: float
    committed_s: float
    first_told_s: float
    told_s: float
    server_cpu_s: float

    def figures(self) -> dict[str, float]:
        """Return what does not concern bystanders."""
        return {
            f"{self.name}_written_s": self.committed_s - self.began_s,
            f"{self.name}_first_told_s": self.first_told_s - self.committed_s,
            f"{self.name}_told_s": self.told_s - self.committed_s,
            f"{self.name}_server_cpu_s": self.server_cpu_s,
        }


def run(*, quick: bool, bin_dir: str | None = None) -> Report:
    """Write the rows while others are written and read, and look at how old those were when they came."""
    plan = QUICK_PLAN if quick else PLAN
    figures = {"rows": float(plan.rows)}
    for form in FORMS:
        figures[f"{form.name}_baseline_max_ms"] = baseline_max_ms(form, plan.rows, bin_dir)
    with storm_stage(bin_dir) as stage, stage.bystanders(BYSTANDERS) as bystanders:
        with stage.writing_beside(bystander_per_s=BYSTANDER_PER_S):
            calm_s = time.time()
            time.sleep(plan.calm_s)
            calm_end_s = time.time()
            passages = [_pass(stage, form, plan.rows) for form in FORMS]
        written = stage.written("bench_bystander")
        ages = _Ages(written, bystanders.arrivals(len(written)))
        figures |= ages.figures("bystander_calm", calm_s, calm_end_s)
        for passage in passages:
            name = passage.name
            figures |= passage.figures() | ages.of(passage)
            figures[f"{name}_added_ms"] = figures[f"{name}_bystander_max_ms"] - figures[f"{name}_baseline_max_ms"]
        figures["server_peak_mib"] = stage.server_peak_mib()
        return judge("bulk", postgres=stage.postgres, figures=figures, ratios={}, needs=plan.needs)


def _pass(stage: StormStage, form: Form, rows: int) -> _Passage:
    """Commit the rows, and wait until their reader has them."""
    write = form.prepare(rows)
    with stage.readers(form.table, 1) as reader:
        cpu_s = stage.server_cpu_s()
        began_s, committed_s = carry_out(write, stage.dsn)
        told = reader.arrivals(rows, limit_s=TOLD_LIMIT_S)
        cpu_s = stage.server_cpu_s() - cpu_s
    if [mark for _, mark, _ in told] != list(range(1, rows + 1)):
        raise BenchmarkFailed(f"following {form.table}: expected {rows} rows in order, once each, got others")
    return _Passage(form.name, began_s, committed_s, told[0][2], told[-1][2], cpu_s)


class _Ages:
    """How old the bystanders' rows were when they had them, by when they were written."""

    def __init__(self, written: Written, arrivals: Sequence[Arrival]) -> None:
        if len(arrivals) != len(written) * BYSTANDERS:
            raise BenchmarkFailed(f"standing by: expected {len(written)} rows for each, got {len(arrivals)} in all")
        self._ages_ms = [(written[mark], (at_s - written[mark]) * 1000) for _, mark, at_s in arrivals]

    def of(self, passage: _Passage) -> dict[str, float]:
        """Return the figures of rows that were written before the commit of the large transaction, and after."""
        name = f"{passage.name}_bystander"
        before = self.figures(f"{name}_written", passage.began_s, passage.committed_s)
        after = self.figures(f"{name}_told", passage.committed_s, passage.told_s)
        oldest = max(self._between(passage.began_s, passage.told_s), default=None)
        if oldest is None:
            raise BenchmarkFailed("standing by: expected rows beside the large transaction, got none")
        return {**before, **after, f"{name}_max_ms": oldest}

    def figures(self, name: str, begin_s: float, end_s: float) -> dict[str, float]:
        """Return two percentiles; none where the time was too short for a row."""
        ages_ms = sorted(self._between(begin_s, end_s))
        if not ages_ms:
            return {}
        return {f"{name}_p50_ms": percentile(ages_ms, 0.5), f"{name}_p99_ms": percentile(ages_ms, 0.99)}

    def _between(self, begin_s: float, end_s: float) -> list[float]:
        return [age_ms for written_s, age_ms in self._ages_ms if begin_s <= written_s < end_s]
