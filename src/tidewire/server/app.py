"""The ASGI application of a running node: WebSockets to their door, HTTP to its endpoints and to other transports.

Nothing here is passed by the messages of a connection. Starting and stopping the node is for others.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from prometheus_client.registry import Collector
from starlette.routing import BaseRoute, Route, Router

from tidewire.hub.node import Node
from tidewire.server.broadcast_api import BroadcastApi
from tidewire.server.console import Console
from tidewire.server.cors import allow
from tidewire.server.doorkeeper import Doorkeeper
from tidewire.server.event_streams import EventStreams
from tidewire.server.http_front import FrontOptions, HttpFront
from tidewire.server.introspection import Introspection
from tidewire.server.long_poll import LongPoll
from tidewire.server.realtime_door import RealtimeDoor, Receive, Scope, Send

SOCKET_PATHS: Final = frozenset({"/socket/websocket", "/realtime/v1/websocket"})
"""As the bare server has it, and as a gateway shows it to browsers."""

PREFIXES: Final = ("", "/realtime/v1")
FALLBACK_PREFIXES: Final = ("/socket", "/realtime/v1")


class AppOptions(Struct, frozen=True, kw_only=True):
    """How the doors behave, and what stands in front of all. `open_metrics` shows figures to everybody."""

    front: FrontOptions
    refusal_delay_s: float = 0.5
    send_buffer_bytes: int = 32 * 1024
    message_limit_bytes: int = 5_000_000
    payload_bytes: int = 3_000_500
    topic_bytes: int = 255
    heartbeat_s: float = 15.0
    poll_wait_s: float = 15.0
    poll_gap_s: float = 30.0
    open_metrics: bool = False


class NodeApp:
    """Mount it anywhere: paths count from the scope's `root_path`."""

    def __init__(
        self,
        node: Node,
        source_status: Callable[[], str],
        options: AppOptions,
        doors: Sequence[BaseRoute] = (),
        collectors: Sequence[Collector] = (),
        *,
        console: Console | None = None,
        clock: Callable[[], float],
    ) -> None:
        """Ask `source_status` how the database is followed, in the words of `PostgresSource.status`.

        `doors` are the routes of what is served besides, such as accounts; they are looked at first. `collectors` know
        figures that are not the node's. `clock` must never go back.
        """
        self.node = node
        self.console = console
        """What lets operators in, for whoever starts the server."""
        doorkeeper = Doorkeeper(node, refusal_delay_s=options.refusal_delay_s)
        self._door = RealtimeDoor(
            node,
            doorkeeper,
            send_buffer_bytes=options.send_buffer_bytes,
            message_limit_bytes=options.message_limit_bytes,
        )
        streams = EventStreams(
            node, doorkeeper, heartbeat_s=options.heartbeat_s, body_bytes=options.message_limit_bytes
        )
        polls = LongPoll(
            node,
            doorkeeper,
            wait_s=options.poll_wait_s,
            gap_s=options.poll_gap_s,
            body_bytes=options.message_limit_bytes,
        )
        introspection = Introspection(
            node,
            source_status,
            lambda: {"sse": len(streams), "longpoll": len(polls)},
            open_metrics=options.open_metrics,
            collectors=collectors,
        )
        routes = [*_routes(node, introspection, options), *_fallback_routes(streams, polls)]
        pages = console.routes() if console is not None else []
        self._router = Router([*doors, *routes, *pages], redirect_slashes=False)
        self._front = HttpFront(self._lead, options.front, count=node.count, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._front(scope, receive, send)

    async def _lead(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and _local_path(scope) in SOCKET_PATHS:
            await self._door(scope, receive, send)
        else:
            await self._router(scope, receive, send)


def _routes(node: Node, introspection: Introspection, options: AppOptions) -> Sequence[BaseRoute]:
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


def _fallback_routes(streams: EventStreams, polls: LongPoll) -> Sequence[BaseRoute]:
    """For those whose network lets no WebSocket through."""
    routes: list[BaseRoute] = []
    for prefix in FALLBACK_PREFIXES:
        for path, method, endpoint in (
            (f"{prefix}/sse", "GET", streams),
            (f"{prefix}/sse/{{id}}", "POST", streams.command),
            (f"{prefix}/longpoll", "GET", polls.poll),
            (f"{prefix}/longpoll", "POST", polls.push),
        ):
            routes += [
                Route(path, endpoint, methods=[method]),
                Route(path, allow, methods=["OPTIONS"]),
            ]
    return routes


def _local_path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
