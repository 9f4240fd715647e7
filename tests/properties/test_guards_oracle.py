"""Who sees what against brute force: each subscription judged by itself gives the same frames as the indexes do."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from tidewire.filters.grammar import parse_filter
from tidewire.filters.texts import rules
from tidewire.hub.admission import admit
from tidewire.match.candidates import Ask
from tidewire.match.finding import BY_FILTER, BY_POLICY
from tidewire.match.guard import Guard
from tidewire.match.matcher import Matcher
from tidewire.match.policy_compile import Judgement, with_keys
from tidewire.match.policy_tree import And, ClaimText, ColumnValue, Compare, Condition, ConstantValue, Not, Or
from tidewire.match.row_filter import row_filter
from tidewire.match.rule import Restriction, Rule, TableAccess
from tidewire.match.sight import Sight, Sights, see, told_as
from tidewire.match.subscription import Audience, Subscription
from tidewire.model.change import ABSENT, Change, Row, Value
from tidewire.model.relation import Column, PgType, Relation
from tidewire.testing.rows import deleted, inserted, updated

TEXT = PgType(25, "text")
TEXTS = rules(TEXT, "C")
NAMES = ("id", "owner", "team")
ROLES = ("one", "two")
DOMAIN: tuple[Value, ...] = ("a", "b", None)

Claims = Mapping[str, Any]


class Reader(Struct, frozen=True):
    role: str
    claims: dict[str, str]
    event: str
    filter: str
    moves: bool


class Stance(Struct, frozen=True):
    """How a role stands to the table: no condition, one that is compiled, or one that is left to Postgres."""

    condition: Condition | None
    opaque: bool
    hides_team: bool


class Postgres:
    """Judges what is left open by trying every condition on every row."""

    def __init__(self, stances: Mapping[str, Stance]) -> None:
        self._stances = stances

    async def visible(self, asks: Sequence[Ask]) -> Sequence[Sight | None]:
        return [self._see(ask) for ask in asks]

    def _see(self, ask: Ask) -> Sight | None:
        """Decide about filters; policies that are left open are not among these questions."""
        if ask.rule is None:
            return None
        shown = []
        for doubt, row in ((ask.new, ask.change.new), (ask.old, ask.change.old)):
            assert not (doubt or 0) & BY_POLICY
            shown.append(doubt is not None and (not doubt & BY_FILTER or fits(ask.filter, row or ())))
        return see(ask.rule, ask.change, new=shown[0], old=shown[1])

    async def seers(
        self, rule: Rule, relation: Relation, rows: Sequence[Row], audiences: Sequence[Audience]
    ) -> list[list[int]]:
        assert relation.name == "t"
        return [
            [number for number, each in enumerate(audiences) if self._sees(rule.role, each.claims[0][1], row)]
            for row in rows
        ]

    def _sees(self, role: str, claims: str, row: Row) -> bool:
        condition = self._stances[role].condition
        assert condition is not None
        return sees(condition, json.loads(claims), row)


def sees(condition: Condition, claims: Claims, row: Row) -> bool:
    return truth(condition, claims, row) is True


def truth(condition: Condition, claims: Claims, row: Row) -> bool | None:
    match condition:
        case Compare(left=ColumnValue(place=place), right=right):
            value = row[place]
            other = right.text if isinstance(right, ConstantValue) else claims.get(right.path[0])  # type: ignore[union-attr]  # nothing else is drawn
            return None if value is None or other is None else value == other
        case Not(condition=inner):
            found = truth(inner, claims, row)
            return None if found is None else not found
        case And(conditions=parts):
            found_all = [truth(each, claims, row) for each in parts]
            return False if False in found_all else None if None in found_all else True
        case Or(conditions=parts):
            found_all = [truth(each, claims, row) for each in parts]
            return True if True in found_all else None if None in found_all else False
    raise AssertionError(condition)


def columns_of(condition: Condition) -> set[int]:
    match condition:
        case Compare(left=ColumnValue(place=place)):
            return {place}
        case Not(condition=inner):
            return columns_of(inner)
        case And(conditions=parts) | Or(conditions=parts):
            return set().union(*map(columns_of, parts))
    raise AssertionError(condition)


values = st.sampled_from(DOMAIN)
others = st.one_of(
    st.sampled_from(["a", "b"]).map(lambda text: ConstantValue(text, TEXT)),
    st.sampled_from(["sub", "sub", "plan"]).map(lambda name: ClaimText((name,), TEXT)),
)
leaves = st.builds(
    lambda place, other: Compare("=", ColumnValue(place, TEXT), other, TEXTS), st.sampled_from([1, 1, 2]), others
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=4,
)
stances = st.builds(Stance, st.one_of(st.none(), conditions, conditions, conditions), st.booleans(), st.booleans())
readers = st.builds(
    Reader,
    st.sampled_from(ROLES),
    st.dictionaries(st.sampled_from(["sub", "plan"]), st.sampled_from(["a", "b"])),
    st.sampled_from(["*", "*", "INSERT", "UPDATE", "DELETE"]),
    st.sampled_from(["", "", "owner=eq.a", "team=eq.b", "owner=neq.a", "owner=match.^(a|c)$"]),
    st.booleans(),
)
operations = st.sampled_from(["INSERT", "UPDATE", "UPDATE", "DELETE"])
rows = st.tuples(st.just("1"), values, values)
writes = st.lists(st.tuples(operations, rows, rows), min_size=1, max_size=5)

Told = tuple[int, str, bool | None]
"""Connection, what it was told, and whether an UPDATE came with the whole old row."""


@given(
    stances=st.fixed_dictionaries(dict.fromkeys(ROLES, stances)),
    readers=st.lists(readers, min_size=1, max_size=8),
    late=st.lists(st.booleans(), min_size=8, max_size=8),
    writes=writes,
    full=st.booleans(),
    strict=st.booleans(),
    sorted_early=st.booleans(),
)
def test_indexes_show_the_same_as_asking_for_everybody(
    *,
    stances: dict[str, Stance],
    readers: list[Reader],
    late: list[bool],
    writes: list[tuple[str, Row, Row]],
    full: bool,
    strict: bool,
    sorted_early: bool,
) -> None:
    relation = table(full=full)
    guard = Guard(relation, hides_deletions=strict)
    guards = [guard] if sorted_early else []
    matcher = Matcher()
    changes = [change_of(relation, number, *write) for number, write in enumerate(writes)]
    for number, reader in enumerate(readers):
        if not late[number]:
            add(matcher, number, reader, guards)
    guard.add("one", rule_of("one", stances["one"], relation))
    check(matcher, guard, stances, {n: r for n, r in enumerate(readers) if not late[n]}, changes, known={"one"})
    guard.add("two", rule_of("two", stances["two"], relation))
    for number, reader in enumerate(readers):
        if late[number]:
            add(matcher, number, reader, guards)
    check(matcher, guard, stances, dict(enumerate(readers)), changes)
    for number in range(0, len(readers), 2):
        matcher.remove(number)
    check(matcher, guard, stances, {n: r for n, r in enumerate(readers) if n % 2}, changes)


def check(
    matcher: Matcher,
    guard: Guard,
    stances: Mapping[str, Stance],
    readers: Mapping[int, Reader],
    changes: Sequence[Change],
    *,
    known: set[str] | None = None,
) -> None:
    candidates = matcher.match(changes, lambda _: guard)
    postgres = Postgres(stances)
    asyncio.run(admit([each for each in candidates.findings if each.deferred], postgres))
    assert known is not None or all(ask.rule is not None for ask in candidates.asks)
    sights = Sights()
    certain = [None if ask.new or ask.old else sights.answer(ask) for ask in candidates.asks]
    answers = asyncio.run(postgres.visible(candidates.asks))
    assert all(
        one == other
        for ask, one, other in zip(candidates.asks, certain, answers, strict=True)
        if not (ask.new or ask.old)
    )
    told: dict[int, set[Told]] = {number: set() for number in range(len(changes))}
    for delivery in candidates.deliveries(answers):
        sight = delivery.answer
        operation = told_as(delivery.change, sight, moves=delivery.moves)
        if operation is None:
            continue
        for receivers in delivery.receivers:
            for connection in receivers.connections:
                whole = sight.old_columns == sight.columns if operation == "UPDATE" else None
                told[delivery.change.index].add((connection, operation, whole))
    for change in changes:
        for number, reader in readers.items():
            mine = {each for each in told[change.index] if each[0] == number}
            if known is not None and reader.role not in known:
                assert mine == set()
                continue
            expected = expect(reader, stances[reader.role], change, strict=guard.hides_deletions)
            if expected is not None:
                assert mine == {(number, *each) for each in expected}, (change.operation, reader)


def expect(reader: Reader, stance: Stance, change: Change, *, strict: bool) -> list[tuple[str, bool | None]] | None:
    """Return what a reader has to be told, or None where the log leaves it open."""
    new, old = change.new, change.old
    if stance.hides_team and reader.filter.startswith("team"):
        return []
    if change.operation == "DELETE":
        return expect_deletion(reader, stance, old or (), strict=strict)
    assert new is not None
    shown = fits(reader.filter, new) and admits(stance, reader, new)
    if change.operation == "INSERT":
        return [("INSERT", None)] if shown and reader.event in {"*", "INSERT"} else []
    sees_old = old is not None and carries(stance, old) and admits(stance, reader, old)
    if old is None:
        sees_old = True  # nothing of it is shown
    if reader.moves and change.relation.identity == "full":
        assert old is not None
        was = fits(reader.filter, old) and admits(stance, reader, old)
        operation = "UPDATE" if shown and was else "INSERT" if shown else "DELETE" if was else ""
        whole = True if operation == "UPDATE" else None
        return [(operation, whole)] if operation and reader.event in {"*", operation} else []
    return [("UPDATE", sees_old)] if shown and reader.event in {"*", "UPDATE"} else []


def expect_deletion(reader: Reader, stance: Stance, old: Row, *, strict: bool) -> list[tuple[str, bool | None]] | None:
    if reader.event not in {"*", "DELETE"} or not fits(reader.filter, old):
        return []
    if stance.condition is None or not strict:
        return [("DELETE", None)]
    if carries(stance, old):
        return [("DELETE", None)] if admits(stance, reader, old) else []
    completions = product(*(DOMAIN if value is ABSENT else (value,) for value in old))
    return [("DELETE", None)] if any(admits(stance, reader, row) for row in completions) else None


def admits(stance: Stance, reader: Reader, row: Row) -> bool:
    return stance.condition is None or sees(stance.condition, reader.claims, row)


def carries(stance: Stance, row: Row) -> bool:
    return stance.condition is None or all(row[place] is not ABSENT for place in columns_of(stance.condition))


def fits(filter_: str, row: Row) -> bool:
    if not filter_:
        return True
    column, operator, wanted = filter_.replace("=", ".", 1).split(".")
    value = row[NAMES.index(column)]
    if value is None or value is ABSENT:
        return False
    return (value == "a") if operator == "match" else (value == wanted) is (operator == "eq")


def table(*, full: bool) -> Relation:
    columns = tuple(Column(name, TEXT, identity=full or name == "id", primary=name == "id") for name in NAMES)
    return Relation(7, "public", "t", "full" if full else "default", columns)


def change_of(relation: Relation, number: int, operation: str, new: Row, old: Row) -> Change:
    kept = old if relation.identity == "full" else (old[0], ABSENT, ABSENT)
    if operation == "INSERT":
        return inserted(relation, new, index=number)
    if operation == "DELETE":
        return deleted(relation, kept, index=number)
    return updated(relation, new, kept if relation.identity == "full" else None, index=number)


def rule_of(role: str, stance: Stance, relation: Relation) -> Rule:
    names = frozenset(NAMES[:2] if stance.hides_team else NAMES)
    access = TableAccess(names, has_key=True, sees_key=True, unrestricted=stance.condition is None)
    if stance.condition is None:
        return Rule(role, access)
    read = frozenset(relation.columns[place].name for place in columns_of(stance.condition))
    compiled = None if stance.opaque else with_keys(role, (stance.condition,))
    return Rule(role, access, Restriction("drawn", read), compiled)


def add(matcher: Matcher, number: int, reader: Reader, guards: Sequence[Guard]) -> None:
    conditions = parse_filter(reader.filter)
    wish = Subscription(
        id=number,
        connection=number,
        topic="x",
        wire_id=1,
        schema="public",
        table="t",
        event=reader.event,  # type: ignore[arg-type]  # one of the names
        filter=reader.filter,
        select=None,
        audience=Audience(reader.role),
        claims=reader.claims,
        reads=tuple(condition.column for condition in conditions),
        moves=reader.moves,
    )
    locales = {("public", "t"): dict.fromkeys(NAMES, "C")}
    assert not matcher.add(wish, row_filter(conditions, locales) if reader.filter else None, guards)


def test_the_judge_of_a_rule_and_the_brute_force_agree() -> None:
    """A sample, so that the oracle is not wrong in the same way as the code: a NULL makes neither side true."""
    condition = Not(Compare("=", ColumnValue(1, TEXT), ClaimText(("sub",), TEXT), TEXTS))
    compiled = with_keys("one", (condition,))
    for value, expected in (("a", False), ("b", True), (None, False)):
        judge = compiled.judge(compiled.audience({"sub": "a"}))
        assert (judge(("1", value, None)) is Judgement.VISIBLE) is expected
        assert sees(condition, {"sub": "a"}, ("1", value, None)) is expected
