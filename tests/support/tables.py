"""A pool and what stands on it, for tests that ask a real Postgres about tables, roles and filters."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from psycopg.conninfo import conninfo_to_dict

from tidewire.match.candidates import Ask
from tidewire.match.finding import BY_FILTER, BY_POLICY, CERTAIN
from tidewire.match.rule import Rule
from tidewire.match.sight import Sight
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
    """What a role sees of changes by the rules as they are now; whether policies show a row is asked of Postgres."""

    def __init__(self, pool: Pool, filters: FilterAnswers, *, patience_s: float = 10.0) -> None:
        self._rules = PostgresRules(pool)
        self._visibility = PostgresVisibility(filters, PolicyAnswers(pool), patience_s=patience_s)

    async def visible(self, asks: Sequence[Ask]) -> Sequence[Sight | None]:
        rules: dict[tuple[str, int], Rule | None] = {}
        for role, relation in {
            (ask.audience.role, id(ask.change.relation)): ask.change.relation for ask in asks
        }.items():
            rules[role] = await self._rules.read(role[0], relation)
        return await self._visibility.visible([_complete(ask, rules) for ask in asks])


def _complete(ask: Ask, rules: Mapping[tuple[str, int], Rule | None]) -> Ask:
    rule = rules[ask.audience.role, id(ask.change.relation)]
    doubt = (BY_FILTER if ask.filter else CERTAIN) | (BY_POLICY if rule is not None and rule.restriction else CERTAIN)
    if ask.change.operation == "TRUNCATE":
        doubt = CERTAIN
    is_deleted = ask.change.operation == "DELETE"
    audience = Audience(ask.audience.role, (("[]", "{}"),))
    return Ask(ask.change, audience, ask.filter, rule, None if is_deleted else doubt, doubt if is_deleted else CERTAIN)


@asynccontextmanager
async def open_visibility(
    dsn: str, *, timeout_s: float = 5.0, patience_s: float = 10.0, size: int = 2
) -> AsyncIterator[tuple[PostgresTables, Eyes]]:
    async with open_pool(dsn, size=size) as pool:
        tables = PostgresTables(pool, (PUBLICATION,), ttl_s=60.0)
        yield tables, Eyes(pool, FilterAnswers(pool, timeout_s=timeout_s), patience_s=patience_s)


def role_of(dsn: str) -> str:
    return str(conninfo_to_dict(dsn)["user"])


def binding(**params: object) -> Binding:
    return parse_binding(msgspec.json.encode(params))


def ask(role: str, change: Change, *, under: str = "") -> Ask:
    return Ask(change, Audience(role), under)
