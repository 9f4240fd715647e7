"""The ASGI application of a running node: WebSockets to their door, HTTP to its endpoints.

Nothing here is passed by the messages of a connection. Starting and stopping the node is for others.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from starlette.routing import BaseRoute, Route, Router

from tidewire.hub.node import Node
from tidewire.server.broadcast_api import BroadcastApi
from tidewire.server.cors import allow
from tidewire.server.doorkeeper import Doorkeeper
from tidewire.server.http_front import FrontOptions, HttpFront
from tidewire.server.introspection import Introspection
from tidewire.server.realtime_door import RealtimeDoor, Receive, Scope, Send

SOCKET_PATHS: Final = frozenset({"/socket/websocket", "/realtime/v1/websocket"})
"""As the bare server has it, and as a gateway shows it to browsers."""

PREFIXES: Final = ("", "/realtime/v1")


class AppOptions(Struct, frozen=True, kw_only=True):
    """How the doors behave, and what stands in front of all. `open_metrics` shows figures to everybody."""

    front: FrontOptions
    refusal_delay_s: float = 0.5
    send_buffer_bytes: int = 32 * 1024
    message_limit_bytes: int = 5_000_000
    payload_bytes: int = 3_000_500
    topic_bytes: int = 255
    open_metrics: bool = False


class NodeApp:
    """Mount it anywhere: paths count from the scope's `root_path`."""

    def __init__(
        self,
        node: Node,
        source_status: Callable[[], str],
        options: AppOptions,
        doors: Sequence[BaseRoute] = (),
        *,
        clock: Callable[[], float],
    ) -> None:
        """Ask `source_status` how the database is followed, in the words of `PostgresSource.status`.

        `doors` are the routes of what is served besides, such as accounts; they are looked at first. `clock` must never
        go back.
        """
        self.node = node
        self._door = RealtimeDoor(
            node,
            Doorkeeper(node, refusal_delay_s=options.refusal_delay_s),
            send_buffer_bytes=options.send_buffer_bytes,
            message_limit_bytes=options.message_limit_bytes,
        )
        self._router = Router([*doors, *_routes(node, source_status, options)], redirect_slashes=False)
        self._front = HttpFront(self._lead, options.front, count=node.count, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._front(scope, receive, send)

    async def _lead(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and _local_path(scope) in SOCKET_PATHS:
            await self._door(scope, receive, send)
        else:
            await self._router(scope, receive, send)


def _routes(node: Node, source_status: Callable[[], str], options: AppOptions) -> Sequence[BaseRoute]:
    introspection = Introspection(node, source_status, open_metrics=options.open_metrics)
    broadcasts = BroadcastApi(
        node,
        body_bytes=options.message_limit_bytes,
        payload_bytes=options.payload_bytes,
        topic_bytes=options.topic_bytes,
    )
    routes = [
        Route("/healthz", introspection.alive),
        Route("/healthcheck", introspection.alive),
        Route("/readyz", introspection.ready),
        Route("/metrics", introspection.metrics),
    ]
    for prefix in PREFIXES:
        path = f"{prefix}/api/broadcast"
        routes += [
            Route(f"{prefix}/api/ping", introspection.ping, methods=["GET", "OPTIONS"]),
            Route(path, broadcasts.batch, methods=["POST"]),
            Route(path, allow, methods=["OPTIONS"]),
            Route(f"{path}/{{topic:path}}/events/{{event:path}}", broadcasts.single, methods=["POST"]),
            Route(f"{path}/{{topic:path}}/events/{{event:path}}", allow, methods=["OPTIONS"]),
        ]
    return routes


def _local_path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
