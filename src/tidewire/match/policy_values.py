"""Puts the claims of an audience into values: what depends on them alone is computed once, what is left reads a row."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from msgspec import Struct

from tidewire.filters.scalars import Scalar, scalar
from tidewire.filters.unsure import Unsure
from tidewire.match.policy_claims import Fails, KnownClaims
from tidewire.match.policy_tree import (
    ClaimDocument,
    ClaimSetting,
    ClaimText,
    ColumnValue,
    ConstantValue,
    Conversion,
    Converted,
    FirstOf,
    NullIf,
    Value,
)
from tidewire.model.change import ABSENT, Row
from tidewire.model.errors import ConfigurationError
from tidewire.model.relation import PgType


class Unclear(Exception):  # noqa: N818 - not an error: the question goes to Postgres
    """With these claims only Postgres can tell, for instance because it depends on the order of evaluation."""


class Known(Struct, frozen=True):
    """A value that does not depend on the row."""

    text: str | None


class Fixed(Struct, frozen=True):
    """The answer of a condition that does not depend on the row."""

    answer: bool | None


FromRow = Callable[[Row], str | None]
"""Reads a value from a row. Raises Unsure where the row does not have it."""

Bound = Known | FromRow

Part = TypeVar("Part")
Result = TypeVar("Result")


def bind_value(value: Value, claims: KnownClaims) -> Bound:  # noqa: PLR0911 - one for each kind
    """Return a value with the claims put in. Raises Fails where Postgres would fail, Unclear where it must be asked."""
    match value:
        case ColumnValue(place=place):
            return _from_column(place)
        case ConstantValue(text=text):
            return Known(text)
        case ClaimText(path=path):
            return Known(_certain(claims.text, path))
        case ClaimSetting(name=name):
            return Known(_certain(claims.text, (name,)) or "")
        case Converted():
            return _converted(value, claims)
        case FirstOf():
            return _first_of(value, claims)
        case NullIf():
            return _null_if(value, claims)
    raise Unclear


def read_text(text: str | None, type_: PgType) -> str | None:
    """Return what the type's input function makes of a text, in its canonical form."""
    found = scalar(type_)
    if text is None or found is None:  # the texts themselves
        return text
    try:
        return found.constant(text)
    except ConfigurationError:
        raise Fails from None
    except Unsure:
        raise Unclear from None


def comparable(rules: Scalar) -> Callable[[str], Any]:
    """Return what values are compared by where only equality counts."""
    return str if rules.same_text or rules.key is None else rules.key


def key_of(text: str, rules: Scalar) -> Any:
    """Return what a value known before any row is compared by. Raises Unclear for texts that cannot be trusted."""
    if rules.patterns and "\ufffd" in text:  # in rows it also stands for bytes of the log that were not UTF-8
        raise Unclear
    try:
        return (rules.key or str)(text)
    except Unsure:
        raise Unclear from None


def _certain(read: Callable[[tuple[str, ...]], str | None], path: tuple[str, ...]) -> str | None:
    try:
        return read(path)
    except Unsure:
        raise Unclear from None


def _from_column(place: int) -> FromRow:
    def read(row: Row) -> str | None:
        value = row[place]
        if value is ABSENT:
            raise Unsure
        return value

    return read


def _word(text: str) -> str:
    return "true" if text == "t" else "false"


def _unpadded(text: str) -> str:
    return text.rstrip(" ")


_OF_ROWS: dict[Conversion, Callable[[str], str]] = {"same": str, "word": _word, "unpadded": _unpadded}


def _converted(value: Converted, claims: KnownClaims) -> Bound:
    inner = value.value
    if isinstance(inner, ClaimDocument):
        return Known(_certain(claims.flag, inner.path))
    bound = bind_value(inner, claims)
    if value.how == "read":
        if isinstance(bound, Known):
            return Known(read_text(bound.text, value.type))
        raise Unclear
    convert = _OF_ROWS[value.how]
    if isinstance(bound, Known):
        return Known(None if bound.text is None else convert(bound.text))
    return _then(bound, convert)


def _then(read: FromRow, convert: Callable[[str], str]) -> FromRow:
    def converted(row: Row) -> str | None:
        text = read(row)
        return None if text is None else convert(text)

    return converted


def bind_all(parts: Iterable[Part], bind: Callable[[Part, KnownClaims], Result], claims: KnownClaims) -> list[Result]:
    """Put the claims into parts of which Postgres may leave some out: raises Fails only where the first fails.

    Making a plan it evaluates what no row has a say in, even behind the part that decides, if it wants to know how many
    rows there will be. So where any other part fails it must be asked, whether that part is needed or not.
    """
    bound: list[Result] = []
    for each in parts:
        try:
            bound.append(bind(each, claims))
        except Fails:
            if bound:
                raise Unclear from None
            raise
    return bound


def bind_pair(left: Value, right: Value, claims: KnownClaims) -> tuple[Bound, Bound]:
    """Put the claims into two operands. Raises Unclear where one fails beside a NULL, which may come first."""
    bound: list[Bound] = []
    for each in (left, right):
        with suppress(Fails):
            bound.append(bind_value(each, claims))
    if len(bound) == 2:
        return bound[0], bound[1]
    raise Unclear if Known(None) in bound else Fails


def _first_of(value: FirstOf, claims: KnownClaims) -> Bound:
    parts: list[FromRow] = []
    for bound in bind_all(value.values, bind_value, claims):
        if not isinstance(bound, Known):
            parts.append(bound)
        elif bound.text is not None:
            return _first(parts, bound.text) if parts else bound
    return _first(parts, None) if parts else Known(None)


def _first(parts: list[FromRow], last: str | None) -> FromRow:
    def read(row: Row) -> str | None:
        for part in parts:
            if (text := part(row)) is not None:
                return text
        return last

    return read


def _null_if(value: NullIf, claims: KnownClaims) -> Bound:
    left, right = bind_pair(value.left, value.right, claims)
    key = comparable(value.rules)
    for each in (left, right):
        if isinstance(each, Known) and each.text is not None:
            key_of(each.text, value.rules)
    if isinstance(left, Known) and isinstance(right, Known):
        return Known(_unless_equal(left.text, right.text, key))

    def read(row: Row) -> str | None:
        first = left.text if isinstance(left, Known) else left(row)
        second = right.text if isinstance(right, Known) else right(row)
        return _unless_equal(first, second, key)

    return read


def _unless_equal(left: str | None, right: str | None, key: Callable[[str], Any]) -> str | None:
    return None if left is not None and right is not None and key(left) == key(right) else left
