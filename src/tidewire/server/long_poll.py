"""Long polling as Phoenix's clients speak it: GET fetches messages and waits for some, POST takes what the client says.

The status that counts stands in the body, because those clients look at no other. The token of a session changes with
every answer that holds messages; sending the newest one is how a client acknowledges them.
"""

from http import HTTPStatus
from typing import Any, Final

from msgspec import Raw
from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import Response

from tidewire.hub.node import Node
from tidewire.model.errors import DecodeError
from tidewire.server import forms
from tidewire.server.doorkeeper import Doorkeeper, Entry, Refusal, read_entry
from tidewire.server.poll_outbox import PollOutbox
from tidewire.server.refusal_bodies import poll_body
from tidewire.server.request_parts import BodyRefused, read_body
from tidewire.server.tickets import Tickets
from tidewire.server.websocket_receiver import hand_in
from tidewire.wire.posted_frames import read_posted

_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_NO_TOKEN: Final = frozenset({"", "null", "undefined"})
"""What clients send for none."""
_MOST_DIGITS: Final = 18


class LongPoll:
    """Two endpoints for Starlette's router."""

    def __init__(self, node: Node, doorkeeper: Doorkeeper, *, wait_s: float, gap_s: float, body_bytes: int) -> None:
        """Let polls wait for `wait_s`; a client that does not poll for `gap_s` has gone."""
        self._node = node
        self._doorkeeper = doorkeeper
        self._wait_s = wait_s
        self._gap_s = gap_s
        self._body_bytes = body_bytes
        self._open: Tickets[PollOutbox] = Tickets()

    def __len__(self) -> int:
        return sum(outbox.receiver is not None for outbox in self._open)

    async def poll(self, request: Request) -> Response:
        """Answer with messages, or begin a session where there is no token."""
        if request.method != "GET":
            return Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED, headers={"allow": "GET, POST"})
        token = request.query_params.get("token", "")
        if token in _NO_TOKEN:
            return await self._begin(request)
        session, seen, outbox = self._find(token)
        if outbox is None:
            return _answer({"status": HTTPStatus.GONE})
        polled = await outbox.poll(seen, wait_s=self._wait_s)
        if polled.is_over:
            return _answer({"status": HTTPStatus.GONE})
        status = HTTPStatus.OK if polled.messages else HTTPStatus.NO_CONTENT
        messages = [Raw(message) for message in polled.messages]
        return _answer({"status": status, "token": f"{session}.{polled.number}", "messages": messages})

    async def push(self, request: Request) -> Response:
        """Take what the client of a session says."""
        _, _, outbox = self._find(request.query_params.get("token", ""))
        if outbox is None:
            return _answer({"status": HTTPStatus.GONE})
        try:
            body = await read_body(request, most_bytes=self._body_bytes)
            frames = read_posted(body, request.headers.get("content-type", ""))
        except BodyRefused as refused:
            return _refuse(Refusal(refused.status, refused.message))
        except DecodeError as error:
            return _refuse(Refusal(HTTPStatus.BAD_REQUEST, error.message))
        if outbox.receiver is None:
            return _answer({"status": HTTPStatus.GONE})
        hand_in(outbox.receiver, frames)
        return _answer({"status": HTTPStatus.OK})

    async def _begin(self, request: Request) -> Response:
        """Make a session. Clients know it by 410 with a token: theirs is none, and here is one."""
        admitted = await self._doorkeeper.admit(read_entry(request.scope))
        if isinstance(admitted, Refusal):
            return _refuse(admitted)
        return _answer({"status": HTTPStatus.GONE, "token": f"{self._connect(admitted)}.0"})

    def _connect(self, entry: Entry) -> str:
        outbox = PollOutbox(gap_s=self._gap_s, forget=lambda: self._open.withdraw(ticket.id))
        ticket = self._open.issue(outbox)
        form = forms.LONG_POLL[entry.version]
        client = self._node.connect(outbox, form, token=entry.token, resumes=entry.session, transport="longpoll")
        outbox.begin(client)
        return f"{ticket.id}.{ticket.secret}"

    def _find(self, token: str) -> tuple[str, int, PollOutbox | None]:
        """Take a token apart: the session without the number, the number, and the outbox if the session lives."""
        session, _, number = token.rpartition(".")
        if not (number.isdecimal() and number.isascii() and len(number) <= _MOST_DIGITS):
            return session, 0, None
        id_, _, secret = session.partition(".")
        return session, int(number), self._open.find(id_, secret)


def _answer(body: dict[str, Any], status: int = HTTPStatus.OK) -> Response:
    return Response(encode(body), status, _HEADERS, "application/json")


def _refuse(refusal: Refusal) -> Response:
    return _answer(poll_body(refusal.status, refusal.message), refusal.status)
