"""How values of each type compare, from the text form that Postgres writes. Types and texts it is unsure of it refuses.

For a constant, which may be spelled in any way that Postgres reads, `Scalar.constant` gives the spelling that Postgres
would print. That one and the text of a row then compare either as they are or through `Scalar.key`.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from math import frexp, isinf, isnan
from struct import pack, unpack
from typing import Any, Final

from msgspec import Struct

from tidewire.filters import moments
from tidewire.filters.unsure import Unsure
from tidewire.model.errors import ConfigurationError
from tidewire.model.relation import PgType

MAX_NUMBER_CHARACTERS = 1000
"""Longer constants, and exponents beyond, are left to Postgres: reading them must not take long here."""

_FLOAT4_MIN = 2.0**-126
_NOT_NUMBERS = {
    "nan": "NaN",
    "infinity": "Infinity",
    "+infinity": "Infinity",
    "inf": "Infinity",
    "+inf": "Infinity",
    "-infinity": "-Infinity",
    "-inf": "-Infinity",
}
_BLANKS = " \t\n\r\v\f"

_integer = re.compile(r"[+-]?[0-9]+").fullmatch
_other_bases = re.compile(r"[+-]?0[xXoObB]|.*_").match  # read by some versions of Postgres and not by others
_decimal = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?").fullmatch
_uuid = re.compile(r"(\{)?((?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4})(?(1)\})").fullmatch
_bytes = re.compile(r"\\x(?:[0-9a-fA-F]{2})*").fullmatch


class Scalar(Struct, frozen=True):
    """The rules of one type. `key` is None where the text itself compares; it raises Unsure on texts it cannot read.

    `same_text` says that equal values always have the same text. `ordered` is False where the order is not known.
    `index` gives equal values the same text: it is None where that cannot be promised.
    `patterns` marks the types that are text.
    """

    constant: Callable[[str], str]
    key: Callable[[str], Any] | None = None
    same_text: bool = True
    ordered: bool = True
    index: Callable[[str], str] | None = None
    patterns: bool = False


def as_written(text: str) -> str:
    """Return the text itself: Postgres writes equal values of the type alike."""
    return text


def scalar(type_: PgType) -> Scalar | None:
    """Return the rules of a type that is neither a text nor a domain; None where there are none."""
    return _ENUM if type_.kind == "enum" else _SCALARS.get(type_.oid)


def syntax_error(type_name: str, text: str) -> ConfigurationError:
    """Build the error that Postgres raises for a constant that is not of the type."""
    return ConfigurationError(
        f'invalid input syntax for type {type_name}: "{text}"', hint="write the value as the column's type expects it"
    )


def _integers(type_name: str, bits: int) -> Callable[[str], str]:
    limit = 2 ** (bits - 1)

    def constant(text: str) -> str:
        trimmed = text.strip(_BLANKS)
        if not _integer(trimmed):
            if _other_bases(trimmed):
                raise Unsure
            raise syntax_error(type_name, text)
        # Python refuses to convert thousands of digits, rightly, and no such number is in range anyway.
        value = int(trimmed) if len(trimmed) <= MAX_NUMBER_CHARACTERS else limit
        if not -limit <= value < limit:
            raise ConfigurationError(
                f'value "{text}" is out of range for type {type_name}', hint="no row can hold this value"
            )
        return str(value)

    return constant


def _oid_constant(text: str) -> str:
    if not _integer(text) or text[0] in "+-" or len(text) > 10 or int(text) >= 2**32:
        raise Unsure  # Postgres also reads negative ones, and wraps them around
    return str(int(text))


def _bool_constant(text: str) -> str:
    word = text.strip(_BLANKS).lower()
    if word in {"on", "1"} or (word and ("true".startswith(word) or "yes".startswith(word))):
        return "t"
    if word in {"of", "off", "0"} or (word and ("false".startswith(word) or "no".startswith(word))):
        return "f"
    raise syntax_error("boolean", text)


def _uuid_constant(text: str) -> str:
    found = _uuid(text)
    if found is None:
        raise syntax_error("uuid", text)
    digits = found[2].replace("-", "").lower()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _number_constant(text: str) -> str:
    trimmed = text.strip(_BLANKS)
    word = _NOT_NUMBERS.get(trimmed.lower())
    if word is not None:
        return word
    if not _decimal(trimmed) or len(trimmed) > MAX_NUMBER_CHARACTERS:
        raise Unsure
    return trimmed


def _numeric_constant(text: str) -> str:
    number = _number_constant(text)
    if number in {"NaN", "Infinity", "-Infinity"}:
        return number
    value = Decimal(number)
    if not value:
        return "0"
    if abs(value.adjusted()) > MAX_NUMBER_CHARACTERS:
        raise Unsure
    return f"{value:f}"


def _shorten_numeric(text: str) -> str:
    """Drop what does not change the value: 1.50 equals 1.5."""
    if "." not in text:
        return "0" if text == "-0" else text
    short = text.rstrip("0").rstrip(".")
    return "0" if short in {"-0", ""} else short


def _numeric_key(text: str) -> tuple[bool, Decimal]:
    # NaN equals itself and comes after everything, infinity included.
    return (True, Decimal(0)) if text == "NaN" else (False, Decimal(text))


def _float8_key(text: str) -> tuple[bool, float]:
    value = float(text)
    return (True, 0.0) if isnan(value) else (False, value)


def _float8_constant(text: str) -> str:
    number = _number_constant(text)
    value = float(number)
    if (isinf(value) and "n" not in number) or (not value and re.search("[1-9]", re.split("[eE]", number)[0])):
        raise Unsure  # too large or too small: an error in Postgres
    return number


def _float4_key(text: str) -> tuple[bool, float]:
    """Round to single precision by way of double precision, which is exact unless it lands on a half."""
    value = float(text)
    if isnan(value):
        return (True, 0.0)
    if isinf(value) or not value:
        return (False, value)
    if abs(value) < _FLOAT4_MIN or frexp(value)[0] * 2**25 % 2 == 1:
        raise Unsure
    try:
        return (False, unpack("<f", pack("<f", value))[0])
    except OverflowError:
        raise Unsure from None


def _float4_constant(text: str) -> str:
    number = _float8_constant(text)
    _float4_key(number)
    return number


def _bytes_constant(text: str) -> str:
    if not _bytes(text):
        raise Unsure
    return text.lower()


def _bytes_key(text: str) -> str:
    if not text.startswith("\\x"):  # bytea_output = escape
        raise Unsure
    return text


_ENUM: Final = Scalar(as_written, ordered=False, index=as_written)
"""Labels have an order, and a list of allowed ones, that only the catalog knows."""

_SCALARS: Final = {
    16: Scalar(_bool_constant, index=as_written),
    17: Scalar(_bytes_constant, key=_bytes_key, same_text=False),
    20: Scalar(_integers("bigint", 64), key=int, index=as_written),
    21: Scalar(_integers("smallint", 16), key=int, index=as_written),
    23: Scalar(_integers("integer", 32), key=int, index=as_written),
    26: Scalar(_oid_constant, key=int, index=as_written),
    700: Scalar(_float4_constant, key=_float4_key, same_text=False),
    701: Scalar(_float8_constant, key=_float8_key, same_text=False),
    1082: Scalar(moments.date_constant, key=moments.date_key, index=as_written),
    1083: Scalar(moments.time_constant, index=as_written),
    1114: Scalar(moments.timestamp_constant, key=moments.timestamp_key, index=as_written),
    1184: Scalar(moments.timestamptz_constant, key=moments.timestamptz_key, same_text=False),
    1700: Scalar(_numeric_constant, key=_numeric_key, same_text=False, index=_shorten_numeric),
    2950: Scalar(_uuid_constant, index=as_written),
}
"""By OID, because those of built-in types never change while names can be taken again in another schema."""
