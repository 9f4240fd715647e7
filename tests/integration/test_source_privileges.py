"""What cannot work is refused at the start, by one of our errors with its remedy, and leaves nothing half-made."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.log import (
    PUBLICATION,
    SLOT,
    execute,
    fetch,
    following,
    make_source,
    prepare_database,
    prepare_slot,
    shown,
)
from tests.support.postgres import MakeLogin, MakeServer
from tidewire.model.errors import (
    AuthenticationFailed,
    ConfigurationError,
    DatabaseUnreachable,
    LogicalDecodingOff,
    MigrationError,
    MissingPrivilege,
    PostgresError,
    TidewireError,
)
from tidewire.postgres.slot import DurableSlot

THINGS = "create table things (id int primary key, label text)"
LEFT = f"select count(*) from pg_replication_slots where slot_name = '{SLOT}'"
LIMIT_S = 8.0

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _expect_refusal(dsn: str, error: type[TidewireError]) -> TidewireError:
    with pytest.raises(error) as refused:
        async with asyncio.timeout(LIMIT_S):
            await anext(make_source(dsn).transactions())
    assert refused.value.hint, f"no remedy: {refused.value.message}"
    assert "\n" not in refused.value.message
    password = str(conninfo_to_dict(dsn).get("password", "")) if error is not ConfigurationError else ""
    assert not password or password not in str(refused.value)
    return refused.value


async def test_a_role_with_just_enough_rights_can_follow(any_database: str, make_login: MakeLogin) -> None:
    """REPLICATION and its own bookkeeping; it needs no right to read the tables that it follows."""
    prepare_database(any_database, THINGS)
    login = make_login(any_database, "replication")
    role = conninfo_to_dict(login)["user"]
    execute(
        any_database,
        f"grant usage on schema realtime to {role}",
        f"grant select, insert, update on realtime.tidewire_slots to {role}",
    )
    await prepare_slot(login)
    async with following(any_database, make_source(login)) as log:
        execute(any_database, "insert into things values (1, 'a')")
        assert shown(await log.read()) == ["INSERT things (1, a)"]


async def test_a_role_without_replication_is_refused(any_database: str, make_login: MakeLogin) -> None:
    prepare_database(any_database, THINGS)
    await _expect_refusal(make_login(any_database), MissingPrivilege)
    assert fetch(any_database, LEFT) == 0


async def test_a_role_without_its_bookkeeping_is_refused(any_database: str, make_login: MakeLogin) -> None:
    prepare_database(any_database, THINGS)
    login = make_login(any_database, "replication")
    await _expect_refusal(login, MissingPrivilege)
    execute(any_database, f"grant usage on schema realtime to {conninfo_to_dict(login)['user']}")
    refusal = await _expect_refusal(login, MissingPrivilege)
    assert "tidewire_slots" in refusal.message
    assert fetch(any_database, LEFT) == 0


async def test_a_wrong_password_is_refused(any_database: str, make_login: MakeLogin) -> None:
    login = make_login(any_database, "replication")
    await _expect_refusal(make_conninfo(login, password="not-this-one"), AuthenticationFailed)


async def test_a_database_without_our_tables_says_so(any_database: str) -> None:
    execute(any_database, f"create publication {PUBLICATION} for all tables")
    refusal = await _expect_refusal(any_database, MigrationError)
    assert "migrate" in refusal.hint
    assert fetch(any_database, LEFT) == 0


async def test_a_missing_database_is_named(any_database: str) -> None:
    refusal = await _expect_refusal(make_conninfo(any_database, dbname="nowhere"), DatabaseUnreachable)
    assert "nowhere" in refusal.message


@pytest.mark.parametrize("version", ["embedded-18", "debian-15"])
async def test_a_server_without_logical_decoding_is_refused(make_server: MakeServer, version: str) -> None:
    dsn = make_server(version, wal_level="replica").dsn()
    prepare_database(dsn, THINGS)
    refusal = await _expect_refusal(dsn, LogicalDecodingOff)
    assert "wal_level" in refusal.hint
    assert fetch(dsn, LEFT) == 0


async def test_a_server_without_a_free_slot_is_refused(make_server: MakeServer) -> None:
    dsn = make_server(max_replication_slots="1").dsn()
    prepare_database(dsn, THINGS)
    execute(dsn, "select pg_create_physical_replication_slot('other')")
    refusal = await _expect_refusal(dsn, PostgresError)
    assert "max_replication_slots" in refusal.hint


async def test_a_slot_name_that_postgres_forbids_is_refused(database: str) -> None:
    """It must not reach the replication grammar, which knows no parameters."""
    prepare_database(database, THINGS)
    source = make_source(database, DurableSlot('x" LOGICAL 0/0; --'))
    with pytest.raises(ConfigurationError) as refused:
        await anext(source.transactions())
    assert refused.value.hint


@pytest.mark.parametrize(
    ("dsn", "error"),
    [
        ("host=127.0.0.1 port=1 user=nobody password=hidden dbname=x", DatabaseUnreachable),
        ("host=/nowhere/at/all user=nobody dbname=x", DatabaseUnreachable),
        ("postgresql://user:hidden@127.0.0.1:port/x", TidewireError),
        ("mysql://127.0.0.1/x", ConfigurationError),
        ("host=127.0.0.1 colour=blue", ConfigurationError),
        ("postgresql://[::1/x", ConfigurationError),
    ],
)
async def test_an_address_that_leads_nowhere_is_refused(dsn: str, error: type[TidewireError]) -> None:
    with pytest.raises(error) as refused:
        async with asyncio.timeout(LIMIT_S):
            await anext(make_source(dsn).transactions())
    assert refused.value.hint
    assert "hidden" not in str(refused.value)


async def _talk_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1024)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50)


async def _claim_the_impossible(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1024)
    writer.write(b"R\x7f\xff\xff\xff" + bytes(200))


async def _hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(1024):
        pass


@asynccontextmanager
async def _pretending(handler: Handler, folder: Path) -> AsyncIterator[str]:
    """Listen where a client looks for Postgres; at the end hang up on everybody."""
    conversations: list[tuple[asyncio.StreamWriter, asyncio.Event]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = asyncio.Event()
        conversations.append((writer, over))
        with suppress(OSError):
            await handler(reader, writer)
            writer.close()
            await writer.wait_closed()
        over.set()

    async with await asyncio.start_unix_server(handle, folder / ".s.PGSQL.5432"):
        yield f"host={folder} port=5432 user=x dbname=x password=hidden connect_timeout=2"
        for writer, over in conversations:
            writer.transport.abort()
            await over.wait()


@pytest.mark.parametrize("handler", [_talk_nonsense, _claim_the_impossible, _hang_up, _say_nothing])
async def test_something_that_is_no_postgres_is_refused_in_time(folder: Path, handler: Handler) -> None:
    async with _pretending(handler, folder) as dsn:
        await _expect_refusal(dsn, DatabaseUnreachable)
