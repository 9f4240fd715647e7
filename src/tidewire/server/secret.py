"""Finds the shared secrets that sign and verify tokens: those configured, or one made once for development."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from tidewire.model.errors import ConfigurationError
from tidewire.postgres.embedded_place import open_data_dir
from tidewire.settings import MIN_SECRET_CHARS, Settings

FILE: Final = "jwt-secret"
PUBLISHED: Final = frozenset(
    {
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "your-super-secret-jwt-token-with-at-least-32-characters-long",
    }
)
"""What local Supabase stacks are delivered with: good for development, known to everybody."""
FEWEST_CHARACTERS: Final = 8
"""How many different ones a secret needs. Of 32 random hexadecimal digits, one text in twenty million has fewer."""


def shared_secrets(settings: Settings) -> tuple[str, ...]:
    """Return the secrets, the one to sign with first; in production there may be none, if there are other keys.

    In development a missing secret is made and kept in `data_dir`. Raises ConfigurationError.
    """
    given = tuple(secret for secret in (settings.jwt_secret, settings.jwt_secret_previous) if secret)
    if settings.mode == "development":
        return given if settings.jwt_secret else (development_secret(Path(settings.data_dir)), *given)
    for secret in given:
        if secret in PUBLISHED or len(set(secret)) < FEWEST_CHARACTERS:
            raise ConfigurationError(
                "starting in production: expected a secret of your own, got a published or simple one",
                hint="set TIDEWIRE_JWT_SECRET to what `openssl rand -base64 48` prints",
            )
    if not given and not settings.jwks and not settings.publishable_keys and not settings.secret_keys:
        raise ConfigurationError(
            "starting in production: expected jwt_secret, jwks or keys, got none of them",
            hint="set TIDEWIRE_JWT_SECRET to what `openssl rand -base64 48` prints",
        )
    return given


def development_secret(data_dir: Path) -> str:
    """Return the secret in the folder, and make both when they are missing. Only the owner may read it."""
    try:
        file = open_data_dir(data_dir) / FILE
        if not file.exists():
            _make(file)
        if file.stat().st_mode & 0o077:
            raise ConfigurationError(
                f"reading {file}: expected a file that only its owner may read", hint=f"chmod 600 {file}"
            )
        secret = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"reading {data_dir / FILE}: {getattr(error, 'strerror', None) or 'expected text'}",
            hint="set TIDEWIRE_JWT_SECRET, or TIDEWIRE_DATA_DIR to a folder of your own",
        ) from None
    if len(secret) < MIN_SECRET_CHARS:
        raise ConfigurationError(
            f"reading {file}: expected at least {MIN_SECRET_CHARS} characters", hint="delete it; a new one is made"
        )
    return secret


def _make(file: Path) -> None:
    """Write it whole under another name first; when two commands start at once, the first to link it wins."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=FILE)  # readable by the owner only
    try:
        with os.fdopen(handle, "w", encoding="ascii") as writer:
            writer.write(secrets.token_urlsafe(48) + "\n")
        with suppress(FileExistsError):
            os.link(name, file)
    finally:
        Path(name).unlink()
