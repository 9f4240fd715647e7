"""Rows are read field by field; what the log leaves out is filled from where it stands, or marked absent."""

import pytest

from tests.support import pgoutput
from tidewire.model.change import ABSENT
from tidewire.model.errors import DecodeError
from tidewire.wal.assembler import Assembler
from tidewire.wal.row_decoder import RowDecoder

DEFAULT = RowDecoder(pgoutput.table("id", "name", "big"))
FULL = RowDecoder(pgoutput.table("id", "name", "big", identity="full"))
NOTHING = RowDecoder(pgoutput.table("id", "name", "big", keys=(), identity="nothing"))


def test_insert_reads_text_null_and_empty() -> None:
    assert DEFAULT.insert(pgoutput.insert("1", None, "")) == ("1", None, "")


def test_insert_reads_trailing_nulls() -> None:
    assert DEFAULT.insert(pgoutput.insert("1", None, None)) == ("1", None, None)


def test_text_beyond_ascii_survives() -> None:
    assert DEFAULT.insert(pgoutput.insert("1", "çığ 🌊", "x" * 70_000)) == ("1", "çığ 🌊", "x" * 70_000)


def test_bytes_that_are_not_utf8_are_replaced_not_fatal() -> None:
    message = pgoutput.insert("1", "caf_", "x").replace(b"caf_", b"caf\xe9")
    assert DEFAULT.insert(message) == ("1", "caf\ufffd", "x")


def test_update_without_key_change_takes_the_key_from_the_new_row() -> None:
    assert DEFAULT.update(pgoutput.update(("1", "b", "c"))) == (("1", "b", "c"), ("1", ABSENT, ABSENT))


def test_update_of_the_key_carries_the_old_key() -> None:
    message = pgoutput.update(("2", "b", "c"), key=("1", None, None))
    assert DEFAULT.update(message) == (("2", "b", "c"), ("1", ABSENT, ABSENT))


def test_unchanged_toast_stays_absent_when_the_key_changes() -> None:
    message = pgoutput.update(("2", "b", ABSENT), key=("1", None, None))
    assert DEFAULT.update(message) == (("2", "b", ABSENT), ("1", ABSENT, ABSENT))


def test_bytes_that_are_not_utf8_are_replaced_in_both_rows() -> None:
    message = pgoutput.update(("1", "new_", "x"), full=("1", "old_", "x")).replace(b"new_", b"new\xe9")
    assert FULL.update(message.replace(b"old_", b"old\xe9")) == (("1", "new\ufffd", "x"), ("1", "old\ufffd", "x"))


def test_unchanged_toast_is_absent_under_default_identity() -> None:
    new, _ = DEFAULT.update(pgoutput.update(("1", "b", ABSENT)))
    assert new == ("1", "b", ABSENT)


def test_unchanged_toast_is_filled_from_the_old_row_under_full_identity() -> None:
    message = pgoutput.update(("1", "b", ABSENT), full=("1", "a", "large"))
    assert FULL.update(message) == (("1", "b", "large"), ("1", "a", "large"))


def test_update_under_identity_nothing_has_no_old_row() -> None:
    assert NOTHING.update(pgoutput.update(("1", "b", "c"))) == (("1", "b", "c"), None)


def test_delete_by_key_marks_the_rest_absent() -> None:
    assert DEFAULT.delete(pgoutput.delete(key=("1", None, None))) == ("1", ABSENT, ABSENT)


def test_delete_under_full_identity_keeps_nulls() -> None:
    assert FULL.delete(pgoutput.delete(full=("1", None, "x"))) == ("1", None, "x")


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
    assembler = Assembler()
    assembler.define(DEFAULT.relation)
    assembler.feed(pgoutput.begin(10))
    with pytest.raises(DecodeError):
        assembler.feed(message)
