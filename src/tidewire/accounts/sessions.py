"""Decides what becomes of a refresh token that somebody shows: a new one, the same answer again, or the session's end.

Every token has exactly one successor, derived from it and the session's key. So whoever repeats a refresh whose answer
was lost, or refreshes in two tabs at once, gets the same successor, and a stolen copy can never grow a branch of its
own. Stores nothing; only hashes of tokens need to be stored.
"""

import base64
import hashlib
import hmac
from typing import Final, Literal

from msgspec import Struct

TOKEN_BYTES: Final = 24
"""192 bits of a token: nobody guesses one, so its hash needs no salt."""
MOST_TOKEN_CHARS: Final = 128
"""Four times what we issue; whatever is longer is not even looked up."""

Verdict = Literal["rotate", "repeat", "expired", "revoke"]
"""Issue the successor; give it once more; the session ended by itself; end the session, for its token was stolen."""


class ShownToken(Struct, frozen=True):
    """What is stored of a token that somebody shows, and of its session. Times are Unix seconds."""

    used_at_s: float | None
    """When it was exchanged for its successor; None as long as it was not."""
    successor_used: bool
    """Whether the successor was itself exchanged."""
    refreshed_at_s: float
    """When the session was last used."""
    ends_at_s: float | None = None
    """When the session ends whatever happens."""


def judge_refresh(shown: ShownToken, now_s: float, *, grace_s: float, idle_s: float) -> Verdict:
    """Decide about a stored token; after `revoke` or `expired` the session and all its tokens must be deleted."""
    if now_s - shown.refreshed_at_s > idle_s or (shown.ends_at_s is not None and now_s >= shown.ends_at_s):
        return "expired"
    if shown.used_at_s is None:
        return "rotate"
    if not shown.successor_used and now_s - shown.used_at_s <= grace_s:
        return "repeat"
    return "revoke"


def first_token(chance: bytes) -> str:
    """Make a session's first token of TOKEN_BYTES random bytes."""
    return base64.urlsafe_b64encode(chance[:TOKEN_BYTES]).decode()


def successor(token: str, session_key: bytes) -> str:
    """Return the one token that comes after this one in a session."""
    return first_token(hmac.digest(session_key, token.encode(), "sha256"))


def hash_token(token: str) -> str:
    """Return what is stored in place of a random token."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def hash_code(code: str, user_id: str) -> str:
    """Return what is stored in place of a short code: it lives for an hour and for a few attempts."""
    return hashlib.sha256(f"{user_id}:{code}".encode(errors="replace")).hexdigest()
