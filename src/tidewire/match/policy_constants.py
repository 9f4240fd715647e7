"""Turns the bytes in which Postgres keeps a constant within an expression into the text that it would print.

Bytes are those of a little-endian server, which the catalog's reader makes sure of. Unknown types are refused.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from struct import error, unpack_from
from typing import Final
from uuid import UUID

from tidewire.filters.checks import BPCHAR, TEXT, VARCHAR
from tidewire.match.policy import PolicyUnprovable
from tidewire.match.policy_nodes import Node

BOOL, INT2, INT4, INT8, FLOAT8, NUMERIC, UUID_ = 16, 21, 23, 20, 701, 1700, 2950
DATE, TIMESTAMP, TIMESTAMPTZ = 1082, 1114, 1184
ELEMENTS: Final = {
    1000: BOOL,
    1005: INT2,
    1007: INT4,
    1016: INT8,
    1009: TEXT,
    1015: VARCHAR,
    1231: NUMERIC,
    2951: UUID_,
}
"""Types of arrays, by number, and what their elements are."""

_MICROSECONDS: Final = {2**63 - 1: "infinity", -(2**63): "-infinity"}
_NOT_FINITE: Final = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}
_DAYS: Final = {2**31 - 1: "infinity", -(2**31): "-infinity"}


def constant_bytes(node: Node) -> bytes | None:
    """Return the bytes of a CONST node; None for NULL."""
    if node.flag("constisnull"):
        return None
    value = node.fields.get("constvalue")
    try:
        length, opening, *numbers, closing = value if isinstance(value, list) else []
        data = bytes(int(number) % 256 for number in numbers)
        complete = (opening, closing) == ("[", "]") and len(data) >= int(length)
    except (ValueError, TypeError):
        complete = False
    if not complete:
        raise PolicyUnprovable("a constant", "its bytes cannot be read")
    return data


def constant_text(oid: int, data: bytes, labels: Mapping[int, str] | None = None) -> str:
    """Return what Postgres prints for a value, times in UTC. Of enums, `labels` has the names of all values."""
    try:
        if labels:
            return labels[unpack_from("<I", data)[0]]
        return _READERS[oid](data)
    except (KeyError, ValueError, OverflowError, error):
        raise PolicyUnprovable("a constant", f"values of the type with OID {oid} cannot be read here") from None


def array_texts(data: bytes) -> tuple[int, list[str | None]]:
    """Return the type and the texts of an array's elements. Refuses arrays of several dimensions."""
    try:
        dimensions, offset, oid = unpack_from("<iiI", _unpack_length(data))
        if dimensions == 0:
            return oid, []
        if (dimensions, offset) == (1, 0):
            return oid, list(_elements(oid, data, unpack_from("<i", data, 16)[0]))
    except (KeyError, ValueError, error):
        pass
    raise PolicyUnprovable("a constant array", "only one dimension without NULL can be read here")


def _elements(oid: int, data: bytes, count: int) -> list[str]:
    size, alignment = _SIZES.get(oid, (None, 4))
    at, texts = 24, []
    for _ in range(count):
        at += -at % alignment
        length = size or unpack_from("<I", data, at)[0] >> 2
        if not 0 < length <= len(data) - at:
            raise ValueError
        texts.append(_READERS[oid](data[at : at + length]))
        at += length
    return texts


def _unpack_length(data: bytes) -> bytes:
    """Drop the length in front of a value of variable length, which is also the test of the byte order."""
    if unpack_from("<I", data)[0] != len(data) << 2:
        raise ValueError
    return data[4:]


def _read(form: str) -> Callable[[bytes], str]:
    return lambda data: str(unpack_from(form, data)[0])


def _bool(data: bytes) -> str:
    return "t" if data[0] else "f"


def _text(data: bytes) -> str:
    return _unpack_length(data).decode()


def _uuid(data: bytes) -> str:
    return str(UUID(bytes=data))


def _float(data: bytes) -> str:
    return repr(unpack_from("<d", data)[0])


def _date(data: bytes) -> str:
    (days,) = unpack_from("<i", data)
    return _DAYS.get(days) or (date(2000, 1, 1) + timedelta(days=days)).isoformat()


def _timestamp(data: bytes) -> str:
    (microseconds,) = unpack_from("<q", data)
    if microseconds in _MICROSECONDS:
        return _MICROSECONDS[microseconds]
    moment = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return moment.replace(tzinfo=None).isoformat(" ")


def _timestamptz(data: bytes) -> str:
    text = _timestamp(data)
    return text if text.endswith("infinity") else text + "+00"


def _numeric(data: bytes) -> str:
    packed = _unpack_length(data)
    (header,) = unpack_from("<H", packed)
    if header in _NOT_FINITE:
        return _NOT_FINITE[header]
    if header & 0x8000:
        negative, weight, at = bool(header & 0x2000), (header & 0x3F) - (header & 0x40), 2
    else:
        negative, weight, at = bool(header & 0x4000), unpack_from("<h", packed, 2)[0], 4
    digits = [unpack_from("<h", packed, place)[0] for place in range(at, len(packed), 2)]
    if not digits:
        return "0"
    if abs(weight) > 30:
        raise ValueError  # longer than any price
    whole = (
        "".join(f"{digit:04d}" for digit in digits[: weight + 1]).ljust(4 * (weight + 1), "0") if weight >= 0 else ""
    )
    rest = "0000" * max(0, -weight - 1) + "".join(f"{digit:04d}" for digit in digits[max(0, weight + 1) :])
    number = f"{whole.lstrip('0') or '0'}.{rest}".rstrip("0").rstrip(".")
    return "-" + number if negative else number


_READERS: Final[dict[int, Callable[[bytes], str]]] = {
    BOOL: _bool,
    INT2: _read("<h"),
    INT4: _read("<i"),
    INT8: _read("<q"),
    FLOAT8: _float,
    NUMERIC: _numeric,
    UUID_: _uuid,
    DATE: _date,
    TIMESTAMP: _timestamp,
    TIMESTAMPTZ: _timestamptz,
    TEXT: _text,
    VARCHAR: _text,
    BPCHAR: _text,
}
_SIZES: Final = {BOOL: (1, 1), INT2: (2, 2), INT4: (4, 4), INT8: (8, 8), UUID_: (16, 1)}
"""Bytes of an element and what its place in an array is a multiple of; four for all that have no fixed length."""
