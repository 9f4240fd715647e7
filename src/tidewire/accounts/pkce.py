"""Decides whether whoever comes back with a code is who asked for the link: the rules of PKCE (RFC 7636).

Only the client that asked knows the verifier. So a code that somebody reads on its way, in a log or a history, is worth
nothing to them.
"""

import base64
import hashlib
import hmac
import re
from typing import Final

from tidewire.accounts.refusals import invalid

CODE_LIFETIME_S: Final = 300.0
"""How long a code counts: a browser is on its way with it."""
_TEXT: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def read_challenge(challenge: str | None, method: str | None) -> str | None:
    """Return the challenge in the form in which it is stored, None where there is none. Raises AccountRefused."""
    if not challenge and not method:
        return None
    if not challenge or not _TEXT.fullmatch(challenge):
        raise invalid("code_challenge must be 43 to 128 letters, digits or any of . _ ~ -")
    match (method or "").lower():
        case "s256":
            return challenge
        case "plain":  # what clients send where the browser has no digest; the database keeps no verifier all the same
            return _digest(challenge)
        case _:
            raise invalid("code_challenge_method must be s256 or plain")


def answers(verifier: str, challenge: str) -> bool:
    """Say whether the verifier belongs to a challenge that `read_challenge` returned."""
    return _TEXT.fullmatch(verifier) is not None and hmac.compare_digest(_digest(verifier).encode(), challenge.encode())


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
