"""Turns the text of a JWK Set into the keys that may verify tokens. Fetches nothing."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from msgspec import Struct

from tidewire.model.errors import ConfigurationError

SHORTEST: Final = {"oct": ("k", 43), "RSA": ("n", 342)}
"""256 bits of secret and 2048 of modulus in base64url; less is no protection."""

KeysById = Mapping[tuple[str, str], Key]
"""By key type and id. RFC 7517 lets keys of different types share an id."""


class _KeySet(Struct, frozen=True):
    keys: tuple[dict[str, Any], ...]


def parse_key_set(text: bytes, *, with_secrets: bool) -> KeysById:
    """Read a JWK Set. Keys that cannot verify are left out, as the RFC wants. Raises ConfigurationError."""
    try:
        found = msgspec.json.decode(text, type=_KeySet).keys
    except (msgspec.DecodeError, RecursionError):
        raise ConfigurationError('reading a key set: expected {"keys": [...]}, got something else') from None
    keys: dict[tuple[str, str], Key] = {}
    for values in found:
        key_type, kid = values.get("kty"), values.get("kid")
        if not isinstance(kid, str) or (key_type == "oct" and not with_secrets):
            continue
        if (key := _import(values)) is not None:
            keys.setdefault((key.key_type, kid), key)
    return keys


def _import(values: dict[str, Any]) -> Key | None:
    member, length = SHORTEST.get(str(values.get("kty")), ("", 0))
    if len(str(values.get(member, ""))) < length:
        return None
    try:
        key = JWKRegistry.import_key(values)
        key.check_use("sig")
        key.check_key_op("verify")
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):  # whatever is wrong with it, it is no key
        return None
    return key
