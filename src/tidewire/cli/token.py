"""`tidewire token`: mints a token that this server accepts, for trying things out and for services of your own."""

import re
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import typer

from tidewire import assemble
from tidewire.cli.output import print_json
from tidewire.hub.authorize import MAX_TOKEN_CHARS, sign_token
from tidewire.hub.claim_checks import check_claims
from tidewire.model.errors import ConfigurationError
from tidewire.server.secret import shared_secrets

UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "y": 31_557_600}
LONGEST_S: Final = 100 * UNITS_S["y"]
_LIFETIME = re.compile(r"([0-9]{1,10})([smhdy]?)", re.ASCII)
_RESERVED: Final = {"role": "--role", "sub": "--sub", "exp": "--exp", "iat": "--exp"}


def token(
    *,
    role: str = typer.Option("authenticated", "--role", help="The database role that the bearer acts as."),
    sub: str | None = typer.Option(None, "--sub", help="Who the bearer is, mostly a UUID; auth.uid() returns it."),
    exp: str = typer.Option("1h", "--exp", help="How long it is valid: a number with s, m, h, d or y."),
    claim: list[str] = typer.Option([], "--claim", metavar="NAME=VALUE", help="A further claim, JSON or text."),
    json: bool = typer.Option(False, "--json", help="Print the token with its claims as one JSON document."),
) -> None:
    """Mint a token, signed with HS256 and the shared secret. Whoever has it is the role: handle it like a password."""
    settings = assemble.settings()
    secrets = shared_secrets(settings)
    if not settings.jwt_secret and settings.mode == "production":
        raise ConfigurationError("minting a token: expected jwt_secret, got none", hint="set TIDEWIRE_JWT_SECRET")
    checks = assemble.claim_checks(settings)
    now_s = int(time.time())
    values: dict[str, Any] = {**checks.demanded, "role": role, "iat": now_s, "exp": now_s + _parse_lifetime(exp)}
    values |= _parse_claims(claim)
    if sub is not None:
        values["sub"] = sub
    try:
        check_claims(values, checks, now_s)
        minted = sign_token(values, secrets[0])
    except UnicodeEncodeError:  # what the shell passed on was not in its own character set
        raise ConfigurationError("minting a token: expected text, got bytes that are none", hint="use UTF-8") from None
    if len(minted) > MAX_TOKEN_CHARS:
        raise ConfigurationError("minting a token: expected claims that fit into 16 KiB, got more", hint="drop some")
    if json:
        print_json({"token": minted, "claims": values})
    else:
        print(minted)


def _parse_lifetime(text: str) -> int:
    match = _LIFETIME.fullmatch(text)
    lifetime_s = int(match[1]) * UNITS_S[match[2]] if match else 0
    if not 0 < lifetime_s <= LONGEST_S:
        raise ConfigurationError(
            f"reading --exp: expected a time of up to 100 years, got {text[:40]!r}",
            hint="for example 90s, 15m, 1h, 7d or 1y",
        )
    return lifetime_s


def _parse_claims(texts: Sequence[str]) -> dict[str, Any]:
    """Take a value as JSON when it is JSON, so that numbers, lists and objects can be given, else as text."""
    claims: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise ConfigurationError("reading --claim: expected NAME=VALUE", hint="for example --claim 'team=[1,2]'")
        if name in _RESERVED:
            raise ConfigurationError(f"reading --claim: {name} has an option of its own", hint=f"use {_RESERVED[name]}")
        try:
            claims[name] = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            claims[name] = value
    return claims
