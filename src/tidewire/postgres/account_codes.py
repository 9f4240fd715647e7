"""Keeps the links and codes that go out by e-mail, and the codes that links lead back with, in schema auth.

Hashes only. What is shown is judged by `tidewire.accounts`.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from tidewire.accounts.pkce import CODE_LIFETIME_S
from tidewire.postgres import queries
from tidewire.postgres.pool import Pool

MOST_ATTEMPTS: Final = 5
"""At a code of six digits: one guess in 200 000 succeeds."""


class SentCode(Struct, frozen=True, kw_only=True):
    """What goes out by e-mail, as hashes.

    `type` is signup, invite, magiclink, recovery, email_change or reauthentication. With a `challenge` the link leads
    back with a code instead of the session.
    """

    user_id: UUID
    type: str
    email: str
    token_hash: str
    code_hash: str
    challenge: str | None = None


class TakenCode(Struct, frozen=True):
    """A link or code that was right: whose, and which address it proves."""

    user_id: UUID
    type: str
    email: str


class TakenFlow(Struct, frozen=True):
    """Whom a code signs in, and the challenge that its bearer must answer."""

    user_id: UUID
    challenge: str


class AccountCodes:
    """Every method is one statement, and raises our errors when the database cannot be asked."""

    def __init__(self, pool: Pool, *, lifetime_s: float) -> None:
        self._pool = pool
        self._code_s = lifetime_s

    async def put_code(self, sent: SentCode) -> None:
        """Remember what goes out by e-mail; an earlier one for the same purpose counts no longer."""
        parameters = {
            "user_id": sent.user_id,
            "type": sent.type,
            "email": sent.email,
            "token_hash": sent.token_hash,
            "code_hash": sent.code_hash,
            "challenge": sent.challenge,
        }
        async with self._pool.connection("keeping a one-time code") as connection:
            await connection.execute(queries.load("accounts_put_code"), parameters)

    async def take_link(self, token_hash: str, types: Sequence[str]) -> TakenCode | None:
        """Return whose link it is, once."""
        parameters = {"token_hash": token_hash, "types": list(types), "lifetime_s": self._code_s}
        rows = await self._pool.fetch("taking a link", queries.load("accounts_take_link"), parameters)
        return TakenCode(*rows[0][:3]) if rows and rows[0][3] else None

    async def candidates(self, email: str, types: Sequence[str]) -> list[tuple[TakenCode, str, str]]:
        """Count an attempt, and return what could be meant: the code, the hash of its link, and its own hash."""
        parameters = {
            "email": email,
            "types": list(types),
            "most": MOST_ATTEMPTS,
            "lifetime_s": self._code_s,
        }
        rows = await self._pool.fetch("checking a code", queries.load("accounts_count_attempt"), parameters)
        return [(TakenCode(user_id, type_, to), link, code) for user_id, type_, to, link, code in rows]

    async def issue(self, link_hash: str, code_hash: str) -> bool:
        """Give the link that was followed a code to lead back with; false when it was asked for without a challenge."""
        parameters = {"link": link_hash, "code": code_hash}
        return bool(await self._pool.fetch("issuing a code", queries.load("accounts_issue_code"), parameters))

    async def take(self, code_hash: str) -> TakenFlow | None:
        """Return whom a code signs in, once: whoever does not know the verifier must not try a second one."""
        parameters = {"code": code_hash, "lifetime_s": CODE_LIFETIME_S}
        rows = await self._pool.fetch("taking a code", queries.load("accounts_take_code"), parameters)
        return TakenFlow(*rows[0][:2]) if rows and rows[0][2] else None
