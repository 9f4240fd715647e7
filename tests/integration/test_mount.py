"""Tidewire inside another ASGI application, with a prefix or without, started by a lifespan or the first request."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psycopg
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from tests.support.server import RealtimeServer, migrate, serving_app, token
from tests.support.tokens import SECRET
from tests.support.waiting import wait_until
from tidewire import Settings, Tidewire


async def hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def make_tidewire(dsn: str, **changed: object) -> Tidewire:
    return Tidewire(Settings(database_url=dsn, jwt_secret=SECRET, refusal_delay_s=0.0, **changed))  # type: ignore[arg-type]  # any setting


def walkers(dsn: str) -> int:
    """Count those who follow the log of this cluster's database."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select count(*) from pg_replication_slots where active and database = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def check(server: RealtimeServer) -> None:
    """Everything works: HTTP, WebSocket, and one from the other."""
    wait_until(lambda: server.get("/readyz").status == 200)
    with server.connect() as one, server.connect(path="/socket/websocket", vsn="1.0.0") as two:
        one.join("realtime:room")
        two.join("realtime:room")
        answer = server.post("/api/broadcast/a%2Fb/events/e", {"n": 1}, apikey=token(), content_type="application/json")
        assert answer.status == 202
        one.push("realtime:room", "broadcast", {"type": "broadcast", "event": "e", "payload": {}})
        assert two.receive()["payload"]["event"] == "e"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", ["direct", "asgi"])
@pytest.mark.parametrize("prefix", ["", "/live"])
def test_it_is_mounted_and_starts_with_the_first_request(migrated_database: str, prefix: str, path: str) -> None:
    tidewire = make_tidewire(migrated_database)
    app = Starlette(routes=[Route("/hello", hello), Mount(prefix or "/", tidewire.app)])
    with serving_app(app, path=path) as server:
        assert server.get("/hello").body == b"hello"
        assert walkers(migrated_database) == 0
        server.prefix = prefix
        check(server)
        assert walkers(migrated_database) == 1
    wait_until(lambda: walkers(migrated_database) == 0)  # Postgres lets go of the slot a moment after we hang up


@pytest.mark.timeout(60)
def test_it_lives_as_long_as_the_application_that_mounts_it(migrated_database: str) -> None:
    tidewire = make_tidewire(migrated_database)
    walking = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        async with tidewire.lifespan(app):
            walking.append(walkers(migrated_database))
            yield

    with serving_app(Starlette(routes=[Mount("/", tidewire.app)], lifespan=lifespan)) as server:
        check(server)
    assert walking == [1]
    wait_until(lambda: walkers(migrated_database) == 0)  # Postgres lets go of the slot a moment after we hang up


@pytest.mark.timeout(60)
def test_by_itself_it_follows_the_lifespan_of_its_server(migrated_database: str) -> None:
    with serving_app(make_tidewire(migrated_database).app, root_path="") as server:
        assert walkers(migrated_database) == 1
        check(server)
    wait_until(lambda: walkers(migrated_database) == 0)  # Postgres lets go of the slot a moment after we hang up


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", ["direct", "asgi"])
def test_a_start_that_fails_is_tried_again(database: str, path: str) -> None:
    """The publication is missing until the migrations are applied."""
    app = Starlette(routes=[Route("/hello", hello), Mount("/", make_tidewire(database).app)])
    with serving_app(app, path=path) as server:
        assert server.get("/readyz").status == 503
        assert server.get("/hello").status == 200
        migrate(database)
        wait_until(lambda: server.get("/readyz").status == 200)
        check(server)
