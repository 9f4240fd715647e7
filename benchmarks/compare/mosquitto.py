"""mosquitto with its WebSocket listener: MQTT 3.1.1 without acknowledgements."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from benchmarks.compare.installing import debian_packages, libraries
from tidewire.bench.client_bytes import BINARY, client_frame, upgrade_request
from tidewire.bench.process import free_port, server_process
from tidewire.bench.subject import MESSAGE_BYTES, Dialogue, Running

CONFIG = """
allow_anonymous true
listener {plain_port} 127.0.0.1
listener {port} 127.0.0.1
protocol websockets
"""
"""The plain listener is for version 2.0.11, which does not start with a WebSocket listener alone."""
TOPIC = b"\x00\x05bench"
CONNECT = b"\x10\x0c" + b"\x00\x04MQTT" + b"\x04\x02\x00\x00" + b"\x00\x00"  # a clean session, no keep-alive, no name
SUBSCRIBE = b"\x82" + bytes([2 + len(TOPIC) + 1]) + b"\x00\x01" + TOPIC + b"\x00"
BODY_BYTES = MESSAGE_BYTES - 3 - len(TOPIC)
REMAINING = MESSAGE_BYTES - 3  # what follows the first byte and this length itself, seven bits a byte
PUBLISH = b"\x30" + bytes([REMAINING & 0x7F | 0x80, REMAINING >> 7]) + TOPIC + b"x" * BODY_BYTES


class Mosquitto:
    name = "mosquitto"
    needs: ClassVar = {1_000: 1.0, 5_000: 1.0, 10_000: 1.0}

    def __init__(self, place: Path) -> None:
        self._place = place

    @contextmanager
    def start(self, folder: Path, *, connections: int) -> Iterator[Running]:  # noqa: ARG002 - it has no limit
        root = debian_packages(self._place, "mosquitto")
        port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(CONFIG.format(port=port, plain_port=free_port()), encoding="ascii")
        request = upgrade_request("/mqtt", port, headers={"Sec-WebSocket-Protocol": "mqtt"})
        dialogue = Dialogue(
            request=request,
            join=[client_frame(CONNECT + SUBSCRIBE, opcode=BINARY)],
            join_replies=1,
            publisher_request=request,
            publisher_join=[client_frame(CONNECT, opcode=BINARY)],
            publisher_replies=1,
            publish=[client_frame(PUBLISH, opcode=BINARY)],
        )
        command: list[str | Path] = [root / "usr/sbin/mosquitto", "-c", config]
        with server_process(command, port=port, folder=folder, environ=libraries(root)) as process:
            yield Running(process, port, dialogue)
