"""All clients are cut off at once and come back at once: how long until each has what it missed, and who else suffers.

Everything is real: Postgres, `tidewire serve`, sockets, a token for each client, row-level security. Nothing stops
meanwhile: others write, and others follow. Every row is accounted for: lost, repeated, out of order, somebody else's.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct

from tidewire.bench.crowd import Arrival, Crowd
from tidewire.bench.open_files import SPARE_FILES, allow_files
from tidewire.bench.report import Need, Report, judge, percentile
from tidewire.bench.storm_stage import StormStage, Written, storm_stage
from tidewire.model.errors import BenchmarkFailed

BYSTANDERS: Final = 20
OWN_PER_S, ROWS_EACH = 200.0, 5
WARM_UP_S: Final = 1.0
REPEATS_S: Final = 0.5
"""How long is listened for what should not come any more."""
BYSTANDER_PER_S: Final = 50.0

EXACT: Final[dict[str, Need]] = dict.fromkeys(("lost", "repeated", "out_of_order", "leaked"), ("<=", 0))


class Plan(Struct, frozen=True, kw_only=True):
    """One form of the benchmark, long or short."""

    clients: int
    calm_s: float
    """How long everybody follows before the cut, and the bystanders are timed."""
    after_s: float
    """How long they follow when all are back."""
    needs: dict[str, Need]


PLAN: Final = Plan(
    clients=5_000,
    calm_s=10,
    after_s=3,
    needs={**EXACT, "caught_up_s": ("<=", 10), "bystander_storm_p99_ms": ("<=", 100)},
)
QUICK_PLAN: Final = Plan(clients=200, calm_s=1, after_s=1, needs=EXACT)
"""Too few to judge times by; nothing may be lost all the same."""


class Storm(Struct, frozen=True):
    """What happened when. Times are Unix time."""

    calm_s: float
    """Since when the bystanders' rows count."""
    cut_s: float
    joined_s: float
    """When the last client had been let in again."""
    server_cpu_s: float
    generator_cpu_s: float
    cut_place: int
    """How many rows had arrived before the cut."""
    retries: int
    """How often somebody was sent away at the door."""


def run(*, quick: bool, bin_dir: str | None = None) -> Report:
    """Let everybody in, cut them off, let them come back, and compare what each has with what was written."""
    plan = QUICK_PLAN if quick else PLAN
    allow_files(plan.clients + SPARE_FILES)
    with (
        storm_stage(bin_dir) as stage,
        stage.bystanders(BYSTANDERS) as bystanders,
        stage.crowd(plan.clients) as crowd,
    ):
        crowd.let_in()
        writing = stage.writing(
            own_per_s=OWN_PER_S, rows_each=ROWS_EACH, users=plan.clients, bystander_per_s=BYSTANDER_PER_S
        )
        with writing:
            crowd.run_for(WARM_UP_S)
            calm_s = time.time()
            crowd.run_for(plan.calm_s)
            storm = _break_out(stage, crowd, calm_s)
            crowd.run_for(plan.after_s)
        own, theirs = stage.written("bench_own"), stage.written("bench_bystander")
        _drain(crowd, len(own))
        figures = _figures(plan, storm, own, crowd.arrivals)
        figures |= _bystander_figures(storm, figures["caught_up_s"], theirs, bystanders.arrivals(len(theirs)))
        return judge("storm", postgres=stage.postgres, figures=figures, ratios={}, needs=plan.needs)


def _break_out(stage: StormStage, crowd: Crowd, calm_s: float) -> Storm:
    cpu_s, own_cpu_s, cut_s, place = stage.server_cpu_s(), time.process_time(), time.time(), len(crowd.arrivals)
    retries = crowd.retries
    crowd.come_back()
    return Storm(
        calm_s,
        cut_s,
        crowd.last_joined_s,
        stage.server_cpu_s() - cpu_s,
        time.process_time() - own_cpu_s,
        place,
        crowd.retries - retries,
    )


def _drain(crowd: Crowd, due: int) -> None:
    """Wait for what is still on its way, and a moment longer for what should not come."""
    with suppress(BenchmarkFailed):  # they are counted as lost
        crowd.run_until(lambda: len(crowd.arrivals) >= due, doing="waiting for the last rows")
    crowd.run_for(REPEATS_S)


def _figures(plan: Plan, storm: Storm, written: Written, arrivals: Sequence[Arrival]) -> dict[str, float]:
    """Account for all rows. Whoever is back has caught up when it has all that was written until the last was back."""
    due = {mark for mark, written_s in written.items() if written_s <= storm.joined_s}
    caught_up_s = max([storm.joined_s, *(at_s for _, mark, at_s in arrivals if mark in due)])
    seconds = storm.joined_s - storm.cut_s
    return {
        "clients": plan.clients,
        "written": len(written),
        **account(plan.clients, written, arrivals),
        "missed": len(due - {mark for _, mark, _ in arrivals[: storm.cut_place]}),
        "retries": storm.retries,
        "back_s": seconds,
        "caught_up_s": caught_up_s - storm.cut_s,
        "server_cpu_ms_per_client": storm.server_cpu_s / plan.clients * 1000,
        "server_cpu_share": storm.server_cpu_s / seconds,
        "generator_cpu_share": storm.generator_cpu_s / seconds,
    }


def account(clients: int, written: Iterable[int], arrivals: Sequence[Arrival]) -> dict[str, float]:
    """Compare what each client has with what it was owed."""
    last = [-1] * clients
    seen: set[int] = set()
    repeated = out_of_order = leaked = 0
    for number, mark, _ in arrivals:
        if mark % clients != number:
            leaked += 1
        elif mark in seen:
            repeated += 1
        else:
            seen.add(mark)
            out_of_order += mark < last[number]
            last[number] = mark
    lost = len(set(written) - seen)
    return {"lost": lost, "repeated": repeated, "out_of_order": out_of_order, "leaked": leaked}


def _bystander_figures(
    storm: Storm, caught_up_s: float, written: Written, arrivals: Sequence[Arrival]
) -> dict[str, float]:
    """Return how old rows were when bystanders had them, of those written in the calm, and in the storm."""
    ages_ms: tuple[list[float], list[float]] = [], []
    for _, mark, at_s in arrivals:
        written_s = written[mark]
        if storm.calm_s <= written_s < storm.cut_s + caught_up_s:
            ages_ms[written_s >= storm.cut_s].append((at_s - written_s) * 1000)
    if len(arrivals) != len(written) * BYSTANDERS:
        raise BenchmarkFailed(
            f"standing by: expected {len(written)} rows for each of {BYSTANDERS}, got {len(arrivals)} in all"
        )
    figures = {}
    for name, ages in zip(("calm", "storm"), ages_ms, strict=True):
        ages.sort()
        for share in (50, 99):
            figures[f"bystander_{name}_p{share}_ms"] = percentile(ages, share / 100)
    return figures
