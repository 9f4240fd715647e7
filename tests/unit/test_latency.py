"""How long things took, counted in steps."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from tidewire.model.latency import BOUNDS_S, LEAST_S, STEP, Latencies, between, quantile


@given(st.lists(st.floats(LEAST_S, BOUNDS_S[-1]), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_a_quarter_too_much_at_most(times: list[float], share: float) -> None:
    counted = Latencies()
    for time_s in times:
        counted.add(time_s)
    found = quantile(counted.counts, share)
    assert found is not None
    exact = sorted(times)[max(1, ceil(len(times) * share)) - 1]
    assert exact / (1 + 1e-9) <= found <= exact * STEP * (1 + 1e-9)


def test_only_what_came_in_between_counts() -> None:
    counted = Latencies()
    counted.add(60.0)
    before = counted.counts
    counted.add(0.001)
    assert quantile(between(before, counted.counts), 0.99) == next(bound for bound in BOUNDS_S if bound >= 0.001)
    assert quantile(between(counted.counts, counted.counts), 0.5) is None


def test_what_is_beyond_the_scale_counts_at_its_end() -> None:
    counted = Latencies()
    for time_s in (-1.0, 0.0, LEAST_S):
        counted.add(time_s)
    counted.add(1e9)
    assert (counted.counts[0], counted.counts[-1]) == (3, 1)
