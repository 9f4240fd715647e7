"""What every endpoint of accounts goes through: bounded bodies, who is asking, limits, and errors in GoTrue's shape."""

import ipaddress
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tidewire.accounts.rates import Allowance, Rates
from tidewire.accounts.refusals import (
    BAD_JSON,
    BAD_TOKEN,
    NO_AUTHORIZATION,
    NOT_ADMIN,
    SESSION_NOT_FOUND,
    TOO_LARGE,
    TOO_SLOW,
    UNAVAILABLE,
    AccountRefused,
    Refusal,
    too_many,
)
from tidewire.accounts.requests import MOST_BODY_BYTES, Body, read_body
from tidewire.model.claims import Claims
from tidewire.model.errors import TidewireError, TokenRefused
from tidewire.postgres.account_attempts import AccountAttempts
from tidewire.postgres.account_sessions import AccountSessions
from tidewire.server.account_tokens import Device
from tidewire.server.client_address import network_of
from tidewire.server.request_parts import BodyRefused, bearer_of
from tidewire.server.request_parts import read_body as take_body

log = structlog.get_logger()

Endpoint = Callable[[Request], Awaitable[Response]]
Identify = Callable[[str], Awaitable[Claims]]
"""Verifies a token or key. Raises TokenRefused."""

BODY_LIMIT_S: Final = 15.0
ADMIN_ROLES: Final = frozenset({"service_role", "supabase_admin"})
_BODY_REFUSALS: Final = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
    HTTPStatus.REQUEST_TIMEOUT: TOO_SLOW,
    HTTPStatus.BAD_REQUEST: BAD_JSON,
}
_encode = msgspec.json.Encoder().encode


class AuthLimits(Struct, frozen=True, kw_only=True):
    """`attempts_per_min` are passwords, sign-ups and codes of one address; `mails_per_h` are e-mails to one."""

    attempts_per_min: int = 30
    mails_per_h: int = 10


class Person(Struct, frozen=True):
    """Who is signed in, and in which session; tokens that were minted by hand have none."""

    user_id: UUID
    session_id: UUID | None


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    """Answer in JSON; `_` in a header's name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(_encode(body), status, named, "application/json")


def refuse(refusal: Refusal) -> Response:
    """Answer with a refusal."""
    after = {} if refusal.retry_after_s is None else {"retry_after": str(refusal.retry_after_s)}
    return answer(refusal.body(), refusal.status, **after)


def guarded(endpoint: Endpoint) -> Endpoint:
    """Turn what an endpoint raises into an answer."""

    async def run(request: Request) -> Response:
        try:
            return await endpoint(request)
        except AccountRefused as refused:
            return refuse(refused.refusal)
        except TidewireError as error:
            log.warning("accounts_unavailable", code=error.code, reason=error.message, hint=error.hint)
            return refuse(UNAVAILABLE)

    return run


class AuthDoor:
    """Shared by all endpoints; every method raises AccountRefused."""

    def __init__(
        self,
        identify: Identify,
        sessions: AccountSessions,
        attempts: AccountAttempts,
        *,
        limits: AuthLimits,
        clock: Callable[[], float],
    ) -> None:
        self._identify = identify
        self._sessions = sessions
        self._at_accounts = attempts
        self._clock = clock
        self._attempts = Rates(Allowance(limits.attempts_per_min, 60.0))
        self._refreshes = Rates(Allowance(limits.attempts_per_min * 20, 60.0))
        self._mails = Rates(Allowance(limits.mails_per_h, 3600.0))
        self._mail_askers = Rates(Allowance(limits.mails_per_h * 10, 3600.0))

    async def identify(self, request: Request) -> Claims:
        """Return who asks, by the token or the key of the project."""
        token = bearer_of(request) or request.headers.get("apikey", "")
        try:
            return await self._identify(token)
        except TokenRefused:
            raise AccountRefused(NO_AUTHORIZATION) from None

    async def person(self, request: Request) -> Person:
        """Return who is signed in; the session must still be open."""
        token = bearer_of(request)
        if not token:
            raise AccountRefused(NO_AUTHORIZATION)
        try:
            claims = await self._identify(token)
            user_id = UUID(claims.subject or "")
            session = claims.values.get("session_id")
            person = Person(user_id, None if session is None else UUID(session))
        except (TokenRefused, ValueError, AttributeError, TypeError):
            raise AccountRefused(BAD_TOKEN) from None
        if person.session_id is not None and not await self._sessions.is_open(person.session_id, user_id):
            raise AccountRefused(SESSION_NOT_FOUND)
        return person

    async def admin(self, request: Request) -> Claims:
        """Return the claims of an administrator."""
        claims = await self.identify(request)
        if claims.role not in ADMIN_ROLES:
            raise AccountRefused(NOT_ADMIN)
        return claims

    async def read(self, request: Request, kind: type[Body]) -> Body:
        """Read a body, and no further than it may reach."""
        try:
            return read_body(await take_body(request, most_bytes=MOST_BODY_BYTES, limit_s=BODY_LIMIT_S), kind)
        except BodyRefused as refused:
            raise AccountRefused(_BODY_REFUSALS[refused.status]) from None

    def count_attempt(self, request: Request) -> None:
        """Count something that costs us work or a guess, by the address that it comes from."""
        self._take(self._attempts, address_of(request))

    def count_refresh(self, request: Request) -> None:
        """Count a refresh by the address that it comes from."""
        self._take(self._refreshes, address_of(request))

    def count_mail(self, request: Request, email: str) -> None:
        """Count an e-mail by who asks for it and by who gets it."""
        for rates, key in ((self._mail_askers, address_of(request)), (self._mails, email)):
            if wait_s := rates.take(key, self._clock()):
                raise too_many(wait_s, mails=True)

    async def begin_sign_in(self, request: Request, account: str) -> Callable[[], Awaitable[None]]:
        """Count an attempt at an account; call what is returned when it was rightful."""
        self.count_attempt(request)
        address = address_of(request)
        if wait_s := await self._at_accounts.begin(account, address):
            raise too_many(wait_s)
        return partial(self._at_accounts.succeed, account, address)

    def _take(self, rates: Rates, key: str) -> None:
        if wait_s := rates.take(key, self._clock()):
            raise too_many(wait_s)


def device_of(request: Request) -> Device:
    """Say where a request comes from."""
    host = request.client.host if request.client else None
    try:
        address = str(ipaddress.ip_address(host or ""))
    except ValueError:
        address = None
    return Device(address, request.headers.get("user-agent"))


def address_of(request: Request) -> str:
    """Return what limits count for; the front has found out who is behind a proxy."""
    return network_of(request.client.host) if request.client else ""
