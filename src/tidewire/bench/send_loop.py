"""The baseline of the fan-out: the C program that loops send() over the same sockets, and sends the same bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidewire.bench.client_bytes import client_frame, upgrade_request
from tidewire.bench.process import free_port, server_process
from tidewire.bench.subject import MESSAGE_BYTES, Dialogue, Running
from tidewire.wire.websocket import BINARY, encode_frame


class SendLoop:
    """With more than one copy in each send() it is no baseline: then it finds out what the generator can take."""

    name = "send_loop"

    def __init__(self, program: Path, *, copies: int = 1) -> None:
        self._program = program
        self._copies = copies

    @contextmanager
    def start(self, folder: Path, *, connections: int) -> Iterator[Running]:  # noqa: ARG002 - it has no limits
        port = free_port()
        frame = encode_frame(BINARY, bytes(MESSAGE_BYTES))
        command: list[str | Path] = [self._program, str(port), frame.hex(), str(self._copies)]
        request = upgrade_request("/", port)
        dialogue = Dialogue(
            request=request,
            publisher_request=request,
            publish=[client_frame(bytes(MESSAGE_BYTES))],
            payload_bytes=MESSAGE_BYTES * self._copies,
        )
        with server_process(command, port=port, folder=folder) as process:
            yield Running(process, port, dialogue)
