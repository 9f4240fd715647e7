"""Makes tokens for the console: for an operator who shows a one-time link, and for whomever an operator looks through.

A link is a secret of 256 bits that counts once and not for long. Nothing of it, and no token, is ever logged.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from msgspec import Struct

from tidewire.hub.authorize import MAX_TOKEN_CHARS
from tidewire.hub.claim_checks import ClaimChecks, check_claims
from tidewire.model.claims import Claims
from tidewire.model.errors import ConfigurationError, TokenRefused

log = structlog.get_logger()

LINK_S: Final = 600.0
MOST_LINKS: Final = 8
TOKEN_S: Final = 3600
"""How long an operator's token counts; the page asks for the next one before that."""
SIGNED_IN_S: Final = 12 * 3600
"""How long after the link a token may be followed by another."""
LONGEST_S: Final = 3600
UNTIL: Final = "console_until"
"""The claim that says when tokens that began with a link end for good."""
_OURS: Final = frozenset({"role", "sub", "exp", "iat", "aud", "iss", UNTIL})

Sign = Callable[[Mapping[str, Any]], Awaitable[str]]


class Minted(Struct, frozen=True):
    """A token, and the Unix time at which it ends."""

    access_token: str
    expires_at: int

    def __repr__(self) -> str:
        return f"Minted(expires_at={self.expires_at})"


class LinkRefused(Exception):  # noqa: N818 - not an error of ours: somebody shows what does not count
    """The link was used already, is too old, or never was one; which of these is nobody's business."""


class OperatorTokens:
    """`new_link` for whoever starts the server, then `sign_in` with it, and `renew` before the token ends."""

    def __init__(self, sign: Sign | None, checks: ClaimChecks, clock: Callable[[], float]) -> None:
        """Take Unix time from `clock`. Without `sign` no token can be made: there is no key to sign with."""
        self._sign = sign
        self._checks = checks
        self._clock = clock
        self._links: list[tuple[bytes, float]] = []

    @property
    def can_sign(self) -> bool:
        """Whether tokens can be made at all."""
        return self._sign is not None

    def new_link(self) -> str:
        """Return the secret of a new link. Show it to the operator, and to nobody else."""
        secret = secrets.token_urlsafe(32)
        self._links = [*self._links, (secret.encode(), self._clock() + LINK_S)][-MOST_LINKS:]
        return secret

    async def sign_in(self, secret: str) -> Minted:
        """Use a link up. Raises LinkRefused."""
        given, now_s = secret.encode(errors="replace"), self._clock()
        used = None
        for link in self._links:  # all of them, so that the time taken tells nothing about any
            if hmac.compare_digest(given, link[0]):
                used = link
        if used is None or used[1] <= now_s:
            raise LinkRefused
        self._links.remove(used)
        log.info("console_signed_in")
        return await self._operator_token(int(now_s) + SIGNED_IN_S)

    async def renew(self, claims: Claims) -> Minted:
        """Return the next token of somebody who came by a link. Raises LinkRefused for all others."""
        until_s = claims.values.get(UNTIL)
        if not isinstance(until_s, int) or until_s <= self._clock():
            raise LinkRefused
        return await self._operator_token(until_s)

    async def mint(self, role: str, subject: str | None, claims: Mapping[str, Any], lifetime_s: int) -> Minted:
        """Return a token to look through somebody's eyes. Raises ConfigurationError for what no token may say."""
        taken = sorted(_OURS.union(self._checks.exact).intersection(claims))
        if taken:
            raise ConfigurationError(
                f"minting a token: expected claims of your own, got {', '.join(taken)}",
                hint="role, user and lifetime have members of their own",
            )
        lifetime_s = min(max(lifetime_s, 1), LONGEST_S)
        values = {**claims, "role": role} if subject is None else {**claims, "role": role, "sub": subject}
        minted = await self._signed(values, lifetime_s)
        log.info("console_token_minted", role=role)
        return minted

    async def _operator_token(self, until_s: int) -> Minted:
        """Sign what lets somebody in, and gives no right in the database."""
        lifetime_s = min(TOKEN_S, max(1, until_s - int(self._clock())))
        return await self._signed({"role": "anon", "operator": True, UNTIL: until_s}, lifetime_s)

    async def _signed(self, values: Mapping[str, Any], lifetime_s: int) -> Minted:
        if self._sign is None:
            raise ConfigurationError(
                "minting a token: expected a key to sign with, got none",
                hint="set TIDEWIRE_JWT_SECRET, or sign in with a token of the service role",
            )
        now_s = int(self._clock())
        expires_at = now_s + lifetime_s
        whole = {**self._checks.demanded, **values, "iat": now_s, "exp": expires_at}
        try:
            check_claims(whole, self._checks, now_s)
        except TokenRefused as error:
            raise ConfigurationError(f"minting a token: {error.message}", hint="name a role of the database") from None
        token = await self._sign(whole)
        if len(token) > MAX_TOKEN_CHARS:
            raise ConfigurationError(
                "minting a token: expected claims that fit into 16 KiB, got more", hint="drop some"
            )
        return Minted(token, expires_at)
