"""Turns the text of a row filter, `status=eq.open,price=not.lt.10`, into conditions. Knows no tables and no types."""

import re
from typing import Literal, get_args

from msgspec import Struct

from tidewire.model.errors import ConfigurationError

Operator = Literal["eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "is", "match", "imatch", "isdistinct"]
OPERATORS: frozenset[str] = frozenset(get_args(Operator))

_HINT = "write column=operator.value, joined by commas; put values with commas into double quotes"
_BLANKS = " \t\n\r\v\f"

# One pass over the text: a part in quotes (which open only after `.`, `(` or `,`), or any single character.
_token = re.compile(r'(?<=[.(,])"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|.', re.DOTALL)
_whole_quotes = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_escaped = re.compile(r"\\(.)", re.DOTALL)

# One element of a list and what ends it, by the rules of Postgres's array literals.
_element = re.compile(
    r"[ \t\n\r\v\f]*+"
    r'(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"[ \t\n\r\v\f]*+|(?P<bare>(?=[^ \t\n\r\v\f])(?:[^"\\{},]|\\.)++))'
    r"(?P<end>,|\Z)",
    re.DOTALL,
)


class Condition(Struct, frozen=True):
    """One condition on one column. For `in`, `value` is the list, with None where the list says NULL.

    `literal` is the value as error messages show it: unquoted, and for `in` the list in braces.
    """

    column: str
    operator: Operator
    value: str | tuple[str | None, ...]
    negated: bool = False
    literal: str = ""

    def __str__(self) -> str:
        """Show the condition in the form that clients of this protocol know from error messages."""
        members = ", ".join(inspect_text(text) for text in (self.column, self.operator, self.literal))
        return f"{{{members}, {'true' if self.negated else 'false'}}}"


def parse_filter(text: str) -> tuple[Condition, ...]:
    """Split the text into conditions that must all hold; none for blank text. Check them against a table next.

    Takes time linear in the text. Raises ConfigurationError whose `message` is the text that clients expect.
    """
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise _refused("text must be Unicode without the zero character")
    trimmed = text.strip()
    return tuple(_parse_segment(segment.strip()) for segment in _split(trimmed)) if trimmed else ()


def inspect_text(text: str) -> str:
    """Quote text as error messages of this protocol do."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("#{", "\\#{")
    for character, name in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(character, name)
    return f'"{escaped}"'


def _split(text: str) -> list[str]:
    """Cut at commas outside parentheses and quotes."""
    segments: list[str] = []
    start = depth = 0
    for token in _token.finditer(text):
        part = token[0]
        if part == "(":
            depth += 1
        elif part == ")":
            depth = max(0, depth - 1)
        elif part == "," and not depth:
            segments.append(text[start : token.start()])
            start = token.end()
    segments.append(text[start:])
    return segments


def _parse_segment(segment: str) -> Condition:
    if not segment:
        raise _refused("filter must not contain empty segments (check for extra commas)")
    column, equals, rest = segment.partition("=")
    if not equals:
        raise _refused(f"[{inspect_text(segment)}]")
    negated = rest.startswith("not.")
    rest = rest.removeprefix("not.")
    name, dot, value = rest.partition(".")
    if not dot:
        raise _refused(f"[{inspect_text(rest)}]")
    operator = _OPERATOR_BY_NAME.get(name)
    if operator is None:
        raise _refused(f"[{inspect_text(name)}, {inspect_text(value)}]")
    if operator == "in":
        if len(value) < 2 or value[0] != "(" or value[-1] != ")":
            raise _refused("`in` filter value must be wrapped by parentheses")
        literal = f"{{{value[1:-1]}}}"
        return Condition(column, operator, _parse_list(value[1:-1], literal), negated, literal)
    value = _unquote(value)
    return Condition(column, operator, value, negated, value)


_OPERATOR_BY_NAME: dict[str, Operator] = {name: name for name in get_args(Operator)}


def _unquote(value: str) -> str:
    """Take off quotes around the whole value; anything else, such as an unterminated quote, is meant literally."""
    quoted = _whole_quotes.fullmatch(value)
    return _escaped.sub(r"\1", quoted[1]) if quoted else value


def _parse_list(inner: str, literal: str) -> tuple[str | None, ...]:
    if not inner.strip(_BLANKS):
        return ()
    values: list[str | None] = []
    position = 0
    more = True
    while more:
        element = _element.match(inner, position)
        if element is None:  # nothing between commas, a stray quote, or braces of a nested list
            raise ConfigurationError(f'malformed array literal: "{literal}"', hint='write the list as in.(a,"b,c",d)')
        values.append(_list_value(element))
        position = element.end()
        more = element["end"] == ","
    return tuple(values)


def _list_value(element: re.Match[str]) -> str | None:
    quoted: str | None = element["quoted"]
    if quoted is not None:
        return _escaped.sub(r"\1", quoted)
    bare = element["bare"].rstrip(_BLANKS)
    return None if bare.upper() == "NULL" else _escaped.sub(r"\1", bare)


def _refused(reason: str) -> ConfigurationError:
    return ConfigurationError(f"Error parsing `filter` params: {reason}", hint=_HINT)
