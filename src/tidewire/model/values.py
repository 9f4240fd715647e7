"""Turns one value's Postgres text form into JSON text, by type. Never rounds, never raises, never writes invalid JSON.

An encoder is chosen once per type and is then a plain function from text to text. Text that does not fit its type
cannot come from Postgres; it is passed on as a JSON string, because one damaged value must not stop a stream for
everyone.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring as quote

import msgspec

from tidewire.model.literals import array_encoder, composite_encoder, vector_encoder
from tidewire.model.relation import PgType

JsonEncoder = Callable[[str], str]
"""Postgres's text form in, JSON text out. NULL has no text form: write `null` yourself."""

MAX_TYPE_DEPTH = 32
"""Types nested deeper are strings. Quotes double with every level, so real values end long before this."""

_NOT_A_NUMBER = frozenset({"NaN", "Infinity", "-Infinity"})

_number = re.compile(r"-?(?:0|[1-9]\d*+)(?:\.\d++)?+(?:[eE][+-]?\d++)?+", re.ASCII).fullmatch
_zoned = re.compile(r"(\S+) (\S+?[+-]\d\d)((?::\d\d){0,2})( BC)?", re.ASCII).fullmatch
_escaped_bytes = re.compile(r"(?:[ -\[\]-~]|\\\\|\\[0-3][0-7]{2})*+").fullmatch
_octal = re.compile(rb"\\(?:\\|([0-7]{3}))")

# msgspec validates in 35 ns where the pattern above takes 150.
_parse_number = msgspec.json.Decoder(float).decode
_parse_json = msgspec.json.Decoder(msgspec.Raw).decode


@lru_cache(maxsize=4096)
def json_encoder(type: PgType) -> JsonEncoder:  # noqa: A002 - the word everyone uses for it
    """Return the encoder for a column of this type. Keep it: choosing costs more than encoding."""
    return _choose(type, _COLUMN, 0)


def _choose(type_: PgType, scalars: dict[int, JsonEncoder], depth: int) -> JsonEncoder:
    scalar = scalars.get(type_.oid)
    if scalar is not None:
        return scalar
    if depth == MAX_TYPE_DEPTH:
        return quote
    if type_.kind == "domain" and type_.base is not None:
        return _choose(type_.base, scalars, depth + 1)
    if type_.kind == "array" and type_.element is not None:
        return array_encoder(_choose(type_.element, _NESTED, depth + 1), type_.delimiter)
    if type_.kind == "composite":
        return composite_encoder([(name, _choose(part, _NESTED, depth + 1)) for name, part in type_.attributes])
    return quote


def _encode_number(text: str) -> str:
    try:
        _parse_number(text)
    except msgspec.MsgspecError:  # also a numeric too large for a double, which is a fine JSON number
        return text if _number(text) else quote(text)
    # The parser lets surrounding blanks pass; a line break in the output would end a line of JSON Lines early.
    return text if text.strip() == text else quote(text)


def _encode_column_number(text: str) -> str:
    return "null" if text in _NOT_A_NUMBER else _encode_number(text)


def _encode_bool(text: str) -> str:
    if text == "t":
        return "true"
    return "false" if text == "f" else quote(text)


def _encode_json(text: str) -> str:
    try:
        _parse_json(text)
    except (msgspec.MsgspecError, RecursionError):
        # json (not jsonb) may hold what few readers accept: half a surrogate pair, a thousand levels of brackets.
        return quote(text)
    if "\n" in text or "\r" in text:
        # Only blanks between tokens can be raw line breaks: strings hold them escaped.
        return text.replace("\n", " ").replace("\r", " ")
    return text


def _encode_bytea(text: str) -> str:
    if text.startswith("\\x"):
        return quote(text[2:])
    if _escaped_bytes(text):  # bytea_output = escape
        return quote(_octal.sub(_unescape_byte, text.encode("ascii")).hex())
    return quote(text)


def _unescape_byte(escape: re.Match[bytes]) -> bytes:
    return bytes((int(escape[1], 8),)) if escape[1] else b"\\"


def _encode_timestamp(text: str) -> str:
    return quote(text.replace(" ", "T", 1))


def _encode_timestamptz(text: str) -> str:
    if text[-3:] == "+00":  # our sessions run in UTC
        return quote(text.replace(" ", "T", 1) + ":00")
    parts = _zoned(text)
    if parts is None:  # infinity, -infinity
        return quote(text)
    day, time, rest, era = parts.groups()
    return quote(f"{day}T{time}{rest or ':00'}{era or ''}")


# By OID, because those of built-in types never change while names can be taken again in another schema.
_NESTED: dict[int, JsonEncoder] = {
    16: _encode_bool,
    17: _encode_bytea,
    20: _encode_number,  # int8
    21: _encode_number,  # int2
    22: vector_encoder(_encode_number),  # int2vector
    23: _encode_number,  # int4
    30: vector_encoder(quote),  # oidvector
    114: _encode_json,
    700: _encode_number,  # float4
    701: _encode_number,  # float8
    1114: _encode_timestamp,
    1184: _encode_timestamptz,
    1700: _encode_number,  # numeric
    3802: _encode_json,  # jsonb
}
"""Inside arrays and composites. NaN and the infinities stay strings there, as in `to_jsonb`. Others are strings."""

_COLUMN: dict[int, JsonEncoder] = {
    **_NESTED,
    700: _encode_column_number,
    701: _encode_column_number,
    1700: _encode_column_number,
}
"""A whole column: NaN and the infinities are null, so that a numeric column is always a number or null."""
