"""What every request passes before it reaches a door, and every answer on its way out: one thin layer of ASGI.

It decides what needs neither a database nor a token: addresses, ids, HTTPS, sizes, rates, other origins. Reads no body.
"""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from math import ceil
from typing import Final
from urllib.parse import quote
from uuid import uuid4

import structlog
from msgspec import Struct
from starlette.responses import Response
from structlog.contextvars import bind_contextvars, reset_contextvars

from tidewire.server.answer_headers import AnswerHeaders, Asked
from tidewire.server.client_address import TrustedProxies, Visitor
from tidewire.server.cors import Cors
from tidewire.server.realtime_door import Event, Receive, Scope, Send, answer_handshake
from tidewire.server.refusal_bodies import refuse
from tidewire.server.request_limits import RequestAllowances, RequestLimits

log = structlog.get_logger()

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH_PATHS: Final = frozenset({"/healthz", "/healthcheck", "/readyz"})
"""Asked by load balancers from their own addresses, in plain HTTP and as often as they like."""

LONGEST_URL_BYTES: Final = 32 * 1024
"""Half of what a head may have. Lists of 800 UUIDs fit; what is longer belongs into a body."""

REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._=+/:-]{1,128}")
HOST: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


class FrontOptions(Struct, frozen=True, kw_only=True):
    """Whom to believe, and whom to let in how often, and how. `https_host` is where to redirect to, if not to Host."""

    trusted_proxies: TrustedProxies
    origins: tuple[str, ...] = ()
    allowances: RequestAllowances = RequestAllowances()
    body_bytes: int = 5_000_000
    https_redirect: bool = False
    https_host: str | None = None
    hsts_s: int = 0


class HttpFront:
    """An ASGI application in front of another. `count` is told what was refused; `clock` must never go back."""

    def __init__(
        self, app: Application, options: FrontOptions, *, count: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self._app = app
        self._options = options
        self._cors = Cors(options.origins)
        self._headers = AnswerHeaders(self._cors, hsts_s=options.hsts_s)
        self._limits = RequestLimits(options.allowances, clock)
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        visitor = self._options.trusted_proxies.visitor(scope)
        headers = dict(reversed(list(scope["headers"])))  # the first of several counts, as it does for the doors
        request_id = _request_id(headers, visitor)
        asked = Asked(request_id, headers.get(b"origin"), visitor.is_https)
        if visitor.is_proxied:
            scope = _as_seen_by_proxy(scope, visitor)
        bound = bind_contextvars(request_id=request_id)
        try:
            if scope["type"] == "http":
                await self._answer(scope, receive, send, headers, asked)
            else:
                await self._shake_hands(scope, receive, send, asked)
        finally:
            reset_contextvars(**bound)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes], asked: Asked
    ) -> None:
        has_begun = False

        async def send_completed(event: Event) -> None:
            nonlocal has_begun
            if event["type"] == "http.response.start":
                has_begun = True
                event["headers"] = self._headers.complete(event.get("headers", []), asked)
            await send(event)

        refusal = self._refusal(scope, headers, asked)
        try:
            await (refusal or self._app)(scope, receive, send_completed)
        except Exception:
            log.exception("request_failed", method=scope["method"])
            if has_begun:
                raise  # the server ends the connection, so that nobody takes a part for the whole
            failed = refuse(_local_path(scope), HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed; its log says why")
            await failed(scope, receive, send_completed)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes], asked: Asked) -> Response | None:
        """Return the answer of a request that no door gets to see."""
        path = _local_path(scope)
        if path in HEALTH_PATHS:
            return None
        if self._options.https_redirect and not asked.is_https:
            return self._to_https(scope, path, headers)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_URL_BYTES:
            return refuse(path, HTTPStatus.REQUEST_URI_TOO_LONG, f"URL longer than {LONGEST_URL_BYTES} bytes")
        if scope["method"] == "OPTIONS" and (answer := self._cors.preflight(scope)) is not None:
            return answer
        return self._over_limit(scope, path, headers)

    def _over_limit(self, scope: Scope, path: str, headers: dict[bytes, bytes]) -> Response | None:
        """Count the request, and refuse what comes too often or announces too much."""
        if wait_s := self._limits.wait_s(_address(scope), _token(headers)):
            self._count("limit_requests")
            later = {"retry-after": str(ceil(wait_s))}
            return refuse(path, HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; try again later", later)
        promised = headers.get(b"content-length", b"")
        if promised.isdigit() and int(promised[:20]) > self._options.body_bytes:
            most = f"Request body larger than {self._options.body_bytes} bytes"
            return refuse(path, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, most)
        return None

    def _to_https(self, scope: Scope, path: str, headers: dict[bytes, bytes]) -> Response:
        """Lead readers to HTTPS; a client that sent something in clear must learn of its mistake."""
        found = HOST.fullmatch(headers.get(b"host", b"").decode("latin-1"))
        host = self._options.https_host or (found and found[1])
        if scope["method"] not in {"GET", "HEAD"} or not host:
            return refuse(path, HTTPStatus.FORBIDDEN, "This server answers over HTTPS only")
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
        target = f"https://{host}{raw_path.decode('latin-1')}{query}"
        return Response(status_code=HTTPStatus.PERMANENT_REDIRECT, headers={"location": target})

    async def _shake_hands(self, scope: Scope, receive: Receive, send: Send, asked: Asked) -> None:
        """Let a handshake through, and count it where it is refused: clients have limits of their own."""
        address, is_stranger = _address(scope), True

        async def send_watched(event: Event) -> None:
            nonlocal is_stranger
            if event["type"] == "websocket.accept":
                is_stranger = False
                event["headers"] = [*event.get("headers", ()), (b"x-request-id", asked.request_id.encode())]
            elif is_stranger and event["type"] in {"websocket.http.response.start", "websocket.close"}:
                self._limits.count_stranger(address)
                if event["type"] == "websocket.http.response.start":
                    event["headers"] = self._headers.complete(event["headers"], asked)
            await send(event)

        if self._options.https_redirect and not asked.is_https:
            await receive()
            await answer_handshake(scope, send_watched, HTTPStatus.FORBIDDEN, "This server answers over HTTPS only")
        elif wait_s := self._limits.stranger_wait_s(address):
            self._count("limit_requests")
            await receive()
            later = [(b"retry-after", b"%d" % ceil(wait_s))]
            await answer_handshake(scope, send_watched, HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", later)
        else:
            await self._app(scope, receive, send_watched)


def _request_id(headers: dict[bytes, bytes], visitor: Visitor) -> str:
    """Keep the id that a trusted proxy gives, so that its log and ours tell of the same request."""
    given = headers.get(b"x-request-id", b"") if visitor.is_proxied else b""
    return given.decode() if REQUEST_ID.fullmatch(given) else uuid4().hex


def _as_seen_by_proxy(scope: Scope, visitor: Visitor) -> Scope:
    """Describe the request as the proxy got it. The scope itself may belong to an application that mounts us."""
    secure = "s" if visitor.is_https else ""
    scheme = "http" if scope["type"] == "http" else "ws"
    return {**scope, "client": (visitor.address, 0), "scheme": scheme + secure}


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _token(headers: dict[bytes, bytes]) -> bytes:
    """Return the token as `request_parts.token_of` does, but unread."""
    scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
    return bearer.strip() if scheme.lower() == b"bearer" else headers.get(b"apikey", b"")


def _local_path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
