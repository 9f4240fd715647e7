"""A pool and what stands on it, for tests that ask a real Postgres about tables, roles and filters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from psycopg.conninfo import conninfo_to_dict

from tidewire.match.candidates import Ask
from tidewire.match.subscription import Audience
from tidewire.model.change import Change
from tidewire.postgres.filter_answers import FilterAnswers
from tidewire.postgres.pool import Pool
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


@asynccontextmanager
async def open_visibility(
    dsn: str, *, timeout_s: float = 5.0, patience_s: float = 10.0, size: int = 2
) -> AsyncIterator[tuple[PostgresTables, PostgresVisibility]]:
    async with open_pool(dsn, size=size) as pool:
        tables = PostgresTables(pool, (PUBLICATION,), ttl_s=60.0)
        yield tables, PostgresVisibility(tables, FilterAnswers(pool, timeout_s=timeout_s), patience_s=patience_s)


def role_of(dsn: str) -> str:
    return str(conninfo_to_dict(dsn)["user"])


def binding(**params: object) -> Binding:
    return parse_binding(msgspec.json.encode(params))


def ask(role: str, change: Change, *, under: str = "") -> Ask:
    return Ask(change, Audience(role), under)
