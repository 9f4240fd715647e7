"""Puts the claims of an audience into questions of membership: is a value in an array, in a claim, in a column."""

from collections.abc import Callable
from typing import Any, Final

from tidewire.filters.answer import UNDECIDED, Answer, Predicate
from tidewire.filters.unsure import Unsure
from tidewire.match.policy_claims import Fails, KnownClaims
from tidewire.match.policy_tree import ClaimList, ColumnList, HasKey, Member, Values
from tidewire.match.policy_values import (
    Bound,
    Fixed,
    FromRow,
    Known,
    Unclear,
    bind_all,
    bind_value,
    comparable,
    key_of,
    read_text,
)
from tidewire.model.change import ABSENT, Row

Texts = list[str | None]

_NOT_PLAIN: Final = frozenset('"\\{}[]')


def bind_member(condition: Member, claims: KnownClaims) -> Fixed | Predicate:
    """Return `= ANY` or `<> ALL` with the claims put in. Raises Unclear where Postgres must be asked."""
    try:
        return _bind_member(condition, claims)
    except Fails:  # unless the item or the list is NULL, which may come first
        raise Unclear from None


def _bind_member(condition: Member, claims: KnownClaims) -> Fixed | Predicate:
    item = bind_value(condition.item, claims)
    if isinstance(item, Known) and item.text is not None:
        key_of(item.text, condition.rules)
    key, wanted = comparable(condition.rules), condition.wanted
    match condition.values:
        case ColumnList(place=place):
            return _among_rows_values(item, _from_array(place), key, wanted=wanted)
        case Values(items=items):
            bound = bind_all(items, bind_value, claims)
            if not all(isinstance(each, Known) for each in bound):
                return _among_rows_values(item, _from_values(bound), key, wanted=wanted)
            texts: Texts | None = [each.text for each in bound if isinstance(each, Known)]
        case ClaimList():
            texts = claim_texts(condition.values, claims)
    if texts is None:
        return Fixed(None)
    for text in texts:
        if text is not None:
            key_of(text, condition.rules)
    return _among(item, texts, key, wanted=wanted)


def bind_key_test(condition: HasKey, claims: KnownClaims) -> Fixed | Predicate:
    """Return `document ? key` with the claims put in."""
    item, keys = bind_value(condition.key, claims), claims.keys(condition.document.path)
    if keys is None:
        return Fixed(None)
    if any("\ufffd" in key for key in keys):
        raise Unclear
    return _answered(item, lambda text: None if text is None else text in keys)


def claim_texts(values: ClaimList, claims: KnownClaims) -> Texts | None:
    """Return the elements of a claim in their canonical form; None where the whole list is NULL."""
    try:
        if values.separator is None:
            texts: Texts = claims.elements(values.path)
        elif (text := claims.text(values.path)) is None:
            return None
        else:
            texts = list(text.split(values.separator)) if text else []
    except Unsure:
        raise Unclear from None
    return [read_text(each, values.type) for each in texts]


def _among(item: Bound, texts: Texts, key: Callable[[str], Any], *, wanted: bool) -> Fixed | Predicate:
    if not texts:
        return Fixed(not wanted)  # an empty list leaves no room for doubt, not even for NULL
    members = frozenset(key(text) for text in texts if text is not None)
    otherwise = None if None in texts else not wanted

    def judge(text: str | None) -> bool | None:
        if text is None:
            return None
        return wanted if key(text) in members else otherwise

    return _answered(item, judge)


def _answered(item: Bound, judge: Callable[[str | None], bool | None]) -> Fixed | Predicate:
    if isinstance(item, Known):
        return Fixed(judge(item.text))

    def predicate(row: Row) -> Answer:
        try:
            return judge(item(row))
        except Unsure:
            return UNDECIDED

    return predicate


def _among_rows_values(
    item: Bound, read: Callable[[Row], Texts | None], key: Callable[[str], Any], *, wanted: bool
) -> Predicate:
    def predicate(row: Row) -> Answer:
        try:
            texts = read(row)
            return judge(item.text if isinstance(item, Known) else item(row), texts)
        except Unsure:
            return UNDECIDED

    def judge(text: str | None, texts: Texts | None) -> bool | None:
        if not texts:
            return None if texts is None else not wanted
        if text is None:
            return None
        if any("\ufffd" in each for each in texts if each):
            raise Unsure  # it may stand for different bytes that were not UTF-8
        wished = key(text)
        if any(each is not None and key(each) == wished for each in texts):
            return wanted
        return None if None in texts else not wanted

    return predicate


def _from_values(bound: list[Bound]) -> Callable[[Row], Texts | None]:
    readers: list[FromRow] = [each if not isinstance(each, Known) else _constantly(each.text) for each in bound]
    return lambda row: [read(row) for read in readers]


def _constantly(text: str | None) -> FromRow:
    return lambda _: text


def _from_array(place: int) -> Callable[[Row], Texts | None]:
    def read(row: Row) -> Texts | None:
        value = row[place]
        if value is None:
            return None
        if value is ABSENT:
            raise Unsure
        inner = value[1:-1]
        if value[:1] != "{" or value[-1:] != "}" or not _NOT_PLAIN.isdisjoint(inner):
            raise Unsure  # quoted elements and several dimensions are rare, and Postgres is at hand
        return [None if each == "NULL" else each for each in inner.split(",")] if inner else []

    return read
