"""Keeps sessions and refresh tokens in schema auth. What is shown is judged by `tidewire.accounts`."""

from collections.abc import Mapping
from datetime import datetime
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


class OpenSession(Struct, frozen=True):
    """A session as its user sees it in a list."""

    id: UUID
    began_at: datetime
    refreshed_at: datetime
    method: str
    user_agent: str | None
    address: str | None

    def describe(self, *, current: bool) -> dict[str, Any]:
        """Return it as clients read it; `current` is the one that the list was asked for with."""
        return {
            "id": str(self.id),
            "created_at": self.began_at,
            "refreshed_at": self.refreshed_at,
            "method": self.method,
            "user_agent": self.user_agent,
            "ip": self.address,
            "current": current,
        }


class AccountSessions:
    """Every method is one short transaction, and raises our errors when the database cannot be asked."""

    def __init__(self, pool: Pool, *, grace_s: float, idle_s: float) -> None:
        self._pool = pool
        self._grace_s = grace_s
        self._idle_s = idle_s

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

    async def of_user(self, user_id: UUID) -> list[OpenSession]:
        """Return all sessions of a user, the one used last first."""
        rows = await self._pool.fetch("listing sessions", queries.load("accounts_sessions"), {"user_id": user_id})
        return [OpenSession(*row) for row in rows]

    async def end(self, user_id: UUID, id_: UUID | None, scope: Scope) -> int:
        """End the session, all of the user's, or all others; return how many that were."""
        return await self._run(
            "ending sessions", "accounts_end_sessions", {"user_id": user_id, "id": id_, "scope": scope}
        )

    async def _run(self, doing: str, name: str, parameters: Mapping[str, Any]) -> int:
        async with self._pool.connection(doing) as connection:
            return (await connection.execute(queries.load(name), parameters)).rowcount


async def _rotate(connection: Connection, token_hash: str, following: str) -> None:
    await connection.execute(
        queries.load("accounts_rotate_token"),
        {"token": token_hash, "successor": hash_token(following), "keep_s": KEEP_USED_S},
    )
