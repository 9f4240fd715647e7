"""Reads an HTTP request as one for the planner of the data API; what it means is for query/ to say."""

from typing import Final
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request

from tidewire.query import request as query
from tidewire.query.errors import QueryError
from tidewire.server.request_parts import BodyRefused, read_body

MAX_PARAMETERS: Final = 1000


async def read_request(request: Request, *, below: str, most_bytes: int) -> query.Request:
    """Return what is asked of a path `below` the prefix. Raises QueryError for what cannot be read."""
    path, pairs = _path(request, below), _pairs(request)
    try:
        body = await read_body(request, most_bytes=most_bytes)
    except BodyRefused as refused:
        raise QueryError(refused.status, "PGRST102", refused.message) from None
    return query.Request(method=request.method, path=path, query=pairs, headers=_headers(request), body=body)


def _path(request: Request, below: str) -> tuple[str, ...]:
    """Return the segments as the client encoded them: a slash within one is `%2F`, which `path` no longer tells."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    rest = raw.partition(b"?")[0].partition(below.encode())[2].strip(b"/")
    try:
        return tuple(unquote(segment, errors="strict") for segment in rest.decode().split("/") if segment)
    except UnicodeDecodeError:
        raise QueryError(400, "PGRST125", "Invalid path specified in request URL") from None


def _pairs(request: Request) -> list[tuple[str, str]]:
    try:
        text = request.scope["query_string"].decode()
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:  # too many of them, or not UTF-8
        expected = f"expected at most {MAX_PARAMETERS} parameters in UTF-8"
        raise QueryError(400, "PGRST100", "failed to parse the query of the URL", details=expected) from None


def _headers(request: Request) -> dict[str, str]:
    """Join the values of a header that was sent several times, as HTTP says they may be."""
    found: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        found.setdefault(name, []).append(value)
    return {name: ", ".join(values) for name, values in found.items()}
