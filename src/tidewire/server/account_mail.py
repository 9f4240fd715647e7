"""Proves that somebody reads an address: sends links and codes in the background, and checks what comes back."""

import hmac
import secrets
from collections.abc import Coroutine, Sequence
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

import structlog
from msgspec import Struct

from tidewire.accounts.passwords import normal_email
from tidewire.accounts.redirects import choose_redirect
from tidewire.accounts.refusals import (
    EMAIL_DISABLED,
    EMAIL_EXISTS,
    OTP_EXPIRED,
    REAUTHENTICATION_WRONG,
    AccountRefused,
    invalid,
)
from tidewire.accounts.requests import Verification
from tidewire.accounts.sessions import hash_code, hash_token
from tidewire.accounts.users import User
from tidewire.hub.tasks import Tasks
from tidewire.model.errors import TidewireError
from tidewire.postgres.account_codes import AccountCodes, SentCode, TakenCode
from tidewire.postgres.account_sessions import AccountSessions
from tidewire.postgres.account_store import AccountStore, UserChange
from tidewire.server.mailer import Mail, Mailer

log = structlog.get_logger()

MOST_PENDING: Final = 100
"""E-mails on their way; the server behind the mailer is slower than who asks for them."""
SUBJECTS: Final = {
    "signup": "Confirm your e-mail address",
    "invite": "You have been invited",
    "magiclink": "Your sign-in link",
    "recovery": "Reset your password",
    "email_change": "Confirm your new e-mail address",
    "reauthentication": "Confirm that it is you",
}
_MEANT: Final[dict[str, tuple[str, ...]]] = {
    "signup": ("signup",),
    "invite": ("invite",),
    "magiclink": ("magiclink", "signup"),
    "email": ("magiclink", "signup", "invite", "recovery"),
    "recovery": ("recovery",),
    "email_change": ("email_change",),
}
"""Which codes a client means by a type: it does not know whether its link is its user's first."""


class MailOptions(Struct, frozen=True):
    """`public_url` is where browsers reach this server, `site_url` where the application is."""

    public_url: str
    site_url: str
    redirect_urls: tuple[str, ...] = ()


class Proof(Struct, frozen=True):
    """What proves that somebody reads an address: a link, the token in it, and a code to type in its place."""

    link: str
    token: str
    code: str
    redirect_to: str


class AccountMail:
    """Call `check` before anything that needs an e-mail: without a mailer nothing can be sent."""

    def __init__(
        self,
        store: AccountStore,
        sessions: AccountSessions,
        codes: AccountCodes,
        *,
        mailer: Mailer | None,
        tasks: Tasks,
        options: MailOptions,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._codes = codes
        self._mailer = mailer
        self._tasks = tasks
        self._options = options
        self._pending = 0

    def check(self) -> None:
        """Raise AccountRefused when e-mails cannot be sent at all."""
        if self._mailer is None:
            raise AccountRefused(EMAIL_DISABLED)

    def redirect(self, asked: str | None) -> str:
        """Return where a link may lead."""
        return choose_redirect(asked or "", self._options.site_url, self._options.redirect_urls)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it after the answer, so that the time of the answer does not tell whether there was anything to do."""
        if self._pending >= MOST_PENDING:
            work.close()
            log.warning("mail_dropped", pending=self._pending)
            return
        self._pending += 1
        self._tasks.start(self._guarded(work), name="account mail")

    async def prove(
        self, user_id: UUID, email: str, type_: str, redirect_to: str | None, challenge: str | None = None
    ) -> Proof:
        """Make a link and a code for whoever reads the address; earlier ones for the same purpose count no longer.

        With a `challenge` the link leads back with a code, for the client that knows the answer.
        """
        token, code = secrets.token_urlsafe(32), f"{secrets.randbelow(1_000_000):06}"
        await self._codes.put_code(
            SentCode(
                user_id=user_id,
                type=type_,
                email=email,
                token_hash=hash_token(token),
                code_hash=hash_code(code, str(user_id)),
                challenge=challenge,
            )
        )
        target = self.redirect(redirect_to)
        query = urlencode({"token": token, "type": type_, "redirect_to": target})
        return Proof(f"{self._options.public_url}/auth/v1/verify?{query}", token, code, target)

    async def send(
        self, user_id: UUID, email: str, type_: str, redirect_to: str | None = None, challenge: str | None = None
    ) -> None:
        """Send a link and a code, or what has no link: the code."""
        if self._mailer is None:
            return
        proof = await self.prove(user_id, email, type_, redirect_to, challenge)
        link = "" if type_ == "reauthentication" else f"Follow this link:\n\n{proof.link}\n\nor enter"
        text = f"{link or 'Enter'} the code {proof.code}.\n\nIf you did not ask for this, do nothing.\n"
        await self._mailer.send(Mail(email, SUBJECTS[type_], text))

    async def check_nonce(self, user: User, nonce: str) -> None:
        """Raise AccountRefused unless it is the code that was sent to the user to reauthenticate."""
        taken = await self._take_code(user.email or "", nonce, ("reauthentication",))
        if taken is None or taken.user_id != user.id:
            raise AccountRefused(REAUTHENTICATION_WRONG)

    async def verify(self, shown: Verification) -> User:
        """Return whose address is proved now. Raises AccountRefused; a link counts once, a code for a few attempts."""
        types = _MEANT.get(shown.type)
        if types is None:
            raise invalid("Verify requires a verification type")
        if shown.token_hash:
            taken = await self._codes.take_link(hash_token(shown.token_hash), types)
        elif shown.email and shown.token:
            taken = await self._take_code(normal_email(shown.email), shown.token, types)
        else:
            raise invalid("Verify requires a token and an email, or a token_hash")
        if taken is None:
            raise AccountRefused(OTP_EXPIRED)
        return await self._confirm(taken)

    async def _take_code(self, email: str, code: str, types: Sequence[str]) -> TakenCode | None:
        for candidate, link_hash, code_hash in await self._codes.candidates(email, types):
            if hmac.compare_digest(hash_code(code, str(candidate.user_id)), code_hash):
                return await self._codes.take_link(link_hash, types)
        return None

    async def _confirm(self, taken: TakenCode) -> User:
        user = await self._store.get(taken.user_id)
        if taken.type == "email_change":
            changed = await self._store.change(user.id, UserChange(email=taken.email, confirm=True))
            if not changed:
                raise AccountRefused(EMAIL_EXISTS)
        elif user.email != taken.email:  # it was changed meanwhile: the link proves another one
            raise AccountRefused(OTP_EXPIRED)
        elif user.email_confirmed_at is None:
            # Somebody else may have signed up with this address and a password of theirs. Who only now proves to be its
            # owner, and not by the e-mail of that sign-up, must not share the account with them.
            drops = taken.type != "signup"
            await self._store.change(user.id, UserChange(confirm=True, drop_password=drops))
            if drops:
                await self._sessions.end(user.id, None, "global")
        return await self._store.get(taken.user_id)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except TidewireError as error:
            log.warning("mail_failed", code=error.code, reason=error.message)
        except OSError as error:  # its text may hold the address
            log.warning("mail_failed", code=type(error).__name__)
        finally:
            self._pending -= 1
