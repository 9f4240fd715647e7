"""Turns Insert, Update and Delete messages into row tuples, with code that is compiled when the first row is read.

The generated code reads columns in a straight line, without a loop or a call per row: on a ten-column row that takes
half the time of the loop. What is left is mostly the cutting of each value; `tidewire bench decode` watches it.
"""

from collections.abc import Callable, Mapping
from functools import cache
from struct import Struct, error
from textwrap import indent
from typing import Any, Final, Literal

from tidewire.model.change import ABSENT, Operation, Row, Rows
from tidewire.model.errors import DecodeError
from tidewire.model.relation import Relation

NEW_ROW, OLD_KEY, OLD_ROW = ord("N"), ord("K"), ord("O")
MAX_COLUMNS = 1600

_TRUNCATED = (IndexError, error)
"""What the generated code raises on bytes that end too early."""

_Content = Literal["new", "old", "key and new", "old and new"]
_CONTENTS: Final[Mapping[_Content, tuple[tuple[int, ...], tuple[tuple[str, str], ...]]]] = {
    "new": ((NEW_ROW,), (("v", ""),)),
    "old": ((OLD_KEY, OLD_ROW), (("v", ""),)),
    "key and new": ((OLD_KEY,), (("o", ""), ("v", ""))),
    # An unchanged TOASTed value is not repeated in the new row; the complete old row has it.
    "old and new": ((OLD_ROW,), (("o", ""), ("v", "o"))),
}
"""What a message may hold: which rows may come first; then for each row its variables, and what fills its gaps."""

# A message is: kind, relation number (4 bytes), which row follows, the row; an Update may hold an old row before it.
# Plain ASCII, lengths below 128 included, is the common case: the text is decoded once and cut, not cut and decoded.
_READER = """
def read(data):
    try:
        if data[5] not in {kinds}: refuse_kind(data[5])
        at = 6
        if data.isascii() or data[5:].isascii():
            text = data.decode('latin-1')
{ascii}
        else:
{general}
        if at != len(data): refuse_length()
        return {result}
    except UnicodeDecodeError:
        return lenient(data)
"""
_BETWEEN = f"""\
if data[at] != {NEW_ROW}: refuse_kind(data[at])
at += 1"""


class RowDecoder:
    """How rows of one relation are read: the `Shape` of its changes. Refuses more columns than a table can have."""

    __slots__ = ("_identity", "_width", "relation")

    def __init__(self, relation: Relation) -> None:
        if len(relation.columns) > MAX_COLUMNS:
            raise DecodeError(f"reading a Relation message: {len(relation.columns)} columns are more than allowed")
        self.relation = relation
        self._width = len(relation.columns)
        self._identity = tuple(column.identity for column in relation.columns)

    def __repr__(self) -> str:
        return f"<RowDecoder of {self.relation.qualified_name}>"

    def read(self, operation: Operation, data: bytes) -> Rows:
        """Return the new and the old row of a message. Raises DecodeError when it is damaged, and nothing else."""
        try:
            if operation == "INSERT":
                return _reader(self._width, "new")(data), None
            if operation == "UPDATE":
                return self._update(data)
            if operation == "DELETE":
                return None, self._delete(data)
        except _TRUNCATED:
            raise DecodeError("reading a row: expected more bytes, got the end of the message") from None
        return None, None

    def _update(self, data: bytes) -> Rows:
        kind = data[5]
        if kind == OLD_ROW:
            pair: tuple[Row, Row] = _reader(self._width, "old and new")(data)
            return pair
        if kind == OLD_KEY:
            new, old = _reader(self._width, "key and new")(data)
            return new, self._only_identity(old)
        new = _reader(self._width, "new")(data)
        # The key did not change, so it was left out; without an identity there is none.
        return new, None if self.relation.identity == "nothing" else self._only_identity(new)

    def _delete(self, data: bytes) -> Row:
        old: Row = _reader(self._width, "old")(data)
        return old if data[5] == OLD_ROW else self._only_identity(old)

    def _only_identity(self, row: Row) -> Row:
        """The log sends NULL for columns outside the key, which says nothing about them."""
        return tuple(value if known else ABSENT for value, known in zip(row, self._identity, strict=True))


@cache
def _reader(columns: int, content: _Content, *, lenient: bool = False) -> Callable[[bytes], Any]:
    """Make the function that reads messages of so many columns; text that is not UTF-8 makes it call the lenient one.

    Only numbers and fixed text enter the source, never a name or value from outside.
    """
    kinds, rows = _CONTENTS[content]
    general = "data[start:at]." + ("decode('utf-8', 'replace')" if lenient else "decode()")
    source = _READER.format(
        kinds=kinds,
        result=", ".join(_tuple_source(columns, variable) for variable, _ in reversed(rows)),
        ascii=_rows_source(columns, rows, "text[start:at]"),
        general=_rows_source(columns, rows, general),
    )
    scope: dict[str, Any] = {
        "u16": Struct(">H").unpack_from,
        "u32": Struct(">I").unpack_from,
        "header": Struct(">BI").unpack_from,
        "ABSENT": ABSENT,
        "refuse_kind": _refuse_kind,
        "refuse_length": _refuse_length,
        "lenient": _leniently(columns, content),
    }
    exec(source, scope)  # noqa: S102 - made of numbers and the text above
    read: Callable[[bytes], Any] = scope["read"]
    return read


def _rows_source(columns: int, rows: tuple[tuple[str, str], ...], take: str) -> str:
    """Write the lines that read one row, or an old one and a new one."""
    parts = [_row_source(columns, variable, take, absent) for variable, absent in rows]
    return indent(f"\n{_BETWEEN}\n".join(parts), " " * 12)


def _row_source(columns: int, variable: str, take: str, absent: str) -> str:
    """Write the lines that read one row; `absent` names the row that stands in for a value that was left out."""
    lines = [f"if u16(data, at)[0] != {columns}: refuse_length()", "at += 2"]
    for number in range(columns):
        if number < columns - 4:  # what follows has at least four bytes, so kind and length can be read as one
            lines += [
                "kind, length = header(data, at)",
                "if kind == 116:",
                "    start = at + 5",
                "    at = start + length",
            ]
        else:
            lines += [
                "kind = data[at]",
                "if kind == 116:",
                "    start = at + 5",
                "    at = start + u32(data, at + 1)[0]",
            ]
        lines += [
            f"    {variable}{number} = {take}",  # t: text follows
            "elif kind == 110:",  # n: NULL
            f"    {variable}{number} = None",
            "    at += 1",
            "elif kind == 117:",  # u: unchanged and not in the log
            f"    {variable}{number} = {f'{absent}{number}' if absent else 'ABSENT'}",
            "    at += 1",
            "else: refuse_kind(kind)",
        ]
    return "\n".join(lines)


def _tuple_source(columns: int, variable: str) -> str:
    return "(" + "".join(f"{variable}{number}, " for number in range(columns)) + ")"


def _leniently(columns: int, content: _Content) -> Callable[[bytes], Any]:
    """Only a database in SQL_ASCII can hold text that is not UTF-8: what cannot be read shows as U+FFFD."""

    def read(data: bytes) -> Any:
        return _reader(columns, content, lenient=True)(data)  # generated when it is first needed, and that is rare

    return read


def _refuse_kind(kind: int) -> None:
    raise DecodeError(f"reading a row: unexpected kind {kind}")


def _refuse_length() -> None:
    raise DecodeError("reading a row: it does not have the columns or the length that it should")
