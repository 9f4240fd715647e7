"""/auth/v1 for the service role: invites users, and makes links that the application sends by itself."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import Response

from tidewire.accounts.passwords import check_new_password, normal_email
from tidewire.accounts.refusals import EMAIL_EXISTS, USER_NOT_FOUND, AccountRefused, invalid
from tidewire.accounts.requests import LinkWish, MailWish
from tidewire.accounts.users import User, describe_user
from tidewire.postgres.account_store import AccountStore, NewUser
from tidewire.server.account_mail import AccountMail
from tidewire.server.auth_door import AuthDoor, Endpoint, answer
from tidewire.server.password_hasher import PasswordHasher

_MAKES_USER: Final = frozenset({"signup", "invite", "magiclink"})
_NEW_USERS_ONLY: Final = frozenset({"signup", "invite"})
_TYPES: Final = {name: name for name in ("signup", "invite", "magiclink", "recovery")} | {
    "email_change_new": "email_change"
}
"""What a client calls a link, and what it is here, where only the new one of two addresses has to be proved."""


class AuthAdminLinks:
    """Its endpoints are listed by `endpoints`; each asks for a token or key of an administrator first."""

    def __init__(
        self, *, door: AuthDoor, store: AccountStore, mail: AccountMail, hasher: PasswordHasher, password_chars: int
    ) -> None:
        self._door = door
        self._store = store
        self._mail = mail
        self._hasher = hasher
        self._password_chars = password_chars

    def endpoints(self) -> Sequence[tuple[str, str, Endpoint]]:
        """Return method, path and endpoint of each."""
        return (("POST", "/invite", self.invite), ("POST", "/admin/generate_link", self.make_link))

    async def invite(self, request: Request) -> Response:
        """Make a user and send a link to the address."""
        await self._door.admin(request)
        wish = await self._door.read(request, MailWish)
        email = normal_email(wish.email or "")
        self._mail.check()
        new = NewUser(id=uuid4(), email=email, invited=True, user_metadata=wish.data or {})
        if not await self._store.add(new):
            raise AccountRefused(EMAIL_EXISTS)
        self._mail.later(self._mail.send(new.id, email, "invite", request.query_params.get("redirect_to")))
        return answer(describe_user(await self._store.get(new.id)))

    async def make_link(self, request: Request) -> Response:
        """Return a link and a code in place of sending them; the administrator must hand them to nobody else."""
        await self._door.admin(request)
        wish = await self._door.read(request, LinkWish)
        type_ = _TYPES.get(wish.type)
        if type_ is None:
            raise invalid("type must be signup, invite, magiclink, recovery or email_change_new")
        user = await self._user_for(wish, normal_email(wish.email or ""))
        email = await self._new_address(wish) if type_ == "email_change" else user.email or ""
        redirect = wish.redirect_to or request.query_params.get("redirect_to")
        proof = await self._mail.prove(user.id, email, type_, redirect)
        described = describe_user(await self._store.get(user.id))
        return answer(
            described
            | {
                "action_link": proof.link,
                "email_otp": proof.code,
                "hashed_token": proof.token,
                "verification_type": wish.type,
                "redirect_to": proof.redirect_to,
            }
        )

    async def _user_for(self, wish: LinkWish, email: str) -> User:
        """Return the user whom the link is for, and make one where it is the first that is sent."""
        if wish.type in _MAKES_USER:
            await self._store.add(await self._user_of(wish, uuid4(), email))  # does nothing if there is one
        account = await self._store.find(email=email)
        if account is None:
            raise AccountRefused(USER_NOT_FOUND)
        if wish.type in _NEW_USERS_ONLY and account.user.email_confirmed_at is not None:
            raise AccountRefused(EMAIL_EXISTS)
        return account.user

    async def _user_of(self, wish: LinkWish, id_: UUID, email: str) -> NewUser:
        password_hash = None
        if wish.type == "signup":
            check_new_password(wish.password or "", fewest_chars=self._password_chars)
            password_hash = await self._hasher.hash(wish.password or "")
        return NewUser(
            id=id_,
            email=email,
            password_hash=password_hash,
            invited=wish.type == "invite",
            user_metadata=wish.data or {},
        )

    async def _new_address(self, wish: LinkWish) -> str:
        email = normal_email(wish.new_email or "")
        if await self._store.find(email=email) is not None:
            raise AccountRefused(EMAIL_EXISTS)
        return email
