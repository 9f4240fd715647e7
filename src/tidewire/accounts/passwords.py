"""Decides which passwords and e-mail addresses may be used. Hashes nothing."""

import re
import unicodedata
from typing import Final

from tidewire.accounts.refusals import BAD_EMAIL, AccountRefused, weak_password

MOST_PASSWORD_BYTES: Final = 1024
"""Far above any pass phrase; argon2 would hash megabytes, and everybody may send them."""
MOST_EMAIL_CHARS: Final = 254
"""What SMTP can carry."""
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f<>()\[\]\\,;:\"]{1,64}@[^@\s\x00-\x1f\x7f<>()\[\]\\,;:\"/]{1,253}")


def check_new_password(password: str, *, fewest_chars: int) -> None:
    """Raise AccountRefused for a password that must not be set."""
    if len(password) < fewest_chars:
        raise weak_password(f"Password should be at least {fewest_chars} characters.", "length")
    if "\0" in password or not is_checkable(password):
        raise weak_password(f"Password should be at most {MOST_PASSWORD_BYTES} bytes of text.", "characters")


def is_checkable(password: str) -> bool:
    """Say whether it can be anybody's password, so that checking it is worth the work."""
    return len(encode_password(password)) <= MOST_PASSWORD_BYTES


def encode_password(password: str) -> bytes:
    """Return the bytes that are hashed: the same whichever keyboard composed the letters."""
    return unicodedata.normalize("NFC", password).encode(errors="replace")


def normal_email(text: str) -> str:
    """Return the address as it is stored and compared. Raises AccountRefused for what is none."""
    email = text.strip().lower()
    if len(email) > MOST_EMAIL_CHARS or not _EMAIL.fullmatch(email) or not email.isprintable():
        raise AccountRefused(BAD_EMAIL)
    domain = email.rpartition("@")[2]
    if domain.startswith((".", "-")) or domain.endswith((".", "-")) or ".." in domain:
        raise AccountRefused(BAD_EMAIL)
    return email
