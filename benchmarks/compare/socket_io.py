"""What a Socket.IO client says over WebSocket, and Socket.IO itself on Node."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from benchmarks.compare.installing import node_packages
from tidewire.bench.client_bytes import client_frame, upgrade_request
from tidewire.bench.process import free_port, server_process
from tidewire.bench.subject import MESSAGE_BYTES, Dialogue, Running

PROGRAM = """
const http = require('http').createServer()
const { Server } = require('socket.io')
const server = new Server(http, { pingInterval: 24 * 3600 * 1000 })
server.on('connection', (socket) => {
  socket.on('bench', (text) => socket.broadcast.emit('bench', text))
})
http.listen(Number(process.argv[2]), '127.0.0.1', 1024)
"""


class SocketIO:
    name = "socketio"
    needs: ClassVar = {1_000: 1.5, 5_000: 1.5, 10_000: 1.5}

    def __init__(self, place: Path) -> None:
        self._place = place

    @contextmanager
    def start(self, folder: Path, *, connections: int) -> Iterator[Running]:  # noqa: ARG002 - it has no limit
        program = node_packages(self._place, "socket.io") / "server.cjs"
        program.write_text(PROGRAM, encoding="ascii")
        port = free_port()
        with server_process(["node", program, str(port)], port=port, folder=folder) as process:
            yield Running(process, port, socket_io_dialogue(port))


def socket_io_dialogue(port: int) -> Dialogue:
    """Connect to the default namespace; the event's name and its text arrive as they were sent."""
    request = upgrade_request("/socket.io/?EIO=4&transport=websocket", port)
    connect = [client_frame(b"40")]
    event = b'42["bench","%b"]'
    return Dialogue(
        request=request,
        join=connect,
        join_replies=1,
        publisher_request=request,
        publisher_join=connect,
        publisher_replies=1,
        publish=[client_frame(event % (b"x" * (MESSAGE_BYTES - len(event % b""))))],
    )
