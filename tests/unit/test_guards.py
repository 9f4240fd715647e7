"""Rules are read once for all who come at the same moment."""

import asyncio

import pytest
from msgspec.structs import replace

from tidewire.hub.guards import MOST_SHAPES, Guards
from tidewire.match import audiences
from tidewire.match.matcher import Matcher
from tidewire.match.rule import Rule
from tidewire.match.stand import Stand
from tidewire.match.subscription import Audience, Subscription
from tidewire.model.change import Transaction
from tidewire.model.errors import QueryCanceled
from tidewire.model.position import Lsn
from tidewire.model.relation import Column, PgType, Relation
from tidewire.testing.rows import inserted
from tidewire.testing.tables import ScriptedRules, opaque_rule, open_rule

KEY = (Column("id", PgType(23, "int4"), identity=True, primary=True),)
TODOS, NOTES = Relation(1, "public", "todos", "full", KEY), Relation(2, "public", "notes", "full", KEY)
WIDER = replace(TODOS, columns=(*KEY, Column("note", PgType(25, "text"))))


class SlowRules(ScriptedRules):
    """Answers once it is let; before that it says that somebody asks."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.failures = 0

    async def read(self, role: str, relation: Relation, *, after_xid: int | None = None) -> Rule | None:
        self.is_asked.set()
        if relation is TODOS:
            await self.may_answer.wait()
        if self.failures:
            self.failures -= 1
            self.asked += 1
            raise QueryCanceled("reading rules: expected an answer, got none in time")
        return await super().read(role, relation, after_xid=after_xid)


async def test_many_who_come_at_once_have_the_rules_read_once() -> None:
    rules = SlowRules()
    guards = Guards(rules)
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(guards.load(TODOS, ["anon"]))
        await rules.is_asked.wait()
        rules.may_answer.set()
    assert rules.asked == 1
    assert guards.missing(TODOS, ["anon"]) == []


async def test_what_is_forgotten_while_it_is_read_is_read_again() -> None:
    rules = SlowRules()
    guards = Guards(rules)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(guards.load(TODOS, ["anon"]))
        await rules.is_asked.wait()
        guards.forget_all()
        rules.may_answer.set()
    assert rules.asked == 2
    assert guards.missing(TODOS, ["anon"]) == []


async def test_each_role_is_read_and_none_takes_away_what_another_has() -> None:
    rules = SlowRules()
    guards = Guards(rules)
    rules.may_answer.set()
    async with asyncio.TaskGroup() as group:
        for role in ("anon", "authenticated", "anon"):
            group.create_task(guards.load(TODOS, [role]))
    assert rules.asked == 2
    assert guards.missing(TODOS, ["anon", "authenticated"]) == []


async def test_a_failure_is_told_to_all_who_wait_and_not_repeated_for_each() -> None:
    rules = SlowRules()
    rules.failures = 1
    guards = Guards(rules)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(guards.load(TODOS, ["anon"]))
        await rules.is_asked.wait()
        rules.may_answer.set()
    assert rules.asked == 1
    assert (found := guards.find(TODOS)) is not None
    assert found.rules == {"anon": None}


async def test_another_table_does_not_wait() -> None:
    rules = SlowRules()
    guards = Guards(rules)
    async with asyncio.TaskGroup() as group:
        group.create_task(guards.load(TODOS, ["anon"]))
        await rules.is_asked.wait()
        await guards.load(NOTES, ["anon"])
        rules.may_answer.set()
    assert rules.asked == 2


async def test_each_shape_of_a_table_has_its_rules_and_takes_none_away() -> None:
    """Those who catch up read rows of before a table was altered, while others read those of today."""
    rules = SlowRules()
    rules.may_answer.set()
    guards = Guards(rules)
    changes = [inserted(TODOS, ("1",)), inserted(WIDER, ("2", "milk")), inserted(TODOS, ("3",))]
    for _ in range(3):
        for each in ([changes[0]], [changes[1]], changes):
            await guards.load_for(each, lambda _: ["anon"])
    assert rules.asked == 2
    found = [guards.find(shape) for shape in (TODOS, WIDER)]
    assert [None if guard is None else guard.relation for guard in found] == [TODOS, WIDER]


async def test_rows_of_any_number_of_shapes_may_come_at_once_and_few_are_remembered() -> None:
    rules = SlowRules()
    rules.may_answer.set()
    guards = Guards(rules)
    for number in range(3 * MOST_SHAPES):
        rules.rules[f"todos {number}"] = replace(open_rule("anon", TODOS), announced=True)
    shapes = [replace(TODOS, name=f"todos {number}") for number in range(3 * MOST_SHAPES)]
    await guards.load_for([inserted(shape, ("1",)) for shape in shapes], lambda _: ["anon"])
    assert rules.asked == len(shapes)
    guards.observe(Transaction(1, Lsn(1), 0, (), Lsn(2), (TODOS.oid,)))
    assert [guards.find(shape) is not None for shape in shapes] == [False] * 2 * MOST_SHAPES + [True] * MOST_SHAPES


async def loaded() -> Guards:
    """Return the guards of two tables whose policies only Postgres can judge."""
    rules = ScriptedRules()
    guards = Guards(rules)
    for relation in (TODOS, NOTES):
        rules.rules[relation.name] = opaque_rule("anon", relation)
        await guards.load(relation, ["anon"])
    return guards


def follower(number: int) -> Subscription:
    return Subscription(
        id=number,
        connection=number,
        topic="realtime:room",
        wire_id=1,
        schema="public",
        table="todos",
        event="*",
        filter="",
        select=None,
        audience=Audience("anon"),
        claims={"sub": f"user {number}"},
    )


async def test_readers_are_sorted_by_known_rules_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first change of a table would otherwise sort all of a crowd at once."""
    placed: list[Audience] = []

    class Noted(Stand):
        def __init__(self, audience: Audience, rule: Rule) -> None:
            placed.append(audience)
            super().__init__(audience, rule)

    monkeypatch.setattr(audiences, "Stand", Noted)
    guards, matcher = await loaded(), Matcher()
    for number in range(10):
        matcher.add(follower(number), None, guards.of("public", "todos"))
        assert len(placed) == number + 1
    (finding,) = matcher.match([inserted(TODOS, ("1",))], guards.find).findings
    assert len(finding.deferred[0].seats) == len(placed) == 10


async def test_guards_are_found_by_the_names_of_a_subscription() -> None:
    guards = await loaded()
    names = (("public", "todos"), ("public", "*"), ("*", "notes"), ("private", "*"), ("public", "other"))
    found = [[guard.relation.name for guard in guards.of(*each)] for each in names]
    assert found == [["todos"], ["todos", "notes"], ["notes"], [], []]
