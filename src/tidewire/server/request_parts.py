"""Takes from an HTTP request what a door needs first: the token, and the body no further than it may reach."""

import asyncio
from http import HTTPStatus
from typing import Final

from starlette.requests import ClientDisconnect, Request

BODY_LIMIT_S: Final = 30.0
"""How long a body may take to arrive; uvicorn would wait for ever."""


class BodyRefused(Exception):  # noqa: N818 - not an error of ours, but the end of a request
    """The body cannot be taken. Answer with `status`."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bearer_of(request: Request) -> str | None:
    """Return the token of the `Authorization` header, or None where that has none; who it is of is not looked at."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def token_of(request: Request) -> str:
    """Return the token of whoever asks, or an empty text; who is signed in goes before the application's key."""
    token = bearer_of(request)
    return request.headers.get("apikey", "") if token is None else token


async def read_body(request: Request, *, most_bytes: int, limit_s: float = BODY_LIMIT_S) -> bytes:
    """Return the body. Raises BodyRefused once it is clear that it is too large, too slow or cut off."""
    if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
        return b""
    too_large = BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Request body larger than {most_bytes} bytes")
    promised = request.headers.get("content-length", "0")
    if promised.isdecimal() and int(promised[:20]) > most_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limit_s):
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    raise too_large
    except ClientDisconnect:
        raise BodyRefused(HTTPStatus.BAD_REQUEST, "Request body was cut off") from None
    except TimeoutError:
        raise BodyRefused(HTTPStatus.REQUEST_TIMEOUT, "Request body did not arrive in time") from None
    return bytes(body)
