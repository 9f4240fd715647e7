"""Where the data API is measured: a server in a process of its own, its clients, and the same through plain psycopg.

Plain psycopg means: as many connections as the data API has, as many askers as it has clients, the same statements
under the same role and claims, sent the same way: all of a transaction at once, prepared. JSON is not decoded.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import msgspec
import psycopg
from msgspec import Struct

from tidewire.bench.data_questions import OWNERS, Question, claims, owner, user_id
from tidewire.bench.keep_alive import KeepAliveClient
from tidewire.bench.pacing import Ask
from tidewire.bench.realtime_server import RealtimeServer
from tidewire.model.errors import BenchmarkFailed
from tidewire.postgres import queries
from tidewire.postgres.connection import connect_async
from tidewire.postgres.pool import Pool
from tidewire.postgres.schema_cache import SchemaCache
from tidewire.query.schema import Schema

CLIENTS: Final = 50
POOL: Final = 10
"""The data API's own default."""

Connection = psycopg.AsyncConnection[Any]


class Sides(Struct, frozen=True):
    """Both sides, ready to be asked. Inserts need numbers that no other insert has."""

    clients: list[KeepAliveClient]
    idle: "asyncio.Queue[Connection]"
    schema: Schema
    tokens: list[str]

    def ours(self, question: Question) -> list[Ask]:
        """Return one asker for each client of the data API."""

        def asker(client: KeepAliveClient) -> Ask:
            async def ask(number: int) -> None:
                body = await client.ask(question.http(number, self.tokens[owner(number)]), question.status)
                _check(question, number, body)

            return ask

        return [asker(client) for client in self.clients]

    def plain(self, question: Question) -> list[Ask]:
        """Return as many askers that share a pool of connections."""
        statement_for, listing = question.planned(self.schema)

        async def ask(number: int) -> None:
            statement = statement_for(number)
            connection = await self.idle.get()
            try:
                async with connection.pipeline():
                    await connection.execute("begin" if question.method == "POST" else "begin read only", prepare=True)
                    await connection.execute(queries.load("data_enter"), _entering(question, number), prepare=True)
                    cursor = await connection.execute(statement.text, statement.parameters, prepare=True)
                    await connection.execute("commit", prepare=True)
                rows = await cursor.fetchall()
            finally:
                self.idle.put_nowait(connection)
            _check(question, number, listing.whole(row[2] for row in rows).encode())

        return [ask] * len(self.clients)


@asynccontextmanager
async def sides(server: RealtimeServer) -> AsyncIterator[Sides]:
    """Connect everybody until the block ends."""
    pool = Pool(server.dsn, size=1)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pool.close)
        idle: asyncio.Queue[Connection] = asyncio.Queue()
        for _ in range(POOL):
            idle.put_nowait(await stack.enter_async_context(await connect_async(server.dsn)))
        clients = [await KeepAliveClient.connect(server.port) for _ in range(CLIENTS)]
        for client in clients:
            stack.callback(client.close)
        tokens = [server.token(claims(user)) for user in range(OWNERS)]
        yield Sides(clients, idle, await SchemaCache(pool, ["public"]).get(), tokens)


def _check(question: Question, number: int, body: bytes) -> None:
    if not question.returns(number, body):
        raise BenchmarkFailed(f"asking for {question.name} {number}: expected the right rows, got {len(body)} bytes")


def _entering(question: Question, number: int) -> tuple[str, ...]:
    """Return what a transaction begins with: time-out, claims, subject, role, request, search path, and the role."""
    user = owner(number)
    said, headers = msgspec.json.encode(claims(user)).decode(), '{"accept":"application/json"}'
    role, path = "authenticated", '"public", public, extensions, pg_temp'
    return "8000", said, user_id(user), role, question.method, "/bench_tasks", headers, path, role
