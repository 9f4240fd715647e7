"""The layer before the doors, in front of doors that fail, or serve pages, or are part of something larger."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from structlog.testing import capture_logs

from tests.support.websocket import RawClient, RunningServer, serving
from tidewire.server.answer_headers import PAGE_POLICY
from tidewire.server.client_address import TrustedProxies
from tidewire.server.http_front import FrontOptions, HttpFront

Endpoint = Callable[[Request], Awaitable[Response]]


def make_front(*endpoints: Endpoint, **changed: Any) -> HttpFront:
    """Put the layer in front of an application; every endpoint is at its own name."""
    app = Starlette(routes=[Route(f"/rest/v1/{each.__name__}", each, methods=["GET", "POST"]) for each in endpoints])
    options = FrontOptions(trusted_proxies=TrustedProxies(["127.0.0.1"]), origins=("*",), **changed)
    return HttpFront(app.router, options, count=lambda _: None, clock=time.monotonic)


def ask(server: RunningServer, path: str, head: str = "") -> tuple[bytes, bytes]:
    """Return head and body of an answer, on a connection that ends with it."""
    with RawClient(server.port) as client:
        client.send(f"GET /rest/v1/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{head}\r\n".encode())
        found, _, body = client.read_all().partition(b"\r\n\r\n")
        return found, body


async def broken(_request: Request) -> Response:
    raise ZeroDivisionError("the value of a row")


async def half(_request: Request) -> Response:
    async def parts() -> Any:
        yield b"[1,"
        raise ZeroDivisionError

    return StreamingResponse(parts())


async def page(_request: Request) -> Response:
    return HTMLResponse("<p>hello</p>")


async def own(_request: Request) -> Response:
    policy = {"content-security-policy": "sandbox", "cache-control": "max-age=5", "vary": "Accept"}
    return Response("ok", headers=policy)


async def who(request: Request) -> Response:
    assert request.client is not None
    return PlainTextResponse(f"{request.client.host} {request.url.scheme}")


def test_a_failure_is_told_without_its_words() -> None:
    with serving(make_front(broken)) as server, capture_logs() as logs:
        head, body = ask(server, "broken", "origin: https://app.example\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"access-control-allow-origin: *" in head
    assert b"x-request-id: " in head
    assert b'"code":"XX000"' in body
    assert b"row" not in body
    assert [each["event"] for each in logs] == ["request_failed"]


def test_an_answer_that_breaks_off_is_seen_to_do_so() -> None:
    with serving(make_front(half)) as server, capture_logs():
        head, body = ask(server, "half")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert not body.endswith(b"0\r\n\r\n"), "its end is missing, so that nobody takes it for the whole"


def test_pages_have_a_policy_of_their_own_and_doors_may_have_theirs() -> None:
    with serving(make_front(page, own)) as server:
        head, _ = ask(server, "page")
        assert b"content-security-policy: " + PAGE_POLICY in head
        head, _ = ask(server, "own")
        for header in (b"content-security-policy: sandbox", b"cache-control: max-age=5", b"vary: Accept"):
            assert header in head
        assert head.count(b"content-security-policy") == head.count(b"cache-control") == 1


def test_the_doors_see_who_is_behind_the_proxy() -> None:
    with serving(make_front(who)) as server:
        forwarded = "x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n"
        assert ask(server, "who", forwarded)[1] == b"203.0.113.9 https"
        assert ask(server, "who")[1] == b"127.0.0.1 http"


def test_whoever_mounts_it_keeps_their_own_view() -> None:
    """The scope belongs to the application around us; what we believe of the proxy is ours."""
    seen = []
    front = make_front(who)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        await Starlette(routes=[Mount("/live", front)])(scope, receive, send)
        seen.append((scope["client"][0], scope["scheme"]))

    with serving(watched) as server, RawClient(server.port) as client:
        head = "host: x\r\nconnection: close\r\nx-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n"
        client.send(f"GET /live/rest/v1/who HTTP/1.1\r\n{head}\r\n".encode())
        assert client.read_all().endswith(b"203.0.113.9 https")
    assert seen == [("127.0.0.1", "http")]


def test_cancelling_is_no_failure() -> None:
    async def dawdle(_scope: Any, _receive: Any, _send: Any) -> None:
        raise asyncio.CancelledError

    async def nothing() -> Any:
        raise AssertionError

    async def unexpected(_event: Any) -> None:
        raise AssertionError

    options = FrontOptions(trusted_proxies=TrustedProxies([]))
    front = HttpFront(dawdle, options, count=lambda _: None, clock=time.monotonic)
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(front(scope, nothing, unexpected))
