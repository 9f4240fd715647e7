"""Rules are read once for all who come at the same moment."""

import asyncio

import pytest

from tidewire.hub.guards import Guards
from tidewire.match import audiences
from tidewire.match.matcher import Matcher
from tidewire.match.rule import Rule
from tidewire.match.stand import Stand
from tidewire.match.subscription import Audience, Subscription
from tidewire.model.errors import QueryCanceled
from tidewire.model.relation import Column, PgType, Relation
from tidewire.testing.rows import inserted
from tidewire.testing.tables import ScriptedRules, opaque_rule

KEY = (Column("id", PgType(23, "int4"), identity=True, primary=True),)
TODOS, NOTES = Relation(1, "public", "todos", "full", KEY), Relation(2, "public", "notes", "full", KEY)


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
    assert guards.by_table[TODOS.oid].rules == {"anon": None}


async def test_another_table_does_not_wait() -> None:
    rules = SlowRules()
    guards = Guards(rules)
    async with asyncio.TaskGroup() as group:
        group.create_task(guards.load(TODOS, ["anon"]))
        await rules.is_asked.wait()
        await guards.load(NOTES, ["anon"])
        rules.may_answer.set()
    assert rules.asked == 2


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
    (finding,) = matcher.match([inserted(TODOS, ("1",))], guards.by_table).findings
    assert len(finding.deferred[0].seats) == len(placed) == 10


async def test_guards_are_found_by_the_names_of_a_subscription() -> None:
    guards = await loaded()
    names = (("public", "todos"), ("public", "*"), ("*", "notes"), ("private", "*"), ("public", "other"))
    found = [[guard.relation.name for guard in guards.of(*each)] for each in names]
    assert found == [["todos"], ["todos", "notes"], ["notes"], [], []]
