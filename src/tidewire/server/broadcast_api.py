"""Broadcasts over HTTP: POST /api/broadcast takes a batch, POST /api/broadcast/TOPIC/events/EVENT a single message.

Reads bodies only as far as they may reach; what they say is read in broadcast_request.py.
"""

from collections.abc import Set as AbstractSet
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidewire.hub.node import Node
from tidewire.model.claims import Claims
from tidewire.model.errors import DecodeError, TidewireError, TokenRefused
from tidewire.model.reasons import DATABASE_POOL_FULL, DATABASE_UNREACHABLE, PARTITION_MISSING
from tidewire.ports import Extension
from tidewire.server.broadcast_request import (
    MAX_MESSAGES,
    InvalidBatch,
    Posted,
    check_single,
    read_batch,
    read_single,
    read_wishes,
)
from tidewire.server.request_parts import BodyRefused, read_body, token_of
from tidewire.wire.message import UserBroadcast
from tidewire.wire.requests import Persist

JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"

MAX_PRIVATE_TOPICS: Final = 100
"""How many different private topics a batch may name: each may take a question to the database."""

_UNAUTHORIZED: Final = {"message": "Unauthorized"}
_TOO_MANY: Final = {"message": "You have exceeded your rate limit"}
_TOO_LONG: Final = {"message": "Too many messages to broadcast, please reduce the batch size"}
_MALFORMED: Final = {"message": "Malformed request body"}
_REFUSALS: Final = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: {"message": "Request body too large"},
    HTTPStatus.REQUEST_TIMEOUT: {"message": "Request body did not arrive in time"},
    HTTPStatus.BAD_REQUEST: _MALFORMED,
}
_UNREACHABLE: Final = {"message": DATABASE_UNREACHABLE.message}
_POOL_FULL: Final = {"message": DATABASE_POOL_FULL.message}
_NO_PARTITION: Final = {"message": PARTITION_MISSING.message}
_WRONG_TYPE: Final = {"error": f"Unsupported Media Type. Use {JSON} or {OCTETS}"}


class Answer(Exception):  # noqa: N818 - not an error of ours, but the end of a request
    """Ends a request early, with this answer."""

    def __init__(self, status: HTTPStatus, body: object) -> None:
        super().__init__(status.phrase)
        self.response = JSONResponse(body, status)


