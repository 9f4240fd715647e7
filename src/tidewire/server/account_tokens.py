"""Opens sessions and goes on with them: what a client gets when it has signed in. Checks no password."""

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import structlog
from msgspec import Struct

from tidewire.accounts.refusals import REFRESH_NOT_FOUND, USER_BANNED, AccountRefused
from tidewire.accounts.sessions import MOST_TOKEN_CHARS, TOKEN_BYTES, first_token
from tidewire.accounts.token_claims import Issue, add_claims, check_size, make_claims
from tidewire.accounts.users import User, describe_user
from tidewire.postgres.account_sessions import AccountSessions, NewSession
from tidewire.postgres.account_store import AccountStore, HookFailed
from tidewire.server.signing_keys import Signer

log = structlog.get_logger()

MOST_AGENT_CHARS = 500


class Device(Struct, frozen=True):
    """Where a session is opened from, for whoever looks at the list of sessions."""

    address: str | None = None
    user_agent: str | None = None


class AccountTokens:
    """Its answers are what clients store as their session."""

    def __init__(
        self,
        store: AccountStore,
        sessions: AccountSessions,
        signer: Signer,
        *,
        demanded: Mapping[str, Any],
        lifetime_s: int,
        hook: str | None,
        clock: Callable[[], float],
    ) -> None:
        """Every token has the `demanded` claims; `hook` names a function in SQL that may add some."""
        self._store = store
        self._sessions = sessions
        self._signer = signer
        self._demanded = demanded
        self._lifetime_s = lifetime_s
        self._hook = hook
        self._clock = clock

    async def open(self, user: User, method: str, device: Device) -> dict[str, Any]:
        """Sign the user in. Raises AccountRefused."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        if user.is_banned(now):
            raise AccountRefused(USER_BANNED)
        issue = self._issue(uuid4(), method, now.timestamp())
        access = await self._access(user, issue)  # first, so that nothing is left behind when the hook refuses
        token = first_token(secrets.token_bytes(TOKEN_BYTES))
        await self._sessions.open(
            NewSession(
                id=issue.session_id,
                user_id=user.id,
                method=method,
                key=secrets.token_bytes(32),
                token=token,
                user_agent=device.user_agent and device.user_agent[:MOST_AGENT_CHARS].replace("\0", ""),
                address=device.address,
            )
        )
        return self._answer(msgspec.structs.replace(user, last_sign_in_at=now), access, issue, token)

    async def refresh(self, token: str) -> dict[str, Any]:
        """Go on with a session. Raises AccountRefused; a stolen token has ended its session then."""
        if len(token) > MOST_TOKEN_CHARS:
            raise AccountRefused(REFRESH_NOT_FOUND)
        session = await self._sessions.refresh(token)
        account = await self._store.find(id=session.user_id)
        if account is None:
            raise AccountRefused(REFRESH_NOT_FOUND)
        if account.user.is_banned(datetime.fromtimestamp(self._clock(), UTC)):
            raise AccountRefused(USER_BANNED)
        issue = self._issue(session.session_id, session.method, session.began_at_s)
        return self._answer(account.user, await self._access(account.user, issue), issue, session.token)

    def _issue(self, session_id: UUID, method: str, began_at_s: float) -> Issue:
        return Issue(session_id, method, int(began_at_s), int(self._clock()), self._lifetime_s)

    async def _access(self, user: User, issue: Issue) -> str:
        claims = make_claims(user, issue, self._demanded)
        if self._hook is not None:
            event = {"user_id": str(user.id), "claims": claims, "authentication_method": issue.method}
            try:
                claims = add_claims(claims, await self._store.call_hook(self._hook, event))
            except AccountRefused as refused:
                reason = refused.message if isinstance(refused, HookFailed) else "it changed or removed claims"
                log.error("access_token_hook_failed", hook=self._hook, reason=reason)  # noqa: TRY400 - it says all
                raise
        check_size(claims)
        return await self._signer.sign(claims)

    def _answer(self, user: User, access: str, issue: Issue, token: str) -> dict[str, Any]:
        return {
            "access_token": access,
            "token_type": "bearer",
            "expires_in": self._lifetime_s,
            "expires_at": issue.now_s + self._lifetime_s,
            "refresh_token": token,
            "user": describe_user(user),
        }
