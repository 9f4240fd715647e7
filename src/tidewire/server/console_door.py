"""What every endpoint of the console goes through: who is asking, bounded bodies, and errors in one shape."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from tidewire.model.claims import Claims, is_operator
from tidewire.model.errors import (
    ConfigurationError,
    DatabaseUnreachable,
    PostgresError,
    QueryCanceled,
    TidewireError,
    TokenRefused,
    UnknownTable,
)
from tidewire.server.request_parts import BodyRefused, bearer_of, read_body

log = structlog.get_logger()

Endpoint = Callable[[Request], Awaitable[Response]]
Identify = Callable[[str], Awaitable[Claims]]
"""Verifies a token. Raises TokenRefused."""
Body = TypeVar("Body")

MOST_BODY_BYTES: Final = 1024 * 1024
"""Room for a large row."""
_STATUSES: Final[tuple[tuple[type[TidewireError], HTTPStatus], ...]] = (
    (UnknownTable, HTTPStatus.NOT_FOUND),
    (ConfigurationError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (QueryCanceled, HTTPStatus.GATEWAY_TIMEOUT),
    (DatabaseUnreachable, HTTPStatus.SERVICE_UNAVAILABLE),
    (PostgresError, HTTPStatus.UNPROCESSABLE_ENTITY),
)
_encode = msgspec.json.Encoder().encode


class ConsoleRefused(Exception):  # noqa: N818 - not an error of ours, but an answer
    """Answer with `status`; `code` is for programs, `hint` says what to do."""

    def __init__(self, status: HTTPStatus, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint


def answer(body: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Answer in JSON."""
    return Response(_encode(body), status, media_type="application/json")


def refusal(status: HTTPStatus, code: str, message: str, hint: str) -> Response:
    """Answer with an error; it has the members that errors have everywhere in Tidewire."""
    return answer({"code": code, "message": message, "hint": hint}, status)


class ConsoleDoor:
    """Shared by all endpoints."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify

    async def operator(self, request: Request) -> Claims:
        """Return the claims of the operator who asks. Raises ConsoleRefused for everybody else.

        Only a header counts: what a browser sends by itself, as it does with cookies, says nothing about who wants it.
        """
        token = bearer_of(request)
        hint = "sign in by the link that `tidewire serve` prints, or with a token of the role service_role"
        if token is None:
            raise ConsoleRefused(
                HTTPStatus.UNAUTHORIZED, "TokenRefused", "expected an operator's token, got none", hint
            )
        try:
            claims = await self._identify(token)
        except TokenRefused as error:
            raise ConsoleRefused(HTTPStatus.UNAUTHORIZED, error.code, error.message, hint) from None
        if not is_operator(claims):
            raise ConsoleRefused(HTTPStatus.FORBIDDEN, "NotOperator", "expected an operator, got somebody else", hint)
        return claims

    async def read(self, request: Request, kind: type[Body]) -> Body:
        """Read a body in JSON. Raises ConsoleRefused."""
        try:
            body = await read_body(request, most_bytes=MOST_BODY_BYTES)
        except BodyRefused as refused:
            raise ConsoleRefused(refused.status, "BadRequest", refused.message) from None
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            # Such an error names the place and the types, never the value.
            said = str(error) if isinstance(error, msgspec.ValidationError) else "no JSON"
            raise ConsoleRefused(
                HTTPStatus.BAD_REQUEST, "BadRequest", f"reading the body: {said}", "docs/reference/http.md has the form"
            ) from None

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """Let operators in only, and turn what an endpoint raises into an answer."""

        async def run(request: Request) -> Response:
            await self.operator(request)
            return await endpoint(request)

        return self.open(run)

    def open(self, endpoint: Endpoint) -> Endpoint:
        """Let everybody in, and turn what an endpoint raises into an answer."""

        async def run(request: Request) -> Response:
            try:
                return await endpoint(request)
            except ConsoleRefused as refused:
                return refusal(refused.status, refused.code, refused.message, refused.hint)
            except TidewireError as error:
                kinds = (status for kind, status in _STATUSES if isinstance(error, kind))
                status = next(kinds, HTTPStatus.SERVICE_UNAVAILABLE)
                return refusal(status, error.code, error.message, error.hint)

        return run
