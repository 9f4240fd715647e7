"""Two tenants, random policies, random writes: nobody is told what Postgres would not have shown, or misses a change.

Each write asks Postgres in its own transaction, as every reader, what there is to see before and after it.
"""

import time

import pytest

from tests.support.hunt import Hunt, hunting

MINUTES_S = 600.0
SHORT_ROUNDS, SHORT_TRANSACTIONS = 3, 40
LONG_TRANSACTIONS = 150


def play(hunt: Hunt, *, rounds: int, transactions: int, seconds: float = 0) -> None:
    until_s = time.monotonic() + seconds
    played = 0
    while played < rounds or time.monotonic() < until_s:
        hunt.round(transactions=transactions)
        played += 1
        assert not any(hunt.tally[name] for name in FAULTS), "\n".join([hunt.summary(), *hunt.examples])
    print(f"{played} rounds: {hunt.summary()}")  # noqa: T201 - the test's figures
    assert hunt.tally["checked"] > hunt.tally["writes"] / 2, "the readers must see something"


FAULTS = ("leaked", "lost", "repeated", "out_of_order")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("policies", [True, False], ids=["policies", "privileges"])
def test_a_short_hunt_finds_nothing(database: str, *, policies: bool) -> None:
    with hunting(database, 1, policies=policies) as hunt:
        play(hunt, rounds=SHORT_ROUNDS, transactions=SHORT_TRANSACTIONS)


@pytest.mark.soak
@pytest.mark.timeout(MINUTES_S * 1.5)
def test_a_hunt_of_minutes_finds_nothing(database: str) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201 - whoever reads of a fault wants to see it again
    with hunting(database, seed, policies=True) as hunt:
        play(hunt, rounds=1, transactions=LONG_TRANSACTIONS, seconds=MINUTES_S)


@pytest.mark.timeout(120)
def test_the_hunt_finds_a_leak(database: str) -> None:
    """Readers with a token that opens more than the oracle knows of are told too much, and that is found."""
    with hunting(database, 2, policies=False) as hunt:
        hunt.round(transactions=SHORT_TRANSACTIONS, pretend={"authenticated": "service_role"})
    assert hunt.tally["leaked"] > 0, hunt.summary()
