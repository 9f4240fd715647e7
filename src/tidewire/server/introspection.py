"""What operators and load balancers ask: is the process alive, may it get traffic, and how is it doing."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidewire.hub.node import Node
from tidewire.model.claims import is_operator
from tidewire.model.errors import TokenRefused
from tidewire.server.figures_collector import CONTENT_TYPE, FiguresCollector, metrics_text
from tidewire.server.request_parts import bearer_of

WAITING: Final = {
    "starting": "the database is not followed yet",
    "standby": "another node follows the database, and this one waits for its turn",
    "reconnecting": "the connection to the database is broken and being made anew",
    "lost": "the database has dropped part of its history, and a new one begins",
}
"""What the states of the source mean to somebody who wants to know why nothing flows."""


class Introspection:
    """Endpoints for Starlette's router."""

    def __init__(
        self,
        node: Node,
        source_status: Callable[[], str],
        transports: Callable[[], Mapping[str, int]],
        *,
        open_metrics: bool,
        collectors: Sequence[Collector] = (),
    ) -> None:
        """Ask `transports` how many clients come by others than WebSocket.

        Without `open_metrics` the figures are for operators.
        """
        self._node = node
        self._source_status = source_status
        self._open_metrics = open_metrics
        self._registry = CollectorRegistry()
        for collector in (FiguresCollector(node, transports), *collectors):
            self._registry.register(collector)

    async def alive(self, _request: Request) -> Response:
        """Say that the process answers; nothing else is looked at."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """Say whether clients should be sent here, and if not why."""
        reasons = ["the server is stopping"] if self._node.is_draining else []
        if (status := self._source_status()) != "streaming":
            reasons.append(WAITING.get(status, status))
        if reasons:
            return JSONResponse({"status": "not ready", "reasons": reasons}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ready"})

    async def ping(self, _request: Request) -> Response:
        """Answer as official clients and tools expect."""
        return JSONResponse({"message": "Success"})

    async def metrics(self, request: Request) -> Response:
        """Show all figures."""
        if not self._open_metrics and not await self._is_operator(request):
            return JSONResponse({"message": "Unauthorized"}, HTTPStatus.UNAUTHORIZED)
        return Response(metrics_text(self._registry), headers={"content-type": CONTENT_TYPE})

    async def _is_operator(self, request: Request) -> bool:
        token = bearer_of(request)
        if token is None:
            return False
        try:
            return is_operator(await self._node.identify(token))
        except TokenRefused:
            return False
