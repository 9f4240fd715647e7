"""`tidewire.publish` on the application's own connection: clients hear it if and only if its transaction commits."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from typing import Any, LiteralString, Protocol

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import tidewire
from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database, require
from tests.support.server import RealtimeServer, SocketClient, realtime, token
from tidewire.model.errors import ConfigurationError
from tidewire.postgres.embedded import EmbeddedPostgres

BODY = {"text": 'tide ≈ 2 m 🌊\u2028"\\%s %(x)s $1 :content', "n": 1.5, "none": None}
WORK: LiteralString = "insert into bookings default values"


class Way(Protocol):
    """Connects to a database, publishes an event of that name in a transaction, and commits it or not."""

    def __call__(self, dsn: str, event: str, *, commit: bool) -> None: ...


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(made, "create table bookings (id serial primary key)")
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn) as running:
        yield running


def library(name: str) -> Any:
    """Import a library that applications use and Tidewire does not."""
    require(present=find_spec(name.partition(".")[0]) is not None, what=f"the library {name}")
    return import_module(name)


def say(connection: Any, event: str) -> Any:
    return tidewire.publish(connection, "room", event, BODY)


def finish(connection: Any, *, commit: bool) -> None:
    (connection.commit if commit else connection.rollback)()


def with_psycopg(dsn: str, event: str, *, commit: bool) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(WORK)
        say(connection, event)
        finish(connection, commit=commit)


def with_a_cursor(dsn: str, event: str, *, commit: bool) -> None:
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        say(cursor, event)
        finish(connection, commit=commit)


def with_a_savepoint(dsn: str, event: str, *, commit: bool) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(WORK)
        with connection.transaction(force_rollback=not commit):
            say(connection, event)


def with_psycopg_async(dsn: str, event: str, *, commit: bool) -> None:
    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            await tidewire.publish(connection, "room", event, BODY)
            await (connection.commit if commit else connection.rollback)()

    asyncio.run(work())


def with_psycopg2(dsn: str, event: str, *, commit: bool) -> None:
    connection = library("psycopg2").connect(dsn)
    say(connection, event)
    finish(connection, commit=commit)
    connection.close()


def with_asyncpg(dsn: str, event: str, *, commit: bool) -> None:
    async def work() -> None:
        async with library("asyncpg").create_pool(**_address(dsn), min_size=1, max_size=1) as pool:
            with pytest.raises(ConfigurationError, match="Pool"):
                say(pool, event)
            async with pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await say(connection, event)
                await (transaction.commit if commit else transaction.rollback)()

    asyncio.run(work())


def with_sqlalchemy(driver: str, made: str, connect: Callable[[str], Any]) -> Way:
    """Use the Session or Connection of SQLAlchemy over a driver."""

    def way(dsn: str, event: str, *, commit: bool) -> None:
        sqlalchemy = library("sqlalchemy")
        engine = sqlalchemy.create_engine(f"postgresql+{driver}://", creator=lambda: connect(dsn))
        with pytest.raises(ConfigurationError, match="Engine"):
            say(engine, event)
        with engine.connect() as connection:
            session = library("sqlalchemy.orm").Session(connection) if made == "session" else connection
            session.execute(sqlalchemy.text(WORK))
            say(connection.connection if made == "raw" else session, event)
            finish(session, commit=commit)
        engine.dispose()

    return way


def with_sqlalchemy_async(driver: str, connect: Callable[[str], Awaitable[Any]]) -> Way:
    """Use the AsyncSession of SQLAlchemy over a driver."""

    def way(dsn: str, event: str, *, commit: bool) -> None:
        async def work() -> None:
            module = library("sqlalchemy.ext.asyncio")
            engine = module.create_async_engine(f"postgresql+{driver}://", async_creator=lambda: connect(dsn))
            async with module.AsyncSession(engine) as session:
                await say(session, event)
                await (session.commit if commit else session.rollback)()
            await engine.dispose()

        asyncio.run(work())

    return way


def with_django(dsn: str, event: str, *, commit: bool) -> None:
    settings = library("django.conf").settings
    if not settings.configured:  # once in a process, and nobody else uses Django
        names = {"host": "HOST", "port": "PORT", "user": "USER", "database": "NAME"}
        address = {names[name]: value for name, value in _address(dsn).items()}
        database = {"ENGINE": "django.db.backends.postgresql", **address}
        settings.configure(DATABASES={"default": database}, LOGGING_CONFIG=None)
        library("django").setup()
    connection, transaction = library("django.db").connection, library("django.db.transaction")
    with closing(connection), transaction.atomic():
        say(connection, event)
        transaction.set_rollback(not commit)


def _address(dsn: str) -> Mapping[str, Any]:
    found = conninfo_to_dict(dsn)
    return {"host": found["host"], "port": found["port"], "user": found["user"], "database": found["dbname"]}


WAYS: dict[str, Way] = {
    "psycopg": with_psycopg,
    "psycopg, a cursor": with_a_cursor,
    "psycopg, a savepoint": with_a_savepoint,
    "psycopg, asynchronous": with_psycopg_async,
    "psycopg2": with_psycopg2,
    "asyncpg": with_asyncpg,
    "SQLAlchemy's session": with_sqlalchemy("psycopg", "session", psycopg.connect),
    "SQLAlchemy's connection": with_sqlalchemy("psycopg", "connection", psycopg.connect),
    "SQLAlchemy's raw connection": with_sqlalchemy("psycopg", "raw", psycopg.connect),
    "SQLAlchemy on psycopg2": with_sqlalchemy("psycopg2", "session", lambda dsn: library("psycopg2").connect(dsn)),
    "SQLAlchemy, asynchronous": with_sqlalchemy_async("psycopg", psycopg.AsyncConnection.connect),
    "SQLAlchemy on asyncpg": with_sqlalchemy_async("asyncpg", lambda dsn: library("asyncpg").connect(**_address(dsn))),
    "Django": with_django,
}


def listener(served: RealtimeServer, *, private: bool = True) -> SocketClient:
    client = served.connect(apikey=token("service_role"))
    client.join("realtime:room", private=private)
    return client


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_clients_hear_it_if_and_only_if_the_transaction_commits(served: RealtimeServer, dsn: str, way: Way) -> None:
    with listener(served) as client:
        way(dsn, "undone", commit=False)
        way(dsn, "done", commit=True)
        payload = client.receive("broadcast")["payload"]
    assert (payload["event"], payload["payload"]) == ("done", BODY)


def test_nothing_leaves_before_the_commit(served: RealtimeServer, dsn: str) -> None:
    with listener(served) as client, psycopg.connect(dsn) as slow, psycopg.connect(dsn) as quick:
        tidewire.publish(slow, "room", "slow", 1)
        tidewire.publish(quick, "room", "quick", 1)
        tidewire.publish(quick, "room", "quick", 2)
        quick.commit()
        slow.commit()
        heard = [client.receive("broadcast")["payload"] for _ in range(3)]
    assert [(said["event"], said["payload"]) for said in heard] == [("quick", 1), ("quick", 2), ("slow", 1)]


def test_public_and_private_never_meet(served: RealtimeServer, dsn: str) -> None:
    with listener(served) as private, listener(served, private=False) as public, psycopg.connect(dsn) as connection:
        tidewire.publish(connection, "room", "private")
        tidewire.publish(connection, "room", "public", private=False)
        connection.commit()
        heard = [client.receive("broadcast")["payload"] for client in (private, public)]
    assert [(said["event"], said["payload"]) for said in heard] == [("private", None), ("public", None)]


def test_without_a_transaction_it_is_sent_at_once(served: RealtimeServer, dsn: str) -> None:
    with listener(served) as client, psycopg.connect(dsn, autocommit=True) as connection:
        tidewire.publish(connection, "room", "now")
        assert client.receive("broadcast")["payload"]["event"] == "now"


def test_errors_of_the_driver_pass_through(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("select 1/0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            tidewire.publish(connection, "room", "e")


def test_importing_it_loads_nothing_of_the_server() -> None:
    code = """if True:
        import sys
        from tidewire import publish
        unwanted = {"psycopg", "sqlalchemy", "asyncio", "starlette", "tidewire.assemble", "tidewire.hub"}
        sys.exit(str(unwanted & set(sys.modules) or ""))"""
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, "")
