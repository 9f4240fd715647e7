"""Turns a token or an opaque key into verified `Claims`, or refuses it with the reason that clients know.

Keys and clock come from outside. What the role may do afterwards is for Postgres to say.
"""

import hmac
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key, OctKey
from msgspec import UNSET, Struct

from tidewire.hub.claim_checks import ClaimChecks, check_claims
from tidewire.model.claims import Claims
from tidewire.model.errors import ConfigurationError, TokenRefused
from tidewire.model.reasons import SIGNATURE_INVALID, TOKEN_INVALID, signer_missing

MAX_TOKEN_CHARS: Final = 16 * 1024
"""Ten times what identity providers issue; whatever is longer is not even decoded."""

MOST_REMEMBERED: Final = 10_000
MOST_REMEMBERED_CHARS: Final = 4096
"""Verified signatures are remembered, of tokens that are not very long: verifying takes longer than all else.

As many as there are clients: when all come back at once, each in its turn, room for fewer would hold none of them.
"""

KEY_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), "oct"),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    **dict.fromkeys(("EdDSA", "Ed25519"), "OKP"),
}
"""The algorithms that are verified, each with the one type of key it may be used with. `none` is not among them."""


class Keys(Protocol):
    """Keys that have an id. Both type and id must fit, so a public key can never be taken for a shared secret."""

    async def find(self, kid: str, key_type: str) -> Key | None:
        """Return the key, asking its source again if need be. Never raises because the source is away."""
        ...


class NoKeys:
    """The key set of whoever has none."""

    async def find(self, kid: str, key_type: str) -> Key | None:  # noqa: ARG002 - the contract's parameters
        return None


class Authorizer:
    """Give it what a client sent as token; keep the claims only until `expires_at_s`, then ask again with a new one."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        secrets: Sequence[str] = (),
        keys: Keys | None = None,
        opaque_keys: Mapping[str, str] | None = None,
        checks: ClaimChecks | None = None,
    ) -> None:
        """Take Unix time from `clock`. Any of the `secrets` verifies; `opaque_keys` maps each key to its role."""
        self._clock = clock
        self._secrets = tuple(import_secret(secret) for secret in secrets)
        self._keys = keys or NoKeys()
        self._opaque_keys = tuple((key.encode(), role) for key, role in (opaque_keys or {}).items())
        self._checks = checks or ClaimChecks()
        self._verified: dict[str, _Verified] = {}
        """What tokens say whose signature was verified, the one that was used last at the end.

        It counts for as long as the key is one that the token may be signed with. Claims are checked each time.
        """

    async def authorize(self, token: str) -> Claims:
        """Return who is asking. Raises TokenRefused."""
        if token.startswith("sb_"):
            return self._look_up(token)
        known = self._verified.pop(token, None)
        if known is None or not any(key is known.key for key in await self._candidates(known.header)):
            known = await self._verify(token)
        if len(token) <= MOST_REMEMBERED_CHARS:
            self._verified[token] = known
            if len(self._verified) > MOST_REMEMBERED:
                del self._verified[next(iter(self._verified))]
        return check_claims(known.values, self._checks, self._clock())

    async def _verify(self, token: str) -> "_Verified":
        signed = _parse(token)
        header = _read_header(signed)
        candidates = await self._candidates(header)
        if not candidates:
            raise TokenRefused(signer_missing(header.kid))
        for key in candidates:
            if _verifies(signed, key):
                return _Verified(header, key, _read_payload(signed))
        raise TokenRefused(SIGNATURE_INVALID)

    def _look_up(self, key: str) -> Claims:
        """Compare with every key and never stop early, so that the time taken tells nothing about any of them."""
        given, role = key.encode(errors="replace"), None
        for known, known_role in self._opaque_keys:
            if hmac.compare_digest(given, known):
                role = known_role
        if role is None:
            raise TokenRefused(TOKEN_INVALID)
        return Claims(role=role, subject=None, expires_at_s=math.inf, values={"role": role})

    async def _candidates(self, header: "_Header") -> Sequence[Key]:
        key_type = KEY_TYPES.get(header.alg)
        if key_type is None:
            return ()
        if header.kid is not None and (key := await self._keys.find(header.kid, key_type)) is not None:
            return (key,)
        return self._secrets if key_type == "oct" else ()


def import_secret(secret: str) -> OctKey:
    """Make a key of a shared secret. Raises ConfigurationError for what must never be one."""
    try:
        return OctKey.import_key(secret)
    except ValueError:
        raise ConfigurationError(
            "reading the JWT secret: expected a random text, got nothing or a public key",
            hint="public keys belong into the setting jwks",
        ) from None


def sign_token(values: Mapping[str, Any], secret: str) -> str:
    """Write claims as a token signed with HS256; check them first with `check_claims`."""
    return sign_claims(values, import_secret(secret), "HS256")


def sign_claims(values: Mapping[str, Any], key: Key, algorithm: str) -> str:
    """Write claims as a token signed with a private key; its id, if it has one, stands in the header."""
    kid = key.get("kid")
    header = {"alg": algorithm, "typ": "JWT"} if kid is None else {"alg": algorithm, "typ": "JWT", "kid": kid}
    return jws.serialize_compact(header, msgspec.json.encode(values), key)


class _Header(Struct, frozen=True):
    alg: str
    kid: str | None = None
    crit: Any = UNSET
    b64: Any = UNSET


class _Verified(Struct, frozen=True):
    """What a genuine token says, and the key that proves it."""

    header: _Header
    key: Key
    values: Mapping[str, Any]


class _Registry(jws.JWSRegistry):
    """Allow our algorithms and header parameters that we do not know; the whole token is bounded already.

    The library's own look-up warns at each use of `EdDSA`, the name that every issuer still writes.
    """

    max_header_length = MAX_TOKEN_CHARS
    max_payload_length = MAX_TOKEN_CHARS
    max_signature_length = MAX_TOKEN_CHARS

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


_REGISTRY: Final = _Registry(algorithms=tuple(KEY_TYPES), strict_check_header=False)
_BROKEN: Final = (JoseError, ValueError, TypeError, AttributeError, RecursionError)
"""What the library raises for bytes that are no token: its decoding of the header expects an object."""


def _parse(token: str) -> jws.CompactSignature:
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenRefused(TOKEN_INVALID)
    try:
        return jws.extract_compact(token.encode(), registry=_REGISTRY)
    except _BROKEN:
        raise TokenRefused(TOKEN_INVALID) from None


def _read_header(signed: jws.CompactSignature) -> _Header:
    try:
        header = msgspec.convert(signed.protected, _Header)
    except msgspec.ValidationError:
        raise TokenRefused(TOKEN_INVALID) from None
    if header.crit is not UNSET or header.b64 is not UNSET:  # extensions that must be understood; we understand none
        raise TokenRefused(TOKEN_INVALID)
    return header


def _read_payload(signed: jws.CompactSignature) -> dict[str, Any]:
    try:
        return msgspec.json.decode(signed.payload, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise TokenRefused(TOKEN_INVALID) from None


def _verifies(signed: jws.CompactSignature, key: Key) -> bool:
    """Say no as well when the key is of another curve, or marked for another use or algorithm."""
    try:
        return jws.validate_compact(signed, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        return False
