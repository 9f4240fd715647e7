"""A snapshot tells what a query has seen from what the log still brings."""

import pytest

from tidewire.model.errors import DecodeError
from tidewire.model.snapshot import Snapshot, parse_snapshot

WRAP = 2**32


def test_what_was_over_is_seen_and_what_ran_or_came_later_is_not() -> None:
    snapshot = parse_snapshot("10:20:10,14,15")
    assert snapshot == Snapshot(20, frozenset({10, 14, 15}))
    assert [xid for xid in range(3, 30) if snapshot.sees(xid)] == [3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 18, 19]


def test_numbers_of_the_log_begin_anew_after_32_bits() -> None:
    snapshot = parse_snapshot(f"{WRAP - 2}:{WRAP + 5}:{WRAP - 2},{WRAP + 3}")
    assert [snapshot.sees(xid) for xid in (WRAP - 3, WRAP - 2, WRAP - 1)] == [True, False, True]
    assert [snapshot.sees(xid) for xid in (3, 4, 5, 6)] == [False, True, False, False]


def test_an_empty_one_sees_everything_before_it() -> None:
    assert parse_snapshot("7:7:") == Snapshot(7)


@pytest.mark.parametrize("text", ["", "1:2", "a:b:c", "1:2:3;4", "1:2:3\n", "-1:2:", "1:" + "9" * 30 + ":"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        parse_snapshot(text)
