"""Both ways to read a stream, straight from the socket and through libpq, give the same; TLS takes the second."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.log import (
    PUBLICATION,
    SLOT,
    execute,
    following,
    make_source,
    prepare_database,
    prepare_slot,
    shown,
    wait_until,
)
from tests.support.postgres import MakeLogin, MakeServer, programs_folder, require
from tests.support.proxy import BreakableProxy
from tidewire.model.errors import TidewireError
from tidewire.model.position import Lsn
from tidewire.postgres.channel import Channel, LibpqChannel, SocketChannel, open_channel
from tidewire.postgres.replication import SILENCE_S, ReplicationStream, connect_replication
from tidewire.wal.protocol import Keepalive
from tidewire.wal.standby import Standby

MakeChannel = Callable[[psycopg.AsyncConnection[Any]], Channel]
BOTH = pytest.mark.parametrize(
    "make_channel",
    [lambda connection: SocketChannel(connection.pgconn), lambda connection: LibpqChannel(connection.pgconn)],
    ids=["socket", "libpq"],
)

SLOW_S = 3.0
"""Long enough to be found silent twice: the stream looks once a second."""


@asynccontextmanager
async def streaming(
    dsn: str, make_channel: MakeChannel, slot: str = SLOT, *, queue_bytes: int = 2**30, silence_s: float = SILENCE_S
) -> AsyncIterator[ReplicationStream]:
    connection = await connect_replication(dsn)
    channel = make_channel(connection)
    stream = ReplicationStream(
        connection, Standby(Lsn(0)), queue_bytes=queue_bytes, silence_s=silence_s, channel=channel
    )
    try:
        await stream.start(slot, (PUBLICATION,), 0)
        yield stream
    finally:
        await stream.close()


async def messages(stream: ReplicationStream, commits: int) -> list[bytes]:
    seen: list[bytes] = []
    async for batch in stream.batches():
        seen += [item for item in batch if not isinstance(item, Keepalive)]
        if sum(item[:1] == b"C" for item in seen) >= commits:
            return seen
    return seen


@BOTH
async def test_the_same_messages_come_either_way(database: str, make_channel: MakeChannel) -> None:
    prepare_database(database, "create table t (id int primary key, body text)")
    await prepare_slot(database)
    execute(
        database,
        "insert into t select n, repeat('x', 300) from generate_series(1, 3000) n",
        "insert into t values (0, (select string_agg(md5(n::text), '') from generate_series(1, 100000) n))",
        "delete from t where id = 7",
    )
    async with streaming(database, make_channel) as stream:
        seen = await messages(stream, commits=3)
    assert [kind for kind in "BRIDC" if any(item[:1] == kind.encode() for item in seen)] == list("BRIDC")
    assert sum(item[:1] == b"I" for item in seen) == 3001
    assert max(len(item) for item in seen) > 3_200_000


@BOTH
async def test_a_refusal_is_our_error(database: str, make_channel: MakeChannel) -> None:
    with pytest.raises(TidewireError, match="not_there"):
        async with streaming(database, make_channel, slot="not_there"):
            pass


@BOTH
async def test_a_terminated_walsender_is_our_error(database: str, make_channel: MakeChannel) -> None:
    prepare_database(database)
    await prepare_slot(database)
    async with streaming(database, make_channel) as stream:
        execute(
            database, "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'followed'"
        )
        with pytest.raises(TidewireError) as caught:
            await messages(stream, commits=1)
    assert caught.value.retryable


@BOTH
async def test_a_full_queue_hangs_up_and_hands_out_what_it_holds(database: str, make_channel: MakeChannel) -> None:
    prepare_database(database, "create table t (id int primary key, body text)")
    await prepare_slot(database)
    execute(database, "insert into t select n, repeat('x', 300) from generate_series(1, 20000) n")
    async with streaming(database, make_channel, queue_bytes=50_000) as stream:
        await wait_until(lambda: stream.overflowed, "the queue is full")
        seen = await messages(stream, commits=1)
    assert 100 < len(seen) < 20_000


@BOTH
@pytest.mark.timeout(60)
async def test_a_large_value_on_a_slow_line_is_no_silence(
    database: str, breakable: BreakableProxy, make_channel: MakeChannel
) -> None:
    """Nothing is complete for far longer than silence may last, and the value is larger than the queue."""
    prepare_database(database, "create table t (body text)")
    await prepare_slot(database)
    execute(database, "insert into t select string_agg(md5(n::text), '') from generate_series(1, 100000) n")
    breakable.trickle(chunk_bytes=32_768, pause_s=0.04)
    async with streaming(breakable.dsn, make_channel, silence_s=1.0, queue_bytes=1_000_000) as stream:
        seen: list[bytes] = []
        began_s = time.monotonic()
        async for batch in stream.batches():  # a full queue ends it without an error, behind what it held
            seen += [item for item in batch if not isinstance(item, Keepalive)]
        assert time.monotonic() - began_s > SLOW_S
    assert max(len(item) for item in seen) > 3_200_000
    assert stream.overflowed


async def test_an_unencrypted_connection_is_read_straight(database: str) -> None:
    async with await connect_replication(database) as connection:
        channel = open_channel(connection)
        assert isinstance(channel, SocketChannel)
        channel.close()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make one that lasts for this test, with a key that the server's account may read."""
    certificate, key = folder / "server.crt", folder / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    if os.geteuid() == 0:
        shutil.chown(key, "nobody")
    return certificate, key


@pytest.mark.timeout(60)
async def test_tls_is_left_to_libpq(make_server: MakeServer, make_login: MakeLogin, folder: Path) -> None:
    """The bundled Postgres is built without TLS, so this needs the other one."""
    programs_folder("debian-15")
    require(present=shutil.which("openssl") is not None, what="openssl")
    certificate, key = make_certificate(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"ssl_cert_file": str(certificate), "ssl_key_file": str(key), "listen_addresses": "127.0.0.1"}
    server = make_server("debian-15", ssl="on", port=str(port), **settings)
    prepare_database(server.dsn(), "create table t (id int primary key)")
    await prepare_slot(server.dsn())
    execute(server.dsn(), "insert into t values (1)", "grant all on schema realtime to public")
    execute(server.dsn(), "grant all on all tables in schema realtime to public")
    dsn = make_conninfo(make_login(server.dsn(), "REPLICATION"), host="127.0.0.1", port=port, sslmode="require")
    async with await connect_replication(dsn) as connection:
        assert isinstance(open_channel(connection), LibpqChannel)
    async with following(server.dsn(), make_source(dsn)) as follower:
        assert shown(await follower.read()) == ["INSERT t (1)"]
