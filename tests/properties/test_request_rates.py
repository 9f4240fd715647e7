"""Rates under any order of requests: never more than was allowed, bounded in memory, and true to what it tells."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from tidewire.accounts.rates import Allowance, Rates
from tidewire.server.request_limits import RequestAllowances, RequestLimits

BURSTS = st.integers(1, 20)
PER_S = st.floats(0.01, 1000.0)
PAUSES_S = st.lists(st.one_of(st.just(0.0), st.floats(0.0, 0.01), st.floats(0.0, 50.0)), min_size=1, max_size=80)
KEYS = st.lists(st.integers(0, 30).map(str), min_size=1, max_size=200)


def make_rates(burst: int, per_s: float, **bounds: int) -> Rates:
    return Rates(Allowance(burst, burst / per_s), **bounds)


@given(BURSTS, PER_S, PAUSES_S)
def test_never_more_than_the_burst_and_the_rate(burst: int, per_s: float, pauses_s: list[float]) -> None:
    rates, now_s, admitted_s = make_rates(burst, per_s), 0.0, []
    for pause_s in pauses_s:
        now_s += pause_s
        if not rates.take("a", now_s):
            admitted_s.append(now_s)
    for first, since_s in enumerate(admitted_s):
        for last, until_s in enumerate(admitted_s[first:], first):
            assert last - first + 1 <= burst + per_s * (until_s - since_s + 1e-5) + 1e-6


@given(BURSTS, PER_S, PAUSES_S)
def test_whoever_comes_back_when_told_is_let_in(burst: int, per_s: float, pauses_s: list[float]) -> None:
    rates, now_s = make_rates(burst, per_s), 0.0
    for pause_s in pauses_s:
        now_s += pause_s
        told_s = rates.wait_s("a", now_s)
        wait_s = rates.take("a", now_s)
        assert wait_s == told_s
        if wait_s:
            assert wait_s <= 1 / per_s + 1e-6, "no longer than one takes to come back"
            assert rates.wait_s("a", now_s + wait_s * 0.99 - 2e-6) > 0, "not much too long"
            assert rates.wait_s("a", now_s + wait_s) == 0
            assert rates.wait_s("a", now_s + ceil(wait_s)) == 0, "as Retry-After says it"


@given(KEYS, st.integers(1, 10))
def test_it_remembers_so_many_and_those_who_came_last(keys: list[str], most: int) -> None:
    rates = make_rates(1, 0.001, most_keys=most)
    for key in keys:
        rates.take(key, 0.0)
    # Being refused is no visit: whoever knocks all the time cannot push the others out.
    assert len(rates._full_at_s) <= most
    assert rates.take(keys[-1], 0.0) > 0


@given(st.lists(st.tuples(st.sampled_from(["203.0.113.1", "203.0.113.2"]), st.sampled_from([b"", b"x.e30.y"]))))
def test_addresses_do_not_pay_for_each_other(requests: list[tuple[str, bytes]]) -> None:
    limits = RequestLimits(RequestAllowances(per_s_per_address=0.001, burst_per_address=3), clock=lambda: 0.0)
    admitted = [address for address, token in requests if not limits.wait_s(address, token)]
    for address in ("203.0.113.1", "203.0.113.2"):
        asked = sum(1 for each, _ in requests if each == address)
        assert admitted.count(address) == min(3, asked)
