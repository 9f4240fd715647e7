"""What is known of a user, and how a client sees it. Says nothing about passwords or where users are kept."""

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct


class Identity(Struct, frozen=True):
    """One way in which the user may sign in."""

    identity_id: UUID
    provider: str
    provider_id: str
    data: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    last_sign_in_at: datetime | None


class User(Struct, frozen=True):
    """A row of auth.users without its secrets."""

    id: UUID
    aud: str
    role: str
    email: str | None
    app_metadata: dict[str, Any]
    user_metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    is_anonymous: bool = False
    email_confirmed_at: datetime | None = None
    confirmation_sent_at: datetime | None = None
    recovery_sent_at: datetime | None = None
    email_change: str | None = None
    invited_at: datetime | None = None
    last_sign_in_at: datetime | None = None
    banned_until: datetime | None = None
    identities: tuple[Identity, ...] = ()

    def is_banned(self, now: datetime) -> bool:
        """Say whether the user may get no token at this time."""
        return self.banned_until is not None and self.banned_until > now


def describe_user(user: User) -> dict[str, Any]:
    """Return the user as clients read it: times without a value are left out."""
    described = {
        "id": str(user.id),
        "aud": user.aud,
        "role": user.role,
        "email": user.email or "",
        "phone": "",
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "identities": [_describe_identity(user.id, identity) for identity in user.identities],
        "created_at": _time(user.created_at),
        "updated_at": _time(user.updated_at),
        "is_anonymous": user.is_anonymous,
    }
    optional = {
        "email_confirmed_at": user.email_confirmed_at,
        "confirmed_at": user.email_confirmed_at,
        "confirmation_sent_at": user.confirmation_sent_at,
        "recovery_sent_at": user.recovery_sent_at,
        "invited_at": user.invited_at,
        "last_sign_in_at": user.last_sign_in_at,
        "banned_until": user.banned_until,
    }
    described |= {name: _time(value) for name, value in optional.items() if value is not None}
    return {**described, "new_email": user.email_change} if user.email_change else described


def _describe_identity(user_id: UUID, identity: Identity) -> dict[str, Any]:
    return {
        "identity_id": str(identity.identity_id),
        "id": identity.provider_id,
        "user_id": str(user_id),
        "provider": identity.provider,
        "identity_data": identity.data,
        "email": identity.data.get("email", ""),
        "created_at": _time(identity.created_at),
        "updated_at": _time(identity.updated_at),
        "last_sign_in_at": _time(identity.last_sign_in_at or identity.created_at),
    }


def _time(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
