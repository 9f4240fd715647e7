"""The ways to talk to the server on a bad network: a WebSocket, an event stream with posts, and long polling.

A line that ends for any reason raises `LineBroken` or OSError; its user makes another one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

OPEN_S: Final = 10.0
"""How long making a line, or sending something on it, may take."""
VERSION: Final = "2.0.0"

Message = Sequence[Any]
"""join_ref, ref, topic, event and payload."""


class LineBroken(Exception):  # noqa: N818 - it is expected
    """The line has ended, or the server has asked to make another one."""


class Line(Protocol):
    """A way to talk to the server."""

    async def send(self, message: Message) -> None: ...

    async def receive(self) -> Sequence[Message]:
        """Wait for some messages; none are a sign of life as well."""
        ...

    async def close(self) -> None:
        """Hang up, without waiting for the other side."""
        ...


Dial = Callable[[int, str], Awaitable[Line]]
"""Makes a line to a port with a token."""


class SocketLine:
    """A WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @classmethod
    async def dial(cls, port: int, token: str) -> "SocketLine":
        uri = f"ws://127.0.0.1:{port}/realtime/v1/websocket?{_query(token)}"
        try:
            return cls(await connect(uri, ping_interval=None, open_timeout=OPEN_S, compression=None, proxy=None))
        except (WebSocketException, TimeoutError, EOFError) as error:
            raise LineBroken(type(error).__name__) from None

    async def send(self, message: Message) -> None:
        try:
            await self._socket.send(msgspec.json.encode(message).decode())
        except WebSocketException as error:
            raise LineBroken(type(error).__name__) from None

    async def receive(self) -> Sequence[Message]:
        try:
            return [msgspec.json.decode(await self._socket.recv(decode=True))]
        except WebSocketException as error:
            raise LineBroken(type(error).__name__) from None

    async def close(self) -> None:
        self._socket.transport.abort()


class StreamLine:
    """An event stream, and a request for everything that is said."""

    def __init__(self, posts: "_Requests", answer: "_Answer", session: Mapping[str, str]) -> None:
        self._posts = posts
        self._answer = answer
        self._session = session

    @classmethod
    async def dial(cls, port: int, token: str) -> "StreamLine":
        stream = _Requests(port)
        answer = await stream.ask("GET", f"/realtime/v1/sse?{_query(token)}", {"accept": "text/event-stream"})
        while (event := await _event(answer))[0] != "session":
            pass
        return cls(_Requests(port), answer, msgspec.json.decode(event[1]))

    async def send(self, message: Message) -> None:
        target = f"/realtime/v1/{self._session['url'].lstrip('./').removeprefix('realtime/v1/')}"
        headers = {"tidewire-secret": self._session["secret"], "content-type": "application/json"}
        answer = await self._posts.ask("POST", target, headers, msgspec.json.encode(message))
        await answer.all()
        if answer.status != 202:
            raise LineBroken(f"a command was answered {answer.status}")

    async def receive(self) -> Sequence[Message]:
        name, data = await _event(self._answer)
        if name == "close":
            raise LineBroken("closed")
        return [msgspec.json.decode(data)] if name == "message" else []

    async def close(self) -> None:
        self._answer.close()
        self._posts.close()


class PollLine:
    """Requests for what there is, and others for everything that is said."""

    def __init__(self, port: int, query: str, token: str) -> None:
        self._polls = _Requests(port)
        self._posts = _Requests(port)
        self._query = query
        self._token = token

    @classmethod
    async def dial(cls, port: int, token: str) -> "PollLine":
        line = cls(port, _query(token), "")
        begun = await line._polls.ask_json("GET", line._target)
        if begun.get("status") != 410:
            await line.close()
            raise LineBroken(f"no session: {begun.get('status')}")
        line._token = begun["token"]
        return line

    async def send(self, message: Message) -> None:
        answer = await self._posts.ask_json("POST", self._target, msgspec.json.encode(message))
        if answer.get("status") != 200:
            raise LineBroken(f"a command was answered {answer.get('status')}")

    async def receive(self) -> Sequence[Message]:
        answer = await self._polls.ask_json("GET", self._target)
        if answer.get("status") not in {200, 204}:
            raise LineBroken(f"a poll was answered {answer.get('status')}")
        self._token = answer["token"]
        return [msgspec.json.decode(message) for message in answer["messages"]]

    async def close(self) -> None:
        self._polls.close()
        self._posts.close()

    @property
    def _target(self) -> str:
        return f"/realtime/v1/longpoll?{self._query}&{urlencode({'token': self._token})}"


class _Answer:
    """The answer to a request; its body comes as it is read."""

    def __init__(self, status: int, headers: Mapping[str, str], ends: tuple[asyncio.StreamReader, Any]) -> None:
        self.status = status
        self._reader, self._writer = ends
        self._is_chunked = headers.get("transfer-encoding") == "chunked"
        self._size = int(headers.get("content-length", -1))
        self._unread = b""

    async def line(self) -> bytes:
        """Return the next line of the body."""
        while b"\n" not in self._unread:
            if not (data := await self.some()):
                raise LineBroken("the answer has ended")
            self._unread += data
        found, _, self._unread = self._unread.partition(b"\n")
        return found

    async def all(self) -> bytes:
        body = b""
        while data := await self.some():
            body += data
        return body

    async def some(self) -> bytes:
        """Return some of the body; nothing at its end. Raises LineBroken when it breaks off."""
        try:
            if self._is_chunked:
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                return (await self._reader.readexactly(size + 2))[:-2]
            found, self._size = await self._reader.readexactly(max(self._size, 0)), 0
        except (EOFError, ValueError):
            raise LineBroken("an answer broke off") from None
        return found

    def close(self) -> None:
        self._writer.transport.abort()


class _Requests:
    """One request after the other on one connection, as browsers make them. What goes wrong ends the connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> _Answer:
        """Return the answer once it begins; its body must be read to the end before the next request."""
        lines = [f"{method} {target} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._ends
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except BaseException as error:
            self.close()
            if isinstance(error, EOFError | RuntimeError):
                raise LineBroken("no answer") from None
            raise
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return _Answer(int(head[0].split()[1]), fields, self._ends)

    async def ask_json(self, method: str, target: str, body: bytes = b"") -> Mapping[str, Any]:
        answer = await self.ask(method, target, {"content-type": "application/x-ndjson"}, body)
        try:
            found: Mapping[str, Any] = msgspec.json.decode(await answer.all())
        except BaseException:
            self.close()
            raise
        return found

    def close(self) -> None:
        """End the connection."""
        if self._ends is not None:
            self._ends[1].transport.abort()
            self._ends = None


async def _event(answer: _Answer) -> tuple[str, str]:
    """Return the name and the data of the next event; a comment has the name `:`."""
    if answer.status != 200:
        answer.close()
        raise LineBroken(f"the stream was answered {answer.status}")
    name, data = "message", ""
    while line := (await answer.line()).decode():
        field, _, value = line.partition(":")
        if field == "event":
            name = value.removeprefix(" ")
        elif field == "data":
            data += value.removeprefix(" ")
    return name if data else ":", data


def _query(token: str) -> str:
    return urlencode({"apikey": token, "vsn": VERSION})
