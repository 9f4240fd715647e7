"""Keeps what the exposed schemas hold, as one value, until the log says that it may have changed. Never asks by itself.

Grants and policies are not part of it: those are for Postgres to apply when a statement runs.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from psycopg import errors as pg
from psycopg.rows import dict_row

from tidewire.model.change import Resync, Transaction
from tidewire.model.errors import DatabaseUnreachable, TidewireError
from tidewire.postgres import queries
from tidewire.postgres.pool import Connection, Pool
from tidewire.postgres.visible_commits import until_visible
from tidewire.query.schema import Argument, Column, Function, Reference, Schema, Table

log = structlog.get_logger()

SCHEMA_PREFIX: Final = "tidewire.schema"
"""The prefix of messages in the log that say: tables, views or functions may have changed."""
PATIENCE_S: Final = 2.0
"""How long a request waits until a change that the log has told of is visible."""
RETRY_S: Final = 1.0
"""The pause after a failure, and between two looks for somebody who misses something."""
_DOING: Final = "reading the exposed schemas"


class SchemaCache:
    """`observe` everything from the log, and `get` what requests are planned with. Raises our errors only."""

    def __init__(
        self, pool: Pool, schemas: Sequence[str], *, patience_s: float = PATIENCE_S, retry_s: float = RETRY_S
    ) -> None:
        self._pool = pool
        self._schemas = list(schemas)
        self._patience_s = patience_s
        self._retry_s = retry_s
        self._turn = asyncio.Lock()
        self._schema: Schema | None = None
        self._announced = False
        self._told, self._heard = 1, 0
        """How often there was a reason to read, and how many of these the value takes into account."""
        self._after_xid: int | None = None
        self._not_before_s = self._next_look_s = float("-inf")

    def observe(self, item: Transaction | Resync) -> None:
        """Note whether this may have changed something; whoever asks next waits until it is read."""
        if isinstance(item, Resync):
            self._told, self._after_xid = self._told + 1, None
        elif item.emits(SCHEMA_PREFIX) or (item.renewed and not self._announced):
            self._told, self._after_xid = self._told + 1, item.xid

    async def get(self) -> Schema:
        """Return what there is. An older value serves for as long as a newer one cannot be read."""
        while self._schema is None or self._is_due():
            async with self._turn:
                if self._schema is None or self._is_due():
                    await self._renew()
        return self._schema

    async def after_miss(self, known: Schema) -> Schema | None:
        """Return another value for somebody who misses a name in `known`, or None when there is none.

        Somebody may be faster than the log, ask a node that only waits for its turn, or lack event triggers. However
        many miss something, it costs no more than one look in `retry_s`.
        """
        async with self._turn:
            if self._schema is known and _now_s() >= self._next_look_s:
                self._next_look_s = _now_s() + self._retry_s
                await self._renew()
        return None if self._schema is known else self._schema

    def _is_due(self) -> bool:
        return self._heard != self._told and _now_s() >= self._not_before_s

    async def _renew(self) -> None:
        """Read, and keep the same object where nothing is different. Raises only when there is no older value."""
        told = self._told
        try:
            found, self._announced = await self._read(self._after_xid)
        except TidewireError as error:
            if self._schema is None:
                raise
            self._not_before_s = _now_s() + self._retry_s
            log.warning("schema_not_read", reason=error.message, hint=error.hint)
            return
        self._heard = told
        if found != self._schema:
            self._schema = found

    async def _read(self, after_xid: int | None) -> tuple[Schema, bool]:
        if after_xid is not None:
            await until_visible(self._pool, after_xid, patience_s=self._patience_s, doing=_DOING)
        async with self._pool.connection(_DOING) as connection, connection.transaction():
            await connection.execute(queries.load("schema_begin"))
            try:
                return await self._read_all(connection)
            except pg.LockNotAvailable:
                raise DatabaseUnreachable(
                    f"{_DOING}: expected to be let look at every view soon, got a lock in the way",
                    hint="a transaction that changes a view is open: look for it in pg_locks",
                ) from None

    async def _read_all(self, connection: Connection) -> tuple[Schema, bool]:
        tables = [_table(row) for row in await self._fetch(connection, "schema_tables")]
        references = [_reference(row) for row in await self._fetch(connection, "schema_references")]
        functions: dict[tuple[str, str], tuple[Function, ...]] = {}
        for row in await self._fetch(connection, "schema_functions"):
            function = _function(row)
            key = function.schema, function.name
            functions[key] = (*functions.get(key, ()), function)
        ((announced,),) = await (await connection.execute(queries.load("schema_announced"))).fetchall()
        schema = Schema(
            tables={(table.schema, table.name): table for table in tables},
            references=tuple(references),
            functions=functions,
            version=connection.info.server_version,
        )
        return schema, announced

    async def _fetch(self, connection: Connection, query: str) -> list[dict[str, Any]]:
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(queries.load(query), {"schemas": self._schemas})
            return await cursor.fetchall()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _table(row: Mapping[str, Any]) -> Table:
    return Table(
        schema=row["schema"],
        name=row["name"],
        columns=tuple(Column(*each) for each in row["columns"]),
        is_view=row["is_view"],
        insertable=row["insert_into"],
        updatable=row["update_of"],
        deletable=row["delete_from"],
    )


def _reference(row: Mapping[str, Any]) -> Reference:
    return Reference(**{**row, "columns": tuple(row["columns"]), "to_columns": tuple(row["to_columns"])})


def _function(row: Mapping[str, Any]) -> Function:
    schema, name = row["returns_table_schema"], row["returns_table_name"]
    return Function(
        schema=row["schema"],
        name=row["name"],
        arguments=tuple(Argument(*each) for each in row["arguments"]),
        returns=row["returns"],
        returns_set=row["returns_set"],
        returns_table=None if name is None else (schema, name),
        volatility=row["volatility"],
        is_void=row["is_void"],
    )
