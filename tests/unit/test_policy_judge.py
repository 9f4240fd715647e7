"""Judging rows: SQL's three truth values, failures and what only Postgres knows, and finding audiences by a key."""

from itertools import product
from typing import Any

import pytest

from tidewire.filters.answer import UNDECIDED, Answer
from tidewire.filters.scalars import scalar
from tidewire.filters.texts import rules
from tidewire.match.policy_bind import bind_condition
from tidewire.match.policy_claims import Fails, KnownClaims, audience_of
from tidewire.match.policy_compile import CompiledPolicies, Judgement, Place, with_keys
from tidewire.match.policy_keys import claims_read
from tidewire.match.policy_tree import (
    And,
    ClaimDocument,
    ClaimList,
    ClaimText,
    ColumnList,
    ColumnValue,
    Compare,
    Condition,
    ConstantValue,
    Converted,
    FirstKnown,
    FirstOf,
    Flag,
    HasKey,
    IsNull,
    Member,
    Not,
    NullIf,
    Or,
    Truth,
    Value,
    Values,
)
from tidewire.match.policy_values import Fixed, Unclear
from tidewire.model.change import ABSENT, Row
from tidewire.model.relation import PgType

TEXT, INT, BOOL, UUID, JSONB = (PgType(oid, "") for oid in (25, 23, 16, 2950, 3802))
TEXTS = rules(TEXT, "C")
INTS = rules(INT, "")
UUIDS = rules(UUID, "")

ME = "00000000-0000-4000-8000-00000000000a"
YOU = "11111111-0000-4000-8000-00000000000a"

OWNER, TITLE, FLAG = ColumnValue(0, UUID), ColumnValue(1, TEXT), ColumnValue(2, BOOL)
MY_ID = Converted(ClaimText(("sub",), TEXT), "read", UUID)
MINE = Compare("=", OWNER, MY_ID, UUIDS)
PLAN = ClaimText(("plan",), TEXT)
FAILING = Compare("=", Converted(ClaimText(("bad",), TEXT), "read", INT), ConstantValue("1", INT), INTS)
PUBLIC = Flag(FLAG)
FLAGS: dict[bool | None, str | None] = {True: "t", False: "f", None: None}


def row(owner: Any = ME, title: Any = "a", flag: Any = "t", *more: Any) -> Row:
    return (owner, title, flag, *more)


def answer(condition: Condition, values: Row, claims: dict[str, Any] | None = None) -> Answer:
    bound = bind_condition(condition, known(condition, claims or {}))
    return bound.answer if isinstance(bound, Fixed) else bound(values)


def known(condition: Condition, claims: dict[str, Any]) -> KnownClaims:
    return KnownClaims(audience_of("reader", claims, claims_read(condition)))


def truth(value: bool | None) -> Condition:  # noqa: FBT001 - the value under test
    return Flag(ConstantValue(FLAGS[value], BOOL))


def place(condition: Condition, claims: dict[str, Any]) -> Place:
    compiled = with_keys("reader", (condition,))
    return compiled.place(compiled.audience(claims))


def judgement(compiled: CompiledPolicies, claims: dict[str, Any], values: Row) -> Judgement:
    return compiled.judge(compiled.audience(claims))(values)


@pytest.mark.parametrize(("left", "right"), list(product(FLAGS, repeat=2)))
def test_logic_has_three_values(*, left: bool | None, right: bool | None) -> None:
    """Constants and columns combine alike, in whatever mixture."""
    both = False if False in (left, right) else None if None in (left, right) else True
    either = True if True in (left, right) else None if None in (left, right) else False
    values = ("", "", FLAGS[left], FLAGS[right])
    columns = (PUBLIC, Flag(ColumnValue(3, BOOL)))
    for parts in (columns, (truth(left), columns[1]), (columns[0], truth(right)), (truth(left), truth(right))):
        assert answer(And(parts), values) is both
        assert answer(Or(parts), values) is either
        assert answer(FirstKnown(parts), values) is (right if left is None else left)


