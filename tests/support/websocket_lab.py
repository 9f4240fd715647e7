"""ASGI applications that do one thing each with a WebSocket, well or badly, and what they saw."""

import asyncio
import queue
import threading
from typing import Any

from tests.support.websocket import BINARY, LIMIT_S, TEXT
from tidewire.server.websocket import EXTENSION, WebSocketConnection
from tidewire.wire.websocket import encode_frame


class Watcher:
    """A receiver that echoes, and remembers what it was told for a test in another thread."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self.connection: WebSocketConnection
        self.loop = asyncio.get_running_loop()

    def on_text(self, data: bytes) -> None:
        if data == b"fail":
            raise LookupError("in a receiver")
        self.told.put(("text", data))
        self.connection.write(encode_frame(TEXT, data))

    def on_binary(self, data: bytes) -> None:
        self.told.put(("binary", data))
        self.connection.write(encode_frame(BINARY, data))

    def on_closed(self, code: int) -> None:
        self.told.put(("closed", code))

    def on_pause(self) -> None:
        self.told.put(("pause", None))

    def on_resume(self) -> None:
        self.told.put(("resume", None))

    def next(self) -> tuple[str, object]:
        return self.told.get(timeout=LIMIT_S)


class Lab:
    """An ASGI application with one behaviour a path; `takers` and `seen` tell the test what happened inside."""

    def __init__(self) -> None:
        self.takers: queue.SimpleQueue[Watcher] = queue.SimpleQueue()
        self.seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.go_on = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
            return
        await getattr(self, scope["path"].strip("/"))(scope, receive, send)

    async def echo(self, _scope: Any, receive: Any, send: Any) -> None:
        assert (await receive()) == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        self.seen.put(message)

    async def taken(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        watcher = Watcher()
        watcher.connection = scope["extensions"][EXTENSION].take_over(watcher)
        self.takers.put(watcher)

    async def taken_late(self, scope: Any, receive: Any, send: Any) -> None:
        """Take over when messages have arrived that nobody has read."""
        await receive()
        await send({"type": "websocket.accept"})
        while not self.go_on.is_set():  # noqa: ASYNC110 - the event is set by another thread
            await asyncio.sleep(0.005)
        watcher = Watcher()
        watcher.connection = scope["extensions"][EXTENSION].take_over(watcher)
        self.takers.put(watcher)
        try:
            await receive()
        except RuntimeError as error:
            self.seen.put(str(error))

    async def describe(self, scope: Any, _receive: Any, send: Any) -> None:
        self.seen.put({key: value for key, value in scope.items() if key != "extensions"})
        await send({"type": "websocket.accept", "subprotocol": "second", "headers": [(b"X-Extra", b"yes")]})
        await send({"type": "websocket.close", "code": 4001, "reason": "told you"})

    async def forbid(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})

    async def deny(self, _scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"999")]
        await send({"type": "websocket.http.response.start", "status": 429, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b'{"error":', "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b'"slow"}'})
        await receive()
        self.seen.put(await receive())

    async def inject(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept", "headers": [(b"x-name", b"a\r\nset-cookie: b")]})

    async def fail_early(self, _scope: Any, _receive: Any, _send: Any) -> None:
        raise LookupError("before the handshake")

    async def fail_late(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        raise LookupError("after the handshake")

    async def leave(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def silent(self, _scope: Any, _receive: Any, _send: Any) -> None:
        return

    async def flood(self, _scope: Any, _receive: Any, send: Any) -> None:
        """Send until the peer is gone; `seen` holds the number sent, then the error."""
        await send({"type": "websocket.accept"})
        sent = 0
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(65_536)})
                sent += 1
                self.seen.put(sent)
        except OSError:
            self.seen.put("gone")
            raise

    async def idle(self, _scope: Any, _receive: Any, send: Any) -> None:
        """Accept, read nothing until told to, then count."""
        await send({"type": "websocket.accept"})
        while not self.go_on.is_set():  # noqa: ASYNC110 - the event is set by another thread
            await asyncio.sleep(0.005)
        count = 0
        while (message := await _receive())["type"] != "websocket.disconnect":
            count += len(message.get("bytes") or b"")
            self.seen.put(count)

    async def thinking(self, _scope: Any, receive: Any, send: Any) -> None:
        """Wait for the end without ever answering the handshake."""
        await receive()
        self.seen.put("asked")
        self.seen.put(await receive())
        try:
            await send({"type": "websocket.accept"})
        except OSError:
            self.seen.put("gone")
