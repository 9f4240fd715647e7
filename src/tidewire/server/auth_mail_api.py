"""/auth/v1 for what goes through e-mail: ask for a link and a code, and sign in with what came."""

import secrets
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tidewire.accounts.passwords import normal_email
from tidewire.accounts.pkce import read_challenge
from tidewire.accounts.refusals import PHONE_DISABLED, AccountRefused, invalid
from tidewire.accounts.requests import MailWish, Verification
from tidewire.accounts.sessions import hash_token
from tidewire.postgres.account_codes import AccountCodes
from tidewire.postgres.account_store import AccountStore, NewUser
from tidewire.server.account_mail import AccountMail
from tidewire.server.account_tokens import AccountTokens
from tidewire.server.auth_door import AuthDoor, Endpoint, answer, device_of


class AuthMailApi:
    """Its endpoints are listed by `endpoints`."""

    def __init__(
        self,
        *,
        door: AuthDoor,
        store: AccountStore,
        codes: AccountCodes,
        tokens: AccountTokens,
        mail: AccountMail,
        signup: bool,
    ) -> None:
        """With `signup`, asking for a code may make a user."""
        self._codes = codes
        self._door = door
        self._store = store
        self._tokens = tokens
        self._mail = mail
        self._signup = signup

    def endpoints(self) -> Sequence[tuple[str, str, Endpoint]]:
        """Return method, path and endpoint of each."""
        return (
            ("POST", "/recover", self.recover),
            ("POST", "/otp", self.send_code),
            ("POST", "/magiclink", self.send_code),
            ("POST", "/resend", self.resend),
            ("POST", "/verify", self.verify),
            ("GET", "/verify", self.follow_link),
        )

    async def recover(self, request: Request) -> Response:
        """Send a link with which a new password can be set; says nothing about whether there is such a user."""
        await self._door.identify(request)
        return await self._send(request, await self._door.read(request, MailWish), "recovery")

    async def send_code(self, request: Request) -> Response:
        """Send a link and a code to sign in with, and make the user if that is wished and allowed."""
        await self._door.identify(request)
        wish = await self._door.read(request, MailWish)
        if wish.phone:
            raise AccountRefused(PHONE_DISABLED)
        return await self._send(request, wish, "magiclink")

    async def resend(self, request: Request) -> Response:
        """Send the confirmation of a sign-up again."""
        await self._door.identify(request)
        wish = await self._door.read(request, MailWish)
        if wish.type != "signup":
            raise invalid("Only the type signup can be sent again")
        return await self._send(request, wish, "signup")

    async def verify(self, request: Request) -> Response:
        """Sign in with a code or the hash that stands in a link."""
        await self._door.identify(request)
        self._door.count_attempt(request)
        user = await self._mail.verify(await self._door.read(request, Verification))
        return answer(await self._tokens.open(user, "otp", device_of(request)))

    async def follow_link(self, request: Request) -> Response:
        """Answer a link from an e-mail: lead to the application, signed in or with a code to sign in with."""
        self._door.count_attempt(request)
        query = request.query_params
        type_, target = query.get("type", ""), self._mail.redirect(query.get("redirect_to"))
        link = query.get("token", "")[:2048]
        try:
            user = await self._mail.verify(Verification(type=type_, token_hash=link))
            if (code := await self._issue_code(link)) is not None:
                return _lead_to(_with_query(target, code=code))
            session = await self._tokens.open(user, "otp", device_of(request))
        except AccountRefused as refused:
            code, text = refused.refusal.code, refused.refusal.message
            told = {"error": "access_denied", "error_code": code, "error_description": text}
        else:
            told = {name: str(value) for name, value in session.items() if name != "user"} | {"type": type_}
        return _lead_to(f"{target.partition('#')[0]}#{urlencode(told)}")  # what is behind # reaches no server

    async def _issue_code(self, link: str) -> str | None:
        """Return the code that the link leads back with, if it was asked for with a challenge."""
        code = secrets.token_urlsafe(32)
        return code if await self._codes.issue(hash_token(link), hash_token(code)) else None

    async def _send(self, request: Request, wish: MailWish, type_: str) -> Response:
        """Answer at once, and find out behind the answer whether there is anybody to write to."""
        email = normal_email(wish.email or "")
        read_challenge(wish.code_challenge, wish.code_challenge_method)
        self._mail.check()
        self._door.count_mail(request, email)
        self._mail.later(self._send_if_known(email, type_, wish, request.query_params.get("redirect_to")))
        return answer({})

    async def _send_if_known(self, email: str, type_: str, wish: MailWish, redirect: str | None) -> None:
        account = await self._store.find(email=email)
        if account is None and type_ == "magiclink" and wish.create_user and self._signup:
            await self._store.add(NewUser(id=uuid4(), email=email, user_metadata=wish.data or {}))
            account = await self._store.find(email=email)
        if account is not None and (type_ != "signup" or account.user.email_confirmed_at is None):
            challenge = read_challenge(wish.code_challenge, wish.code_challenge_method)
            await self._mail.send(account.user.id, email, type_, redirect, challenge)


def _lead_to(page: str) -> Response:
    return RedirectResponse(page, HTTPStatus.SEE_OTHER)


def _with_query(page: str, **values: str) -> str:
    parts = urlsplit(page)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(values))))))