@pytest.mark.parametrize("value", FLAGS)
def test_not_and_is(*, value: bool | None) -> None:
    for part in (truth(value), PUBLIC):
        values = row(flag=FLAGS[value])
        assert answer(Not(part), values) is (None if value is None else not value)
        for state, wanted in product(FLAGS, (True, False)):
            assert answer(Truth(part, state, wanted), values) is ((value is state) is wanted)


@pytest.mark.parametrize(
    ("operator", "left", "right", "expected"),
    [
        ("=", "9", "9", True),
        ("<>", "9", "9", False),
        ("<", "9", "10", True),
        (">=", "9", "10", False),
        ("=", None, "9", None),
        ("<", None, None, None),
        ("distinct", None, None, False),
        ("distinct", None, "9", True),
        ("distinct", "9", "9", False),
    ],
)
def test_comparisons(operator: Any, left: str | None, right: str | None, *, expected: bool | None) -> None:
    column = ColumnValue(0, INT)
    lefts: list[Value] = [column, ConstantValue(left, INT)]
    rights: list[Value] = [ColumnValue(1, INT), ConstantValue(right, INT)]
    for one, other in product(lefts, rights):
        assert answer(Compare(operator, one, other, INTS), (left, right)) is expected


@pytest.mark.parametrize(
    ("item", "texts", "expected"),
    [("a", [], False), (None, [], False), ("a", ["a", None], True), ("b", ["a", None], None), (None, ["a"], None)],
)
def test_membership(item: str | None, texts: list[str | None], *, expected: bool | None) -> None:
    constants = Values(tuple(ConstantValue(text, TEXT) for text in texts), TEXT)
    claims = {"list": texts}
    written = "{" + ",".join("NULL" if text is None else text for text in texts) + "}"
    mixed = Values((*constants.items, FLAG), TEXT) if texts else constants
    for values in (constants, ClaimList(("list",), TEXT), ColumnList(3, TEXT), mixed):
        for value in (TITLE, ConstantValue(item, TEXT)):
            given = row(title=item, flag="other")
            negated = None if expected is None else not expected
            assert answer(Member(value, values, TEXTS, wanted=True), (*given, written), claims) is expected
            assert answer(Member(value, values, TEXTS, wanted=False), (*given, written), claims) is negated


def test_an_array_that_is_not_plain_is_left_to_postgres() -> None:
    condition = Member(TITLE, ColumnList(3, TEXT), TEXTS, wanted=True)
    for text in ('{"a b"}', "{{a}}", "[0:1]={a,b}", "a", "{a\\b}"):
        assert answer(condition, row("", "a", "t", text)) is UNDECIDED
    assert answer(condition, row("", "a", "t", None)) is None


def test_values_are_computed() -> None:
    def value_of(value: Value, values: Row = (), claims: dict[str, Any] | None = None) -> Answer:
        return answer(Compare("=", value, ConstantValue("x", TEXT), TEXTS), values, claims)

    assert value_of(FirstOf((TITLE, PLAN, ConstantValue("x", TEXT)), TEXT), row(title=None)) is True
    assert value_of(FirstOf((TITLE, PLAN), TEXT), row(title=None), {"plan": "y"}) is False
    assert value_of(FirstOf((PLAN, TITLE), TEXT), row(title="x")) is True
    assert value_of(NullIf(TITLE, ConstantValue("", TEXT), TEXTS, TEXT), row(title="")) is None
    assert value_of(NullIf(PLAN, ConstantValue("", TEXT), TEXTS, TEXT), (), {"plan": "x"}) is True
    assert value_of(Converted(TITLE, "unpadded", TEXT), row(title="x   ")) is True
    assert answer(Compare("=", Converted(FLAG, "word", TEXT), ConstantValue("true", TEXT), TEXTS), row()) is True
    assert answer(IsNull(ClaimDocument(("plan",), JSONB), wanted=True), (), {"plan": None}) is False
    assert answer(IsNull(ClaimDocument((), JSONB), wanted=False), ()) is True
    assert answer(HasKey(ClaimDocument(("list",), JSONB), TITLE), row(), {"list": ["b", "a"]}) is True
    assert answer(HasKey(ClaimDocument(("list",), JSONB), TITLE), row()) is None


