"""Reads who may see what of a table out of the catalog: privileges, and policies in the two forms that judge rows.

Keeps no rule and judges no row. What is read is never older than the transaction that the caller names.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from msgspec import Struct
from msgspec.structs import replace
from psycopg import errors as pg

from tidewire.match.policy import (
    Policy,
    PolicyUnprovable,
    Standing,
    TablePolicies,
    policies_for_reading,
)
from tidewire.match.policy_columns import columns_read
from tidewire.match.policy_compile import CompiledPolicies, compile_policies, nothing_for
from tidewire.match.policy_reads import Reading, Reads
from tidewire.match.rule import Restriction, Rule
from tidewire.model.errors import DatabaseUnreachable
from tidewire.model.relation import MESSAGES, Relation
from tidewire.postgres import queries
from tidewire.postgres.access import Way, can_be_name, choose_way
from tidewire.postgres.policies import policies_of
from tidewire.postgres.pool import Connection, Pool
from tidewire.postgres.visible_commits import until_visible

PATIENCE_S: Final = 5.0
MOST_TABLES: Final = 16
"""How many tables policies may look into, one by way of the other, before it is given up to know what they read."""
_DOING: Final = "reading rules"
_NOBODY: Final = Restriction("false", frozenset())
_UNANSWERABLE: Final = Restriction("false", frozenset())
"""Stands for policies that cannot be offered the rows of a partition."""

log = structlog.get_logger()


class PolicyApart(Struct, frozen=True):
    """One of the policies that a role reads under. By `rule` a row is visible where this policy alone is true."""

    policy: Policy
    rule: Rule


class PostgresRules:
    """Implements `ports.Rules`. Poll `roles_fingerprint` beside it: nothing in the log tells of changes to roles."""

    def __init__(self, pool: Pool, *, patience_s: float = PATIENCE_S) -> None:
        self._pool = pool
        self._patience_s = patience_s
        self._warned: set[tuple[str, int]] = set()
        """The roles and tables that a warning was written of; there are few such tables."""

    async def read(self, role: str, relation: Relation, *, after_xid: int | None = None) -> Rule | None:
        """Return how things stand now, with what transaction `after_xid` has changed; None when role or table is gone.

        Raises DatabaseUnreachable, which is worth another attempt, also while that transaction does not become visible
        and while the table is locked against everybody.
        """
        if not can_be_name(role):
            return None
        if after_xid is not None:
            await until_visible(self._pool, after_xid, patience_s=self._patience_s, doing=_DOING)
        async with self._looking_at(relation) as connection:
            rule = await _read(connection, role, relation)
        if rule is not None and rule.restriction is _UNANSWERABLE and rule.compiled is None:
            self._warn(rule, relation)
        return rule

    async def read_apart(self, role: str, relation: Relation) -> Sequence[PolicyApart]:
        """Return each of the policies by itself, as it stands now; none where no policy binds the role."""
        if not can_be_name(role):
            return ()
        async with self._looking_at(relation) as connection:
            return await _read_apart(connection, role, relation)

    @asynccontextmanager
    async def _looking_at(self, relation: Relation) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction that sees one moment of the catalog, and waits for no lock."""
        async with self._pool.connection(_DOING) as connection, connection.transaction():
            await connection.execute(queries.load("policies_begin"))
            try:
                yield connection
            except pg.LockNotAvailable:
                raise DatabaseUnreachable(
                    f"{_DOING}: expected to be let look at {relation.qualified_name} soon, got a lock in the way",
                    hint="a transaction that changes the table is open: look for it in pg_locks",
                ) from None

    async def roles_fingerprint(self) -> str:
        """Return a text that stays the same for as long as no role is another, and belongs to no other role."""
        rows = await self._pool.fetch(_DOING, queries.load("rules_roles"), {})
        return str(rows[0][0])

    def _warn(self, rule: Rule, relation: Relation) -> None:
        about = (rule.role, relation.oid)
        if about not in self._warned:
            self._warned.add(about)
            log.warning("changes_hidden", role=rule.role, table=relation.qualified_name, reason=rule.left_to_postgres)


async def _read(connection: Connection, role: str, relation: Relation) -> Rule | None:
    way = choose_way(await _fetch(connection, "tables_access", role=role, relation=relation.oid))
    if way is None or way.through is None:
        return None
    ((announced,),) = await _fetch(connection, "rules_announced")
    if way.access.unrestricted or not way.access.columns:
        return Rule(role, way.access, announced=announced)
    if (relation.schema, relation.name) == MESSAGES:
        return Rule(role, way.access, _NOBODY, nothing_for(role), announced=announced)
    fits = way.through == relation.oid or await _has_same_columns(connection, way.through, relation)
    found = await policies_of(connection, role, way.through, rows_of=relation.oid if fits else None)
    if found is None:
        return None
    rule = _rule(way, relation, *found, fits=fits, announced=announced)
    if rule.compiled is not None or not announced:  # what other tables' policies read may change without a word
        return rule
    return replace(rule, reads=await _reads(connection, relation, *found))


