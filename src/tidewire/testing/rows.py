"""Makes changes out of rows, by writing the log messages that Postgres would have sent. For tests and benchmarks.

Only what the log can say can be made; anything else is a ValueError. Each change is its own: give it a place
(`lsn`, `index`) where several belong together.
"""

from struct import Struct

from tidewire.model.change import ABSENT, Change, Operation, Row
from tidewire.model.position import Lsn
from tidewire.model.relation import Relation
from tidewire.wal.row_decoder import RowDecoder

_U16, _U32 = Struct(">H"), Struct(">I")


def inserted(relation: Relation, new: Row, *, lsn: int = 1, index: int = 0) -> Change:
    """Make the INSERT of a row, which the log always has in full."""
    if ABSENT in new:
        raise ValueError("writing an INSERT: expected every value, got ABSENT among them")
    return _change(relation, "INSERT", b"N" + _row(relation, new), lsn, index)


def updated(relation: Relation, new: Row, old: Row | None = None, *, lsn: int = 1, index: int = 0) -> Change:
    """Make the UPDATE of a row. ABSENT in `new` is a large value that did not change.

    `old` is the whole row under identity `full`, where it also fills what is ABSENT in `new`. Otherwise it is ABSENT
    outside the identity; leave it out when nothing of the identity changed, and it reads as what `new` says.
    """
    before = b""
    if old is None:
        if relation.identity == "full":
            raise ValueError("writing an UPDATE: expected the old row, as identity full logs it, got None")
    elif relation.identity == "full" or old != _only_identity(relation, new):  # Postgres leaves an unchanged key out
        before = _old_row(relation, old)
    return _change(relation, "UPDATE", before + b"N" + _row(relation, new), lsn, index)


def deleted(relation: Relation, old: Row, *, lsn: int = 1, index: int = 0) -> Change:
    """Make the DELETE of a row: the whole row under identity `full`, otherwise ABSENT outside the identity."""
    return _change(relation, "DELETE", _old_row(relation, old), lsn, index)


def truncated(relation: Relation, *, lsn: int = 1, index: int = 0) -> Change:
    """Make the TRUNCATE of one table."""
    return Change(Lsn(lsn), index, "TRUNCATE", RowDecoder(relation), b"")


def write_row(row: Row) -> bytes:
    """Write a row as it stands in a log message: the number of columns, then each value as text, NULL or ABSENT."""
    parts = [_U16.pack(len(row))]
    for value in row:
        if value is None:
            parts.append(b"n")
        elif value is ABSENT:
            parts.append(b"u")
        else:
            data = str(value).encode()
            parts += (b"t", _U32.pack(len(data)), data)
    return b"".join(parts)


def _change(relation: Relation, operation: Operation, rows: bytes, lsn: int, index: int) -> Change:
    message = operation[:1].encode() + _U32.pack(relation.oid) + rows
    return Change(Lsn(lsn), index, operation, RowDecoder(relation), message)


def _row(relation: Relation, row: Row) -> bytes:
    if len(row) != len(relation.columns):
        raise ValueError(f"writing a row of {relation.name}: expected {len(relation.columns)} values, got {len(row)}")
    return write_row(row)


def _old_row(relation: Relation, old: Row) -> bytes:
    """Write an old row behind the letter that says whether it is whole or a key."""
    if relation.identity == "nothing":
        raise ValueError("writing an old row: identity nothing logs none")
    whole = relation.identity == "full"
    known = [value is not ABSENT for value in old]
    if known != [whole or column.identity for column in relation.columns]:
        raise ValueError(f"writing an old row: expected ABSENT exactly outside identity {relation.identity}")
    if whole:
        return b"O" + write_row(old)
    return b"K" + write_row(tuple(None if value is ABSENT else value for value in old))


def _only_identity(relation: Relation, row: Row) -> Row:
    if relation.identity == "nothing":
        return ()
    pairs = zip(row, relation.columns, strict=True)
    return tuple(value if column.identity else ABSENT for value, column in pairs)