@pytest.mark.parametrize("wanted", [True, False])
def test_what_the_log_does_not_carry_is_not_guessed(*, wanted: bool) -> None:
    gone: Row = (ABSENT, ABSENT, ABSENT, ABSENT)
    undecided: list[Condition] = [
        MINE,
        PUBLIC,
        Not(PUBLIC),
        Truth(PUBLIC, None, wanted),
        IsNull(TITLE, wanted),
        Compare("distinct", TITLE, ConstantValue(None, TEXT), TEXTS),
        Member(TITLE, Values((ConstantValue("a", TEXT),), TEXT), TEXTS, wanted),
        Member(ConstantValue("a", TEXT), ColumnList(3, TEXT), TEXTS, wanted),
        FirstKnown((PUBLIC, truth(wanted))),
        And((PUBLIC, truth(None))),
        Or((PUBLIC, truth(None))),
    ]
    for condition in undecided:
        assert answer(condition, gone, {"sub": ME}) is UNDECIDED, condition
    assert answer(And((PUBLIC, IsNull(OWNER, wanted=True))), (ME, ABSENT, ABSENT)) is False
    assert answer(Or((PUBLIC, IsNull(OWNER, wanted=False))), (ME, ABSENT, ABSENT)) is True


def test_bytes_that_were_not_utf_8_equal_nothing_for_certain() -> None:
    odd = "a\ufffd"
    assert answer(Compare("=", TITLE, ColumnValue(0, TEXT), TEXTS), (odd, odd)) is UNDECIDED
    with pytest.raises(Unclear):
        answer(Compare("=", TITLE, PLAN, TEXTS), row(title=odd), {"plan": odd})
    with pytest.raises(Unclear):
        answer(HasKey(ClaimDocument(("plan",), JSONB), TITLE), row(title=odd), {"plan": odd})


def test_a_failure_never_shows_a_row() -> None:
    bad = {"bad": "no number"}
    compiled = with_keys("reader", (FAILING, PUBLIC))
    assert judgement(compiled, bad, row()) is Judgement.RAISES
    assert judgement(compiled, bad, row(flag="f")) is Judgement.HIDDEN
    assert judgement(compiled, {"bad": "1"}, row()) is Judgement.VISIBLE
    assert judgement(compiled, {}, row()) is Judgement.HIDDEN


@pytest.mark.parametrize(
    "condition", [Or((PUBLIC, FAILING)), Or((FAILING, PUBLIC)), And((PUBLIC, FAILING)), FirstKnown((PUBLIC, FAILING))]
)
def test_whether_a_failure_is_reached_is_for_postgres_to_say(condition: Condition) -> None:
    with pytest.raises(Unclear):
        answer(condition, row(), {"bad": "x"})
    assert judgement(with_keys("reader", (condition,)), {"bad": "x"}, row()) is Judgement.UNDECIDED
    assert judgement(with_keys("reader", (Not(condition), truth(None))), {"bad": "x"}, row()) is Judgement.HIDDEN


def test_a_failure_that_is_always_reached_is_certain() -> None:
    for condition in (Not(FAILING), Or((FAILING, FAILING)), FirstKnown((FAILING, truth(None)))):
        with pytest.raises(Fails):
            answer(condition, row(), {"bad": "x"})


def test_a_failure_that_is_reached_only_when_a_plan_is_made_is_for_postgres_to_tell() -> None:
    sure, nothing = ConstantValue(ME, UUID), ConstantValue(None, UUID)
    failing = Converted(ClaimText(("bad",), TEXT), "read", UUID)
    for condition in (
        FirstKnown((truth(True), FAILING)),
        Compare("=", FirstOf((sure, failing), UUID), OWNER, UUIDS),
        Not(Compare("=", failing, nothing, UUIDS)),
        Not(Member(failing, Values((), UUID), UUIDS, wanted=True)),
        Not(Member(nothing, Values((failing,), UUID), UUIDS, wanted=True)),
    ):
        with pytest.raises(Unclear):
            answer(condition, row(), {"bad": "x"})


