"""Who has been told enough of one transaction."""

from hypothesis import given
from hypothesis import strategies as st

from tidewire.hub.bulk import Bulk

MOST = 5


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from("abc")), max_size=100))
def test_each_reader_is_told_so_many_changes_of_a_transaction(asked: list[tuple[int, str]]) -> None:
    bulk, told = Bulk(MOST), dict.fromkeys("abc", 0)
    for index, (_, reader) in enumerate(asked, MOST):
        if not bulk.is_too_much(reader, 7, index):
            told[reader] += 1
    assert told == {reader: min(MOST, sum(who == reader for _, who in asked)) for reader in "abc"}


def test_one_change_in_two_messages_is_never_torn_apart() -> None:
    bulk = Bulk(1)
    assert [bulk.is_too_much("a", 7, index) for index in (1, 1, 1, 2, 2)] == [False, False, False, True, True]


def test_every_transaction_counts_by_itself() -> None:
    bulk = Bulk(1)
    assert [bulk.is_too_much("a", lsn, index) for lsn, index in ((7, 1), (7, 2), (8, 1), (8, 2))] == [
        False,
        True,
        False,
        True,
    ]
