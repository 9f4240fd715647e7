"""What the database says of its tables and roles: which tables the log reports, and what a role may read of them.

Answers are kept for a few seconds. What is made of them, to whom it matters, is decided elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from tidewire.filters.collation import NONDETERMINISTIC, UNKNOWN, orders_by_code_point
from tidewire.filters.grammar import Condition
from tidewire.match.rule import TableAccess
from tidewire.model.position import Lsn, parse_lsn
from tidewire.model.relation import Relation, ReplicaIdentity
from tidewire.postgres import queries
from tidewire.postgres.access import can_be_name, choose_way
from tidewire.postgres.answers import Answers
from tidewire.postgres.catalog import Catalog
from tidewire.postgres.pool import Pool
from tidewire.postgres.probe import complaint
from tidewire.wal.pgoutput import RelationColumn, RelationMessage

TTL_S: Final = 5.0
LOG_END_TTL_S: Final = 0.05
"""An older end is as true; this one question serves all who join at the same moment."""

_IDENTITIES: dict[str, ReplicaIdentity] = {"d": "default", "f": "full", "i": "index", "n": "nothing"}

_Access = tuple[str, int]
"""A role and the number of a table: what decides who may see what."""


class PostgresTables:
    """Implements `ports.Tables`. What changes in the database is noticed after `ttl_s`, or at once after `forget`."""

    def __init__(self, pool: Pool, publications: Sequence[str], *, ttl_s: float = TTL_S) -> None:
        self._pool = pool
        self._publications = list(publications)
        self._published: Answers[tuple[str, str], tuple[Relation, ...]] = Answers(self._ask_published, ttl_s=ttl_s)
        self._access: Answers[_Access, TableAccess | None] = Answers(self._ask_access, ttl_s=ttl_s)
        self._bypass: Answers[str, bool] = Answers(self._ask_bypass, ttl_s=ttl_s)
        self._log_end: Answers[None, Lsn] = Answers(self._ask_log_end, ttl_s=LOG_END_TTL_S)
        self._locales: Answers[int, Mapping[str, str]] = Answers(self._ask_locales, ttl_s=ttl_s)

    async def published(self, schema: str, table: str) -> Sequence[Relation]:
        """Return the tables whose changes are in the log; `*` stands for any name.

        For the parent of partitions that are in the log by themselves it returns these partitions.
        """
        return await self._published.get((schema, table)) if can_be_name(schema) and can_be_name(table) else ()

    async def access(self, role: str, relation: Relation) -> TableAccess | None:
        """Return what the role may see; None when there is no such role."""
        return await self._access.get((role, relation.oid)) if can_be_name(role) else None

    async def bypasses_policies(self, role: str) -> bool:
        """Say whether row-level security does not concern the role at all; no when there is no such role."""
        return can_be_name(role) and await self._bypass.get(role)

    async def log_end(self) -> Lsn:
        """Return a position of the log that no transaction lies before which commits after the question."""
        return await self._log_end.get(None)

    async def locales(self, relation: Relation) -> Mapping[str, str]:
        """Return the locales of the columns that hold texts, as `tidewire.filters.collation` understands them."""
        return await self._locales.get(relation.oid)

    async def probe(self, role: str, relation: Relation, conditions: Sequence[Condition]) -> str | None:
        """Have Postgres read a filter's constants as this role; return its complaint, or None."""
        return await complaint(self._pool, role, relation, conditions)

    def forget(self) -> None:
        """Ask Postgres again from now on: privileges, policies or publications have changed."""
        for answers in (self._published, self._access, self._bypass, self._locales):
            answers.forget()

    async def _ask_published(self, pattern: tuple[str, str]) -> tuple[Relation, ...]:
        doing = "looking up published tables"
        asked = {"publications": self._publications, "schema": pattern[0], "table": pattern[1]}
        rows = await self._pool.fetch(doing, queries.load("tables_published"), asked)
        async with self._pool.connection(doing) as connection:
            catalog = Catalog(connection)
            return tuple([await catalog.describe(message) for message in _messages(rows)])

    async def _ask_access(self, asked: _Access) -> TableAccess | None:
        role, oid = asked
        rows = await self._pool.fetch(
            "looking up privileges", queries.load("tables_access"), {"role": role, "relation": oid}
        )
        way = choose_way(rows)
        return None if way is None else way.access

    async def _ask_bypass(self, role: str) -> bool:
        rows = await self._pool.fetch("looking up a role", queries.load("tables_bypass"), {"role": role})
        return bool(rows and rows[0][0])

    async def _ask_log_end(self, _: None) -> Lsn:
        rows = await self._pool.fetch("looking up the end of the log", queries.load("tables_log_end"), {})
        return parse_lsn(rows[0][0])

    async def _ask_locales(self, oid: int) -> Mapping[str, str]:
        rows = await self._pool.fetch("looking up collations", queries.load("tables_locales"), {"relation": oid})
        return {column: _locale(provider, locale, plain=plain) for column, plain, provider, locale in rows}


def _messages(rows: Iterable[tuple[Any, ...]]) -> list[RelationMessage]:
    """Put together what the log would say of each table."""
    return [
        RelationMessage(
            oid,
            schema,
            name,
            _IDENTITIES[identity],
            tuple(RelationColumn(column, type_, typmod, bool(old)) for *_, column, type_, typmod, old in columns),
        )
        for (oid, schema, name, identity), columns in groupby(rows, key=lambda row: row[:4])
    ]


def _locale(provider: str, locale: str, *, plain: bool) -> str:
    if not plain:
        return NONDETERMINISTIC
    return UNKNOWN if provider == "i" and orders_by_code_point(locale) else locale
