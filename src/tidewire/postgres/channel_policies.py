"""Answers what the policies on `realtime.messages` allow, by trying it as the reader in a transaction that is undone.

A policy is a question to Postgres and to nobody else: nothing of it is read or understood here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import psycopg
import structlog
from msgspec import Struct
from psycopg import errors as pg

from tidewire.model.claims import Claims
from tidewire.model.errors import MissingPrivilege, PoolExhausted, PostgresError
from tidewire.model.reasons import PARTITION_MISSING, Reason, WriteRefusal
from tidewire.ports import ChannelReads, Extension
from tidewire.postgres import queries
from tidewire.postgres.answers import Answers
from tidewire.postgres.connection import translate
from tidewire.postgres.pool import Connection, Pool

log = structlog.get_logger()

TTL_S: Final = 3.0
"""How old an answer may be: less than the time between two tokens of a channel, which are to be judged anew."""
MOST: Final = 1000
"""How many answers are kept. Each holds claims, and those may be as long as a token."""
TIMEOUT_S: Final = 2.0
"""How long a policy may take; a join has nine seconds."""
AT_ONCE: Final = 2
"""How many connections slow policies may hold: others need the pool too."""
WAIT_S: Final = 3.0

_NOTHING: Final = ChannelReads(broadcasts=False, presence=False)
_DOING: Final = "asking the policies on realtime.messages"
_encode = msgspec.json.Encoder().encode


class _PartitionMissing(PostgresError):  # noqa: N818 - like those in the tree of errors
    """Today's partition of realtime.messages is not there."""


class _Question(Struct, frozen=True):
    role: str
    claims: str
    subject: str
    topic: str
    extensions: tuple[Extension, ...]


class PostgresChannelPolicies:
    """Implements `ports.ChannelPolicies`. A new token is a new question, so its answer is never an old one."""

    def __init__(
        self,
        pool: Pool,
        *,
        ttl_s: float = TTL_S,
        timeout_s: float = TIMEOUT_S,
        at_once: int = AT_ONCE,
        wait_s: float = WAIT_S,
    ) -> None:
        self._pool = pool
        self._limit_ms = str(round(timeout_s * 1000))
        self._turns = asyncio.Semaphore(at_once)
        self._wait_s = wait_s
        self._reads: Answers[_Question, ChannelReads] = Answers(self._ask_read, ttl_s=ttl_s, most=MOST)
        self._writes: Answers[_Question, WriteRefusal | None] = Answers(self._ask_write, ttl_s=ttl_s, most=MOST)

    async def read(self, claims: Claims, topic: str, *, presence: bool) -> ChannelReads | Reason:
        """Return what may be read, presence only if asked about; or why there is nothing to judge by."""
        question = _question(claims, topic, ("broadcast", "presence") if presence else ("broadcast",))
        if question is None:
            return _NOTHING
        try:
            return await self._reads.get(question)
        except _PartitionMissing:
            return PARTITION_MISSING

    async def write(self, claims: Claims, topic: str, extension: Extension) -> WriteRefusal | None:
        """Return why nothing may be written, or None when it may."""
        question = _question(claims, topic, (extension,))
        if question is None:
            return "unauthorized"
        try:
            return await self._writes.get(question)
        except _PartitionMissing:
            return "missing_partition"

    async def _ask_read(self, question: _Question) -> ChannelReads:
        async with self._transaction(question) as connection:
            asked = {"topic": question.topic, "extensions": list(question.extensions)}
            try:
                cursor = await connection.execute(queries.load("channel_store"), asked)
            except pg.CheckViolation as error:
                if is_partition_missing(error):
                    raise _PartitionMissing from None
                raise
            except pg.InsufficientPrivilege:
                raise _not_owner() from None
            stored = await cursor.fetchall()
            if not await _take_role(connection, question):
                return _NOTHING
            seen = {row[0]: await _sees(connection, question, row) for row in stored}
        return ChannelReads(broadcasts=seen.get("broadcast", False), presence=seen.get("presence", False))

    async def _ask_write(self, question: _Question) -> WriteRefusal | None:
        (extension,) = question.extensions
        async with self._transaction(question) as connection:
            if not await _take_role(connection, question):
                return "unauthorized"
            try:
                async with connection.transaction():
                    await connection.execute(
                        queries.load("channel_write"), {"topic": question.topic, "extension": extension}
                    )
            except pg.InsufficientPrivilege:
                return "unauthorized"
            except psycopg.Error as error:
                if is_partition_missing(error):
                    raise _PartitionMissing from None
                _report("write", question, extension, error)
                return "rls_policy_error"
        return None

    @asynccontextmanager
    async def _transaction(self, question: _Question) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction that policies can be asked in; nothing of it remains."""
        async with self._turn(), self._pool.connection(_DOING) as connection:
            try:
                await connection.execute("begin")
                await connection.execute(
                    queries.load("channel_enter"),
                    {
                        "limit_ms": self._limit_ms,
                        "topic": question.topic,
                        "claims": question.claims,
                        "subject": question.subject,
                        "role": question.role,
                    },
                )
                yield connection
            finally:
                if not connection.closed:
                    await connection.rollback()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turns.acquire()
        except TimeoutError:
            raise PoolExhausted(f"{_DOING}: expected a turn within {self._wait_s:g} s, got none") from None
        try:
            yield
        finally:
            self._turns.release()


def storable(text: str) -> bool:
    """Tell whether Postgres can hold a text; nobody may read or write a topic that it cannot even name."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _question(claims: Claims, topic: str, extensions: tuple[Extension, ...]) -> _Question | None:
    subject = claims.subject or ""
    if not all(storable(text) for text in (claims.role, subject, topic)):
        return None
    return _Question(claims.role, _encode(claims.values).decode(), subject, topic, extensions)


async def _take_role(connection: Connection, question: _Question) -> bool:
    """Act as the reader from now on; no when there is no such role."""
    try:
        await connection.execute(queries.load("channel_role"), {"role": question.role})
    except pg.InvalidParameterValue:
        return False
    except pg.InsufficientPrivilege:
        raise MissingPrivilege(
            f"{_DOING}: expected to be allowed to act as role {question.role}, got a refusal",
            hint="grant that role to the user in DATABASE_URL; `tidewire migrate` does so for the usual ones",
        ) from None
    return True


async def _sees(connection: Connection, question: _Question, stored: tuple[Any, ...]) -> bool:
    extension, id_, inserted_at = stored
    try:
        async with connection.transaction():
            cursor = await connection.execute(queries.load("channel_read"), {"id": id_, "inserted_at": inserted_at})
            return await cursor.fetchone() is not None
    except psycopg.Error as error:
        _report("read", question, extension, error)
        return False


def _report(action: str, question: _Question, extension: str, error: psycopg.Error) -> None:
    """Say which policy failed, but for its words: they may quote a row. Raises again what is not the policy's fault."""
    if error.sqlstate is None or translate(error, _DOING).retryable:
        raise error
    log.warning(
        "policy_failed",
        action=action,
        extension=extension,
        topic=question.topic,
        role=question.role,
        sqlstate=error.sqlstate,
    )


def is_partition_missing(error: psycopg.Error) -> bool:
    """Tell it from a broken CHECK, which has the same code but names a constraint."""
    found = error.diag
    return error.sqlstate == pg.CheckViolation.sqlstate and (found.table_name, found.constraint_name) == (
        "messages",
        None,
    )


def _not_owner() -> MissingPrivilege:
    return MissingPrivilege(
        f"{_DOING}: expected to be allowed to write to realtime.messages, got a refusal",
        hint="grant supabase_realtime_admin to the user in DATABASE_URL",
    )
