"""Puts the parts of /console together: the page, the HTTP API behind it, and the link that lets an operator in."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tidewire.server.any_text import ANY_TEXT
from tidewire.server.console_door import ConsoleDoor, ConsoleRefused, Endpoint
from tidewire.server.cors import allow
from tidewire.server.static_site import StaticSite
from tidewire.services.operator_tokens import OperatorTokens

PREFIX: Final = "/console"
API: Final = f"{PREFIX}/api"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

PLACEHOLDER: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Tidewire</title>
<h1>The console is not built</h1>
<p>Run <code>make ui</code> and start the server again. Its HTTP API answers already.</p>
</html>
"""


class Console:
    """Give `routes` to the router, and `sign_in_path` to whoever started the server."""

    def __init__(
        self,
        door: ConsoleDoor,
        tokens: OperatorTokens,
        site: StaticSite,
        endpoints: Sequence[tuple[str, str, Endpoint]],
    ) -> None:
        """`endpoints` are method, path below the API, and what answers there."""
        self._door = door
        self._tokens = tokens
        self._site = site
        self._endpoints = endpoints

    def routes(self) -> list[BaseRoute]:
        """Return all routes, the most specific ones first."""
        routes: list[BaseRoute] = []
        for method, path, endpoint in self._endpoints:
            routes.append(Route(API + path, endpoint, methods=[method]))
        rest = f"{API}/{{rest:{ANY_TEXT}}}"
        return [
            *routes,
            Route(rest, allow, methods=["OPTIONS"]),
            Route(rest, self._door.open(_nowhere), methods=list(METHODS)),
            *self._site.routes(),
        ]

    def sign_in_path(self) -> str | None:
        """Return the path of a new link that lets its first user in; None where no token can be made.

        What follows the # stays in the browser: no log of a server or proxy gets to see it.
        """
        return f"{PREFIX}/#sign-in={self._tokens.new_link()}" if self._tokens.can_sign else None


async def _nowhere(request: Request) -> Response:
    raise ConsoleRefused(
        HTTPStatus.NOT_FOUND, "NotFound", f"there is nothing to {request.method} here", "docs/reference/http.md"
    )
