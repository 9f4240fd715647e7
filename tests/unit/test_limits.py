"""The three counters: examples, and the laws that hold for every sequence of calls."""

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.wire.limits import CallWindow, TokenBucket, WindowRate

steps = st.lists(st.floats(0, 20, allow_nan=False), max_size=60)
amounts = st.integers(0, 8)


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3, now=10)
    assert [bucket.take(10) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(10.5), bucket.take(10.5)] == [True, False]
    assert bucket.take(1000, 3)
    assert not bucket.take(1000)


def test_a_bucket_gives_all_or_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=3, now=0)
    assert not bucket.take(0, 4)
    assert bucket.take(0, 3)


def test_time_that_goes_back_gives_a_bucket_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=1, now=10)
    assert bucket.take(10)
    assert not bucket.take(0)
    assert not bucket.take(10)
    assert bucket.take(11)


def test_time_that_goes_back_takes_nothing_from_a_bucket() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=2, now=10)
    assert [bucket.take(0), bucket.take(0), bucket.take(0)] == [True, True, False]


@given(steps, st.lists(amounts, min_size=60, max_size=60), st.floats(0.1, 50), st.integers(1, 20))
def test_a_bucket_never_gives_more_than_its_promise(
    gaps: list[float], wishes: list[int], rate: float, burst: int
) -> None:
    bucket = TokenBucket(rate_per_s=rate, burst=burst, now=0)
    given_out = [(now, n) for now, n in zip(accumulate(gaps), wishes, strict=False) if bucket.take(now, n)]
    for index, (start, _) in enumerate(given_out):
        total = 0
        for now, n in given_out[index:]:
            total += n
            assert total <= burst + rate * (now - start) + 1e-6


@given(steps, st.floats(0.1, 50), st.integers(1, 20))
def test_a_bucket_gives_what_is_within_its_promise(gaps: list[float], rate: float, burst: int) -> None:
    bucket = TokenBucket(rate_per_s=rate, burst=burst, now=0)
    slack = 1e-6
    for now in accumulate(max(gap, (1 + slack) / rate) for gap in gaps):
        assert bucket.take(now), "one per 1/rate is always allowed"


@given(steps, st.integers(1, 8))
def test_whoever_asks_for_less_gets_it_whenever_more_would_be_given(gaps: list[float], n: int) -> None:
    greedy, modest = (TokenBucket(rate_per_s=1, burst=10, now=0) for _ in range(2))
    for now in accumulate(gaps):
        if greedy.take(now, n):
            assert modest.take(now, n - 1)


def test_a_rate_lets_a_short_burst_pass_and_trips_on_the_average() -> None:
    rate = WindowRate(limit_per_s=100)
    assert not rate.add(0, 5999), "sixty times the rate within a moment is still below the average"
    assert rate.add(1)
    assert rate.tripped(59.9)
    assert not rate.tripped(60), "the bucket of the burst is out of the window"


def test_a_steady_rate_at_the_limit_trips_after_one_window() -> None:
    rate = WindowRate(limit_per_s=2)
    answers = [rate.add(second, 2) for second in range(200)]
    assert answers.index(True) == 59
    assert not any(answers[:59])


def test_a_steady_rate_below_the_limit_never_trips() -> None:
    rate = WindowRate(limit_per_s=2.1)
    assert not any(rate.add(second, 2) for second in range(500))


def test_a_rate_forgets_everything_after_a_long_silence() -> None:
    rate = WindowRate(limit_per_s=1)
    assert rate.add(3, 60)
    assert not rate.tripped(1e9)
    assert rate.add(1e9, 60)


@given(st.lists(st.tuples(st.floats(-5, 30, allow_nan=False), amounts), max_size=60), st.floats(0, 1e6))
def test_a_rate_is_the_sum_of_the_buckets_of_the_last_minute(moves: list[tuple[float, int]], start: float) -> None:
    rate = WindowRate(limit_per_s=0.2)
    now, latest = start, -math.inf
    heard: list[tuple[int, int]] = []
    for step, n in moves:
        now += step
        latest = max(latest, now)
        current = int(latest // 5)
        heard.append((current, n))
        total = sum(count for bucket, count in heard if bucket > current - 12)
        assert rate.add(now, n) == (total >= 0.2 * 60)
        assert rate.tripped(now) == (total >= 0.2 * 60)


def test_a_window_allows_its_calls_and_opens_anew() -> None:
    window = CallWindow(calls=2, window_s=30)
    assert [window.take(now) for now in (5, 6, 7, 34.9)] == [True, True, False, False]
    assert [window.take(now) for now in (35, 36, 37)] == [True, True, False]


@given(steps, st.integers(0, 6))
def test_a_window_never_allows_more_than_its_calls(gaps: list[float], calls: int) -> None:
    window = CallWindow(calls=calls, window_s=30)
    opened, allowed = -math.inf, 0
    for now in accumulate(gaps):
        if now - opened >= 30:
            opened, allowed = now, 0
        assert window.take(now) == (allowed < calls)
        allowed = min(calls, allowed + 1)


@pytest.mark.parametrize("made", [TokenBucket(rate_per_s=1, burst=1, now=0), WindowRate(limit_per_s=1)])
def test_counters_carry_no_dictionary(made: object) -> None:
    assert not hasattr(made, "__dict__")