def test_a_claim_that_only_postgres_can_read_leaves_the_row_undecided() -> None:
    compiled = with_keys("reader", (Compare("=", TITLE, PLAN, TEXTS),))
    assert judgement(compiled, {"plan": 1.5}, row()) is Judgement.UNDECIDED
    assert compiled.place(compiled.audience({"plan": 1.5})).entries is None


def test_an_equality_with_a_claim_is_a_key_that_answers_alone() -> None:
    compiled = with_keys("reader", (MINE,))
    assert [(key.column, key.path, key.canonical) for key in compiled.keys] == [(0, ("sub",), None)]
    assert compiled.residual == ()
    assert place(MINE, {"sub": ME.upper()}) == Place(((0, ME),), None)
    assert place(MINE, {}).entries == ()
    assert place(MINE, {"sub": None}).entries == ()


def test_a_key_that_cannot_be_read_puts_the_audience_among_those_always_asked() -> None:
    found = place(MINE, {"sub": "nobody"})
    assert found.entries is None
    assert found.judge is not None
    assert found.judge(row()) is Judgement.RAISES


def test_what_else_must_be_true_stays_beside_the_key() -> None:
    compiled = with_keys("reader", (PUBLIC, MINE))
    found = compiled.place(compiled.audience({"sub": ME}))
    assert (compiled.residual, found.entries) == ((PUBLIC,), ((0, ME),))
    assert found.judge is not None
    assert [found.judge(row(flag=flag)) for flag in ("t", "f")] == [Judgement.VISIBLE, Judgement.HIDDEN]


def test_an_or_of_equalities_has_a_key_for_each() -> None:
    condition = Or((MINE, And((PUBLIC, Compare("=", PLAN, TITLE, TEXTS)))))
    compiled = with_keys("reader", (condition,))
    assert [(key.column, key.path) for key in compiled.keys] == [(0, ("sub",)), (1, ("plan",))]
    assert compiled.residual == (condition,)
    assert compiled.place(compiled.audience({"sub": ME, "plan": "p"})).entries == ((0, ME), (1, "p"))
    assert compiled.place(compiled.audience({"plan": "p"})).entries == ((1, "p"),)


def test_a_list_in_the_claims_is_a_key_of_many_values() -> None:
    member = Member(OWNER, ClaimList(("teams",), UUID), UUIDS, wanted=True)
    assert place(member, {"teams": [ME, YOU, ME, None]}).entries == ((0, ME), (0, YOU))
    assert place(member, {"teams": []}).entries == ()
    split = Member(TITLE, ClaimList(("teams",), TEXT, ","), TEXTS, wanted=True)
    assert place(split, {"teams": "a,b"}).entries == ((0, "a"), (0, "b"))
    assert place(split, {}).entries == ()
    keys = HasKey(ClaimDocument(("teams",), JSONB), TITLE)
    assert place(keys, {"teams": {"b": 1, "a": 2}}).entries == ((0, "a"), (0, "b"))


def test_values_meet_in_their_canonical_form() -> None:
    numeric = scalar(PgType(1700, "numeric"))
    assert numeric is not None
    price = ColumnValue(0, PgType(1700, "numeric"))
    claim = Converted(ClaimText(("limit",), TEXT), "read", PgType(1700, "numeric"))
    compiled = with_keys("reader", (Compare("=", price, claim, numeric),))
    (key,) = compiled.keys
    assert key.canonical is not None
    assert compiled.place(compiled.audience({"limit": "1.50"})).entries == ((0, key.canonical("1.500")),)


@pytest.mark.parametrize(
    "condition",
    [
        Not(MINE),
        Or((MINE, PUBLIC)),
        Compare("<", TITLE, PLAN, TEXTS),
        Compare("=", OWNER, ConstantValue(ME, UUID), UUIDS),
        Compare("=", OWNER, ColumnValue(3, UUID), UUIDS),
        Compare("=", TITLE, FirstOf((PLAN, ColumnValue(3, TEXT)), TEXT), TEXTS),
        Member(OWNER, ClaimList(("teams",), UUID), UUIDS, wanted=False),
        And(()),
        Or(()),
    ],
)
def test_other_conditions_have_no_key(condition: Condition) -> None:
    assert with_keys("reader", (condition,)).keys == ()
