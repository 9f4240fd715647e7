"""A proxy that gathers what a server says and passes on only so much at once, as some on the way to a browser do."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.websocket import LIMIT_S


class GatheringProxy:
    """Connect to `port`. What comes from the server is held until there are `least_bytes` of it, or the end.

    With `once` everything passes freely after the first time.
    """

    def __init__(self, target_port: int, *, least_bytes: int, once: bool = False) -> None:
        self._target_port = target_port
        self._least_bytes = least_bytes
        self._once = once
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._held: dict[socket.socket, bytes] = {}
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="gathering proxy")]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(LIMIT_S)
        self.cut()  # who came while it closed

    @property
    def held(self) -> bytes:
        """What it has, of all connections, and does not pass on."""
        return b"".join(list(self._held.values()))

    def cut(self) -> None:
        """Break every connection, and lose what was held."""
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # it was closed
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:  # the server is away, and so is what asks for it
                client.close()
                continue
            self._sockets += [client, server]
            for work in (self._gather, self._pass_on):
                thread = threading.Thread(target=work, args=(server, client), name="gathering proxy")
                self._threads.append(thread)
                thread.start()

    def _gather(self, server: socket.socket, client: socket.socket) -> None:
        least, held = self._least_bytes, b""
        with suppress(OSError):  # one end has gone
            while data := server.recv(65536):
                self._held[server] = held = held + data
                if len(held) >= least:
                    client.sendall(held)
                    self._held[server] = held = b""
                    least = 0 if self._once else least
            client.sendall(held)
            client.shutdown(socket.SHUT_RDWR)
        self._held.pop(server, None)

    def _pass_on(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):  # one end has gone
            while data := client.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)
