"""Reads the bodies of requests about accounts: what clients of GoTrue send, and no more than may be sent."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tidewire.accounts.refusals import BAD_JSON, AccountRefused, invalid

MOST_BODY_BYTES: Final = 64 * 1024
"""Metadata may have 4 KiB each and passwords 1 KiB."""
MOST_PAGE: Final = 1000
LONGEST_BAN: Final = timedelta(days=100 * 366)

Text = Annotated[str, Meta(max_length=2048)]
Metadata = dict[str, Any]


class SignUp(Struct, frozen=True):
    """Without an address and a password: an anonymous user."""

    email: Text | None = None
    password: Text | None = None
    phone: Text | None = None
    data: Metadata | None = None
    code_challenge: Text | None = None
    code_challenge_method: Text | None = None


class PasswordGrant(Struct, frozen=True):
    """Signing in."""

    password: Text
    email: Text | None = None
    phone: Text | None = None


class RefreshGrant(Struct, frozen=True):
    """Going on."""

    refresh_token: Text


class CodeGrant(Struct, frozen=True):
    """Signing in with the code that a link led back with."""

    auth_code: Text
    code_verifier: Text


class OwnChange(Struct, frozen=True):
    """What users change of themselves."""

    email: Text | None = None
    password: Text | None = None
    phone: Text | None = None
    data: Metadata | None = None
    current_password: Text | None = None
    nonce: Text | None = None
    code_challenge: Text | None = None
    code_challenge_method: Text | None = None


class MailWish(Struct, frozen=True):
    """Asks for an e-mail: recover, otp, resend, invite."""

    email: Text | None = None
    phone: Text | None = None
    type: Text | None = None
    data: Metadata | None = None
    create_user: bool = True
    code_challenge: Text | None = None
    code_challenge_method: Text | None = None


class Verification(Struct, frozen=True):
    """A code with its address, or the hash that stands in a link."""

    type: Text
    email: Text | None = None
    token: Text | None = None
    token_hash: Text | None = None
    phone: Text | None = None


class AdminUser(Struct, frozen=True):
    """What an administrator says of a user."""

    id: UUID | None = None
    email: Text | None = None
    password: Text | None = None
    phone: Text | None = None
    role: Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[^\x00]+\Z")] | None = None
    email_confirm: bool = False
    user_metadata: Metadata | None = None
    app_metadata: Metadata | None = None
    ban_duration: Text | UnsetType = UNSET
    password_hash: Text | None = None


class LinkWish(Struct, frozen=True):
    """What an administrator says of a link that is to be made and not sent."""

    type: Text
    email: Text | None = None
    new_email: Text | None = None
    password: Text | None = None
    data: Metadata | None = None
    redirect_to: Text | None = None


class AdminDelete(Struct, frozen=True):
    """How a user is deleted."""

    should_soft_delete: bool = False


Body = TypeVar("Body", bound=Struct)


def read_body(body: bytes, kind: type[Body]) -> Body:
    """Read a JSON object. Raises AccountRefused that names what is wrong, but not what was sent."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise invalid(f"Invalid request body: {str(error)[:200]}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise AccountRefused(BAD_JSON) from None


def read_page(query: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of a page, from 1, and how many entries it has."""
    page, size = query.get("page") or "1", query.get("per_page") or "50"
    numbers = [int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0 for text in (page, size)]
    if min(numbers) < 1:
        raise invalid("page and per_page must be positive numbers")
    return numbers[0], min(numbers[1], MOST_PAGE)


def read_uuid(text: str, name: str = "user_id") -> UUID:
    """Read the id of a user or of what `name` says. Raises AccountRefused."""
    try:
        return UUID(text)
    except ValueError:
        raise invalid(f"{name} must be an UUID") from None


_UNITS_S: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def read_ban(text: str, now: datetime) -> datetime | None:
    """Return until when a ban of `24h` or `1h30m` lasts; None for `none`. Raises AccountRefused."""
    if text == "none":
        return None
    rest, seconds = text, 0.0
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = next((unit for unit in _UNITS_S if rest[digits:].startswith(unit)), None)
        try:
            seconds += float(rest[:digits]) * _UNITS_S[unit or ""]
        except (ValueError, KeyError):
            raise invalid("ban_duration must be none, or a time such as 24h or 1h30m") from None
        rest = rest[digits + len(unit or "") :]
    if not 0 < seconds < LONGEST_BAN.total_seconds():
        raise invalid("ban_duration must be none, or a time of up to 100 years")
    return now + timedelta(seconds=seconds)
