"""What it costs the server to tell a client what it missed, by how much that is, and by how much of others' there is.

CPU time of the server is counted, not of Postgres, from the new connection to a row that is written when it stands.
What coming back costs where nothing was missed is taken off before anything is divided.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final, Self

from msgspec import Struct

from tidewire.bench.crowd import Crowd
from tidewire.bench.report import Need, Report, judge, median
from tidewire.bench.storm_stage import StormStage, storm_stage
from tidewire.model.errors import BenchmarkFailed

TOGETHER: Final = 100
"""How many come back at once for the question whether they share the way through what is not theirs."""
ONE, WATCHER, NOBODY, MANY = 0, 1, 2, 3
"""Users: who misses rows, who tells us that the server has read them, who never comes, and the first of those who come
back together."""


class Plan(Struct, frozen=True, kw_only=True):
    """One form of the benchmark, long or short."""

    missed: tuple[int, ...]
    """How many rows of its own a client misses, fewest first; the first is none."""
    others: int
    """Rows of others that lie between."""
    rounds: int
    needs: Mapping[str, Need]


PLAN: Final = Plan(missed=(0, 100, 1_000, 10_000), others=10_000, rounds=5, needs={"flat": ("<=", 1.5)})
QUICK_PLAN: Final = Plan(missed=(0, 50, 200), others=200, rounds=1, needs={})
"""Too little to judge by, so nothing is needed."""

Rounds = dict[str, list[float]]


def run(*, quick: bool, bin_dir: str | None = None) -> Report:
    """Measure all in turn, round by round."""
    plan = QUICK_PLAN if quick else PLAN
    rounds: Rounds = {}
    with storm_stage(bin_dir) as stage, Absences(stage) as absences:
        absences.one_ms(0)  # the first time is slower
        absences.many_ms(0)
        for _ in range(plan.rounds):
            for missed in plan.missed:
                _add(rounds, f"own_{missed}_ms", absences.one_ms(missed))
            _add(rounds, f"others_{plan.others}_ms", absences.one_ms(0, others=plan.others))
            _add(rounds, "together_0_ms", absences.many_ms(0) / TOGETHER)
            _add(rounds, f"together_others_{plan.others}_ms", absences.many_ms(plan.others) / TOGETHER)
        version = stage.postgres
    figures = {name: median(values) for name, values in rounds.items()}
    figures |= _per_change(plan, figures)
    return judge("resume", postgres=version, figures=figures, ratios=_ratios(plan, figures), needs=plan.needs)


class Absences:
    """Cuts clients off, has rows written meanwhile, and times their coming back."""

    def __init__(self, stage: StormStage) -> None:
        self._stage = stage
        self._next_mark = 0
        self._ends = ExitStack()
        self._one, self._watcher, self._many = (
            stage.crowd(size, first_user=user) for size, user in ((1, ONE), (1, WATCHER), (TOGETHER, MANY))
        )

    def __enter__(self) -> Self:
        for crowd in (self._one, self._watcher, self._many):
            self._ends.enter_context(crowd).let_in()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def one_ms(self, missed: int, *, others: int = 0) -> float:
        """Return the CPU time for one client that missed so many rows, with so many of others in front of them."""
        return self._away_ms(self._one, ONE, missed, others)

    def many_ms(self, others: int) -> float:
        """Return the CPU time for many who come back at once and have missed nothing of their own."""
        return self._away_ms(self._many, MANY, 0, others)

    def _away_ms(self, crowd: Crowd, user: int, missed: int, others: int) -> float:
        self._write(1, user, crowd)  # so that all stand at the present
        self._follow(crowd, len(crowd.followers))
        crowd.cut()
        self._write(others, NOBODY)
        self._write(missed, user)
        self._write(1, WATCHER)
        self._follow(self._watcher, 1)  # what was written is the past of the server by now
        before_s = self._stage.server_cpu_s()
        crowd.come_back()
        self._write(1, user, crowd)  # when this comes, all that lies before it has been gone through
        self._follow(crowd, missed + len(crowd.followers))
        return (self._stage.server_cpu_s() - before_s) * 1000

    def _write(self, each: int, first_user: int, crowd: Crowd | None = None) -> None:
        users = 1 if crowd is None else len(crowd.followers)
        self._stage.write_missed(self._next_mark, each, first_user=first_user, users=users)
        self._next_mark += each * users

    def _follow(self, crowd: Crowd, due: int) -> None:
        """Wait for so many rows."""
        crowd.run_until(lambda: len(crowd.arrivals) >= due, doing="catching up")
        marks = [mark for _, mark, _ in crowd.arrivals]
        if len(marks) != due or len(set(marks)) != due:
            raise BenchmarkFailed(f"catching up: expected {due} rows, got {len(marks)}, {len(set(marks))} of them new")
        crowd.arrivals.clear()


def _per_change(plan: Plan, figures: Mapping[str, float]) -> dict[str, float]:
    """Return microseconds for each row, without what coming back costs anyway."""
    nothing_ms = figures[f"own_{plan.missed[0]}_ms"]
    own = {
        f"us_per_missed_{missed}": (figures[f"own_{missed}_ms"] - nothing_ms) / missed * 1000
        for missed in plan.missed[1:]
    }
    alone_ms = figures[f"others_{plan.others}_ms"] - nothing_ms
    together_ms = figures[f"together_others_{plan.others}_ms"] - figures["together_0_ms"]
    return own | {
        "us_per_row_of_others": alone_ms / plan.others * 1000,
        "us_per_row_of_others_together": together_ms / plan.others * 1000,
    }


def _ratios(plan: Plan, figures: Mapping[str, float]) -> dict[str, float]:
    *_, few, many = plan.missed
    return {
        "flat": figures[f"us_per_missed_{many}"] / figures[f"us_per_missed_{few}"],
        "others_vs_own": figures["us_per_row_of_others"] / figures[f"us_per_missed_{many}"],
        "together_vs_alone": figures["us_per_row_of_others_together"] / figures["us_per_row_of_others"],
    }


def _add(figures: Rounds, name: str, value: float) -> None:
    figures.setdefault(name, []).append(value)
