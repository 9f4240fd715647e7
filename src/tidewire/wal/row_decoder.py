"""Compiles, for one relation, functions that turn Insert, Update and Delete messages into row tuples.

The generated code reads columns in a straight line without a loop: on a ten-column row that takes half the time of the
loop, and the walsender, not this process, stays the limit.
"""

from collections.abc import Callable
from functools import cache
from struct import Struct, error
from typing import Any

from tidewire.model.change import ABSENT, Row
from tidewire.model.errors import DecodeError
from tidewire.model.relation import Relation

ReadRow = Callable[[bytes, int], tuple[int, Row]]
"""(message, offset of the column count) → (offset behind the row, the row)."""

DecodeRow = Callable[[bytes], Row]
DecodePair = Callable[[bytes], tuple[Row, Row | None]]
"""Update message → (new row, old row)."""

TUPLE_AT = 6
"""A message is: kind, relation number (4 bytes), which row follows, the row."""

NEW_ROW, OLD_KEY, OLD_ROW = ord("N"), ord("K"), ord("O")
MAX_COLUMNS = 1600
WRONG_LENGTH = "reading a row: the message is longer or shorter than its columns say"

TRUNCATED = (IndexError, error)
"""What the generated code raises on bytes that end too early; the assembler turns it into DecodeError."""


class RowDecoder:
    """How rows of one relation are read. Each takes a whole message and raises DecodeError or one of TRUNCATED."""

    __slots__ = ("delete", "insert", "relation", "update")

    def __init__(self, relation: Relation) -> None:
        read = _compile_reader(len(relation.columns))
        self.relation = relation
        self.insert: DecodeRow = _insert_decoder(read)
        self.update: DecodePair = _update_decoder(read, relation)
        self.delete: DecodeRow = _delete_decoder(read, relation)


def _compile_reader(columns: int) -> ReadRow:
    """Make the reader of rows with so many columns; text that is not UTF-8 takes a second, lenient one."""
    if columns > MAX_COLUMNS:
        raise DecodeError(f"reading a Relation message: {columns} columns are more than Postgres allows")
    strict = _generate_reader(columns, "decode()")
    lenient = _generate_reader(columns, "decode('utf-8', 'replace')")

    def read(data: bytes, at: int) -> tuple[int, Row]:
        try:
            return strict(data, at)
        except UnicodeDecodeError:  # only a database in SQL_ASCII can hold such text
            return lenient(data, at)

    return read


@cache
def _generate_reader(columns: int, decode: str) -> ReadRow:
    """Only the number of columns and one of two method calls enter the source, never a name from outside."""
    lines = [
        "def read(data, at):",
        f"    if u16(data, at)[0] != {columns}: raise DecodeError('reading a row: unexpected number of columns')",
        "    at += 2",
    ]
    for number in range(columns):
        lines += [
            "    kind = data[at]",
            "    if kind == 116:",  # t: text follows
            "        start = at + 5",
            "        at = start + u32(data, at + 1)[0]",
            f"        v{number} = data[start:at].{decode}",
            "    elif kind == 110:",  # n: NULL
            f"        v{number} = None",
            "        at += 1",
            "    elif kind == 117:",  # u: unchanged and not in the log
            f"        v{number} = ABSENT",
            "        at += 1",
            "    else: raise DecodeError(f'reading a row: unknown column kind {kind}')",
        ]
    lines.append("    return at, (" + "".join(f"v{number}, " for number in range(columns)) + ")")
    scope: dict[str, Any] = {
        "u16": Struct(">H").unpack_from,
        "u32": Struct(">I").unpack_from,
        "ABSENT": ABSENT,
        "DecodeError": DecodeError,
    }
    exec("\n".join(lines), scope)  # noqa: S102 - the source above holds nothing from outside
    read: ReadRow = scope["read"]
    return read


def _insert_decoder(read: ReadRow) -> DecodeRow:
    def insert(data: bytes) -> Row:
        if data[5] != NEW_ROW:
            raise DecodeError(f"reading an Insert message: expected a new row, got {data[5]}")
        end, new = read(data, TUPLE_AT)
        if end != len(data):
            raise DecodeError(WRONG_LENGTH)
        return new

    return insert


def _update_decoder(read: ReadRow, relation: Relation) -> DecodePair:
    identity = [column.identity for column in relation.columns]
    nothing = relation.identity == "nothing"

    def only_identity(row: Row) -> Row:
        return tuple(value if known else ABSENT for value, known in zip(row, identity, strict=True))

    def update(data: bytes) -> tuple[Row, Row | None]:
        kind, at = data[5], TUPLE_AT
        old: Row | None = None
        if kind in {OLD_ROW, OLD_KEY}:
            at, old = read(data, at)
            if data[at] != NEW_ROW:
                raise DecodeError(f"reading an Update message: expected a new row, got {data[at]}")
            at += 1
        elif kind != NEW_ROW:
            raise DecodeError(f"reading an Update message: expected a row, got {kind}")
        end, new = read(data, at)
        if end != len(data):
            raise DecodeError(WRONG_LENGTH)
        if kind == OLD_ROW:
            if ABSENT in new:
                new = _fill(new, old or ())
        elif old is not None:
            old = only_identity(old)
        elif not nothing:
            old = only_identity(new)  # the key did not change, so Postgres left it out
        return new, old

    return update


def _delete_decoder(read: ReadRow, relation: Relation) -> DecodeRow:
    identity = [column.identity for column in relation.columns]

    def delete(data: bytes) -> Row:
        kind = data[5]
        if kind not in {OLD_ROW, OLD_KEY}:
            raise DecodeError(f"reading a Delete message: expected an old row, got {kind}")
        end, old = read(data, TUPLE_AT)
        if end != len(data):
            raise DecodeError(WRONG_LENGTH)
        if kind == OLD_ROW:
            return old
        return tuple(value if known else ABSENT for value, known in zip(old, identity, strict=True))

    return delete


def _fill(new: Row, old: Row) -> Row:
    """An unchanged TOASTed value is not repeated in the new row; under REPLICA IDENTITY FULL the old row has it."""
    return tuple(before if value is ABSENT else value for value, before in zip(new, old, strict=True))
