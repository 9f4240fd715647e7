"""Turns a user and a session into the claims of an access token. Signs nothing."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from tidewire.accounts.refusals import HOOK_FAILED, AccountRefused
from tidewire.accounts.users import User

MOST_CLAIMS_BYTES: Final = 11_000
"""In base64 and signed it stays below the 16 KiB at which the server stops to read a token."""


class Issue(Struct, frozen=True):
    """When and how a session began, and how long its token is good for."""

    session_id: UUID
    method: str
    began_at_s: int
    now_s: int
    lifetime_s: int


def make_claims(user: User, issue: Issue, demanded: Mapping[str, Any]) -> dict[str, Any]:
    """Say what the token says; `demanded` is what the server requires of every token, and comes first."""
    return {
        **demanded,
        "sub": str(user.id),
        "aud": demanded.get("aud", user.aud),
        "exp": issue.now_s + issue.lifetime_s,
        "iat": issue.now_s,
        "email": user.email or "",
        "phone": "",
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "role": user.role,
        "aal": "aal1",
        "amr": [{"method": issue.method, "timestamp": issue.began_at_s}],
        "session_id": str(issue.session_id),
        "is_anonymous": user.is_anonymous,
    }


def add_claims(claims: Mapping[str, Any], returned: object) -> dict[str, Any]:
    """Take from a hook's answer the claims that it adds. Raises AccountRefused when it changes or removes others."""
    answered = returned.get("claims") if isinstance(returned, dict) else None
    if not isinstance(answered, dict) or any(answered.get(name, ...) != value for name, value in claims.items()):
        raise AccountRefused(HOOK_FAILED)
    return answered


def check_size(claims: Mapping[str, Any]) -> None:
    """Raise AccountRefused when the token would be longer than the server reads."""
    if len(msgspec.json.encode(claims)) > MOST_CLAIMS_BYTES:
        raise AccountRefused(HOOK_FAILED)
