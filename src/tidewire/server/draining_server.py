"""uvicorn with our connection classes, and an end in order: clients are sent away first, while it still answers.

Signals are left to whoever runs it: set `should_exit` to end it.
"""

import gc
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

import structlog
import uvicorn

from tidewire.server.websocket import Protocol
from tidewire.server.websocket_http import HttpProtocol

log = structlog.get_logger()

FREEZE_EVERY: Final = 500
"""So many more connections are taken out of the garbage collector's sight: it would stop the loop for half a second to
look at ten thousand of them, and does so when they come back as much as the first time. What is reached by no cycle is
freed as ever."""

SELDOM: Final = 100
"""A full collection after so many partial ones, instead of ten: what a crowd that comes back leaves for a moment would
be looked through again and again."""

BACKLOG: Final = 16_384
"""How many connections may wait to be accepted; the system has a limit of its own, net.core.somaxconn, mostly 4096.
Whoever finds no room tries again after one second, then two, four, eight: too late for a crowd that comes back."""

LISTENERS: Final = 2
"""uvloop accepts one connection of each listener in a turn. With one, turns of 5 ms would let in 200 in a second,
however little it costs to let one in; with very many, a turn would last as long as a crowd is large. Of 5 000 who came
back at once, four let nobody in sooner than two, and readers of other tables waited three times as long."""

LAST_S: Final = 2.0
"""What uvicorn may take of the time for the end after all clients were sent away."""


class DrainingServer(uvicorn.Server):
    """Run `serve(sockets=[…])`; it returns when everything is over."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        """`drain` sends all clients away; it must come to an end by itself."""
        super().__init__(config)
        self._drain = drain
        self._frozen = 0
        self._listeners: list[socket.socket] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._listeners = [one if count == 0 else one.dup() for one in sockets or [] for count in range(LISTENERS)]
        await super().startup(self._listeners or None)
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, SELDOM)
        gc.collect()
        gc.freeze()

    async def on_tick(self, counter: int) -> bool:
        connections = len(self.server_state.connections)
        self._frozen = min(self._frozen, connections)
        if connections >= self._frozen + FREEZE_EVERY:
            self._frozen = connections
            gc.collect(1)
            gc.freeze()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._drain()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Protocol) and connection.is_ending:
                connection.cut()
        await super().shutdown(self._listeners or sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class UvicornLog(logging.Handler):
    """Says in our log what uvicorn has to say."""

    def emit(self, record: logging.LogRecord) -> None:
        log.log(record.levelno, "uvicorn", message=record.getMessage(), exc_info=record.exc_info)


def server_config(
    app: Callable[..., Any], *, message_limit_bytes: int, drain_s: float, tls: tuple[str, str] | None
) -> uvicorn.Config:
    """Configure uvicorn for our classes. Raises OSError for a certificate and key (`tls`) that cannot be used."""
    limited = type("LimitedProtocol", (Protocol,), {"message_limit_bytes": message_limit_bytes, "__slots__": ()})
    config = uvicorn.Config(
        app,
        ws=limited,
        http=HttpProtocol,
        lifespan="off",
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # it would believe every process of this machine; see client_address.py
        timeout_graceful_shutdown=math.ceil(min(LAST_S, drain_s)),
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        ssl_keyfile_password="" if tls else None,
    )
    config.load()
    logger = logging.getLogger("uvicorn.error")
    logger.handlers[:] = [UvicornLog()]
    logger.propagate = False
    return config