async def _reads(connection: Connection, relation: Relation, table: TablePolicies, standing: Standing) -> Reads | None:
    """Return which claims policies read that only Postgres can judge; None where nobody knows that.

    Tables that they look into are read under policies of their own.
    """
    reading = Reading()
    if not _take(reading, relation, table, standing):
        return None
    for looked_at in range(MOST_TABLES):
        if looked_at == len(reading.tables):
            break
        found = await policies_of(connection, standing.role, list(reading.tables)[looked_at])
        if found is None or not _take(reading, relation, *found):
            return None
    return reading.reads if len(reading.tables) <= MOST_TABLES else None


def _take(reading: Reading, relation: Relation, table: TablePolicies, standing: Standing) -> bool:
    """Tell whether it is certain what these policies read."""
    try:
        reading.take(table, standing)
    except PolicyUnprovable:
        return False
    except Exception as error:  # noqa: BLE001 - a defect of the compiler: each token can still be asked about
        log.error("policy_not_compiled", role=standing.role, table=relation.qualified_name, error=type(error).__name__)  # noqa: TRY400 - as below
        return False
    return True


async def _read_apart(connection: Connection, role: str, relation: Relation) -> Sequence[PolicyApart]:
    way = choose_way(await _fetch(connection, "tables_access", role=role, relation=relation.oid))
    if way is None or way.through is None or way.access.unrestricted:
        return ()
    fits = way.through == relation.oid or await _has_same_columns(connection, way.through, relation)
    found = await policies_of(connection, role, way.through, rows_of=relation.oid if fits else None)
    if found is None:
        return ()
    table, standing = found
    permissive, restrictive = policies_for_reading(table, standing)
    return [
        PolicyApart(policy, _rule(way, relation, _only(policy, table), standing, fits=fits, announced=False))
        for policy in (*restrictive, *permissive)
    ]


def _only(policy: Policy, table: TablePolicies) -> TablePolicies:
    """Return the table as if it had one policy; a restrictive one alone would show nothing."""
    return replace(table, policies=(replace(policy, permissive=True),))


async def _has_same_columns(connection: Connection, through: int, relation: Relation) -> bool:
    rows = await _fetch(connection, "rules_same_columns", through=through, relation=relation.oid)
    return bool(rows[0][0])


async def _fetch(connection: Connection, query: str, **asked: object) -> list[tuple[Any, ...]]:
    return await (await connection.execute(queries.load(query), asked)).fetchall()


def _rule(
    way: Way, relation: Relation, table: TablePolicies, standing: Standing, *, fits: bool, announced: bool
) -> Rule:
    compiled, reason = _compile(table, standing, relation)
    restriction = _restriction(table, standing, partition=way.through != relation.oid) if fits else None
    if restriction is None:
        restriction = _UNANSWERABLE
        if compiled is None:
            reason += "; and Postgres cannot be asked: the policy is that of a table whose rows have another form"
    return Rule(standing.role, way.access, restriction, compiled, reason, announced)


def _compile(table: TablePolicies, standing: Standing, relation: Relation) -> tuple[CompiledPolicies | None, str]:
    try:
        return compile_policies(table, standing, relation), ""
    except PolicyUnprovable as refusal:
        return None, str(refusal)
    except Exception as error:  # noqa: BLE001 - a defect of the compiler: Postgres can still judge
        log.error("policy_not_compiled", role=standing.role, table=relation.qualified_name, error=type(error).__name__)  # noqa: TRY400 - a traceback may hold the policy's constants
        return None, f"compiling failed ({type(error).__name__})"


def _restriction(table: TablePolicies, standing: Standing, *, partition: bool) -> Restriction | None:
    """Put together what a row has to satisfy; None when rows of a partition cannot be offered to policies above it."""
    permissive, restrictive = policies_for_reading(table, standing)
    if not permissive:
        return _NOBODY
    columns = _columns([*permissive, *restrictive], table)
    if columns is None and partition:
        return None  # the whole row, perhaps, and it has another type
    admitted = " or ".join(_expression(policy) for policy in permissive)
    expression = " and ".join([*map(_expression, restrictive), f"({admitted})"])
    return Restriction(expression, frozenset(table.names.columns.values()) if columns is None else columns)


def _columns(policies: list[Policy], table: TablePolicies) -> frozenset[str] | None:
    trees = [policy.tree for policy in policies if policy.tree is not None]
    return columns_read(trees, table.names.columns) if table.readable else None


def _expression(policy: Policy) -> str:
    return f"({policy.expression or 'false'})"  # there is none when the table went away just now
