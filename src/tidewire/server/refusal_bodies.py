"""Writes what is refused before a door is reached in the words of that door, so that its clients can read it."""

from http import HTTPStatus
from typing import Final

import msgspec
from starlette.responses import Response

from tidewire.accounts.refusals import Refusal
from tidewire.query.errors import QueryError

ACCOUNTS: Final = "/auth/v1"
DATA: Final = "/rest/v1"
POLLS: Final = ("/realtime/v1/longpoll", "/socket/longpoll")
STREAMS: Final = ("/realtime/v1/sse", "/socket/sse")

_ACCOUNT_CODES: Final = {429: "over_request_rate_limit", 500: "unexpected_failure"}
_DATA_CODES: Final = {413: "PGRST102", 414: "PGRST100", 500: "XX000"}
_encode = msgspec.json.Encoder().encode


def refuse(path: str, status: HTTPStatus, message: str, headers: dict[str, str] | None = None) -> Response:
    """Answer a request to this path; connections of whoever sent too much end with it."""
    if path.startswith(DATA):
        # PT and a status is how functions of the database choose one, so clients know codes of this kind.
        body = QueryError(status, _DATA_CODES.get(status, f"PT{int(status)}"), message).body()
    elif path.startswith(ACCOUNTS):
        body = Refusal(status, _ACCOUNT_CODES.get(status, "validation_failed"), message).body()
    elif path in POLLS:
        body = poll_body(status, message)
    elif path.startswith(STREAMS):
        body = {"error": message}
    else:
        body = {"message": message}
    return Response(_encode(body), status, headers, "application/json")


def poll_body(status: int, message: str) -> dict[str, object]:
    """Refuse a poll in the two words that clients know: come back with something else, or just come back."""
    is_final = status < HTTPStatus.TOO_MANY_REQUESTS
    said = HTTPStatus.FORBIDDEN if is_final else HTTPStatus.INTERNAL_SERVER_ERROR
    return {"status": said, "error": message}
