"""The matcher against brute force: asking every subscription about every change gives the same deliveries."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import Struct

from tidewire.filters.answer import UNDECIDED, Answer, Predicate
from tidewire.match.candidates import Ask, Candidates
from tidewire.match.finding import Broken
from tidewire.match.matcher import Matcher
from tidewire.match.subscription import Audience, Compile, CompiledFilter, Subscription
from tidewire.model.change import ABSENT, Change, Operation, Row, Value
from tidewire.model.errors import ConfigurationError
from tidewire.model.relation import Column, PgType, Relation, ReplicaIdentity
from tidewire.testing.rows import deleted, inserted, truncated, updated

TEXT = PgType(25, "text")
SHAPES = (("a", "b", "c"), ("b", "a"), ("a", "b"), ("c", "a", "b"))
"""Columns come, go and change places."""

AUDIENCES = (Audience("anon"), Audience("member", (("sub", "u1"),)), Audience("member", (("sub", "u2"),)))
Reply = dict[Audience, str | None]
Drawn = tuple[str, str, tuple[str, ...], Operation, list[Value], list[Value]]


class Test(Struct, frozen=True):
    """One condition of a filter. Texts are numbers, equal with and without leading zeros.

    `open` is an equality that only Postgres can decide.
    """

    __test__ = False

    column: str
    operator: Literal["eq", "in", "neq", "null", "open"]
    values: tuple[str, ...] = ()

    def answer(self, value: Value) -> bool | None:
        """Answer as SQL does, for the brute force."""
        if value is ABSENT:
            return None
        if self.operator == "null":
            return value is None
        if value is None:
            return None
        equal = int(value) in map(int, self.values)
        return not equal if self.operator == "neq" else equal


def matches(tests: Sequence[Test], names: Sequence[str], row: Row | None) -> bool:
    if not tests:
        return True
    return row is not None and all(test.answer(row[names.index(test.column)]) is True for test in tests)


def is_open(change: Change, tests: Sequence[Test]) -> bool:
    return change.operation != "TRUNCATE" and any(test.operator == "open" for test in tests)


def canonical(text: str) -> str:
    return text.lstrip("0") or "0"


def compiler(tests: Sequence[Test]) -> Compile:
    """Compile as the real filters do: the first equality for the index, the rest as a function of the row."""

    def compile_(relation: Relation) -> CompiledFilter:
        names = [column.name for column in relation.columns]
        if any(test.column not in names for test in tests):
            raise ConfigurationError("invalid column for filter")
        indexed = next((test for test in tests if test.operator in {"eq", "in"}), None)
        rest = [test for test in tests if test is not indexed]
        residual = _residual(rest, names) if rest else None
        if indexed is None:
            return CompiledFilter(residual=residual)
        return CompiledFilter((names.index(indexed.column), tuple(map(canonical, indexed.values))), canonical, residual)

    return compile_


def _residual(tests: Sequence[Test], names: Sequence[str]) -> Predicate:
    places = [(test, names.index(test.column)) for test in tests]

    def residual(row: Row) -> Answer:
        if any(test.answer(row[place]) is not True for test, place in places if test.operator != "open"):
            return None
        seen = [row[place] for test, place in places if test.operator == "open"]
        if any(value is None or value is ABSENT for value in seen):
            return None
        return UNDECIDED if seen else True

    return residual


# Few different values, so that wishes coincide, differ in one thing only, or share a channel.
texts = st.sampled_from(["0", "1", "01"])
rows = st.lists(st.one_of(texts, texts, st.none(), st.just(ABSENT)), min_size=3, max_size=3)
columns = st.sampled_from("aaabc")
conditions = st.one_of(
    st.builds(Test, columns, st.sampled_from(["eq", "eq", "neq", "open"]), st.tuples(texts)),
    st.builds(Test, columns, st.just("in"), st.lists(texts, max_size=3).map(tuple)),
    st.builds(Test, columns, st.just("null")),
)
filters = st.one_of(st.just(()), st.tuples(conditions), st.tuples(conditions), st.tuples(conditions, conditions))
fields: dict[str, st.SearchStrategy[object]] = {
    "connection": st.integers(1, 3),
    "topic": st.sampled_from(["x", "x", "y"]),
    "wire_id": st.integers(1, 2),
    "schema": st.sampled_from(["s", "s", "*"]),
    "table": st.sampled_from(["t", "t", "u", "*"]),
    "event": st.sampled_from(["*", "*", "INSERT", "UPDATE", "DELETE"]),
    "select": st.sampled_from([None, None, ("a",)]),
    "audience": st.sampled_from(AUDIENCES),
    "truncate": st.booleans(),
}
wishes = st.builds(Subscription, id=st.just(0), filter=st.just(""), **fields)
variations = st.sampled_from(sorted(fields)).flatmap(lambda name: fields[name].map(lambda value: {name: value}))
changes = st.lists(
    st.tuples(
        st.sampled_from(["s", "s", "other"]),
        st.sampled_from(["t", "t", "u"]),
        st.sampled_from([*SHAPES[:1] * 4, *SHAPES[1:]]),
        st.sampled_from(["INSERT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"]),
        rows,
        rows,
    ),
    min_size=1,
    max_size=4,
)
replies: st.SearchStrategy[Reply] = st.fixed_dictionaries(
    {audience: st.sampled_from([None, "all", "some"]) for audience in AUDIENCES}
)

Frame = tuple[int, tuple[str, ...] | None, str, str, int]
"""Number of the change, select, answer, topic, connection."""

Live = dict[int, tuple[Subscription, tuple[Test, ...]]]


class MatcherMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.matcher = Matcher()
        self.live: Live = {}
        self.next_id = 0
        self.reported: set[int] = set()

    @rule(wish=wishes, tests=filters)
    def add(self, wish: Subscription, tests: tuple[Test, ...]) -> None:
        self.next_id += 1
        wish = msgspec.structs.replace(wish, id=self.next_id, filter=",".join(map(repr, tests)))
        self.report(self.matcher.add(wish, compiler(tests) if tests else None))
        self.live[wish.id] = (wish, tests)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), difference=variations)
    def add_another(self, data: st.DataObject, difference: dict[str, object]) -> None:
        """Wish what somebody else wishes, but for one thing or nothing."""
        wish, tests = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        self.add(msgspec.structs.replace(wish, **difference), tests)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.live)))
        self.matcher.remove(id_)
        del self.live[id_]

    @rule(connection=st.integers(1, 3))
    def disconnect(self, connection: int) -> None:
        self.matcher.remove_connection(connection)
        self.live = {id_: entry for id_, entry in self.live.items() if entry[0].connection != connection}

    @rule(drawn=changes, reply=replies)
    def match(self, drawn: list[Drawn], reply: Reply) -> None:
        changes = tuple(_change(number, each) for number, each in enumerate(drawn))
        candidates = self.matcher.match(changes)
        self.report(candidates.broken)
        self.check_asks(candidates, changes)
        self.check_deliveries(candidates, changes, dict(self.live), reply)

    @precondition(lambda self: self.live)
    @rule(drawn=changes, reply=replies, data=st.data(), leaves=st.booleans())
    def match_while_people_come_and_go(
        self, drawn: list[Drawn], reply: Reply, data: st.DataObject, *, leaves: bool
    ) -> None:
        changes = tuple(_change(number, each) for number, each in enumerate(drawn))
        candidates = self.matcher.match(changes)
        self.report(candidates.broken)
        then = dict(self.live)
        self.add_another(data, data.draw(variations))
        if leaves:
            self.remove(data)
        self.check_deliveries(candidates, changes, then, reply)

    @invariant()
    def counts_its_subscriptions(self) -> None:
        assert len(self.matcher) == len(self.live)

    def check_asks(self, candidates: Candidates, changes: Sequence[Change]) -> None:
        """One question for each change, audience and open filter. One too many is allowed only for an open filter."""
        asked = [(ask.change.index, ask.audience, ask.filter) for ask in candidates.asks]
        assert len(asked) == len(set(asked))
        needed = {
            (change.index, wish.audience, wish.filter if is_open(change, tests) else "")
            for change in changes
            for wish, tests in self.live.values()
            if self.wished(change, wish, tests)
        }
        assert needed <= set(asked)
        assert all(filter_ for _, _, filter_ in set(asked) - needed)

    def check_deliveries(self, candidates: Candidates, changes: Sequence[Change], then: Live, reply: Reply) -> None:
        """Only those count who were there at the match and still are, be it by another binding that is the same."""
        staying = {_likeness(wish) for wish, _ in self.live.values()}
        expected: dict[Frame, set[int]] = {}
        for change in changes:
            for wish, tests in then.values():
                answer = reply[wish.audience]
                stays = _likeness(wish) in staying
                if stays and answer is not None and self.wished(change, wish, tests):
                    frame = (change.index, wish.select, answer, wish.topic, wish.connection)
                    expected.setdefault(frame, set()).add(wish.wire_id)
        sent: dict[Frame, tuple[int, ...]] = {}
        encoded: list[tuple[int, tuple[str, ...] | None, str]] = []
        for delivery in candidates.deliveries([self.decide(ask, then, reply) for ask in candidates.asks]):
            encoded.append((delivery.change.index, delivery.select, delivery.answer))
            for receivers in delivery.receivers:
                for connection in receivers.connections:
                    frame = (*encoded[-1], receivers.topic, connection)
                    assert frame not in sent, "a channel got two frames of one change"
                    sent[frame] = receivers.ids
        assert sent == {frame: tuple(sorted(ids)) for frame, ids in expected.items()}
        assert [index for index, _, _ in encoded] == sorted(index for index, _, _ in encoded)
        assert len(encoded) == len(set(encoded)), "something was to be encoded twice"

    def decide(self, ask: Ask, then: Live, reply: Reply) -> str | None:
        """Answer for the database: is it visible, and does the filter that was left open hold?"""
        if not ask.filter:
            return reply[ask.audience]
        tests = next(tests for wish, tests in then.values() if wish.filter == ask.filter)
        columns = [column.name for column in ask.change.relation.columns]
        row = ask.change.old if ask.change.operation == "DELETE" else ask.change.new
        return reply[ask.audience] if matches(tests, columns, row) else None

    def report(self, broken: Sequence[Broken]) -> None:
        """A report is never false. What it names may be gone already."""
        for each in broken:
            self.reported.update(each.subscriptions)
            columns = {column.name for column in each.relation.columns}
            for id_ in each.subscriptions:
                if id_ in self.live:
                    assert not {test.column for test in self.live[id_][1]} <= columns

    def wished(self, change: Change, wish: Subscription, tests: tuple[Test, ...]) -> bool:
        relation = change.relation
        if wish.schema not in {"*", relation.schema} or wish.table not in {"*", relation.name}:
            return False
        if change.operation == "TRUNCATE":
            return wish.truncate
        if wish.event not in {"*", change.operation}:
            return False
        columns = [column.name for column in relation.columns]
        if not {test.column for test in tests} <= set(columns):
            assert wish.id in self.reported, "a filter that does not fit was not reported"
            return False
        return matches(tests, columns, change.old if change.operation == "DELETE" else change.new)


def _likeness(wish: Subscription) -> str:
    """Return what equal wishes have in common."""
    return repr(msgspec.structs.replace(wish, id=0))


def _change(number: int, drawn: Drawn) -> Change:
    """Make a change that the log can express: a table without a complete old row has its first column as identity."""
    schema, table, shape, operation, new, old = drawn
    identity: ReplicaIdentity = "default" if ABSENT in old else "full"
    columns = tuple(Column(name, TEXT, identity=place == 0) for place, name in enumerate(shape))
    relation = Relation(1, schema, table, identity, columns)
    row: Row = tuple(new[: len(shape)])
    before: Row = tuple(old[: len(shape)])
    if identity == "default":
        before = tuple(ABSENT if place else before[0] or None for place in range(len(shape)))
    match operation:
        case "INSERT":
            return inserted(relation, tuple(value or None for value in row), index=number)
        case "UPDATE":
            return updated(relation, row, before, index=number)
        case "DELETE":
            return deleted(relation, before, index=number)
    return truncated(relation, index=number)


TestMatcher = pytest.mark.timeout(120)(MatcherMachine.TestCase)
