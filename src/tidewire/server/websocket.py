"""The WebSocket class for uvicorn: `uvicorn.Config(ws=Protocol)`, or `--ws tidewire.server.websocket:Protocol`.

It serves any ASGI application. One that knows it may take an accepted connection over, so that no task stays behind:

    connection = scope["extensions"][EXTENSION].take_over(receiver)
"""

import asyncio
from typing import Any, cast

from uvicorn import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from tidewire.server.websocket_asgi import EXTENSION, Conversation, websocket_scope
from tidewire.server.websocket_connection import WebSocketConnection
from tidewire.server.websocket_handshake import Refusal, read_handshake, refusal_response
from tidewire.server.websocket_receiver import Receiver

__all__ = ["EXTENSION", "Protocol", "Receiver", "WebSocketConnection"]

_RESTART = 1012


class Protocol(WebSocketConnection):
    """One upgraded connection. uvicorn hands it the transport, and the request head as the first data."""

    __slots__ = ("_app_state", "_config", "_server")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(_loop or asyncio.get_running_loop())
        self._config = config
        self._server = server_state
        self._app_state: dict[str, Any] | None = app_state  # None once the request head has been read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.connections.add(cast("Any", self))  # the set is typed with uvicorn's own classes

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(cast("Any", self))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.is_open or self.is_ending:
            super().data_received(data)
        elif self._app_state is not None:
            app_state, self._app_state = self._app_state, None
            self._read_request(data, app_state)
        else:  # frames before our answer: no client does that, and they would have to be kept
            self._refuse_request(Refusal(400, "expected no data before the handshake is answered"))

    def shutdown(self) -> None:
        """End the connection because the server stops; uvicorn calls this and then waits for it."""
        if self.is_open:
            self.close(_RESTART)
        else:
            self._refuse_request(Refusal(503, "the server is going away"))

    def _read_request(self, head: bytes, app_state: dict[str, Any]) -> None:
        handshake = read_handshake(head)
        if isinstance(handshake, Refusal):
            self._refuse_request(handshake)
            return
        conversation = Conversation(self, handshake, self._server.default_headers)
        self.hand_over(conversation)
        transport = self._transport
        scope = websocket_scope(handshake, self._config.root_path) | {
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "scheme": "wss" if is_ssl(transport) else "ws",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "state": app_state.copy(),
            "extensions": {"websocket.http.response": {}, EXTENSION: conversation},
        }
        # uvicorn owns the tasks of its requests: it waits for them when it stops, and cancels them at its limit.
        task = asyncio.get_running_loop().create_task(conversation.run(self._config.loaded_app, scope))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def _refuse_request(self, refusal: Refusal) -> None:
        self.refuse(refusal_response(refusal, self._server.default_headers))
