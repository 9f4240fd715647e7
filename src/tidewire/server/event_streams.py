"""Server-sent events: GET opens a stream that carries a client's messages, POST takes what the client says.

An EventSource needs nothing else: the joins may stand in the address, and the id of the last event is where it goes on.
"""

from http import HTTPStatus
from typing import Final

from msgspec import Struct
from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidewire.hub.connection import ClientConnection
from tidewire.hub.node import Node
from tidewire.model.errors import DecodeError
from tidewire.model.reasons import RESTARTING
from tidewire.server import forms
from tidewire.server.doorkeeper import Doorkeeper, Entry, Refusal, read_entry
from tidewire.server.event_outbox import HEADERS, EventOutbox, goodbye
from tidewire.server.realtime_door import Receive, Scope, Send
from tidewire.server.request_parts import BodyRefused, read_body
from tidewire.server.tickets import Tickets
from tidewire.server.websocket_receiver import hand_in
from tidewire.wire.bookmarks import Bookmarks, joins, read_openings
from tidewire.wire.event_stream import named_event, padding, retry
from tidewire.wire.message import Message
from tidewire.wire.posted_frames import read_posted
from tidewire.wire.session_effects import RESTART

PROOF_HEADER: Final = "tidewire-secret"
"""In it a client proves that a stream is its own."""

PADDING_BYTES: Final = 2048
"""What stands in front of a stream: there are proxies and browsers that pass on nothing before about a kilobyte."""
MOST_PADDING_BYTES: Final = 8192
RETRY_MS: Final = 1000

_GONE: Final = {"error": "There is no such stream: open a new one"}


class Wishes(Struct, frozen=True):
    """What a request asks of a stream besides being let in."""

    joins: list[Message]
    least_bytes: int


class EventStreams:
    """An ASGI application for GET, and an endpoint for POST."""

    def __init__(self, node: Node, doorkeeper: Doorkeeper, *, heartbeat_s: float, body_bytes: int) -> None:
        self._node = node
        self._doorkeeper = doorkeeper
        self._heartbeat_s = heartbeat_s
        self._body_bytes = body_bytes
        self._open: Tickets[ClientConnection] = Tickets()

    def __len__(self) -> int:
        return len(self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            await Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED, headers={"allow": "GET"})(scope, receive, send)
            return
        entry = read_entry(scope)
        wishes = entry if isinstance(entry, Refusal) else _read_wishes(entry, Request(scope))
        admitted = await self._doorkeeper.admit(wishes if isinstance(wishes, Refusal) else entry)
        if isinstance(admitted, Entry) and isinstance(wishes, Wishes):
            await self._stream(admitted, wishes, receive, send)
        elif isinstance(admitted, Refusal):
            await _answer(admitted)(scope, receive, send)

    async def command(self, request: Request) -> Response:
        """Take what the client of a stream says."""
        client = self._open.find(request.path_params["id"], request.headers.get(PROOF_HEADER, ""))
        if client is None:
            return JSONResponse(_GONE, HTTPStatus.GONE)
        try:
            body = await read_body(request, most_bytes=self._body_bytes)
            frames = read_posted(body, request.headers.get("content-type", ""))
        except BodyRefused as refused:
            return JSONResponse({"error": refused.message}, refused.status)
        except DecodeError as error:
            return JSONResponse({"error": error.message}, HTTPStatus.BAD_REQUEST)
        hand_in(client, frames)
        return Response(status_code=HTTPStatus.ACCEPTED)

    async def _stream(self, entry: Entry, wishes: Wishes, receive: Receive, send: Send) -> None:
        outbox = EventOutbox(Bookmarks(wishes.joins), heartbeat_s=self._heartbeat_s, least_bytes=wishes.least_bytes)
        form = forms.EVENT_STREAM[entry.version]
        client = self._node.connect(outbox, form, token=entry.token, resumes=entry.session, transport="sse")
        ticket = self._open.issue(client)
        # Relative to the address of the stream, which only the client knows whole.
        session = encode({"id": ticket.id, "secret": ticket.secret, "url": f"sse/{ticket.id}"})
        outbox.say(padding(PADDING_BYTES) + retry(RETRY_MS) + named_event("session", session))
        try:
            await outbox.run(client, receive, send, [form.codec.encode(join) for join in wishes.joins])
        finally:
            self._open.withdraw(ticket.id)


def _read_wishes(entry: Entry, request: Request) -> Wishes | Refusal:
    last_id = request.headers.get("last-event-id") or entry.query.get("last_event_id", "")
    least = entry.query.get("padding", "0")
    if not (least.isdecimal() and len(least) <= len(str(MOST_PADDING_BYTES)) and int(least) <= MOST_PADDING_BYTES):
        return Refusal(HTTPStatus.BAD_REQUEST, f"The padding must be a number up to {MOST_PADDING_BYTES}")
    try:
        openings = read_openings(entry.query.get("channels", "").encode())
        return Wishes(joins(openings, last_id), int(least))
    except (DecodeError, UnicodeEncodeError) as error:
        words = error.message if isinstance(error, DecodeError) else "expected text"
        return Refusal(HTTPStatus.BAD_REQUEST, f"The channels cannot be read: {words}")


def _answer(refusal: Refusal) -> Response:
    """Refuse with a status; but an EventSource that is told to wait for a restart would never come back after one."""
    if refusal.message != RESTARTING.message:
        return JSONResponse({"error": refusal.message}, refusal.status)
    headers = {name.decode(): value.decode() for name, value in HEADERS}
    return Response(retry(RETRY_MS) + goodbye(RESTART, refusal.message), HTTPStatus.OK, headers)
