"""What a token lets its bearer read of a channel. Verifies the token through Authorizer and asks for nothing else.

Private channels are for roles that no policy binds: policies on messages are not judged yet, so nobody else gets in.
"""

from typing import Final

from tidewire.hub.authorize import Authorizer
from tidewire.model.claims import Claims
from tidewire.model.errors import (
    DatabaseFull,
    DatabaseUnreachable,
    PoolExhausted,
    QueryCanceled,
    TidewireError,
    TokenRefused,
)
from tidewire.model.reasons import (
    DATABASE_FULL,
    DATABASE_POOL_FULL,
    DATABASE_UNREACHABLE,
    QUERY_CANCELED,
    UNKNOWN,
    Reason,
)
from tidewire.ports import Tables
from tidewire.wire.session_effects import Authorize, Grant

_REASONS: Final[tuple[tuple[type[TidewireError], Reason], ...]] = (
    (PoolExhausted, DATABASE_POOL_FULL),
    (DatabaseFull, DATABASE_FULL),
    (DatabaseUnreachable, DATABASE_UNREACHABLE),
    (QueryCanceled, QUERY_CANCELED),
)


class Permissions:
    """Ask at every join and with every new token."""

    def __init__(self, authorizer: Authorizer, tables: Tables) -> None:
        self._authorizer = authorizer
        self._tables = tables

    async def identify(self, token: str) -> Claims:
        """Return who has the token. Raises TokenRefused."""
        return await self._authorizer.authorize(token)

    async def grant(self, question: Authorize) -> Grant:
        """Return what may be read. Raises TokenRefused, or PostgresError when the database cannot be asked."""
        claims = await self._authorizer.authorize(question.token)
        allowed = not question.channel.private or await self.may_use_private(claims)
        return Grant(claims, reads_broadcasts=allowed, reads_presence=allowed)

    async def may_use_private(self, claims: Claims) -> bool:
        """Say whether private topics are open to a role. Raises PostgresError."""
        return await self._tables.bypasses_policies(claims.role)


def reason_of(error: TidewireError) -> Reason:
    """Say to a client what it may know of an error."""
    if isinstance(error, TokenRefused):
        return error.reason
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), UNKNOWN)
