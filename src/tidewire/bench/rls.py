"""Row changes to readers who may each see their own: how many a second, against asking Postgres about each reader.

Everything is real, as in `tidewire bench changes`, and each reader is a user with a token of its own. Which rows reach
whom is checked row by row: one that is missing, or one too many, fails the benchmark.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from tidewire.bench.compiler import compile_programs
from tidewire.bench.listener import Listener
from tidewire.bench.open_files import SPARE_FILES, allow_files
from tidewire.bench.report import Need, Report, judge, median
from tidewire.bench.rls_rows import OWN_PER_TRANSACTION, OWN_ROWS, TEAM_ROWS, Workload
from tidewire.bench.rls_stage import PASSES_BY, RlsStage, rls_stage

WARM_UP_ROWS = 5_000
TEAMS_PER_TRANSACTION = 100
WARM_UP_TRANSACTIONS = 2


class Plan(Struct, frozen=True, kw_only=True):
    """One form of the benchmark, long or short."""

    sizes: tuple[int, ...]
    """How many readers of rows of their own there are, smallest first."""
    rounds: int
    rows: int
    """Written in a round for readers of their own rows."""
    audiences: int
    """How many readers of their teams' rows there are: a multiple of the teams."""
    transactions: int
    """Of many rows, written in a round for them."""
    singles: int
    """Transactions of one row, written in a round for them."""
    checks: int
    """How often the baseline looks for a row in a round: its rows times its readers."""
    needs: dict[str, Need]


PLAN: Final = Plan(
    sizes=(100, 1_000, 5_000, 10_000),
    rounds=3,
    rows=50_000,
    audiences=1_000,
    transactions=50,
    singles=100,
    checks=200_000,
    needs={"vs_baseline_5000": (">=", 1_000), "flat": ("<=", 1.5), "sql_vs_baseline_1000": (">=", 20)},
)
QUICK_PLAN: Final = Plan(
    sizes=(100, 500), rounds=1, rows=5_000, audiences=200, transactions=5, singles=10, checks=40_000, needs={}
)
"""Too little to judge by, so nothing is needed."""

Rounds = dict[str, list[float]]


def run(*, quick: bool, bin_dir: str | None = None, by_policy: bool = True) -> Report:
    """Measure all sizes in turn, round by round; each ratio is of two figures of the same round.

    Without `by_policy` the readers pass by all policies and say in a filter what they would see: to test with.
    """
    plan = QUICK_PLAN if quick else PLAN
    allow_files(max(plan.sizes) + SPARE_FILES)
    figures: Rounds = {}
    with tempfile.TemporaryDirectory(prefix="tidewire-bench-") as folder:
        receiver = compile_programs(Path(folder)).receiver
        with rls_stage(receiver, bin_dir) as running:
            for _ in range(plan.rounds):
                for size in plan.sizes:
                    _measure_own(running, plan, size, figures, by_policy=by_policy)
                _measure_teams(running, plan, figures, by_policy=by_policy)
            version = running.postgres
    return judge(
        "rls",
        postgres=version,
        figures={name: median(rounds) for name, rounds in figures.items()},
        ratios=_ratios(plan, figures),
        needs=plan.needs,
    )


def _ratios(plan: Plan, figures: Rounds) -> dict[str, float]:
    readers = plan.audiences
    pairs = {f"vs_baseline_{size}": (f"own_{size}_per_s", f"baseline_{size}_per_s") for size in plan.sizes} | {
        "flat": (f"own_{plan.sizes[0]}_per_s", f"own_{plan.sizes[-1]}_per_s"),
        f"sql_vs_baseline_{readers}": (f"sql_{readers}_per_s", f"sql_baseline_{readers}_per_s"),
        f"sql_single_vs_baseline_{readers}": (f"sql_single_{readers}_per_s", f"sql_baseline_{readers}_per_s"),
    }
    return {
        name: median([ours / other for ours, other in zip(figures[one], figures[two], strict=True)])
        for name, (one, two) in pairs.items()
    }


def _measure_own(running: RlsStage, plan: Plan, size: int, figures: Rounds, *, by_policy: bool) -> None:
    """Let each follow the rows that are its own: the compiled policy finds the one reader of a row."""
    with _readers(running, OWN_ROWS, size, by_policy=by_policy) as listener:
        for rows in (WARM_UP_ROWS, plan.rows):
            transactions = rows // OWN_PER_TRANSACTION
            flood = running.flood(OWN_ROWS, listener, transactions=transactions, rows_each=OWN_PER_TRANSACTION)
        checked_per_s = running.check_each(OWN_ROWS, flood.marks, rows=plan.checks // size, readers=size)
    _add(figures, f"own_{size}_per_s", flood.changes_per_s)
    _add(figures, f"own_{size}_server_us_per_change", flood.server_us_per_change)
    _add(figures, f"baseline_{size}_per_s", checked_per_s)


def _measure_teams(running: RlsStage, plan: Plan, figures: Rounds, *, by_policy: bool) -> None:
    """Let each follow the rows of its teams: the policy asks another table, so Postgres judges."""
    readers, rows_each = plan.audiences, TEAMS_PER_TRANSACTION
    with _readers(running, TEAM_ROWS, readers, by_policy=by_policy) as listener:
        for transactions in (WARM_UP_TRANSACTIONS, plan.transactions):
            flood = running.flood(TEAM_ROWS, listener, transactions=transactions, rows_each=rows_each)
        single = running.flood(TEAM_ROWS, listener, transactions=plan.singles, rows_each=1)
        checked_per_s = running.check_each(TEAM_ROWS, flood.marks, rows=plan.checks // readers, readers=readers)
    _add(figures, f"sql_{readers}_per_s", flood.changes_per_s)
    _add(figures, f"sql_{readers}_server_us_per_change", flood.server_us_per_change)
    _add(figures, f"sql_single_{readers}_per_s", single.changes_per_s)
    _add(figures, f"sql_baseline_{readers}_per_s", checked_per_s)


@contextmanager
def _readers(running: RlsStage, workload: Workload, count: int, *, by_policy: bool) -> Iterator[Listener]:
    if by_policy:
        with running.readers(workload, count) as listener:
            yield listener
    else:
        with running.readers(workload, count, role=PASSES_BY, filter_of=workload.filter_of) as listener:
            yield listener


def _add(figures: Rounds, name: str, value: float) -> None:
    figures.setdefault(name, []).append(value)
