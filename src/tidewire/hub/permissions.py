"""What a token lets its bearer do in a channel: who it is by Authorizer, and what the policies say by ChannelPolicies.

Public channels are open to every genuine token, and private ones to roles that no policy binds. The server's own topics
are for operators whatever the policies say, and to be read only.
"""

from typing import Final, TypeVar

import structlog

from tidewire.hub.authorize import Authorizer
from tidewire.hub.reserved_topics import is_reserved
from tidewire.model.claims import Claims, is_operator
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
    WriteRefusal,
    unauthorized,
)
from tidewire.ports import ChannelPolicies, ChannelReads, Extension, Tables
from tidewire.wire.session_effects import Authorize, Grant

log = structlog.get_logger()

Told = TypeVar("Told", Reason, WriteRefusal)

_REASONS: Final[tuple[tuple[type[TidewireError], Reason, WriteRefusal], ...]] = (
    (PoolExhausted, DATABASE_POOL_FULL, "increase_connection_pool"),
    (DatabaseFull, DATABASE_FULL, "unable_to_connect_to_project"),
    (DatabaseUnreachable, DATABASE_UNREACHABLE, "unable_to_connect_to_project"),
    (QueryCanceled, QUERY_CANCELED, "query_canceled"),
)


class NoPolicies:
    """The policies of a database that has none: they allow nothing."""

    async def read(self, claims: Claims, topic: str, *, presence: bool) -> ChannelReads | Reason:  # noqa: ARG002 - the contract's parameters
        return ChannelReads(broadcasts=False, presence=False)

    async def write(self, claims: Claims, topic: str, extension: Extension) -> WriteRefusal | None:  # noqa: ARG002 - the contract's parameters
        return "unauthorized"


class Permissions:
    """Ask at every join and with every new token, and before the first message of each kind to a private channel."""

    def __init__(
        self,
        authorizer: Authorizer,
        tables: Tables,
        policies: ChannelPolicies | None = None,
        *,
        has_feeds: bool = True,
    ) -> None:
        """Without `policies` private channels are closed to every role that policies bind.

        Without feeds nobody tells anything in the server's own topics, so nobody may join them either.
        """
        self._has_feeds = has_feeds
        self._authorizer = authorizer
        self._tables = tables
        self._policies = policies or NoPolicies()

    async def identify(self, token: str) -> Claims:
        """Return who has the token. Raises TokenRefused."""
        return await self._authorizer.authorize(token)

    async def grant(self, question: Authorize) -> Grant | Reason:
        """Return what may be read. Raises TokenRefused, or another of our errors when the database cannot be asked."""
        claims = await self._authorizer.authorize(question.token)
        if is_reserved(question.channel.subtopic) and not question.channel.private:
            return unauthorized(question.channel.subtopic)
        if not question.channel.private:
            return Grant(claims)
        reads = await self.read(claims, question.channel.subtopic, presence=question.presence)
        return reads if isinstance(reads, Reason) else Grant(claims, reads.broadcasts, reads.presence)

    async def read(self, claims: Claims, topic: str, *, presence: bool) -> ChannelReads | Reason:
        """Return what of a private topic may be read. Raises our errors when the database cannot be asked."""
        if is_reserved(topic):
            may = self._has_feeds and is_operator(claims)
            return ChannelReads(broadcasts=True, presence=False) if may else unauthorized(topic)
        if await self._tables.bypasses_policies(claims.role):
            return ChannelReads(broadcasts=True, presence=True)
        return await self._policies.read(claims, topic, presence=presence)

    async def write(self, claims: Claims, topic: str, extension: Extension) -> WriteRefusal | None:
        """Return why nothing may be written to a private topic. Raises our errors when the database cannot be asked."""
        if is_reserved(topic):
            return "unauthorized"
        if await self._tables.bypasses_policies(claims.role):
            return None
        return await self._policies.write(claims, topic, extension)


def reason_of(error: TidewireError) -> Reason:
    """Say to a client what it may know of an error."""
    if isinstance(error, TokenRefused):
        return error.reason
    found = next((reason for kind, reason, _ in _REASONS if isinstance(error, kind)), None)
    return found or _unforeseen(error, UNKNOWN)


def write_refusal_of(error: TidewireError) -> WriteRefusal:
    """Say to a program what it may know of an error."""
    found = next((code for kind, _, code in _REASONS if isinstance(error, kind)), None)
    return found or _unforeseen(error, "unable_to_set_policies")


def _unforeseen(error: TidewireError, told: Told) -> Told:
    """Leave to the log what clients are not told: mostly a privilege that the server's own role lacks."""
    log.warning("permission_unknown", code=error.code, reason=error.message, hint=error.hint)
    return told
