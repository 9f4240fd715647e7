"""Decides where a link from an e-mail may lead: a token goes there, so only to pages that the operator named."""

from collections.abc import Sequence
from urllib.parse import urlsplit

MOST_CHARS = 2048


def choose_redirect(asked: str, site_url: str, allowed: Sequence[str]) -> str:
    """Return the address asked for if it is of the site or was named as it is, else that of the site."""
    if asked in allowed:
        return asked
    if not asked or len(asked) > MOST_CHARS or not asked.isprintable() or "\\" in asked or " " in asked:
        return site_url
    site = _origin(site_url)
    return asked if site is not None and _origin(asked) == site else site_url


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Return scheme, host and port; None for what has no host, or a user that could pass for one."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme]
