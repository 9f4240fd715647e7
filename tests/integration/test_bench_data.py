"""`tidewire bench data`: both sides are asked the same, a wrong answer is no result, and the report has every ratio."""

import asyncio

import pytest
import uvloop

from tidewire.bench import data
from tidewire.bench.data_questions import QUESTIONS, Question
from tidewire.bench.data_stage import sides
from tidewire.bench.pacing import Ask, saturated_per_s, steady_ms
from tidewire.bench.realtime_server import realtime_server
from tidewire.model.errors import BenchmarkFailed

TINY = data.Plan(rounds=2, seconds=0.1, rate=100.0, full_seconds=0.1, needs={"overhead_p50_ms": ("<=", -1000.0)})


@pytest.mark.timeout(60)
def test_the_report_has_each_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "QUICK_PLAN", TINY)
    monkeypatch.setattr(data, "WARM_UP_S", 0.1)
    report = data.run(quick=True)
    assert (report.bench, report.ok) == ("data", False), "nothing is as fast as that"
    names = [question.name for question in QUESTIONS]
    assert report.ratios.keys() == {"overhead_p50_ms", *(f"overhead_{name}_p50_ms" for name in names)}
    for name in names:
        for side in ("", "psycopg_"):
            assert 0 < report.figures[f"{side}{name}_p50_ms"] <= report.figures[f"{side}{name}_p99_ms"]
            assert report.figures[f"{side}full_{name}_per_s"] > 0
        assert report.figures[f"{name}_server_us"] > 0


def test_the_needs_are_of_what_is_measured() -> None:
    names = [question.name for question in QUESTIONS]
    assert data.PLAN.needs.keys() == {
        "overhead_p50_ms", *(f"overhead_{name}_p50_ms" for name in names), *(f"{name}_p99_ms" for name in names),
    }  # fmt: skip


@pytest.mark.timeout(60)
def test_a_wrong_answer_is_no_result() -> None:
    first = QUESTIONS[0]
    wrong = Question(
        name="wrong",
        method="GET",
        status=b"200",
        path=lambda number: first.path(number + 1),
        body=first.body,
        value=lambda number: first.value(number + 1),
        returns=first.returns,
    )
    refused = Question(
        name="refused", method="GET", status=b"200", path=lambda _: "nothing_there", body=first.body,
        value=first.value, returns=first.returns,
    )  # fmt: skip

    async def ask() -> None:
        async with sides(server) as both:
            for asks in (both.ours(first), both.plain(first)):
                assert await saturated_per_s(asks, seconds=0.05) > 0
            for asks in (both.ours(wrong), both.plain(wrong)):
                with pytest.raises(BenchmarkFailed, match="expected the right rows"):
                    await asks[0](1)
            with pytest.raises(BenchmarkFailed, match="expected status 200"):
                await both.ours(refused)[0](1)

    with realtime_server("bench_data", None) as server:
        uvloop.run(ask())


async def test_a_question_counts_from_when_it_was_due() -> None:
    """One asker, who cannot keep up with the rate: each answer is later than the one before."""
    asked: list[int] = []

    async def slow(number: int) -> None:
        asked.append(number)
        await asyncio.sleep(0.005)  # this is the time that is measured

    times_ms = await steady_ms([slow], rate=1000.0, seconds=0.02, first=7)
    assert asked == list(range(7, 27))
    assert times_ms[-1] > times_ms[0] * 5


async def test_a_failure_is_raised() -> None:
    async def fail(_number: int) -> None:
        raise BenchmarkFailed("asking: expected an answer, got none")

    asks: list[Ask] = [fail]
    with pytest.raises(BenchmarkFailed):
        await steady_ms(asks, rate=100.0, seconds=0.05)
    with pytest.raises(BenchmarkFailed):
        await saturated_per_s(asks, seconds=0.05)
