"""Changes made for tests are those that the log could bring: byte by byte as Postgres writes them, and nothing else."""

from collections.abc import Callable

import pytest

from tests.support.pgoutput import table
from tidewire.model.change import ABSENT, Change
from tidewire.testing.rows import deleted, inserted, truncated, updated

KEYED = table("id", "body", oid=7)
FULL = table("id", "body", oid=7, identity="full")
BARE = table("id", "body", oid=7, keys=(), identity="nothing")


def test_messages_are_written_as_postgres_writes_them() -> None:
    ident, one, null = b"\0\0\0\x07", b"t\0\0\0\x011", b"n"
    assert inserted(KEYED, ("1", None)).data == b"I" + ident + b"N\0\x02" + one + null
    assert updated(KEYED, ("1", ABSENT)).data == b"U" + ident + b"N\0\x02" + one + b"u"
    assert updated(KEYED, ("1", None), ("2", ABSENT)).data == (
        b"U" + ident + b"K\0\x02t\0\0\0\x012" + null + b"N\0\x02" + one + null
    )
    assert updated(FULL, ("1", None), ("1", None)).data == (
        b"U" + ident + b"O\0\x02" + one + null + b"N\0\x02" + one + null
    )
    assert deleted(KEYED, ("1", ABSENT)).data == b"D" + ident + b"K\0\x02" + one + null
    assert deleted(FULL, ("1", "ä")).data == b"D" + ident + b"O\0\x02" + one + b"t\0\0\0\x02\xc3\xa4"
    assert truncated(KEYED).data == b""


def test_rows_read_as_they_were_given() -> None:
    made = [
        inserted(KEYED, ("1", "")),
        updated(KEYED, ("1", ABSENT)),
        updated(KEYED, ("1", ABSENT), ("1", ABSENT)),
        updated(KEYED, ("1", "b"), ("2", ABSENT)),
        updated(FULL, ("1", ABSENT), ("1", "large")),
        updated(BARE, ("1", "b")),
        deleted(KEYED, ("1", ABSENT)),
        deleted(FULL, ("1", None)),
        truncated(FULL),
    ]
    assert [(change.operation, change.new, change.old) for change in made] == [
        ("INSERT", ("1", ""), None),
        ("UPDATE", ("1", ABSENT), ("1", ABSENT)),
        ("UPDATE", ("1", ABSENT), ("1", ABSENT)),
        ("UPDATE", ("1", "b"), ("2", ABSENT)),
        ("UPDATE", ("1", "large"), ("1", "large")),
        ("UPDATE", ("1", "b"), None),
        ("DELETE", None, ("1", ABSENT)),
        ("DELETE", None, ("1", None)),
        ("TRUNCATE", None, None),
    ]


def test_a_change_has_the_place_it_was_given() -> None:
    made = [
        inserted(KEYED, ("1", "x"), lsn=9, index=4),
        updated(KEYED, ("1", "x"), lsn=9, index=4),
        deleted(KEYED, ("1", ABSENT), lsn=9, index=4),
        truncated(KEYED, lsn=9, index=4),
    ]
    assert [(change.lsn, change.index) for change in made] == [(9, 4)] * 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: inserted(KEYED, ("1", ABSENT)),  # an INSERT repeats every value
        lambda: inserted(KEYED, ("1",)),
        lambda: updated(KEYED, ("1", "x", "y")),
        lambda: updated(FULL, ("1", "x")),  # the old row is always logged
        lambda: updated(FULL, ("1", "x"), ("1", ABSENT)),
        lambda: updated(KEYED, ("1", "x"), ("1", "y")),  # only the key is logged
        lambda: updated(KEYED, ("1", "x"), (ABSENT, ABSENT)),
        lambda: updated(BARE, ("1", "x"), (ABSENT, ABSENT)),
        lambda: deleted(BARE, ("1", "x")),
        lambda: deleted(FULL, ("1", ABSENT)),
        lambda: deleted(KEYED, ("1",)),
    ],
)
def test_what_the_log_cannot_say_cannot_be_made(make: Callable[[], Change]) -> None:
    with pytest.raises(ValueError, match=r"^writing an? "):
        make()
