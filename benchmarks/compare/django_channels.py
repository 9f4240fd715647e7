"""Django Channels with its in-memory layer, under daphne."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from benchmarks.compare.installing import python_packages
from tidewire.bench.client_bytes import client_frame, upgrade_request
from tidewire.bench.process import free_port, server_process
from tidewire.bench.subject import MESSAGE_BYTES, Dialogue, Running

PROGRAM = """
import django
from django.conf import settings

layers = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
settings.configure(SECRET_KEY="only here", CHANNEL_LAYERS=layers, ALLOWED_HOSTS=["*"])
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path


class Subscriber(AsyncWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("bench", self.channel_name)
        await self.accept()

    async def bench_message(self, event):
        await self.send(text_data=event["text"])


class Publisher(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.channel_layer.group_send("bench", {"type": "bench.message", "text": text_data})


routes = [path("subscribe", Subscriber.as_asgi()), path("publish", Publisher.as_asgi())]
application = ProtocolTypeRouter({"websocket": URLRouter(routes)})
"""
OPTIONS = ("--bind", "127.0.0.1", "--ping-interval", "86400", "--verbosity", "0")


class DjangoChannels:
    name = "django_channels"
    needs: ClassVar = {1_000: 40.0}  # takes several seconds for one message to more

    def __init__(self, place: Path) -> None:
        self._place = place

    @contextmanager
    def start(self, folder: Path, *, connections: int) -> Iterator[Running]:  # noqa: ARG002 - it has no limit
        programs = python_packages(self._place, "channels[daphne]")
        (folder / "bench_app.py").write_text(PROGRAM, encoding="ascii")
        port = free_port()
        dialogue = Dialogue(
            request=upgrade_request("/subscribe", port),
            publisher_request=upgrade_request("/publish", port),
            publish=[client_frame(b"x" * MESSAGE_BYTES)],
        )
        command: list[str | Path] = [programs / "daphne", *OPTIONS, "--port", str(port), "bench_app:application"]
        with server_process(command, port=port, folder=folder) as process:
            yield Running(process, port, dialogue)
