"""Puts the parts of /auth/v1 together as the settings say, and gives them to the router. Serves nothing by itself."""

from collections.abc import Callable, Sequence

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tidewire.accounts.refusals import NOT_FOUND, AccountRefused
from tidewire.hub.authorize import Keys, NoKeys
from tidewire.hub.claim_checks import ClaimChecks
from tidewire.hub.tasks import Tasks
from tidewire.model.errors import ConfigurationError
from tidewire.postgres.account_attempts import AccountAttempts
from tidewire.postgres.account_codes import AccountCodes
from tidewire.postgres.account_sessions import AccountSessions
from tidewire.postgres.account_store import AccountStore
from tidewire.postgres.pool import Pool
from tidewire.postgres.signing_key_store import SigningKeyStore
from tidewire.server.account_mail import AccountMail, MailOptions
from tidewire.server.account_tokens import AccountTokens
from tidewire.server.auth_admin import AuthAdmin
from tidewire.server.auth_admin_links import AuthAdminLinks
from tidewire.server.auth_api import AuthApi, AuthOptions
from tidewire.server.auth_door import AuthDoor, AuthLimits, Endpoint, Identify, guarded
from tidewire.server.auth_mail_api import AuthMailApi
from tidewire.server.auth_user_api import AuthUserApi, UserOptions
from tidewire.server.cors import allow
from tidewire.server.mailer import ConsoleMailer, Mailer, SmtpMailer
from tidewire.server.password_hasher import PasswordHasher
from tidewire.server.secret import shared_secrets
from tidewire.server.signing_keys import SecretSigner, Signer, SigningKeys
from tidewire.settings import Settings

PREFIX = "/auth/v1"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class AccountParts(Struct, frozen=True):
    """What the rest of the server shares with the accounts."""

    pool: Pool
    tasks: Tasks
    checks: ClaimChecks
    clock: Callable[[], float]


