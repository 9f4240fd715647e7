"""Sends a broadcast within the application's own transaction, through the log: it is told if and only if that commits.

Works with the connections and sessions of psycopg, asyncpg, SQLAlchemy, Django and whatever follows the DB-API, and
imports none of them before the application has. Stores nothing, so it needs no table and can be replayed by nobody.
"""

from collections.abc import Awaitable, Callable
from contextlib import closing
from inspect import isawaitable
from typing import Any, Final, Protocol, overload

import msgspec

from tidewire.model.errors import ConfigurationError

_DOING: Final = "publishing a broadcast"
_EMIT: Final = "select pg_catalog.pg_logical_emit_message(true, 'tidewire', cast({} as text))"
"""The prefix is how the server knows what is for it; true binds the message to the transaction."""
_WITH_FORMAT: Final = _EMIT.format("%s")
_WITH_NUMBER: Final = _EMIT.format("$1")
_WITH_NAME: Final = _EMIT.format(":content")


class AsyncExecutes(Protocol):
    """A connection or session whose statements are awaited."""

    def execute(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Run a statement."""
        ...


@overload
def publish(  # type: ignore[overload-overlap]  # an object may be asynchronous after all: what cannot be typed is sync
    connection: AsyncExecutes, topic: str, event: str, payload: object = ..., *, private: bool = ...
) -> Awaitable[None]: ...
@overload
def publish(connection: object, topic: str, event: str, payload: object = ..., *, private: bool = ...) -> None: ...
def publish(
    connection: object, topic: str, event: str, payload: object = None, *, private: bool = True
) -> Awaitable[None] | None:
    """Broadcast to a topic (without its `realtime:`) when the transaction of `connection` commits, and never otherwise.

    Await what is returned if the connection is asynchronous. The payload is whatever JSON can express. Without an open
    transaction it is sent at once. ConfigurationError says what is wrong with the call; a driver's errors pass through.
    """
    content = _content(topic, event, payload, private=private)
    outcome = _emit(connection, content)
    return _awaited(outcome) if isawaitable(outcome) else None


async def _awaited(outcome: Awaitable[object]) -> None:
    await outcome


def _content(topic: str, event: str, payload: object, *, private: bool) -> str:
    if not (isinstance(topic, str) and topic and isinstance(event, str) and event):
        raise ConfigurationError(f"{_DOING}: expected a topic and an event, got an empty text or none")
    try:
        message = {"topic": topic, "event": event, "payload": payload, "private": private}
        return msgspec.json.encode(message).decode()
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        raise ConfigurationError(
            f"{_DOING}: expected a payload that JSON can express, got a {type(payload).__name__} that it cannot",
            hint="pass dicts with text keys, lists, texts, numbers, dates, UUIDs, dataclasses or msgspec structs",
        ) from None


def _emit(connection: Any, content: str) -> object:
    """Run the statement in the way of the library that the connection comes from."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(connection).__mro__}
    if not hasattr(connection, "acquire"):  # a pool would do it in a transaction of its own
        for library, run in _WAYS.items():
            if library in libraries and hasattr(connection, "execute"):
                return run(connection, content)
        if hasattr(connection, "cursor"):
            with closing(connection.cursor()) as cursor:
                return cursor.execute(_WITH_FORMAT, (content,))
    raise ConfigurationError(
        f"{_DOING}: expected a connection or session of psycopg, asyncpg, SQLAlchemy, Django or the DB-API, "
        f"got a {type(connection).__name__}",
        hint="pass the one that your transaction runs on, not a pool or an engine",
    )


def _emit_by_psycopg(connection: Any, content: str) -> object:
    return connection.execute(_WITH_FORMAT, (content,))


def _emit_by_asyncpg(connection: Any, content: str) -> object:
    return connection.execute(_WITH_NUMBER, content)


def _emit_by_sqlalchemy(connection: Any, content: str) -> object:
    if hasattr(connection, "driver_connection"):  # a raw one: not SQLAlchemy's to run
        return _emit(connection.driver_connection, content)
    from sqlalchemy import text  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - whoever calls has it

    return connection.execute(text(_WITH_NAME), {"content": content})


_WAYS: Final[dict[str, Callable[[Any, str], object]]] = {
    "sqlalchemy": _emit_by_sqlalchemy,
    "asyncpg": _emit_by_asyncpg,
    "psycopg": _emit_by_psycopg,
}
