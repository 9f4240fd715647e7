"""Puts the claims of an audience into conditions: an answer that does not depend on the row, or a predicate over rows.

Where Postgres would fail while evaluating, it depends on the order of evaluation whether it gets there. So a failure is
certain only outside of AND and OR; inside of them, Postgres is to be asked.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

from tidewire.filters.answer import UNDECIDED, Answer, Predicate
from tidewire.filters.scalars import Scalar
from tidewire.filters.unsure import Unsure
from tidewire.match.policy_claims import Fails, KnownClaims
from tidewire.match.policy_members import bind_key_test, bind_member
from tidewire.match.policy_tree import (
    And,
    ClaimDocument,
    Compare,
    Condition,
    FirstKnown,
    Flag,
    HasKey,
    IsNull,
    Member,
    Not,
    Or,
    Truth,
)
from tidewire.match.policy_values import (
    Bound,
    Fixed,
    FromRow,
    Known,
    Unclear,
    bind_all,
    bind_pair,
    bind_value,
    comparable,
    key_of,
)
from tidewire.model.change import Row

_ORDERINGS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def bind_condition(condition: Condition, claims: KnownClaims) -> Fixed | Predicate:  # noqa: PLR0911 - one for each kind
    """Return a condition with the claims put in. Raises Fails where Postgres fails, Unclear where it must be asked."""
    match condition:
        case And() | Or():
            return _combined(condition, claims)
        case FirstKnown(conditions=parts):
            return _first_known(parts, claims)
        case Not(condition=inner):
            return _mapped(bind_condition(inner, claims), _negated)
        case Truth(condition=inner, state=state, wanted=wanted):
            return _mapped(bind_condition(inner, claims), lambda answer: (answer is state) is wanted)
        case Compare():
            return _comparison(condition, claims)
        case Member():
            return bind_member(condition, claims)
        case HasKey():
            return bind_key_test(condition, claims)
        case IsNull():
            return _null_test(condition, claims)
        case Flag(value=value):
            return _from_text(bind_value(value, claims), lambda text: None if text is None else text == "t")


def _negated(answer: bool | None) -> bool | None:  # noqa: FBT001 - it is the value that is negated
    return None if answer is None else not answer


def _mapped(bound: Fixed | Predicate, change: Callable[[bool | None], bool | None]) -> Fixed | Predicate:
    if isinstance(bound, Fixed):
        return Fixed(change(bound.answer))

    def predicate(row: Row) -> Answer:
        answer = bound(row)
        return UNDECIDED if answer is UNDECIDED else change(answer)

    return predicate


def _combined(condition: And | Or, claims: KnownClaims) -> Fixed | Predicate:
    bound: list[Fixed | Predicate] = []
    failed = 0
    for each in condition.conditions:
        try:
            bound.append(bind_condition(each, claims))
        except Fails:
            failed += 1
    if failed:
        raise Unclear if bound else Fails
    decisive = isinstance(condition, Or)
    answers = [each.answer for each in bound if isinstance(each, Fixed)]
    predicates = [each for each in bound if not isinstance(each, Fixed)]
    if decisive in answers:
        return Fixed(decisive)
    start: bool | None = None if None in answers else not decisive
    if not predicates:
        return Fixed(start)
    return (
        predicates[0] if len(predicates) == 1 and start is not None else _kleene(predicates, start, decisive=decisive)
    )


def _kleene(predicates: Sequence[Predicate], start: Answer, *, decisive: bool) -> Predicate:
    """Combine by SQL's OR, where true is decisive, or AND: then what only Postgres knows wins over NULL."""

    def predicate(row: Row) -> Answer:
        answer: Answer = start
        for part in predicates:
            found = part(row)
            if found is decisive:
                return decisive
            if found is UNDECIDED or (found is None and answer is not UNDECIDED):
                answer = found
        return answer

    return predicate


def _first_known(conditions: Sequence[Condition], claims: KnownClaims) -> Fixed | Predicate:
    predicates: list[Predicate] = []
    last: bool | None = None
    for bound in bind_all(conditions, bind_condition, claims):
        if not isinstance(bound, Fixed):
            predicates.append(bound)
        elif bound.answer is not None:
            last = bound.answer
            break
    if not predicates:
        return Fixed(last)

    def predicate(row: Row) -> Answer:
        for part in predicates:
            if (answer := part(row)) is not None:
                return answer
        return last

    return predicate


def _comparison(condition: Compare, claims: KnownClaims) -> Fixed | Predicate:
    left, right = bind_pair(condition.left, condition.right, claims)
    for each in (left, right):
        if isinstance(each, Known) and each.text is not None:
            key_of(each.text, condition.rules)
    if condition.operator == "distinct":
        return _from_two(left, right, _distinction(condition.rules))
    if (isinstance(left, Known) and left.text is None) or (isinstance(right, Known) and right.text is None):
        return Fixed(None)
    if condition.operator == "=" and condition.rules.same_text:
        if isinstance(right, Known) and not isinstance(left, Known) and right.text is not None:
            return _equal(left, right.text)
        if isinstance(left, Known) and not isinstance(right, Known) and left.text is not None:
            return _equal(right, left.text)
    return _from_two(left, right, _ordering(condition.operator, condition.rules))


def _equal(read: FromRow, wanted: str) -> Predicate:
    """Compare with a known text: by far the most common, so it is short."""

    def predicate(row: Row) -> Answer:
        try:
            text = read(row)
        except Unsure:
            return UNDECIDED
        return None if text is None else text == wanted

    return predicate


Comparing = Callable[[str | None, str | None], bool | None]


def _ordering(name: str, rules: Scalar) -> Comparing:
    compare = _ORDERINGS[name]
    key = comparable(rules) if name in {"=", "<>"} else rules.key or str

    def answer(left: str | None, right: str | None) -> bool | None:
        return None if left is None or right is None else bool(compare(key(left), key(right)))

    return answer


def _distinction(rules: Scalar) -> Comparing:
    key = comparable(rules)

    def answer(left: str | None, right: str | None) -> bool | None:
        return left is not right if left is None or right is None else bool(key(left) != key(right))

    return answer


def _from_two(left: Bound, right: Bound, compare: Comparing) -> Fixed | Predicate:
    if isinstance(left, Known) and isinstance(right, Known):
        return Fixed(compare(left.text, right.text))

    def predicate(row: Row) -> Answer:
        try:
            first = left.text if isinstance(left, Known) else left(row)
            second = right.text if isinstance(right, Known) else right(row)
            if first and second and "\ufffd" in first and "\ufffd" in second:
                return UNDECIDED  # it may stand for different bytes that were not UTF-8
            return compare(first, second)
        except Unsure:
            return UNDECIDED

    return predicate


def _null_test(condition: IsNull, claims: KnownClaims) -> Fixed | Predicate:
    value, wanted = condition.value, condition.wanted
    if isinstance(value, ClaimDocument):
        return Fixed(claims.exists(value.path) is not wanted)
    return _from_text(bind_value(value, claims), lambda text: (text is None) is wanted)


def _from_text(bound: Bound, judge: Callable[[str | None], bool | None]) -> Fixed | Predicate:
    if isinstance(bound, Known):
        return Fixed(judge(bound.text))

    def predicate(row: Row) -> Answer:
        try:
            return judge(bound(row))
        except Unsure:
            return UNDECIDED

    return predicate
