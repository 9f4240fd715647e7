"""A benchmark's report cannot flatter: what was not measured is not met."""

import pytest

from tidewire.bench.report import judge, median, percentile


def test_needs_are_held_against_figures_and_ratios() -> None:
    report = judge(
        "x",
        postgres="18",
        figures={"p99_ms": 3.0},
        ratios={"vs": 0.95},
        needs={"p99_ms": ("<=", 3.0), "vs": (">=", 0.9)},
    )
    assert report.ok


@pytest.mark.parametrize(
    ("figures", "need"),
    [
        ({"p99_ms": 3.1}, ("<=", 3.0)),
        ({"p99_ms": 2.9}, (">=", 3.0)),
        ({}, ("<=", 3.0)),
        ({"p99_ms": float("nan")}, ("<=", 3.0)),
    ],
)
def test_a_missed_or_missing_figure_is_not_ok(figures: dict[str, float], need: tuple[str, float]) -> None:
    assert not judge("x", postgres="18", figures=figures, ratios={}, needs={"p99_ms": need}).ok  # type: ignore[dict-item]


def test_the_machine_is_recorded() -> None:
    machine = judge("x", postgres="18.4", figures={}, ratios={}, needs={}).machine
    assert {"cpu", "cores", "memory_gib", "python", "postgres", "load_before"} <= machine.keys()


def test_percentile_is_the_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.5) == 51.0
    assert percentile(values, 0.99) == 100.0
    assert percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_median_ignores_one_wild_round() -> None:
    assert median([1.0, 1.1, 90.0]) == 1.1