class Accounts:
    """Give `keys` to the authorizer, then `routes` to the router, and call `close` at the end."""

    def __init__(self, chosen: Settings, parts: AccountParts) -> None:
        """Raise ConfigurationError where settings do not fit together."""
        self._chosen = chosen
        self._parts = parts
        self._hasher = PasswordHasher()
        self._signer: Signer
        self.keys: Keys = NoKeys()
        if chosen.auth_algorithm == "HS256":
            self._signer = SecretSigner(_secret(chosen))
        else:
            self._signer = self.keys = SigningKeys(
                SigningKeyStore(parts.pool),
                rotation_s=chosen.signing_key_s,
                token_s=chosen.access_token_s,
                clock=parts.clock,
            )
        self._mailer = _mailer(chosen)
        self._public_url = _public_url(chosen, mails=self._mailer is not None)

    def close(self) -> None:
        """End the threads that check passwords."""
        self._hasher.close()

    @property
    def signer(self) -> Signer:
        """What signs the tokens of users."""
        return self._signer

    def routes(self, identify: Identify) -> list[BaseRoute]:
        """Make the endpoints. `identify` verifies tokens."""
        endpoints = self._endpoints(identify)
        paths = dict.fromkeys(path for _, path, _ in endpoints)
        return [
            *(Route(f"{PREFIX}{path}", guarded(endpoint), methods=[method]) for method, path, endpoint in endpoints),
            *(Route(f"{PREFIX}{path}", allow, methods=["OPTIONS"]) for path in paths),
            Route(f"{PREFIX}/{{path:path}}", guarded(_nowhere), methods=METHODS),
        ]

    def _endpoints(self, identify: Identify) -> list[tuple[str, str, Endpoint]]:
        parts = self._shared(identify)
        return [*self._public_endpoints(parts), *self._user_endpoints(parts), *self._admin_endpoints(parts)]

    def _shared(self, identify: Identify) -> "_Shared":
        chosen, pool, clock = self._chosen, self._parts.pool, self._parts.clock
        store, codes = AccountStore(pool), AccountCodes(pool, lifetime_s=chosen.mail_code_s)
        sessions = AccountSessions(pool, grace_s=chosen.refresh_grace_s, idle_s=chosen.session_idle_s)
        limits = AuthLimits(attempts_per_min=chosen.auth_attempts_per_min, mails_per_h=chosen.mails_per_h)
        tokens = AccountTokens(
            store,
            sessions,
            self._signer,
            demanded={"iss": f"{self._public_url}{PREFIX}", **self._parts.checks.demanded},
            lifetime_s=chosen.access_token_s,
            hook=chosen.access_token_hook,
            clock=clock,
        )
        links = MailOptions(self._public_url, chosen.site_url or self._public_url, chosen.redirect_urls)
        return _Shared(
            store=store,
            sessions=sessions,
            codes=codes,
            tokens=tokens,
            mail=AccountMail(store, sessions, codes, mailer=self._mailer, tasks=self._parts.tasks, options=links),
            door=AuthDoor(identify, sessions, AccountAttempts(pool), limits=limits, clock=clock),
            auto_confirm=chosen.mode == "development" if chosen.auto_confirm is None else chosen.auto_confirm,
        )

    def _public_endpoints(self, parts: "_Shared") -> list[tuple[str, str, Endpoint]]:
        chosen = self._chosen
        options = AuthOptions(
            signup=chosen.signup,
            anonymous=chosen.anonymous_sign_in,
            auto_confirm=parts.auto_confirm,
            password_chars=chosen.password_chars,
        )
        api = AuthApi(
            options,
            door=parts.door,
            store=parts.store,
            codes=parts.codes,
            tokens=parts.tokens,
            mail=parts.mail,
            hasher=self._hasher,
            signer=self._signer,
        )
        mails = AuthMailApi(
            door=parts.door,
            store=parts.store,
            codes=parts.codes,
            tokens=parts.tokens,
            mail=parts.mail,
            signup=chosen.signup,
        )
        return [*api.endpoints(), *mails.endpoints()]

    def _user_endpoints(self, parts: "_Shared") -> Sequence[tuple[str, str, Endpoint]]:
        options = UserOptions(
            auto_confirm=parts.auto_confirm,
            password_chars=self._chosen.password_chars,
            reauthenticate_s=self._chosen.reauthenticate_s,
        )
        return AuthUserApi(
            options,
            door=parts.door,
            store=parts.store,
            sessions=parts.sessions,
            mail=parts.mail,
            hasher=self._hasher,
            clock=self._parts.clock,
        ).endpoints()

    def _admin_endpoints(self, parts: "_Shared") -> list[tuple[str, str, Endpoint]]:
        door, store, hasher, chars = parts.door, parts.store, self._hasher, self._chosen.password_chars
        admin = AuthAdmin(door=door, store=store, sessions=parts.sessions, hasher=hasher, password_chars=chars)
        links = AuthAdminLinks(door=door, store=store, mail=parts.mail, hasher=hasher, password_chars=chars)
        return [*admin.endpoints(), *links.endpoints()]


class _Shared(Struct, frozen=True, kw_only=True):
    """What the endpoints have in common."""

    store: AccountStore
    sessions: AccountSessions
    codes: AccountCodes
    tokens: AccountTokens
    mail: AccountMail
    door: AuthDoor
    auto_confirm: bool


async def _nowhere(_request: Request) -> Response:
    raise AccountRefused(NOT_FOUND)


def _secret(chosen: Settings) -> str:
    secrets = shared_secrets(chosen)
    if not secrets:
        raise ConfigurationError(
            "signing with HS256: expected jwt_secret, got none", hint="set TIDEWIRE_JWT_SECRET, or leave auth_algorithm"
        )
    return secrets[0]


def _mailer(chosen: Settings) -> Mailer | None:
    if chosen.smtp_url is None:
        return ConsoleMailer() if chosen.mode == "development" else None
    if not chosen.mail_from:
        raise ConfigurationError("sending e-mail: expected mail_from, got none", hint="set TIDEWIRE_MAIL_FROM")
    return SmtpMailer(chosen.smtp_url, chosen.mail_from)


def _public_url(chosen: Settings, *, mails: bool) -> str:
    if chosen.public_url:
        return chosen.public_url.rstrip("/")
    if mails and chosen.mode == "production":
        raise ConfigurationError(
            "sending e-mail: expected public_url, which the links in it begin with, got none",
            hint="set TIDEWIRE_PUBLIC_URL, for example to https://api.example.com",
        )
    host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    return f"{'https' if chosen.tls_certificate else 'http'}://{host}:{chosen.port}"
