"""Bodies that come slowly, or that nobody reads: they are waited for no longer than they may take."""

from collections.abc import Awaitable, Callable

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.support.websocket import RawClient, serving
from tidewire.server.request_parts import BodyRefused, read_body
from tidewire.server.websocket_http import HttpProtocol

POST = "POST /{} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n"

Endpoint = Callable[[Request], Awaitable[Response]]


class Brisk(HttpProtocol):
    rest_limit_s = 0.3
    rest_limit_bytes = 50_000


async def quick(_request: Request) -> Response:
    return PlainTextResponse("ok")


async def patient(request: Request) -> Response:
    try:
        return PlainTextResponse(f"{len(await read_body(request, most_bytes=1000, limit_s=0.2))}")
    except BodyRefused as refused:
        return PlainTextResponse(refused.message, refused.status)


async def drained(request: Request) -> Response:
    return PlainTextResponse(str(len(await read_body(request, most_bytes=1_000_000))))


def make_app(*endpoints: Endpoint) -> Starlette:
    """Put every endpoint at its own name."""
    return Starlette(routes=[Route(f"/{each.__name__}", each, methods=["POST"]) for each in endpoints])


def test_a_body_that_trickles_in_is_not_waited_for() -> None:
    with serving(make_app(patient), http=Brisk) as server, RawClient(server.port) as client:
        client.send(POST.format("patient", 100).encode() + b"x" * 99)
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 408 ")
        assert client.read_all().endswith(b"did not arrive in time"), "and what is still to come neither"


def test_the_rest_of_a_body_is_waited_for_no_longer_than_that() -> None:
    with serving(make_app(quick), http=Brisk) as server, RawClient(server.port) as client:
        client.send(POST.format("quick", 1000).encode() + b"x")
        assert client.read_until(b"ok").startswith(b"HTTP/1.1 200 ")
        client.send(b"x")
        assert client.read_all() == b""


def test_the_rest_of_a_body_may_be_no_larger_than_that() -> None:
    class Small(Brisk):
        rest_limit_s = 60.0

    with serving(make_app(quick), http=Small) as server, RawClient(server.port) as client:
        client.send(POST.format("quick", 4_000_000).encode())
        assert client.read_until(b"ok").startswith(b"HTTP/1.1 200 ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.send(b"x" * 4_000_000)


def test_a_connection_outlives_a_body_that_came_late() -> None:
    """A refusal may be quicker than the body's last packet; clients go on with the connection."""
    app = make_app(quick, drained)
    with serving(app, http=Brisk, timeout_keep_alive=60) as server, RawClient(server.port) as client:
        for _ in range(2):
            client.send(POST.format("quick", 5).encode() + b"x")
            assert client.read_until(b"ok").startswith(b"HTTP/1.1 200 ")
            client.send(b"xxxx" + POST.format("drained", 3).encode() + b"abc")
            assert client.read_until(b"\r\n\r\n3").startswith(b"HTTP/1.1 200 ")
    with serving(make_app(quick), http=Brisk, timeout_keep_alive=0) as server, RawClient(server.port) as client:
        client.send(POST.format("quick", 5).encode() + b"x")
        assert client.read_until(b"ok").startswith(b"HTTP/1.1 200 ")
        client.send(b"xxxx")
        assert client.read_all() == b"", "an idle connection ends as any other"
    with serving(make_app(quick, patient), timeout_keep_alive=0) as server, RawClient(server.port) as client:
        client.send(POST.format("quick", 5).encode() + b"x")
        assert client.read_until(b"ok").startswith(b"HTTP/1.1 200 ")
        client.send(b"xxxx" + POST.format("patient", 5).encode() + b"x")
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 408 "), "and one that goes on does not"
