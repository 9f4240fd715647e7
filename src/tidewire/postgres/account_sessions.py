"""Keeps sessions, refresh tokens and one-time codes in schema auth. What is shown is judged by `tidewire.accounts`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct

from tidewire.accounts.refusals import REFRESH_NOT_FOUND, REFRESH_USED, SESSION_EXPIRED, AccountRefused
from tidewire.accounts.sessions import ShownToken, hash_token, judge_refresh, successor
from tidewire.postgres import queries
from tidewire.postgres.pool import Connection, Pool

MOST_SESSIONS: Final = 100
"""Of one user; one more ends the one that was not used for the longest time."""
KEEP_USED_S: Final = 30 * 86_400.0
"""How long a used token is remembered, so that showing it ends the session; later it is merely unknown."""
MOST_ATTEMPTS: Final = 5
"""At a code of six digits: one guess in 200 000 succeeds."""

Scope = Literal["global", "local", "others"]


class NewSession(Struct, frozen=True, kw_only=True):
    """A session to open, with the text of its first refresh token."""

    id: UUID
    user_id: UUID
    method: str
    key: bytes
    token: str
    user_agent: str | None = None
    address: str | None = None


class Refreshed(Struct, frozen=True):
    """A session that goes on with this refresh token."""

    session_id: UUID
    user_id: UUID
    method: str
    began_at_s: float
    token: str


class SentCode(Struct, frozen=True, kw_only=True):
    """What goes out by e-mail, as hashes. `type` is signup, invite, magiclink, recovery or email_change."""

    user_id: UUID
    type: str
    email: str
    token_hash: str
    code_hash: str


class TakenCode(Struct, frozen=True):
    """A link or code that was right: whose, and which address it proves."""

    user_id: UUID
    type: str
    email: str


class AccountSessions:
    """Every method is one short transaction, and raises our errors when the database cannot be asked."""

    def __init__(self, pool: Pool, *, grace_s: float, idle_s: float, code_s: float) -> None:
        self._pool = pool
        self._grace_s = grace_s
        self._idle_s = idle_s
        self._code_s = code_s

    async def open(self, new: NewSession) -> None:
        """Open a session; of a user who has too many, the oldest ends."""
        parameters = {
            "id": new.id,
            "user_id": new.user_id,
            "method": new.method,
            "key": new.key,
            "token": hash_token(new.token),
            "user_agent": new.user_agent,
            "ip": new.address,
            "most": MOST_SESSIONS - 1,
        }
        await self._run("opening a session", "accounts_open_session", parameters)

    async def refresh(self, token: str) -> Refreshed:
        """Exchange a refresh token. Raises AccountRefused; a token that was stolen has ended its session then."""
        shown = {"token": hash_token(token)}
        doing = "refreshing a session"
        async with self._pool.connection(doing) as connection, connection.transaction():
            await connection.execute(queries.load("accounts_lock_session"), shown)
            cursor = await connection.execute(queries.load("accounts_shown_token"), shown)
            row = await cursor.fetchone()
            refused = REFRESH_NOT_FOUND if row is None else None
            if row is not None:
                id_, user_id, key, method, began_at_s, refreshed_at_s, ends_at_s, used_at_s, successor_used, now_s = row
                stored = ShownToken(used_at_s, successor_used, refreshed_at_s, ends_at_s)
                verdict = judge_refresh(stored, now_s, grace_s=self._grace_s, idle_s=self._idle_s)
                following = successor(token, bytes(key))
                if verdict == "rotate":
                    await _rotate(connection, shown["token"], following)
                if verdict in {"rotate", "repeat"}:
                    return Refreshed(id_, user_id, method, began_at_s, following)
                await connection.execute(
                    queries.load("accounts_end_sessions"), {"user_id": user_id, "id": id_, "scope": "local"}
                )
                refused = SESSION_EXPIRED if verdict == "expired" else REFRESH_USED
        # Only here, because an exception inside would have undone the end of the session.
        raise AccountRefused(refused or REFRESH_NOT_FOUND)

    async def is_open(self, id_: UUID, user_id: UUID) -> bool:
        """Say whether the session is still that user's."""
        parameters = {"id": id_, "user_id": user_id}
        return bool(await self._pool.fetch("reading a session", queries.load("accounts_session"), parameters))

    async def end(self, user_id: UUID, id_: UUID | None, scope: Scope) -> None:
        """End the session, all of the user's, or all others."""
        await self._run("ending sessions", "accounts_end_sessions", {"user_id": user_id, "id": id_, "scope": scope})

    async def put_code(self, sent: SentCode) -> None:
        """Remember what goes out by e-mail; an earlier one for the same purpose counts no longer."""
        await self._run(
            "keeping a one-time code",
            "accounts_put_code",
            {
                "user_id": sent.user_id,
                "type": sent.type,
                "email": sent.email,
                "token_hash": sent.token_hash,
                "code_hash": sent.code_hash,
            },
        )

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

    async def _run(self, doing: str, name: str, parameters: Mapping[str, Any]) -> None:
        async with self._pool.connection(doing) as connection:
            await connection.execute(queries.load(name), parameters)


async def _rotate(connection: Connection, token_hash: str, following: str) -> None:
    await connection.execute(
        queries.load("accounts_rotate_token"),
        {"token": token_hash, "successor": hash_token(following), "keep_s": KEEP_USED_S},
    )
