"""python-socketio as an ASGI application under uvicorn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from benchmarks.compare.installing import python_packages
from benchmarks.compare.socket_io import socket_io_dialogue
from tidewire.bench.process import free_port, server_process
from tidewire.bench.subject import Running

PROGRAM = """
import socketio

server = socketio.AsyncServer(async_mode="asgi", ping_interval=24 * 3600)
app = socketio.ASGIApp(server)


@server.on("bench")
async def broadcast(sender, text):
    await server.emit("bench", text, skip_sid=sender)
"""
OPTIONS = ("--host", "127.0.0.1", "--log-level", "warning", "--ws-ping-interval", "86400", "--no-access-log")


class PythonSocketIO:
    name = "python_socketio"
    needs: ClassVar = {1_000: 8.0, 5_000: 8.0, 10_000: 8.0}

    def __init__(self, place: Path) -> None:
        self._place = place

    @contextmanager
    def start(self, folder: Path, *, connections: int) -> Iterator[Running]:  # noqa: ARG002 - it has no limit
        programs = python_packages(self._place, "python-socketio", "uvicorn[standard]")
        (folder / "bench_app.py").write_text(PROGRAM, encoding="ascii")
        port = free_port()
        command: list[str | Path] = [
            programs / "python",
            "-m",
            "uvicorn",
            "bench_app:app",
            "--port",
            str(port),
            *OPTIONS,
        ]
        with server_process(command, port=port, folder=folder) as process:
            yield Running(process, port, socket_io_dialogue(port))
