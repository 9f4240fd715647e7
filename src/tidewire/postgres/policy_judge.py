"""Puts a question to Postgres as a role, in many sessions: in short statements, and at most two of them at a time.

Knows nothing of policies and rows: whoever asks has written the question, and hears what each session is answered.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from msgspec import Struct
from psycopg import errors as pg

from tidewire.model.errors import MigrationError, MissingPrivilege
from tidewire.postgres import queries
from tidewire.postgres.pool import Connection, Pool

AT_ONCE: Final = 2
"""How many connections may be in use: others need the pool too."""
SESSIONS_AT_ONCE: Final = 250
CHARS_AT_ONCE: Final = 2**20
PAUSES: Final = 5
"""A statement ends after this part of its limit, if it can: the rest is for the session that is being asked then."""
CANCELED: Final = "57014"
_DOING: Final = "judging rows by policies"


class Session(Struct, frozen=True):
    """One session: its number in the question, the values of its settings, and the argument if it is asked for one."""

    number: int
    values: tuple[str, ...]
    argument: str | None = None


Answer = tuple[str | None, str | None]
"""What a session is answered, or else the SQLSTATE that it has failed with."""

Hear = Callable[[Session, Answer], bool]
"""Takes the answer of a session, and says whether to go on."""


class Judge:
    """Asks in transactions that cannot write, and in which no session learns anything of another one."""

    def __init__(self, pool: Pool, *, timeout_s: float) -> None:
        self._pool = pool
        self._limit_ms = round(timeout_s * 1000)
        self._limit = f"set local statement_timeout = {self._limit_ms}"
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def ask(
        self,
        role: str,
        question: str,
        names: Sequence[str],
        sessions: Sequence[Session],
        hear: Hear,
        *,
        making: str | None = None,
        plans_each: bool = False,
    ) -> bool:
        """Ask in all sessions, until `hear` says no. `names` are those of the settings; there must be one.

        `making` is what makes something that the question needs, for as long as it takes, and not as `role`. With
        `plans_each` it is planned for each of them, which takes ten times as long; give each an argument.
        False if the question took too long before any session was asked. Raises our errors when it cannot be put.
        """
        waiting = deque(_chunks(sessions))
        going = in_time = True

        async def take() -> None:
            nonlocal going, in_time
            chunk = waiting.popleft()
            try:
                answers = await self._execute(role, question, names, chunk, making=making, plans_each=plans_each)
            except BaseException:
                going = False  # nor shall the other one go on
                raise
            for session, answer in zip(chunk, answers, strict=False):
                going = hear(session, answer) and going
            if not answers:
                going = in_time = False
            elif len(answers) < len(chunk):
                waiting.appendleft(chunk[len(answers) :])

        async def work() -> None:
            while going and waiting:
                await take()

        await take()  # by itself: a question that is slow must not have two places from the start
        results = await asyncio.gather(*[work() for _ in range(AT_ONCE)], return_exceptions=True)
        for result in results:
            if result is not None:
                raise result
        return in_time

    async def _execute(
        self,
        role: str,
        question: str,
        names: Sequence[str],
        sessions: Sequence[Session],
        *,
        making: str | None,
        plans_each: bool,
    ) -> list[tuple[Any, ...]]:
        asked = {
            "reader": role,
            "question": question,
            "settings": list(names),
            "sessions": _array(session.values for session in sessions),
            "arguments": None if sessions[0].argument is None else [session.argument for session in sessions],
            "pause_ms": self._limit_ms // PAUSES,
        }
        async with self._turns, self._pool.connection(_DOING) as connection:
            try:
                if making is not None and (failure := await self._make(connection, making)) is not None:
                    return [(None, failure)] * len(sessions)
                opening = ["begin", self._limit] if making is None else []
                if plans_each:
                    opening.append("set local plan_cache_mode = force_custom_plan")
                with _refusals(role):
                    async with connection.pipeline():  # one journey: each takes a turn of the loop, and many are asked
                        for statement in (*opening, "set transaction read only"):
                            await connection.execute(statement.encode())
                        cursor = await connection.execute(queries.load("policy_judge"), asked)
                        await connection.execute("rollback")
                    return await cursor.fetchall()
            except pg.QueryCanceled:
                return []
            finally:
                if not connection.closed:
                    await connection.rollback()

    async def _make(self, connection: Connection, making: str) -> str | None:
        """Begin a transaction and make something in it. Returns why not, where it cannot be made."""
        try:
            await connection.execute(f"begin; {self._limit}; {making}".encode())
        except pg.ProgrammingError as error:
            return error.sqlstate
        return None


@contextmanager
def _refusals(role: str) -> Iterator[None]:
    """Say what to do where it is not the question that Postgres refuses."""
    try:
        yield
    except (pg.UndefinedFunction, pg.InvalidSchemaName):
        raise MigrationError(
            f"{_DOING}: the function realtime.tidewire_judge is missing", hint="run tidewire migrate"
        ) from None
    except pg.InvalidRoleSpecification:
        raise MissingPrivilege(
            f"{_DOING}: expected to be allowed to act as role {role}, got a refusal",
            hint="grant that role to the user in DATABASE_URL; `tidewire migrate` does so for the usual ones",
        ) from None
    except pg.InsufficientPrivilege:
        raise MissingPrivilege(
            f"{_DOING}: expected to be allowed to call realtime.tidewire_judge, got a refusal",
            hint="grant supabase_realtime_admin to the user in DATABASE_URL, or run tidewire migrate as that user",
        ) from None


def _chunks(sessions: Sequence[Session]) -> Iterator[Sequence[Session]]:
    """Cut into parts that one statement can ask for, each of at least one session."""
    begin = chars = 0
    for at, session in enumerate(sessions):
        size = sum(map(len, session.values))
        if at > begin and (at - begin == SESSIONS_AT_ONCE or chars + size > CHARS_AT_ONCE):
            yield sessions[begin:at]
            begin, chars = at, 0
        chars += size
    if begin < len(sessions):
        yield sessions[begin:]


def _array(rows: Iterable[Iterable[str]]) -> str:
    """Write texts as an array of two dimensions, which takes psycopg ten times as long."""
    return "{" + ",".join("{" + ",".join(map(_quoted, row)) + "}" for row in rows) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
