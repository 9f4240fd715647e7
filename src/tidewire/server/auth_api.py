"""/auth/v1 for users: sign up, sign in, go on, change oneself, sign out. Speaks as GoTrue does."""

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from uuid import UUID, uuid4

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tidewire.accounts.passwords import check_new_password, normal_email
from tidewire.accounts.refusals import (
    ANONYMOUS_DISABLED,
    EMAIL_EXISTS,
    EMAIL_NOT_CONFIRMED,
    INVALID_CREDENTIALS,
    PHONE_DISABLED,
    SAME_PASSWORD,
    SIGNUP_DISABLED,
    UNSUPPORTED_GRANT,
    USER_EXISTS,
    WRONG_CURRENT_PASSWORD,
    AccountRefused,
    invalid,
)
from tidewire.accounts.requests import (
    OwnChange,
    PasswordGrant,
    RefreshGrant,
    SignUp,
)
from tidewire.accounts.users import Identity, User, describe_user
from tidewire.postgres.account_sessions import AccountSessions, Scope
from tidewire.postgres.account_store import AccountStore, NewUser, UserChange
from tidewire.server.account_mail import AccountMail
from tidewire.server.account_tokens import AccountTokens
from tidewire.server.auth_door import AuthDoor, Endpoint, answer, device_of
from tidewire.server.password_hasher import PasswordHasher, is_outdated
from tidewire.server.signing_keys import Signer

_SCOPES: Final[dict[str, Scope]] = {"global": "global", "local": "local", "others": "others"}
_KEYS_FRESH: Final = "public, max-age=600"


class AuthOptions(Struct, frozen=True, kw_only=True):
    """Who may sign up, and how."""

    signup: bool = True
    anonymous: bool = False
    auto_confirm: bool = False
    password_chars: int = 8


