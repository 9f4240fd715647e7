"""/auth/v1 for whoever is signed in: read and change oneself, see one's sessions, sign out. Speaks as GoTrue does.

The list of sessions is ours: GoTrue has none.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tidewire.accounts.passwords import check_new_password, normal_email
from tidewire.accounts.pkce import read_challenge
from tidewire.accounts.refusals import (
    EMAIL_EXISTS,
    NO_SUCH_SESSION,
    PHONE_DISABLED,
    REAUTHENTICATION_NEEDED,
    SAME_PASSWORD,
    WRONG_CURRENT_PASSWORD,
    AccountRefused,
    invalid,
)
from tidewire.accounts.requests import OwnChange, read_uuid
from tidewire.accounts.users import User, describe_user
from tidewire.postgres.account_sessions import AccountSessions, Scope
from tidewire.postgres.account_store import AccountStore, UserChange
from tidewire.server.account_mail import AccountMail
from tidewire.server.auth_door import AuthDoor, Endpoint, Person, answer
from tidewire.server.password_hasher import PasswordHasher

_SCOPES: Final[dict[str, Scope]] = {"global": "global", "local": "local", "others": "others"}


class UserOptions(Struct, frozen=True, kw_only=True):
    """How users may change themselves; `reauthenticate_s` is how old a sign-in may be for a new password."""

    auto_confirm: bool = False
    password_chars: int = 8
    reauthenticate_s: float | None = None


class AuthUserApi:
    """Its endpoints are listed by `endpoints`; each asks for the token of a user first."""

    def __init__(
        self,
        options: UserOptions,
        *,
        door: AuthDoor,
        store: AccountStore,
        sessions: AccountSessions,
        mail: AccountMail,
        hasher: PasswordHasher,
        clock: Callable[[], float],
    ) -> None:
        self._options = options
        self._door = door
        self._store = store
        self._sessions = sessions
        self._mail = mail
        self._hasher = hasher
        self._clock = clock

    def endpoints(self) -> Sequence[tuple[str, str, Endpoint]]:
        """Return method, path and endpoint of each."""
        return (
            ("GET", "/user", self.user),
            ("PUT", "/user", self.change),
            ("GET", "/reauthenticate", self.reauthenticate),
            ("GET", "/sessions", self.list_sessions),
            ("DELETE", "/sessions/{session_id}", self.end_session),
            ("POST", "/logout", self.sign_out),
        )

    async def user(self, request: Request) -> Response:
        """Return the user who is signed in."""
        person = await self._door.person(request)
        return answer(describe_user(await self._store.get(person.user_id)))

    async def change(self, request: Request) -> Response:
        """Change address, password or data of the user who is signed in; a new password ends the other sessions."""
        person = await self._door.person(request)
        wish = await self._door.read(request, OwnChange)
        if wish.phone:
            raise AccountRefused(PHONE_DISABLED)
        challenge = read_challenge(wish.code_challenge, wish.code_challenge_method)
        user = await self._store.get(person.user_id)
        password_hash = None if wish.password is None else await self._new_password(request, person, user, wish)
        email = normal_email(wish.email) if wish.email else None
        if email == user.email:
            email = None
        confirms = email is not None and not self._options.auto_confirm
        if email is not None and confirms:
            self._mail.check()
            self._door.count_mail(request, email)
            redirect = request.query_params.get("redirect_to")
            self._mail.later(self._change_email(user, email, redirect, challenge))
        changed = await self._store.change(
            user.id,
            UserChange(
                email=None if confirms else email,
                confirm=email is not None and not confirms,
                password_hash=password_hash,
                user_metadata=wish.data,
            ),
        )
        if not changed:
            raise AccountRefused(EMAIL_EXISTS)
        if password_hash is not None:
            await self._sessions.end(user.id, person.session_id, "others")
        return answer(describe_user(await self._store.get(user.id)))

    async def reauthenticate(self, request: Request) -> Response:
        """Send the user a code that allows a new password."""
        person = await self._door.person(request)
        user = await self._store.get(person.user_id)
        if not user.email:
            raise invalid("Reauthentication requires the user to have an email")
        self._mail.check()
        self._door.count_mail(request, user.email)
        self._mail.later(self._mail.send(user.id, user.email, "reauthentication"))
        return answer({})

    async def list_sessions(self, request: Request) -> Response:
        """Return the sessions of the user, the one used last first; the one that asks is marked."""
        person = await self._door.person(request)
        found = await self._sessions.of_user(person.user_id)
        return answer({"sessions": [each.describe(current=each.id == person.session_id) for each in found]})

    async def end_session(self, request: Request) -> Response:
        """End one session of the user."""
        person = await self._door.person(request)
        id_ = read_uuid(request.path_params["session_id"], "session_id")
        if not await self._sessions.end(person.user_id, id_, "local"):
            raise AccountRefused(NO_SUCH_SESSION)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def sign_out(self, request: Request) -> Response:
        """End this session, all, or all others; elsewhere an access token is accepted until it expires."""
        person = await self._door.person(request)
        scope = _SCOPES.get(request.query_params.get("scope") or "global")
        if scope is None:
            raise invalid("Unsupported logout scope")
        await self._sessions.end(person.user_id, person.session_id, scope)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    # --- what several of them need -----------------------------------------------------------------------------

    async def _new_password(self, request: Request, person: Person, user: User, wish: OwnChange) -> str:
        password = wish.password or ""
        check_new_password(password, fewest_chars=self._options.password_chars)
        succeed = await self._door.begin_sign_in(request, str(user.id))  # here too the password can be guessed at
        account = await self._store.find(id=user.id)
        stored = account.password_hash if account else None
        current = wish.current_password if stored is not None else None
        if current is not None and not await self._hasher.verify(current, stored):
            raise AccountRefused(WRONG_CURRENT_PASSWORD)
        if wish.nonce is not None:
            await self._mail.check_nonce(user, wish.nonce)
        elif current is None and not await self._has_just_signed_in(person):
            raise AccountRefused(REAUTHENTICATION_NEEDED)
        if stored is not None and await self._hasher.verify(password, stored):
            raise AccountRefused(SAME_PASSWORD)
        hashed = await self._hasher.hash(password)
        await succeed()
        return hashed

    async def _has_just_signed_in(self, person: Person) -> bool:
        limit_s = self._options.reauthenticate_s
        if limit_s is None:
            return True
        began = [each.began_at for each in await self._sessions.of_user(person.user_id) if each.id == person.session_id]
        return any(self._clock() - at.timestamp() <= limit_s for at in began)

    async def _change_email(self, user: User, email: str, redirect: str | None, challenge: str | None) -> None:
        if await self._store.find(email=email) is None:
            await self._mail.send(user.id, email, "email_change", redirect, challenge)
