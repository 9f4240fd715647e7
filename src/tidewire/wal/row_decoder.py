"""Compiles, for one relation, functions that turn Insert, Update and Delete messages into row tuples.

The generated code reads columns in a straight line, without a loop or a call per row: on a ten-column row that takes
half the time of the loop. What is left is mostly the cutting of each value; `tidewire bench decode` watches it.
"""

from collections.abc import Callable
from functools import cache
from struct import Struct, error
from textwrap import indent
from typing import Any

from tidewire.model.change import ABSENT, Row
from tidewire.model.errors import DecodeError
from tidewire.model.relation import Relation

DecodeRow = Callable[[bytes], Row]
DecodePair = Callable[[bytes], tuple[Row, Row | None]]
"""Update message → (new row, old row)."""

NEW_ROW, OLD_KEY, OLD_ROW = ord("N"), ord("K"), ord("O")
MAX_COLUMNS = 1600

TRUNCATED = (IndexError, error)
"""What the generated code raises on bytes that end too early; the assembler turns it into DecodeError."""

# A message is: kind, relation number (4 bytes), which row follows, the row; an Update may hold an old row before it.
# Plain ASCII, lengths below 128 included, is the common case: the text is decoded once and cut, not cut and decoded.
_READER = """
def {name}(data):
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
    """How rows of one relation are read. Each takes a whole message and raises DecodeError or one of TRUNCATED."""

    __slots__ = ("delete", "insert", "relation", "update")

    def __init__(self, relation: Relation) -> None:
        if len(relation.columns) > MAX_COLUMNS:
            raise DecodeError(f"reading a Relation message: {len(relation.columns)} columns are more than allowed")
        readers = _generate(len(relation.columns), lenient=False)
        self.relation = relation
        self.insert: DecodeRow = readers["read_new"]
        self.update = _update_decoder(readers, relation)
        self.delete = _delete_decoder(readers, relation)


@cache
def _generate(columns: int, *, lenient: bool) -> dict[str, Any]:
    """Make the readers of rows with so many columns; text that is not UTF-8 makes them call the lenient ones.

    Only numbers and fixed text enter the source, never a name or value from outside.
    """
    new, old = _tuple_source(columns, "v"), _tuple_source(columns, "o")
    pair = f"{new}, {old}"
    readers: dict[str, Any] = {}
    for name, kinds, result, rows in (
        ("read_new", (NEW_ROW,), new, (("v", ""),)),
        ("read_old", (OLD_KEY, OLD_ROW), new, (("v", ""),)),
        ("read_key_pair", (OLD_KEY,), pair, (("o", ""), ("v", ""))),
        # An unchanged TOASTed value is not repeated in the new row; the complete old row has it.
        ("read_full_pair", (OLD_ROW,), pair, (("o", ""), ("v", "o"))),
    ):
        general = "data[start:at]." + ("decode('utf-8', 'replace')" if lenient else "decode()")
        source = _READER.format(
            name=name,
            kinds=kinds,
            result=result,
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
            "lenient": _leniently(columns, name),
        }
        exec(source, scope)  # noqa: S102 - made of numbers and the text above
        readers[name] = scope[name]
    return readers


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


def _leniently(columns: int, name: str) -> Callable[[bytes], Any]:
    """Only a database in SQL_ASCII can hold text that is not UTF-8: what cannot be read shows as U+FFFD."""

    def read(data: bytes) -> Any:
        return _generate(columns, lenient=True)[name](data)  # generated when it is first needed, and that is rare

    return read


def _update_decoder(readers: dict[str, Any], relation: Relation) -> DecodePair:
    read_full_pair: Callable[[bytes], tuple[Row, Row]] = readers["read_full_pair"]
    read_key_pair: Callable[[bytes], tuple[Row, Row]] = readers["read_key_pair"]
    read_new: DecodeRow = readers["read_new"]
    identity = [column.identity for column in relation.columns]
    nothing = relation.identity == "nothing"

    def update(data: bytes) -> tuple[Row, Row | None]:
        kind = data[5]
        if kind == OLD_ROW:
            return read_full_pair(data)
        if kind == OLD_KEY:
            new, old = read_key_pair(data)
            return new, _only_identity(old, identity)
        new = read_new(data)
        return new, None if nothing else _only_identity(new, identity)  # the key did not change, so it was left out

    return update


def _delete_decoder(readers: dict[str, Any], relation: Relation) -> DecodeRow:
    read_old: DecodeRow = readers["read_old"]
    identity = [column.identity for column in relation.columns]

    def delete(data: bytes) -> Row:
        old = read_old(data)
        return old if data[5] == OLD_ROW else _only_identity(old, identity)

    return delete


def _only_identity(row: Row, identity: list[bool]) -> Row:
    """The log sends NULL for columns outside the key, which says nothing about them."""
    return tuple(value if known else ABSENT for value, known in zip(row, identity, strict=True))


def _refuse_kind(kind: int) -> None:
    raise DecodeError(f"reading a row: unexpected kind {kind}")


def _refuse_length() -> None:
    raise DecodeError("reading a row: it does not have the columns or the length that it should")
