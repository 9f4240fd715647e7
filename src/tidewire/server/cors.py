"""Says which pages of other origins may call the doors: answers preflights, and gives answers the headers for it.

There are no cookies, so what a page may do is decided by the token that it has; any header may be sent.
"""

from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tidewire.server.websocket_handshake import Headers as RawHeaders

REMEMBERED_S: Final = 7200
"""How long browsers may remember a preflight; Chromium never does for longer."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
EXPOSED_HEADERS: Final = (
    "Content-Encoding",
    "Content-Location",
    "Content-Profile",
    "Content-Range",
    "ETag",
    "Link",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "Tidewire-Position",
    "X-Request-Id",
    "X-Total-Count",
)
"""What a page may read of an answer, besides what every page may."""

_EXPOSE: Final = (b"access-control-expose-headers", ", ".join(EXPOSED_HEADERS).encode())
_VARY: Final = (b"vary", b"Origin")


class Cors:
    """One for all doors. `*` among the origins is every one."""

    def __init__(self, origins: Collection[str]) -> None:
        self._preflights = CORSMiddleware(
            _nothing, allow_origins=origins, allow_methods=METHODS, allow_headers=["*"], max_age=REMEMBERED_S
        )
        self._origins = frozenset(origin.encode() for origin in origins)
        self._is_open = "*" in origins

    def preflight(self, scope: Scope) -> Response | None:
        """Return the answer, if this is a preflight."""
        headers = Headers(scope=scope)
        if "origin" not in headers or "access-control-request-method" not in headers:
            return None
        return self._preflights.preflight_response(request_headers=headers)

    def headers(self, origin: bytes | None) -> RawHeaders:
        """Return what an answer to a page of this origin needs; errors as well, or the page cannot read them."""
        if self._is_open:
            return [] if origin is None else [(b"access-control-allow-origin", b"*"), _EXPOSE]
        if origin is None or origin not in self._origins:
            return [_VARY] if self._origins else []
        return [(b"access-control-allow-origin", origin), _EXPOSE, _VARY]


async def allow(_request: Request) -> Response:
    """Answer an OPTIONS that is no preflight."""
    return Response(status_code=204, headers={"Allow": ", ".join(METHODS)})


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Stand where the middleware would have its application; only its preflights are asked for."""
