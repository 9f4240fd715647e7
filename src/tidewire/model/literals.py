"""Turns the text form of arrays, composites and vectors into JSON, given encoders for their parts.

Reads what Postgres's output functions write, which is narrower than what its input functions accept. Anything else
becomes a JSON string.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from json.encoder import encode_basestring as quote

MAX_DIMENSIONS = 6
"""Postgres's own limit (MAXDIM): a text with more is not an array."""

_bounds = re.compile(r"(?:\[-?\d+:-?\d+\])+=").match

# One field and what ends it. Output functions double quotes and backslashes and escape nothing else. The possessive
# quantifiers keep a long field from piling up places to backtrack to.
_field = re.compile(r'(?:"((?:[^"\\]++|""|\\\\)*+)"|([^"\\(),]*+))([,)])').match


def array_encoder(element: Callable[[str], str], delimiter: str = ",") -> Callable[[str], str]:
    """Return an encoder of arrays whose elements `element` encodes. Bounds are dropped, as `to_jsonb` drops them."""
    tokens = _array_tokens(delimiter)

    def encode(text: str) -> str:
        bounds = _bounds(text)
        literal = text[bounds.end() :] if bounds else text
        inner = literal[1:-1]
        if '"' in inner or "{" in inner or "}" in inner or "\\" in inner or literal[:1] != "{" or literal[-1:] != "}":
            nested = _encode_tokens(tokens(literal), element)
            return quote(text) if nested is None else nested
        # Flat and unquoted: by far the most common, and about ten times faster than tokens.
        if not inner:
            return "[]"
        return f"[{','.join(['null' if item == 'NULL' else element(item) for item in inner.split(delimiter)])}]"

    return encode


def composite_encoder(attributes: Sequence[tuple[str, Callable[[str], str]]]) -> Callable[[str], str]:
    """Return an encoder of rows with these attributes. A text with another number of fields becomes a JSON string."""
    parts = [(f"{quote(name)}:", encode) for name, encode in attributes]

    def encode(text: str) -> str:
        values = _composite_values(text)
        if values is None or len(values) != len(parts):
            # The type was altered after this row was written: guessing which field is which would be worse.
            return quote(text)
        members = [
            key + ("null" if value is None else encode_value(value))
            for (key, encode_value), value in zip(parts, values, strict=True)
        ]
        return f"{{{','.join(members)}}}"

    def encode_empty(text: str) -> str:
        return "{}" if text == "()" else quote(text)

    # `()` is a row of no attributes and also a row of one NULL; only the type can tell.
    return encode if parts else encode_empty


def vector_encoder(element: Callable[[str], str]) -> Callable[[str], str]:
    """Return an encoder of int2vector and oidvector, which are written as words without braces."""

    def encode(text: str) -> str:
        return f"[{','.join([element(item) for item in text.split()])}]"

    return encode


def _array_tokens(delimiter: str) -> Callable[[str], Iterable[re.Match[str]]]:
    mark = re.escape(delimiter)
    pattern = (
        r'"(?P<quoted>(?:[^"\\]++|\\["\\])*+)"'
        rf'|(?P<bare>[^"\\{{}}{mark}]++)'
        rf"|(?P<open>\{{)|(?P<close>\}})|(?P<delimiter>{mark})|(?P<garbage>.)"
    )
    return re.compile(pattern, re.DOTALL).finditer


def _encode_tokens(tokens: Iterable[re.Match[str]], element: Callable[[str], str]) -> str | None:
    """Rewrite an array literal token by token, without recursion; None when the tokens are in no valid order."""
    out: list[str] = []
    depth = 0
    value_next = True  # after `{` or a delimiter; otherwise a delimiter or `}` must follow
    for token in tokens:
        kind = token.lastgroup
        if kind == "delimiter" and depth and not value_next:
            out.append(",")
            value_next = True
        elif kind == "open" and value_next and depth < MAX_DIMENSIONS:
            out.append("[")
            depth += 1
        elif kind == "close" and depth and (not value_next or out[-1] == "["):
            out.append("]")
            depth -= 1
            value_next = False
        elif kind in {"quoted", "bare"} and depth and value_next:
            out.append(_encode_item(token, element))
            value_next = False
        else:
            return None
    return "".join(out) if out and not depth else None


def _encode_item(token: re.Match[str], element: Callable[[str], str]) -> str:
    bare: str | None = token["bare"]
    if bare is not None:
        return "null" if bare == "NULL" else element(bare)
    # Every quote inside has its own backslash and all others come in pairs, so two plain replacements are exact.
    return element(token["quoted"].replace('\\"', '"').replace("\\\\", "\\"))


def _composite_values(text: str) -> list[str | None] | None:
    """Split `(a,"b c",)` into its fields, with None for NULL; None altogether when it is not a row."""
    if text[:1] != "(" or text[-1:] != ")":
        return None
    if '"' not in text and "\\" not in text:
        return [value or None for value in text[1:-1].split(",")]
    values: list[str | None] = []
    position = 1
    while (field := _field(text, position)) is not None:
        quoted, bare, end = field.groups()
        values.append((bare or None) if quoted is None else quoted.replace('""', '"').replace("\\\\", "\\"))
        position = field.end()
        if end == ")":
            return values if position == len(text) else None
    return None
