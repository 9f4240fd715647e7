"""`tidewire bench rls`: who receives which row is checked, and the check is able to fail."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.postgres import require
from tidewire.bench import listener, rls
from tidewire.bench.compiler import compile_programs
from tidewire.bench.listener import Share, digest
from tidewire.bench.rls_rows import OWN_ROWS, TEAM_ROWS, TEAMS, Workload, shares, teams
from tidewire.bench.rls_stage import PASSES_BY, RlsStage, rls_stage
from tidewire.model.errors import BenchmarkFailed

READERS = TEAMS  # so every team has two members
TINY = rls.Plan(
    sizes=(10, 50),
    rounds=2,
    rows=1_000,
    audiences=READERS,
    transactions=2,
    singles=3,
    checks=2_000,
    needs={"flat": ("<=", 0)},
)
BOTH = pytest.mark.parametrize("workload", [OWN_ROWS, TEAM_ROWS], ids=lambda workload: workload.table)


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(present=any(map(shutil.which, ("cc", "gcc", "clang"))), what="a C compiler")
    return compile_programs(tmp_path_factory.mktemp("native")).receiver


@pytest.fixture(scope="module")
def stage(receiver: Path) -> Iterator[RlsStage]:
    with rls_stage(receiver, None) as running:
        yield running


# --- who is owed what --------------------------------------------------------------------------------------------


def test_each_row_of_ones_own_is_owed_to_one_reader() -> None:
    assert shares(OWN_ROWS, range(7, 13), 4) == [
        Share(2, digest([8, 12])),
        Share(1, digest([9])),
        Share(1, digest([10])),
        Share(2, digest([7, 11])),
    ]


def test_each_row_of_a_team_is_owed_to_its_members() -> None:
    due = shares(TEAM_ROWS, range(TEAMS), 1_000)
    assert {share.messages for share in due} == {2}
    assert sum(3 in teams(reader) for reader in range(1_000)) == 10
    assert all(due[reader].digest == digest(teams(reader)) for reader in range(1_000))


def test_a_digest_tells_what_is_missing_from_what_came_twice() -> None:
    assert digest([1, 2, 3]) == digest([3, 1, 2])
    assert len({digest(marks) for marks in ([2, 2], [1, 3], [0, 4], [4], [])}) == 5


# --- the check ---------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.timeout(60)
def test_readers_who_filter_receive_exactly_their_rows(stage: RlsStage, workload: Workload) -> None:
    with stage.readers(workload, READERS, role=PASSES_BY, filter_of=workload.filter_of) as listening:
        floods = [stage.flood(workload, listening, transactions=40, rows_each=10) for _ in range(2)]
    assert [len(flood.marks) for flood in floods] == [400, 400]
    assert floods[0].marks.stop == floods[1].marks.start
    assert all(flood.changes_per_s > 0 for flood in floods)


@BOTH
@pytest.mark.timeout(60)
def test_rows_of_others_are_no_result(stage: RlsStage, workload: Workload) -> None:
    """Each gets as many as it is owed, but those of its neighbour."""
    with (
        stage.readers(
            workload, READERS, role=PASSES_BY, filter_of=lambda n: workload.filter_of((n + 1) % 200)
        ) as listening,
        pytest.raises(BenchmarkFailed, match=r"of its rows for subscriber 0, got others"),
    ):
        stage.flood(workload, listening, transactions=40, rows_each=10)


@BOTH
@pytest.mark.timeout(60)
def test_rows_for_everybody_are_no_result(stage: RlsStage, workload: Workload) -> None:
    with (
        stage.readers(workload, READERS, role=PASSES_BY) as listening,
        pytest.raises(BenchmarkFailed, match=r"of its rows for subscriber 0, got \d+; \d+ expected for all, got \d+"),
    ):
        stage.flood(workload, listening, transactions=40, rows_each=10)


@pytest.mark.timeout(60)
def test_rows_for_nobody_are_no_result(stage: RlsStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LIMIT_S", 0.5)
    with (
        stage.readers(OWN_ROWS, 10, role=PASSES_BY, filter_of=lambda n: OWN_ROWS.filter_of(n or 5000)) as listening,
        pytest.raises(BenchmarkFailed, match="expected 2 of its rows for subscriber 0, got 0; 20 expected for all"),
    ):
        stage.flood(OWN_ROWS, listening, transactions=2, rows_each=10)


def test_a_subscription_that_is_refused_is_no_result(stage: RlsStage) -> None:
    with (
        pytest.raises(BenchmarkFailed, match="the server answered connection 0 with an error"),
        stage.readers(OWN_ROWS, 1, role=PASSES_BY, filter_of=lambda _: "nothing=eq.1"),
    ):
        raise AssertionError


# --- the baseline ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.timeout(60)
def test_the_baseline_sees_what_the_policy_shows(stage: RlsStage, workload: Workload) -> None:
    with stage.readers(workload, READERS, role=PASSES_BY, filter_of=workload.filter_of) as listening:
        marks = stage.flood(workload, listening, transactions=40, rows_each=10).marks
    assert stage.check_each(workload, marks, rows=20, readers=READERS) > 0
    with pytest.raises(BenchmarkFailed, match=r"expected 1000 rows, seen \d+ times, got \d+, seen \d+ times"):
        stage.check_each(workload, marks, rows=1000, readers=READERS)


# --- the report --------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("receiver")
def test_the_report_has_each_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rls, "QUICK_PLAN", TINY)
    monkeypatch.setattr(rls, "WARM_UP_ROWS", 10)
    report = rls.run(quick=True, by_policy=False)
    assert report.bench == "rls"
    assert report.ratios.keys() == {
        *("vs_baseline_10", "vs_baseline_50", "flat"),
        *("sql_vs_baseline_200", "sql_single_vs_baseline_200"),
    }
    assert all(ratio > 0 for ratio in report.ratios.values())
    assert {"own_10_per_s", "baseline_50_per_s", "sql_200_per_s", "sql_single_200_per_s"} <= report.figures.keys()
    assert not report.ok, "nothing is as flat as that"


def test_the_needs_are_of_what_is_measured() -> None:
    measured = {*(f"vs_baseline_{size}" for size in rls.PLAN.sizes), "flat", f"sql_vs_baseline_{rls.PLAN.audiences}"}
    assert rls.PLAN.needs.keys() <= measured


@pytest.mark.timeout(180)  # where something is missing the command waits for it for two minutes
@pytest.mark.usefixtures("receiver")
def test_every_row_reaches_those_who_may_see_it_and_nobody_else() -> None:
    """A row that is missing, or one too many, fails the command; how fast it is, is the benchmark's business."""
    result = run("bench", "rls", "--quick", "--json", timeout_s=170)
    assert result.returncode == 0, result
    report = json.loads(result.stdout)
    assert (report["bench"], report["ok"], report["needs"]) == ("rls", True, {})
    assert {"vs_baseline_100", "vs_baseline_500", "flat", "sql_vs_baseline_200"} <= report["ratios"].keys()
