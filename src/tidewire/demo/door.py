"""The door that the demo alone opens: gives the page tokens of people who do not exist. Nothing else ever mounts it.

Whoever has such a token is `authenticated` at this server, so only pages of the demo itself get one: the caller, the
name it calls us by and the origin of its page have to be this very machine.
"""

import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tidewire.demo.marketplace import Person
from tidewire.demo.page import PREFIX, page_routes

LIFETIME_S: Final = 3600
KEY_LIFETIME_S: Final = 365 * 24 * 3600
"""Of what a page shows when it connects, for as long as it stays open. By itself it lets nobody read anything."""
NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
"""How a browser on this machine calls us. Another name that leads here belongs to a page that means no good."""

Sign = Callable[[Mapping[str, Any]], str]
_encode = msgspec.json.Encoder().encode


class DemoDoor:
    """Give `routes` to a server that listens on loopback. `sign` turns claims into a token that it accepts."""

    def __init__(self, people: Sequence[Person], sign: Sign) -> None:
        self._people = {person.handle: person for person in people}
        self._sign = sign

    def routes(self) -> list[BaseRoute]:
        """Make the page, and what it asks for besides what every server has."""
        return [
            *page_routes(),
            Route(f"{PREFIX}/people", self.people),
            Route(f"{PREFIX}/token", self.token, methods=["POST"]),
        ]

    async def people(self, _request: Request) -> Response:
        """List whom one can be."""
        return _answer(list(self._people.values()))

    async def token(self, request: Request) -> Response:
        """Give a token for the person that `as` in the query names, and the key to connect with."""
        if not is_own_page(request):
            return _answer({"message": "Only the demo's own page on this machine gets a token"}, HTTPStatus.FORBIDDEN)
        person = self._people.get(request.query_params.get("as", ""))
        if person is None:
            return _answer({"message": f"Expected as= one of {', '.join(self._people)}"}, HTTPStatus.NOT_FOUND)
        now_s = int(time.time())
        claims = {**person.claims(), "iat": now_s, "exp": now_s + LIFETIME_S}
        key = self._sign({"role": "anon", "iat": now_s, "exp": now_s + KEY_LIFETIME_S})
        return _answer({"token": self._sign(claims), "expires_at": claims["exp"], "key": key})


def is_own_page(request: Request) -> bool:
    """Tell whether the caller is on this machine, and knows us by a name that only this machine has for us.

    A page of another origin says so in `Origin`; one whose name was made to lead here says that name in `Host`.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if request.client is None or not _is_loopback(request.client.host) or _name(f"//{host}") not in NAMES:
        return False
    return origin is None or origin == f"{request.url.scheme}://{host}"


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # brackets that do not match
        return None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _answer(body: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(_encode(body), status, media_type="application/json")