class AuthApi:
    """Its endpoints are listed by `endpoints`."""

    def __init__(
        self,
        options: AuthOptions,
        *,
        door: AuthDoor,
        store: AccountStore,
        sessions: AccountSessions,
        tokens: AccountTokens,
        mail: AccountMail,
        hasher: PasswordHasher,
        signer: Signer,
    ) -> None:
        self._door = door
        self._store = store
        self._sessions = sessions
        self._tokens = tokens
        self._mail = mail
        self._hasher = hasher
        self._signer = signer
        self._options = options

    def endpoints(self) -> Sequence[tuple[str, str, Endpoint]]:
        """Return method, path and endpoint of each."""
        return (
            ("GET", "/health", self.health),
            ("GET", "/settings", self.settings),
            ("GET", "/.well-known/jwks.json", self.key_set),
            ("POST", "/signup", self.sign_up),
            ("POST", "/token", self.token),
            ("GET", "/user", self.user),
            ("PUT", "/user", self.change),
            ("POST", "/logout", self.sign_out),
        )

    async def health(self, _request: Request) -> Response:
        """Say that it is there."""
        return answer({"name": "GoTrue", "description": "Tidewire speaks as GoTrue does", "version": "tidewire"})

    async def settings(self, _request: Request) -> Response:
        """Say what a sign-in page may offer."""
        return answer(
            {
                "external": {"email": True, "phone": False, "anonymous_users": self._options.anonymous},
                "disable_signup": not self._options.signup,
                "mailer_autoconfirm": self._options.auto_confirm,
                "phone_autoconfirm": False,
            }
        )

    async def key_set(self, _request: Request) -> Response:
        """Publish what verifies our tokens."""
        return answer({"keys": await self._signer.published()}, cache_control=_KEYS_FRESH)

    async def sign_up(self, request: Request) -> Response:
        """Make a user. An address that is taken looks like a new one wherever addresses have to be confirmed."""
        await self._door.identify(request)
        wish = await self._door.read(request, SignUp)
        self._door.count_attempt(request)
        if wish.phone:
            raise AccountRefused(PHONE_DISABLED)
        if not self._options.signup:
            raise AccountRefused(SIGNUP_DISABLED)
        if not wish.email and not wish.password:
            return await self._sign_up_anonymously(request, wish)
        email = normal_email(wish.email or "")
        check_new_password(wish.password or "", fewest_chars=self._options.password_chars)
        if not self._options.auto_confirm:
            self._mail.check()
            self._door.count_mail(request, email)
        new = NewUser(
            id=uuid4(),
            email=email,
            password_hash=await self._hasher.hash(wish.password or ""),
            confirmed=self._options.auto_confirm,
            user_metadata=wish.data or {},
        )
        added = await self._store.add(new)
        account = await self._store.find(email=email)
        if self._options.auto_confirm:
            if not added or account is None:
                raise AccountRefused(USER_EXISTS)
            return answer(await self._tokens.open(account.user, "password", device_of(request)))
        if account is None:  # deleted between the two questions
            raise AccountRefused(USER_EXISTS)
        if account.user.email_confirmed_at is None:
            redirect = request.query_params.get("redirect_to")
            self._mail.later(self._mail.send(account.user.id, email, "signup", redirect))
        return answer(describe_user(account.user if added else _stranger(email, new, datetime.now(UTC))))

    async def token(self, request: Request) -> Response:
        """Sign in with a password, or go on with a refresh token."""
        await self._door.identify(request)
        grant = request.query_params.get("grant_type")
        if grant == "password":
            return await self._sign_in(request)
        if grant == "refresh_token":
            self._door.count_refresh(request)
            shown = await self._door.read(request, RefreshGrant)
            return answer(await self._tokens.refresh(shown.refresh_token))
        raise AccountRefused(UNSUPPORTED_GRANT)

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
        password_hash = await self._new_password(request, person.user_id, wish)
        user = await self._store.get(person.user_id)
        email = normal_email(wish.email) if wish.email else None
        if email == user.email:
            email = None
        confirms = email is not None and not self._options.auto_confirm
        if email is not None and confirms:
            self._mail.check()
            self._door.count_mail(request, email)
            redirect = request.query_params.get("redirect_to")
            self._mail.later(self._change_email(user.id, email, redirect))
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

    async def sign_out(self, request: Request) -> Response:
        """End this session, all, or all others; elsewhere an access token is accepted until it expires."""
        person = await self._door.person(request)
        scope = _SCOPES.get(request.query_params.get("scope") or "global")
        if scope is None:
            raise invalid("Unsupported logout scope")
        await self._sessions.end(person.user_id, person.session_id, scope)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    # --- what several of them need -----------------------------------------------------------------------------

    async def _sign_up_anonymously(self, request: Request, wish: SignUp) -> Response:
        if not self._options.anonymous:
            raise AccountRefused(ANONYMOUS_DISABLED)
        new = NewUser(id=uuid4(), is_anonymous=True, user_metadata=wish.data or {})
        await self._store.add(new)
        return answer(await self._tokens.open(await self._store.get(new.id), "anonymous", device_of(request)))

    async def _sign_in(self, request: Request) -> Response:
        """Take the same time whether there is such a user or not."""
        grant = await self._door.read(request, PasswordGrant)
        if grant.phone:
            raise AccountRefused(PHONE_DISABLED)
        email = normal_email(grant.email or "")
        succeed = self._door.begin_sign_in(request, email)
        account = await self._store.find(email=email)
        stored = account.password_hash if account else None
        if not await self._hasher.verify(grant.password, stored) or account is None or stored is None:
            raise AccountRefused(INVALID_CREDENTIALS)
        succeed()
        if account.user.email_confirmed_at is None:
            raise AccountRefused(EMAIL_NOT_CONFIRMED)
        if is_outdated(stored):
            renewed = await self._hasher.hash(grant.password)
            await self._store.change(account.user.id, UserChange(password_hash=renewed))
        return answer(await self._tokens.open(account.user, "password", device_of(request)))

    async def _new_password(self, request: Request, user_id: UUID, wish: OwnChange) -> str | None:
        if wish.password is None:
            return None
        check_new_password(wish.password, fewest_chars=self._options.password_chars)
        succeed = self._door.begin_sign_in(request, str(user_id))  # here too the password can be guessed at
        account = await self._store.find(id=user_id)
        stored = account.password_hash if account else None
        if stored is not None:
            current = wish.current_password
            if current is not None and not await self._hasher.verify(current, stored):
                raise AccountRefused(WRONG_CURRENT_PASSWORD)
            if await self._hasher.verify(wish.password, stored):
                raise AccountRefused(SAME_PASSWORD)
        hashed = await self._hasher.hash(wish.password)
        succeed()
        return hashed

    async def _change_email(self, user_id: UUID, email: str, redirect: str | None) -> None:
        if await self._store.find(email=email) is None:
            await self._mail.send(user_id, email, "email_change", redirect)


def _stranger(email: str, new: NewUser, now: datetime) -> User:
    """Make up the user that a sign-up would have made, for whoever must not learn that the address is taken."""
    data = {"sub": str(new.id), "email": email, "email_verified": False}
    return User(
        id=new.id,
        aud="authenticated",
        role=new.role,
        email=email,
        app_metadata={"provider": "email", "providers": ["email"]},
        user_metadata=dict(new.user_metadata),
        created_at=now,
        updated_at=now,
        identities=(Identity(uuid4(), "email", str(new.id), data, now, now, None),),
    )
