"""Node's `ws`, with the loop over all clients that its documentation gives for broadcasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from benchmarks.compare.installing import node_packages
from tidewire.bench.client_bytes import client_frame, upgrade_request
from tidewire.bench.process import free_port, server_process
from tidewire.bench.subject import MESSAGE_BYTES, Dialogue, Running

PROGRAM = """
const { WebSocketServer, WebSocket } = require('ws')
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 1024 })
server.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => {
    for (const client of server.clients) {
      if (client !== socket && client.readyState === WebSocket.OPEN) client.send(data, { binary: isBinary })
    }
  })
})
"""


class NodeWs:
    name = "node_ws"
    needs: ClassVar = {1_000: 1.5, 5_000: 1.5, 10_000: 1.5}

    def __init__(self, place: Path) -> None:
        self._place = place

    @contextmanager
    def start(self, folder: Path, *, connections: int) -> Iterator[Running]:  # noqa: ARG002 - it has no limit
        program = node_packages(self._place, "ws") / "server.cjs"
        program.write_text(PROGRAM, encoding="ascii")
        port = free_port()
        request = upgrade_request("/", port)
        dialogue = Dialogue(request=request, publisher_request=request, publish=[client_frame(b"x" * MESSAGE_BYTES)])
        with server_process(["node", program, str(port)], port=port, folder=folder) as process:
            yield Running(process, port, dialogue)