class BroadcastApi:
    """Two endpoints for Starlette's router."""

    def __init__(self, node: Node, *, body_bytes: int, payload_bytes: int, topic_bytes: int) -> None:
        self._node = node
        self._body_bytes = body_bytes
        self._payload_bytes = payload_bytes
        self._topic_bytes = topic_bytes

    async def batch(self, request: Request) -> Response:
        """Send many messages; those to private topics that the token may not write are left out without a word."""
        try:
            claims = await self._identify(request)
            posted = self._read_batch(await self._read_body(request))
            self._count(len(posted))
            writable = await self._writable(claims, {each.subtopic for each in posted if each.private})
        except Answer as answer:
            return answer.response
        for each in posted:
            if not each.private or each.subtopic in writable:
                self._node.publish(each.message, each.subtopic, private=each.private)
        return Response(status_code=HTTPStatus.ACCEPTED)

    async def single(self, request: Request) -> Response:
        """Send one message whose body is passed on byte by byte."""
        try:
            claims = await self._identify(request)
            posted = await self._read_single(request)
            self._count(1)
            if posted.private and not await self._writable(claims, {posted.subtopic}):
                return JSONResponse(_UNAUTHORIZED, HTTPStatus.FORBIDDEN)
            persist = await self._keepable(claims, posted)
        except Answer as answer:
            return answer.response
        if persist is not None and isinstance(posted.message, UserBroadcast):
            id_ = await self._node.publish_and_keep(posted.message, posted.subtopic, persist)
            if id_ is not None:
                return JSONResponse({"id": id_}, HTTPStatus.ACCEPTED)
        else:
            self._node.publish(posted.message, posted.subtopic, private=posted.private)
        return Response(status_code=HTTPStatus.ACCEPTED)

    async def _identify(self, request: Request) -> Claims:
        try:
            return await self._node.identify(token_of(request))
        except TokenRefused:
            raise Answer(HTTPStatus.UNAUTHORIZED, _UNAUTHORIZED) from None

    async def _keepable(self, claims: Claims, posted: Posted) -> Persist | None:
        """Return how the message is to be kept if that is allowed; if it is not, the message is sent all the same."""
        if posted.persist is None or not await self._writable(claims, {posted.subtopic}, "persistence"):
            return None
        if self._node.refuses_to_keep:
            raise Answer(HTTPStatus.SERVICE_UNAVAILABLE, _POOL_FULL)
        return posted.persist

    async def _writable(
        self, claims: Claims, subtopics: AbstractSet[str], extension: Extension = "broadcast"
    ) -> AbstractSet[str]:
        """Return the private topics that may be written to; what cannot be judged now may be sent again later."""
        if len(subtopics) > MAX_PRIVATE_TOPICS:
            raise Answer(HTTPStatus.TOO_MANY_REQUESTS, _TOO_LONG)
        try:
            refusals = {topic: await self._node.refuses_write(claims, topic, extension) for topic in subtopics}
        except TidewireError:
            raise Answer(HTTPStatus.SERVICE_UNAVAILABLE, _UNREACHABLE) from None
        if "missing_partition" in refusals.values():
            raise Answer(HTTPStatus.SERVICE_UNAVAILABLE, _NO_PARTITION)
        return {subtopic for subtopic, refusal in refusals.items() if refusal is None}

    def _count(self, messages: int) -> None:
        if messages > MAX_MESSAGES:
            raise Answer(HTTPStatus.TOO_MANY_REQUESTS, _TOO_LONG)
        if self._node.refuses_events(messages):
            raise Answer(HTTPStatus.TOO_MANY_REQUESTS, _TOO_MANY)

    async def _read_body(self, request: Request) -> bytes:
        try:
            return await read_body(request, most_bytes=self._body_bytes)
        except BodyRefused as refused:
            raise Answer(refused.status, _REFUSALS[refused.status]) from None

    def _read_batch(self, body: bytes) -> list[Posted]:
        try:
            return read_batch(body, payload_bytes=self._payload_bytes, topic_bytes=self._topic_bytes)
        except DecodeError:
            raise Answer(HTTPStatus.BAD_REQUEST, _MALFORMED) from None
        except InvalidBatch as invalid:
            raise Answer(HTTPStatus.UNPROCESSABLE_ENTITY, {"errors": invalid.errors}) from None

    async def _read_single(self, request: Request) -> Posted:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in {JSON, OCTETS}:
            raise Answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, _WRONG_TYPE)
        subtopic, event = _address(request)
        body = await self._read_body(request)
        limits = {"payload_bytes": self._payload_bytes, "topic_bytes": self._topic_bytes}
        private, persist, complaints = read_wishes(request.query_params)
        if complaints := {**check_single(subtopic, event, body, **limits), **complaints}:
            raise Answer(HTTPStatus.UNPROCESSABLE_ENTITY, {"errors": complaints})
        try:
            return read_single(subtopic, event, body, binary=kind == OCTETS, private=private, persist=persist)
        except DecodeError:
            raise Answer(HTTPStatus.BAD_REQUEST, _MALFORMED) from None


def _address(request: Request) -> tuple[str, str]:
    """Return topic and event as the client encoded them: a slash within one is `%2F`, which `path` no longer tells."""
    raw_path: bytes = request.scope.get("raw_path") or b""
    parts = raw_path.partition(b"?")[0].split(b"/")[-3:]
    try:
        if len(parts) == 3 and parts[1] == b"events":
            return unquote(parts[0].decode(), errors="strict"), unquote(parts[2].decode(), errors="strict")
    except UnicodeDecodeError:
        raise Answer(HTTPStatus.BAD_REQUEST, {"message": "Malformed path"}) from None
    return request.path_params["topic"], request.path_params["event"]
