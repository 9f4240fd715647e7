"""Which requests count together: addresses of one network, and tokens of one person; keys of everybody do not."""

import pytest

from tests.support.tokens import sign
from tidewire.server.request_limits import RequestAllowances, RequestLimits, personal_key

ADA = sign(sub="ada").encode()
BOB = sign(sub="bob").encode()
ANYBODY = sign(sub=..., role="anon").encode()


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def make_limits(clock: Clock) -> RequestLimits:
    allowances = RequestAllowances(per_s_per_address=1.0, burst_per_address=100, per_s_per_token=0.5, burst_per_token=2)
    return RequestLimits(allowances, clock)


def test_a_token_counts_from_wherever_it_comes() -> None:
    clock = Clock()
    limits = make_limits(clock)
    assert [limits.wait_s(f"203.0.113.{n}", ADA) for n in range(4)] == [0.0, 0.0, 2.0, 2.0]
    assert limits.wait_s("203.0.113.1", BOB) == 0.0
    clock.now_s = 2.0
    assert limits.wait_s("203.0.113.1", ADA) == 0.0


def test_the_key_of_an_application_is_everybodys() -> None:
    limits = make_limits(Clock())
    for key in (ANYBODY, b"sb_publishable_0123456789abcdef0123", b""):
        assert [limits.wait_s(f"198.51.100.{n}", key) for n in range(50)] == [0.0] * 50


def test_made_up_tokens_cost_the_address_that_sends_them() -> None:
    limits = make_limits(Clock())
    made_up = [sign(sub=f"nobody-{n}", signer="x" * 32).encode() for n in range(101)]
    assert [limits.wait_s("203.0.113.1", token) > 0 for token in made_up] == [False] * 100 + [True]
    assert limits.wait_s("2001:db8::1", ADA) == 0.0


def test_strangers_are_counted_with_everything_else() -> None:
    limits = make_limits(Clock())
    for _ in range(100):
        assert limits.stranger_wait_s("203.0.113.1") == 0.0
        limits.count_stranger("203.0.113.1")
    assert limits.stranger_wait_s("203.0.113.1") > 0
    assert limits.wait_s("203.0.113.1", b"") > 0
    assert limits.stranger_wait_s("203.0.113.2") == 0.0


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"..",
        b"a.b.c",
        b"e30.\xff\xff.x",
        b"e30.W10.x",  # []
        b"e30.eyJzdWIiOjF9.x",  # {"sub":1}
        b"e30.eyJzdWIiOiIifQ.x",  # {"sub":""}
        b"x" * 100_000,
        b"." + b"W1tb" * 20_000 + b".",
    ],
)
def test_what_names_nobody(token: bytes) -> None:
    assert personal_key(token) is None
