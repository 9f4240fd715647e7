"""Rows are read field by field; what the log leaves out is filled from where it stands, or marked absent."""

import pytest

from tests.support import pgoutput
from tidewire.model.change import ABSENT, Change, Operation
from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn
from tidewire.wal.assembler import Assembler
from tidewire.wal.row_decoder import RowDecoder

DEFAULT = RowDecoder(pgoutput.table("id", "name", "big"))
FULL = RowDecoder(pgoutput.table("id", "name", "big", identity="full"))
NOTHING = RowDecoder(pgoutput.table("id", "name", "big", keys=(), identity="nothing"))

OPERATIONS: dict[bytes, Operation] = {b"I": "INSERT", b"U": "UPDATE", b"D": "DELETE"}


def test_insert_reads_text_null_and_empty() -> None:
    assert DEFAULT.read("INSERT", pgoutput.insert("1", None, "")) == (("1", None, ""), None)


def test_insert_reads_trailing_nulls() -> None:
    assert DEFAULT.read("INSERT", pgoutput.insert("1", None, None)) == (("1", None, None), None)


def test_text_beyond_ascii_survives() -> None:
    assert DEFAULT.read("INSERT", pgoutput.insert("1", "çığ 🌊", "x" * 70_000)) == (("1", "çığ 🌊", "x" * 70_000), None)


def test_bytes_that_are_not_utf8_are_replaced_not_fatal() -> None:
    message = pgoutput.insert("1", "caf_", "x").replace(b"caf_", b"caf\xe9")
    assert DEFAULT.read("INSERT", message) == (("1", "caf\ufffd", "x"), None)


def test_update_without_key_change_takes_the_key_from_the_new_row() -> None:
    assert DEFAULT.read("UPDATE", pgoutput.update(("1", "b", "c"))) == (("1", "b", "c"), ("1", ABSENT, ABSENT))


def test_update_of_the_key_carries_the_old_key() -> None:
    message = pgoutput.update(("2", "b", "c"), key=("1", None, None))
    assert DEFAULT.read("UPDATE", message) == (("2", "b", "c"), ("1", ABSENT, ABSENT))


def test_unchanged_toast_stays_absent_when_the_key_changes() -> None:
    message = pgoutput.update(("2", "b", ABSENT), key=("1", None, None))
    assert DEFAULT.read("UPDATE", message) == (("2", "b", ABSENT), ("1", ABSENT, ABSENT))


def test_bytes_that_are_not_utf8_are_replaced_in_both_rows() -> None:
    message = pgoutput.update(("1", "new_", "x"), full=("1", "old_", "x")).replace(b"new_", b"new\xe9")
    assert FULL.read("UPDATE", message.replace(b"old_", b"old\xe9")) == (
        ("1", "new\ufffd", "x"),
        ("1", "old\ufffd", "x"),
    )


def test_unchanged_toast_is_absent_under_default_identity() -> None:
    new, _ = DEFAULT.read("UPDATE", pgoutput.update(("1", "b", ABSENT)))
    assert new == ("1", "b", ABSENT)


def test_unchanged_toast_is_filled_from_the_old_row_under_full_identity() -> None:
    message = pgoutput.update(("1", "b", ABSENT), full=("1", "a", "large"))
    assert FULL.read("UPDATE", message) == (("1", "b", "large"), ("1", "a", "large"))


def test_update_under_identity_nothing_has_no_old_row() -> None:
    assert NOTHING.read("UPDATE", pgoutput.update(("1", "b", "c"))) == (("1", "b", "c"), None)


def test_delete_by_key_marks_the_rest_absent() -> None:
    assert DEFAULT.read("DELETE", pgoutput.delete(key=("1", None, None))) == (None, ("1", ABSENT, ABSENT))


def test_delete_under_full_identity_keeps_nulls() -> None:
    assert FULL.read("DELETE", pgoutput.delete(full=("1", None, "x"))) == (None, ("1", None, "x"))


@pytest.mark.parametrize(
    "message",
    [
        pgoutput.insert("1", "2"),  # a column short of the relation
        pgoutput.insert("1", "2", "3") + b"x",  # something behind the row
        pgoutput.insert("1", "2", "3")[:-1],  # cut within a value
        pgoutput.insert("1", "2", "3")[:9],  # cut within a length
        pgoutput.insert("1", "2", "3")[:5],  # cut before the row
        pgoutput.insert("1", "2", "3").replace(b"t", b"z", 1),  # unknown column kind
        pgoutput.update(("1", "2", "3")).replace(b"N", b"Q", 1),
        pgoutput.delete(key=("1", "2", "3")).replace(b"K", b"N", 1),
    ],
)
def test_damaged_rows_raise_our_error_only(message: bytes) -> None:
    with pytest.raises(DecodeError):
        DEFAULT.read(OPERATIONS[message[:1]], message)


def test_a_damaged_row_stops_nobody_who_does_not_read_it() -> None:
    """The stream goes on; the error is for whoever asks for the row, every time."""
    assembler = Assembler()
    assembler.define(DEFAULT.relation)
    for message in (pgoutput.begin(10), pgoutput.insert("1", "2"), pgoutput.insert("1", "2", "3")):
        assert assembler.feed(message) is None
    transaction = assembler.feed(pgoutput.commit(10, 20))
    assert transaction is not None
    damaged, whole = transaction.changes
    for _ in range(2):
        with pytest.raises(DecodeError):
            _ = damaged.new
    assert whole.new == ("1", "2", "3")


def test_a_change_is_decoded_once_however_often_it_is_read() -> None:
    change = Change(Lsn(1), 0, "UPDATE", FULL, pgoutput.update(("1", "b", ABSENT), full=("1", "a", "large")))
    assert change.new is change.new
    assert change.old is change.old
    assert (change.new, change.old) == (("1", "b", "large"), ("1", "a", "large"))


def test_changes_are_equal_by_place_relation_and_bytes_read_or_not() -> None:
    def inserted(*values: str, index: int = 0, shape: RowDecoder = DEFAULT) -> Change:
        return Change(Lsn(1), index, "INSERT", shape, pgoutput.insert(*values))

    one, same = inserted("1", "2", "3"), inserted("1", "2", "3", shape=RowDecoder(DEFAULT.relation))
    assert one.new is not None
    assert one == same
    assert hash(one) == hash(same)
    others = [inserted("1", "2", "4"), inserted("1", "2", "3", index=1), inserted("1", "2", "3", shape=FULL)]
    assert all(one != other for other in [*others, "a change"])
