"""/auth/v1 for whoever wants to be signed in: sign up, sign in, go on with a session. Speaks as GoTrue does."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tidewire.accounts.passwords import check_new_password, normal_email
from tidewire.accounts.pkce import answers, read_challenge
from tidewire.accounts.refusals import (
    ANONYMOUS_DISABLED,
    BAD_VERIFIER,
    EMAIL_NOT_CONFIRMED,
    FLOW_NOT_FOUND,
    INVALID_CREDENTIALS,
    PHONE_DISABLED,
    SIGNUP_DISABLED,
    UNSUPPORTED_GRANT,
    USER_EXISTS,
    AccountRefused,
)
from tidewire.accounts.requests import CodeGrant, PasswordGrant, RefreshGrant, SignUp
from tidewire.accounts.sessions import hash_token
from tidewire.accounts.users import Identity, User, describe_user
from tidewire.postgres.account_codes import AccountCodes
from tidewire.postgres.account_store import AccountStore, NewUser, UserChange
from tidewire.server.account_mail import AccountMail
from tidewire.server.account_tokens import AccountTokens
from tidewire.server.auth_door import AuthDoor, Endpoint, answer, device_of
from tidewire.server.password_hasher import PasswordHasher, is_outdated
from tidewire.server.signing_keys import Signer

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
        codes: AccountCodes,
        tokens: AccountTokens,
        mail: AccountMail,
        hasher: PasswordHasher,
        signer: Signer,
    ) -> None:
        self._door = door
        self._store = store
        self._codes = codes
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
        challenge = read_challenge(wish.code_challenge, wish.code_challenge_method)
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
            self._mail.later(self._mail.send(account.user.id, email, "signup", redirect, challenge))
        return answer(describe_user(account.user if added else _stranger(email, new, datetime.now(UTC))))

    async def token(self, request: Request) -> Response:
        """Sign in with a password or a code that a link led back with, or go on with a refresh token."""
        await self._door.identify(request)
        grant = request.query_params.get("grant_type")
        if grant == "password":
            return await self._sign_in(request)
        if grant == "pkce":
            return await self._exchange_code(request)
        if grant == "refresh_token":
            self._door.count_refresh(request)
            shown = await self._door.read(request, RefreshGrant)
            return answer(await self._tokens.refresh(shown.refresh_token))
        raise AccountRefused(UNSUPPORTED_GRANT)

    # --- what several of them need -----------------------------------------------------------------------------

    async def _sign_up_anonymously(self, request: Request, wish: SignUp) -> Response:
        if not self._options.anonymous:
            raise AccountRefused(ANONYMOUS_DISABLED)
        new = NewUser(id=uuid4(), is_anonymous=True, user_metadata=wish.data or {})
        await self._store.add(new)
        return answer(await self._tokens.open(await self._store.get(new.id), "anonymous", device_of(request)))

    async def _exchange_code(self, request: Request) -> Response:
        self._door.count_attempt(request)
        grant = await self._door.read(request, CodeGrant)
        flow = await self._codes.take(hash_token(grant.auth_code))
        if flow is None:
            raise AccountRefused(FLOW_NOT_FOUND)
        if not answers(grant.code_verifier, flow.challenge):
            raise AccountRefused(BAD_VERIFIER)
        return answer(await self._tokens.open(await self._store.get(flow.user_id), "otp", device_of(request)))

    async def _sign_in(self, request: Request) -> Response:
        """Take the same time whether there is such a user or not."""
        grant = await self._door.read(request, PasswordGrant)
        if grant.phone:
            raise AccountRefused(PHONE_DISABLED)
        email = normal_email(grant.email or "")
        succeed = await self._door.begin_sign_in(request, email)
        account = await self._store.find(email=email)
        stored = account.password_hash if account else None
        if not await self._hasher.verify(grant.password, stored) or account is None or stored is None:
            raise AccountRefused(INVALID_CREDENTIALS)
        await succeed()
        if account.user.email_confirmed_at is None:
            raise AccountRefused(EMAIL_NOT_CONFIRMED)
        if is_outdated(stored):
            renewed = await self._hasher.hash(grant.password)
            await self._store.change(account.user.id, UserChange(password_hash=renewed))
        return answer(await self._tokens.open(account.user, "password", device_of(request)))


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
