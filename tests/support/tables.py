"""A pool and what stands on it, for tests that ask a real Postgres about tables, roles and filters."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from psycopg.conninfo import conninfo_to_dict

from tidewire.hub.guards import Guards
from tidewire.match.candidates import Ask
from tidewire.match.finding import BY_FILTER, BY_POLICY, CERTAIN
from tidewire.match.sight import Sight, told_as
from tidewire.match.subscription import Audience
from tidewire.model.change import Change
from tidewire.postgres.filter_answers import FilterAnswers
from tidewire.postgres.policy_answers import PolicyAnswers
from tidewire.postgres.pool import Pool
from tidewire.postgres.rules import PostgresRules
from tidewire.postgres.tables import PostgresTables
from tidewire.postgres.visibility import PostgresVisibility
from tidewire.wire.binding import Binding, parse_binding

PUBLICATION = "supabase_realtime"


@asynccontextmanager
async def open_pool(dsn: str, **limits: Any) -> AsyncIterator[Pool]:
    pool = Pool(dsn, **limits)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def open_tables(dsn: str, *publications: str, ttl_s: float = 60.0) -> AsyncIterator[PostgresTables]:
    async with open_pool(dsn) as pool:
        yield PostgresTables(pool, publications or (PUBLICATION,), ttl_s=ttl_s)


class Eyes:
    """What a role sees of changes, by the rules as they are now; whether policies show a row is asked of Postgres."""

    def __init__(
        self, pool: Pool, filters: FilterAnswers, *, patience_s: float = 10.0, keeps_rules: bool = False
    ) -> None:
        self._guards = Guards(PostgresRules(pool), patience_s=patience_s)
        self._visibility = PostgresVisibility(filters, PolicyAnswers(pool), patience_s=patience_s)
        self._keeps_rules = keeps_rules

    async def visible(self, asks: Sequence[Ask]) -> Sequence[Sight | None]:
        if not self._keeps_rules:
            self._guards.forget_all()
        for ask in asks:
            if missing := self._guards.missing(ask.change.relation, [ask.audience.role]):
                await self._guards.load(ask.change.relation, missing)
        answers = await self._visibility.visible([self._complete(ask) for ask in asks])
        return [
            sight if sight is not None and told_as(ask.change, sight) else None
            for ask, sight in zip(asks, answers, strict=True)
        ]

    def _complete(self, ask: Ask) -> Ask:
        """Say what only Postgres can tell: here whatever filters and policies have a say in."""
        guard = self._guards.find(ask.change.relation)
        assert guard is not None, "it was loaded just now"
        rule = guard.rules[ask.audience.role]
        doubt = BY_FILTER if ask.filter else CERTAIN
        claims: tuple[tuple[str, str], ...] = ()
        if rule is not None and rule.restriction is not None:
            doubt |= BY_POLICY
            claims = () if rule.compiled is not None else (("[]", "{}"),)
        sides = {"INSERT": (doubt, CERTAIN), "UPDATE": (doubt, CERTAIN), "DELETE": (CERTAIN, doubt)}
        new, old = sides.get(ask.change.operation, (CERTAIN, CERTAIN))
        return Ask(ask.change, Audience(ask.audience.role, claims), ask.filter, rule, new, old)


@asynccontextmanager
async def open_visibility(
    dsn: str, *, timeout_s: float = 5.0, patience_s: float = 10.0, size: int = 2, keeps_rules: bool = False
) -> AsyncIterator[tuple[PostgresTables, Eyes]]:
    async with open_pool(dsn, size=size) as pool:
        tables = PostgresTables(pool, (PUBLICATION,), ttl_s=60.0)
        filters = FilterAnswers(pool, timeout_s=timeout_s)
        yield tables, Eyes(pool, filters, patience_s=patience_s, keeps_rules=keeps_rules)


def role_of(dsn: str) -> str:
    return str(conninfo_to_dict(dsn)["user"])


def binding(**params: object) -> Binding:
    return parse_binding(msgspec.json.encode(params))


def ask(role: str, change: Change, *, under: str = "") -> Ask:
    return Ask(change, Audience(role), under)
