"""Every way in which a request about accounts is refused, in the shape and with the codes that GoTrue clients know.

Decides nothing; no text repeats what the client sent.
"""

from math import ceil
from typing import Any, Final

from msgspec import Struct


class Refusal(Struct, frozen=True):
    """An HTTP status, the stable code that clients compare, and a sentence for people."""

    status: int
    code: str
    message: str
    retry_after_s: int | None = None
    reasons: tuple[str, ...] = ()
    """Why a password is weak, in the words that clients know."""

    def body(self) -> dict[str, Any]:
        """Return what the answer says."""
        said: dict[str, Any] = {"code": self.status, "error_code": self.code, "msg": self.message}
        return said if not self.reasons else {**said, "weak_password": {"reasons": list(self.reasons)}}


class AccountRefused(Exception):  # noqa: N818 - not a failure of ours, but the end of a request
    """Ends a request with its `refusal`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def invalid(message: str) -> AccountRefused:
    """Refuse what does not have the form that it must have."""
    return AccountRefused(Refusal(400, "validation_failed", message))


def too_many(retry_after_s: float, *, mails: bool = False) -> AccountRefused:
    """Refuse for now; the client may come back after the time."""
    code = "over_email_send_rate_limit" if mails else "over_request_rate_limit"
    return AccountRefused(Refusal(429, code, "Request rate limit reached", retry_after_s=max(1, ceil(retry_after_s))))


def weak_password(message: str, reason: str) -> AccountRefused:
    """Refuse a new password; the reasons are `length` and `characters`."""
    return AccountRefused(Refusal(422, "weak_password", message, reasons=(reason,)))


# --- who is asking -----------------------------------------------------------------------------------------
NO_AUTHORIZATION: Final = Refusal(401, "no_authorization", "This endpoint requires a valid API key or Bearer token")
BAD_TOKEN: Final = Refusal(403, "bad_jwt", "invalid JWT: unable to parse or verify signature")
NOT_ADMIN: Final = Refusal(403, "not_admin", "User not allowed")
SESSION_NOT_FOUND: Final = Refusal(403, "session_not_found", "Session from session_id claim in JWT does not exist")

# --- the request -------------------------------------------------------------------------------------------
BAD_JSON: Final = Refusal(400, "bad_json", "Could not parse request body as JSON")
TOO_LARGE: Final = Refusal(413, "validation_failed", "Request body too large")
TOO_SLOW: Final = Refusal(408, "request_timeout", "Request body did not arrive in time")
UNSUPPORTED_GRANT: Final = Refusal(400, "validation_failed", "unsupported_grant_type")
BAD_EMAIL: Final = Refusal(400, "email_address_invalid", "Unable to validate email address: invalid format")

# --- signing in and up -------------------------------------------------------------------------------------
INVALID_CREDENTIALS: Final = Refusal(400, "invalid_credentials", "Invalid login credentials")
EMAIL_NOT_CONFIRMED: Final = Refusal(400, "email_not_confirmed", "Email not confirmed")
USER_BANNED: Final = Refusal(400, "user_banned", "User is banned")
SIGNUP_DISABLED: Final = Refusal(422, "signup_disabled", "Signups not allowed for this instance")
ANONYMOUS_DISABLED: Final = Refusal(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
EMAIL_DISABLED: Final = Refusal(422, "email_provider_disabled", "This instance cannot send e-mail")
PHONE_DISABLED: Final = Refusal(422, "phone_provider_disabled", "Phone numbers are not supported")
USER_EXISTS: Final = Refusal(422, "user_already_exists", "User already registered")
OTP_EXPIRED: Final = Refusal(403, "otp_expired", "Token has expired or is invalid")

FLOW_NOT_FOUND: Final = Refusal(404, "flow_state_not_found", "invalid flow state, no valid flow state found")
BAD_VERIFIER: Final = Refusal(400, "bad_code_verifier", "code challenge does not match previously saved code verifier")
REAUTHENTICATION_NEEDED: Final = Refusal(400, "reauthentication_needed", "Password update requires reauthentication")
REAUTHENTICATION_WRONG: Final = Refusal(422, "reauthentication_not_valid", "Nonce has expired or is invalid")

# --- sessions and users ------------------------------------------------------------------------------------
REFRESH_NOT_FOUND: Final = Refusal(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
REFRESH_USED: Final = Refusal(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
SESSION_EXPIRED: Final = Refusal(400, "session_expired", "Invalid Refresh Token: Session Expired (Inactivity)")
NO_SUCH_SESSION: Final = Refusal(404, "session_not_found", "The user has no such session")
USER_NOT_FOUND: Final = Refusal(404, "user_not_found", "User not found")
EMAIL_EXISTS: Final = Refusal(422, "email_exists", "A user with this email address has already been registered")
USER_ID_EXISTS: Final = Refusal(422, "conflict", "A user with this id already exists")
HAS_DEPENDANTS: Final = Refusal(409, "conflict", "Rows of other tables refer to the user; delete it softly")
SAME_PASSWORD: Final = Refusal(422, "same_password", "New password should be different from the old password.")
WRONG_CURRENT_PASSWORD: Final = Refusal(400, "invalid_credentials", "The current password is missing or wrong")
NOT_FOUND: Final = Refusal(404, "validation_failed", "There is no such endpoint")
NOT_POSSIBLE: Final = Refusal(501, "validation_failed", "This is not supported here")

# --- ourselves ---------------------------------------------------------------------------------------------
BUSY: Final = Refusal(503, "request_timeout", "Too many passwords are being checked; try again", retry_after_s=1)
UNAVAILABLE: Final = Refusal(503, "unexpected_failure", "The accounts are not available now; the server's log says why")
HOOK_FAILED: Final = Refusal(500, "unexpected_failure", "The access token hook failed; the server's log says why")
