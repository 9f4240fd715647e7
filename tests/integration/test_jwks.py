"""Keys by URL and from a file: a real server on loopback that answers well, badly, slowly or not at all."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.tokens import key, key_set_text, public_jwk, sign
from tidewire import assemble
from tidewire.hub.authorize import Keys
from tidewire.model.errors import TokenRefused
from tidewire.server.jwks import MAX_BYTES, TIMEOUT_S, fetch, open_keys
from tidewire.settings import Settings


class Issuer:
    """Answers every request with `answer`, and counts them."""

    def __init__(self) -> None:
        self.requests = 0
        self.answer: Callable[[BaseHTTPRequestHandler], None] = send(key_set_text(public_jwk("p256")))
        self.asked, self.released = threading.Event(), threading.Event()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests += 1
                issuer.asked.set()
                issuer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/keys"

    async def was_asked(self) -> None:
        assert await asyncio.to_thread(self.asked.wait, 10)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def send(
    body: bytes, status: int = 200, *, length: int | None = None, location: str = ""
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        if location:
            request.send_header("Location", location)
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    running = Issuer()
    yield running
    running.close()


def keys_of(issuer: Issuer) -> Keys:
    return open_keys(issuer.url, ttl_s=600, clock=lambda: 0.0)


async def test_a_token_verifies_with_a_key_by_url(issuer: Issuer, tmp_path: Path) -> None:
    authorizer = assemble.authorizer(Settings(mode="production", jwks=issuer.url, data_dir=str(tmp_path)))
    token = sign("ES256", key("p256"), kid="p256", exp=2**40)
    assert (await authorizer.authorize(token)).subject == "ada"
    assert (await authorizer.authorize(token)).subject == "ada"
    assert issuer.requests == 1
    with pytest.raises(TokenRefused, match="key ID"):
        await authorizer.authorize(sign("ES256", key("p256"), kid="invented", exp=2**40))
    assert issuer.requests == 1


def test_production_makes_no_secret(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assemble.authorizer(Settings(mode="production", jwks="https://127.0.0.1:9/keys", data_dir=str(folder)))
    assert not folder.exists()


async def test_everybody_who_waits_shares_one_request(issuer: Issuer) -> None:
    answer, at_once = issuer.answer, 50
    issuer.answer = lambda request: (issuer.released.wait(), answer(request))[1]
    keys = keys_of(issuer)
    async with asyncio.TaskGroup() as everybody:
        waiting = [everybody.create_task(keys.find("p256", "EC")) for _ in range(at_once)]
        await issuer.was_asked()
        waiting[0].cancel()  # the first one leaves; the others get their answer all the same
        issuer.released.set()
    assert waiting[0].cancelled()
    assert all(one.result() is not None for one in waiting[1:])
    assert issuer.requests == 1


@pytest.mark.parametrize(
    "answer",
    [
        send(b"no", 500),
        send(b"no", 404),
        send(b"<html></html>"),
        send(b""),
        send(b"{" * (MAX_BYTES + 1)),
        send(key_set_text(public_jwk("p256")), 302, location="http://127.0.0.1:9/elsewhere"),
        send(key_set_text(public_jwk("p256"))[:-3]),
        send(key_set_text(public_jwk("p256")), length=10),
        lambda request: request.connection.close(),
        lambda request: request.wfile.write(b"SSH-2.0-what\r\n\r\n"),
    ],
    ids=["500", "404", "html", "empty", "too long", "redirect", "cut", "cut by length", "hung up", "no http"],
)
async def test_a_bad_answer_is_no_key_and_no_exception(
    issuer: Issuer, answer: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    issuer.answer = answer
    assert await keys_of(issuer).find("p256", "EC") is None
    assert issuer.requests == 1


async def test_nobody_listens() -> None:
    closed = Issuer()
    url = closed.url
    closed.close()
    assert await open_keys(url, ttl_s=600, clock=lambda: 0.0).find("p256", "EC") is None


async def test_a_silent_issuer_holds_up_nobody_for_longer_than_the_limit(issuer: Issuer) -> None:
    issuer.answer = lambda _: (issuer.released.wait(), None)[1]
    now_s = 0.0
    keys = open_keys(issuer.url, ttl_s=600, clock=lambda: now_s)
    async with asyncio.TaskGroup() as everybody:
        first = everybody.create_task(keys.find("p256", "EC"))
        await issuer.was_asked()
        now_s = TIMEOUT_S  # whoever comes now has no patience left
        assert await asyncio.wait_for(keys.find("p256", "EC"), timeout=1) is None
        issuer.released.set()
    assert first.result() is None


def test_a_dripping_issuer_is_cut_off(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while not issuer.released.wait(0.01):
                request.wfile.write(b" ")
        except OSError:
            pass

    issuer.answer = drip
    monkeypatch.setattr("tidewire.server.jwks.TIMEOUT_S", 0.2)
    with pytest.raises(TimeoutError):
        fetch(issuer.url)


async def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    now_s = 0.0
    file = tmp_path / "keys.json"
    file.write_bytes(key_set_text(public_jwk("p256"), public_jwk("oct")))
    keys = open_keys(str(file), ttl_s=600, clock=lambda: now_s)
    assert await keys.find("p256", "EC") is not None
    assert await keys.find("oct", "oct") is not None
    file.write_bytes(key_set_text(public_jwk("p384")))
    assert await keys.find("p384", "EC") is None  # asked too soon
    now_s = 10.0
    assert await keys.find("p384", "EC") is not None
    assert await keys.find("p256", "EC") is None
    file.unlink()
    now_s = 20.0
    assert await keys.find("p256", "EC") is None
    assert await keys.find("p384", "EC") is not None
