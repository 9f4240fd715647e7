"""One client that follows a table and goes on where it was, in as few steps for each frame as Python allows.

It reads no JSON: it looks for the few words that matter. Sockets and waiting are the crowd's.
"""

from typing import Final

import msgspec
from msgspec import Struct

from tidewire.bench.client_bytes import client_frame
from tidewire.bench.realtime_server import RealtimeServer
from tidewire.model.errors import BenchmarkFailed

_SWITCHED: Final = b"HTTP/1.1 101 "
_HEAD_END: Final = b"\r\n\r\n"
_MARK: Final = b'"mark":'
_POSITION: Final = b'"position":"'
_REPLY: Final = b'"phx_reply"'
_SYSTEM: Final = b'"system"'
_PLACEHOLDER: Final = "POSITION"
_SHOWN: Final = 300
"""How much of an unexpected frame is worth showing."""


class Words(Struct, frozen=True):
    """What a client says, made before it counts: its handshake, and its join without a position and around one."""

    request: bytes
    join: bytes
    before: bytes
    after: bytes

    def come_back(self, position: bytes) -> bytes:
        """Return the frame that joins behind a position."""
        return client_frame(self.before + position + self.after)


class Follower:
    """`connected` says what to send first, `receive` takes what came and returns what to answer."""

    __slots__ = ("_rest", "_words", "is_joined", "is_switched", "marks", "position", "recovered")

    def __init__(self, words: Words) -> None:
        self._words = words
        self._rest = b""
        self.position = b""
        """Up to where it has been told everything; empty until it has joined once."""
        self.is_switched = False
        self.is_joined = False
        self.recovered = False
        """Whether the last join was told that nothing is missing."""
        self.marks: list[int] = []
        """Of rows that have come and that nobody has taken yet."""

    def connected(self) -> bytes:
        """Begin anew on a new connection; what is returned has to be sent."""
        self._rest = b""
        self.is_switched = self.is_joined = self.recovered = False
        return self._words.request

    def receive(self, chunk: bytes) -> bytes:
        """Take what came. Raises BenchmarkFailed when the server does not let it in."""
        data = self._rest + chunk if self._rest else chunk
        answer, at = b"", 0
        if not self.is_switched:
            end = data.find(_HEAD_END)
            if end < 0:
                self._rest = data
                return b""
            if not data.startswith(_SWITCHED):
                raise _unexpected("shaking hands", data)
            self.is_switched = True
            answer = self._words.come_back(self.position) if self.position else self._words.join
            at = end + len(_HEAD_END)
        self._rest = data[self._take_frames(data, at) :]
        return answer

    def _take_frames(self, data: bytes, at: int) -> int:
        """Take all frames that are whole; return where the rest begins."""
        end = len(data)
        while end - at >= 2:
            size, head = data[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            if at + head + size > end or end - at < head:
                break
            self._take(data, at + head, at + head + size)
            at += head + size
        return at

    def _take(self, data: bytes, begin: int, end: int) -> None:
        mark = data.find(_MARK, begin, end)
        if mark >= 0:
            digits = mark + len(_MARK)
            stop = digits
            while 48 <= data[stop] <= 57:
                stop += 1
            self.marks.append(int(data[digits:stop]))
            self._keep_position(data, begin, end)
        elif data.find(_REPLY, begin, end) >= 0:
            if data.find(b'"status":"ok"', begin, end) < 0:
                raise _unexpected("joining", data[begin:end])
            self.is_joined = True
            self.recovered = data.find(b'"recovered":true', begin, end) >= 0
            if not self.position:
                self._keep_position(data, begin, end)
        elif data.find(_SYSTEM, begin, end) < 0 or data.find(b'"status":"error"', begin, end) >= 0:
            raise _unexpected("following", data[begin:end])

    def _keep_position(self, data: bytes, begin: int, end: int) -> None:
        at = data.find(_POSITION, begin, end)
        if at >= 0:
            at += len(_POSITION)
            self.position = data[at : data.index(b'"', at)]


def words(server: RealtimeServer, table: str, user: str, request: bytes) -> Words:
    """Prepare what a user says who follows a table with a token of its own."""
    token = server.token({"role": "authenticated", "sub": user})
    binding = {"event": "*", "schema": "public", "table": table}
    first = _join(user, binding, token)
    before, after = _join(user, {**binding, "after": _PLACEHOLDER}, token).split(_PLACEHOLDER.encode())
    return Words(request, client_frame(first), before, after)


def _join(topic: str, binding: dict[str, str], token: str) -> bytes:
    config = {"broadcast": {}, "presence": {"enabled": False}, "postgres_changes": [binding]}
    payload = {"config": config, "access_token": token}
    return msgspec.json.encode(("1", "1", f"realtime:{topic}", "phx_join", payload))


def _unexpected(doing: str, data: bytes) -> BenchmarkFailed:
    return BenchmarkFailed(f"{doing}: expected to be let in, got {data[:_SHOWN].decode(errors='replace')}")
