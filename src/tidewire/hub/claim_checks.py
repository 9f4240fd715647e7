"""Decides whether what a verified token says is enough, and names the claim that is not. Verifies no signature."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tidewire.model.claims import Claims
from tidewire.model.errors import TokenRefused
from tidewire.model.reasons import CLAIMS_MISSING, EXPIRY_INVALID, token_expired, token_refused

MAX_ROLE_BYTES: Final = 63
"""The longest name that Postgres tells apart."""
CLOCK_SKEW_S: Final = 30
"""`nbf` is often the second of issue, and the issuer's clock may be ahead of ours. Expiry gets no such allowance."""
MAX_TIME_S: Final = 2**53
"""Beyond it a float no longer holds every second, so such a number is no time."""

Scalar = str | int | float | bool


class ClaimChecks(Struct, frozen=True):
    """What a token must say besides `role` and `exp`. None and an empty mapping demand nothing."""

    audience: str | None = None
    issuer: str | None = None
    exact: Mapping[str, Scalar] = {}

    @property
    def demanded(self) -> dict[str, Scalar]:
        """The claims that a token must have, for whoever writes one."""
        values = {"aud": self.audience, "iss": self.issuer, **self.exact}
        return {name: value for name, value in values.items() if value is not None}


def check_claims(values: Mapping[str, Any], checks: ClaimChecks, now_s: float) -> Claims:
    """Turn what a verified token says into claims. Raises TokenRefused."""
    role, expires_at_s, subject = values.get("role"), values.get("exp"), values.get("sub")
    if expires_at_s is None or not _is_role(role):
        raise TokenRefused(CLAIMS_MISSING)
    if not _is_time(expires_at_s):
        raise TokenRefused(EXPIRY_INVALID)
    check_expiry(expires_at_s, now_s)
    _check_beginning(values, now_s)
    _check_expectations(values, checks)
    return Claims(
        role=str(role),
        subject=subject if isinstance(subject, str) else None,
        expires_at_s=float(expires_at_s),
        values=values,
    )


def check_expiry(expires_at_s: float, now_s: float) -> None:
    """Raise TokenRefused when the time has come. Call it again while the claims are in use."""
    if expires_at_s <= now_s:
        raise TokenRefused(token_expired(int(now_s - expires_at_s)), handshake="Token has expired")


def _check_beginning(values: Mapping[str, Any], now_s: float) -> None:
    for name in ("iat", "nbf"):
        if values.get(name) is not None and not _is_time(values[name]):
            raise _invalid(f"Claim `{name}` in JWT is not a time")
    if (values.get("nbf") or 0) > now_s + CLOCK_SKEW_S:
        raise _invalid("Token is not valid yet")


def _check_expectations(values: Mapping[str, Any], checks: ClaimChecks) -> None:
    audiences = values.get("aud")
    if checks.audience and checks.audience not in (audiences if isinstance(audiences, list) else [audiences]):
        raise _not_accepted("aud")
    if checks.issuer and values.get("iss") != checks.issuer:
        raise _not_accepted("iss")
    for name, expected in checks.exact.items():
        found = values.get(name)
        if found != expected or isinstance(found, bool) != isinstance(expected, bool):  # Python says True == 1
            raise _not_accepted(name)


def _is_role(value: object) -> bool:
    """Refuse `none` too: to Postgres it means the role of the session, which is ours."""
    if not isinstance(value, str) or value == "none" or "\0" in value:
        return False
    return 0 < len(value.encode()) <= MAX_ROLE_BYTES


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_TIME_S


def _invalid(message: str) -> TokenRefused:
    return TokenRefused(token_refused(message, "InvalidJWTToken"))


def _not_accepted(name: str) -> TokenRefused:
    return _invalid(f"Claim `{name}` in JWT is not accepted")
