"""What an operator asks of a running server: to be let in, who is connected, to send somebody away, a token.

Everything that changes by itself is told by the feeds instead.
"""

from http import HTTPStatus
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from tidewire.hub.node import Node
from tidewire.server.console_door import ConsoleDoor, ConsoleRefused, Endpoint, answer
from tidewire.services.operator_tokens import LONGEST_S, LinkRefused, OperatorTokens

MOST_ROWS: Final = 500
DEFAULT_ROWS: Final = 100
_MOST_DIGITS: Final = 15


class SignIn(Struct, forbid_unknown_fields=True):
    """The secret of a link."""

    link: Annotated[str, Meta(max_length=200)]


class TokenWish(Struct, forbid_unknown_fields=True):
    """Through whose eyes to look, and for how long."""

    role: Annotated[str, Meta(min_length=1, max_length=63)] = "authenticated"
    user: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    claims: dict[str, Any] = {}
    lifetime_s: Annotated[int, Meta(ge=1, le=LONGEST_S)] = 900


class ConsoleApi:
    """Give `endpoints` to the router."""

    def __init__(self, node: Node, door: ConsoleDoor, tokens: OperatorTokens) -> None:
        self._node = node
        self._door = door
        self._tokens = tokens

    def endpoints(self) -> list[tuple[str, str, Endpoint]]:
        """Return method, path and endpoint of each."""
        door = self._door
        return [
            ("POST", "/sign-in", door.open(self._sign_in)),
            ("POST", "/renew", door.open(self._renew)),
            ("POST", "/tokens", door.guarded(self._mint)),
            ("GET", "/connections", door.guarded(self._connections)),
            ("GET", "/connections/{number}", door.guarded(self._connection)),
            ("POST", "/connections/{number}/disconnect", door.guarded(self._disconnect)),
        ]

    async def _sign_in(self, request: Request) -> Response:
        """Exchange the secret of a link for a token. It is in the body, because addresses end up in logs."""
        wish = await self._door.read(request, SignIn)
        try:
            return answer(await self._tokens.sign_in(wish.link))
        except LinkRefused:
            raise ConsoleRefused(
                HTTPStatus.UNAUTHORIZED,
                "LinkRefused",
                "signing in: expected an unused link of the last ten minutes, got another",
                "start the server again for a new link, or use a token made by `tidewire token --role service_role`",
            ) from None

    async def _renew(self, request: Request) -> Response:
        """Follow a token that came by a link with the next one."""
        claims = await self._door.operator(request)
        try:
            return answer(await self._tokens.renew(claims))
        except LinkRefused:
            raise ConsoleRefused(
                HTTPStatus.CONFLICT,
                "NotRenewable",
                "renewing a token: expected one that came by a link and is not over, got another",
                "ask whoever made the token for the next one",
            ) from None

    async def _mint(self, request: Request) -> Response:
        """Make a short-lived token for a role and a user."""
        wish = await self._door.read(request, TokenWish)
        return answer(await self._tokens.mint(wish.role, wish.user, wish.claims, wish.lifetime_s))

    async def _connections(self, request: Request) -> Response:
        """List connections by their numbers, a page at a time."""
        after = _number(request.query_params.get("after", "0"))
        limit = _number(request.query_params.get("limit", str(DEFAULT_ROWS)))
        user = request.query_params.get("user")
        rows = self._node.connection_rows(after=after, limit=max(1, min(limit, MOST_ROWS)), user=user)
        total = self._node.connection_count
        return answer({"connections": rows, "total": total, "next": rows[-1].number if len(rows) >= limit else None})

    async def _connection(self, request: Request) -> Response:
        """Show one connection with its channels."""
        found = self._node.connection_detail(_number(request.path_params["number"]))
        if found is None:
            raise _gone()
        return answer(found)

    async def _disconnect(self, request: Request) -> Response:
        """Close a connection; most clients come back, with a token that they then must still have."""
        if not self._node.disconnect(_number(request.path_params["number"])):
            raise _gone()
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise ConsoleRefused(HTTPStatus.BAD_REQUEST, "BadRequest", "reading a number: expected digits, got other text")
    return int(text)


def _gone() -> ConsoleRefused:
    return ConsoleRefused(HTTPStatus.NOT_FOUND, "NoSuchConnection", "there is no such connection any more")
