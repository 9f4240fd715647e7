"""Keys of every type and tokens signed with them, right or wrong; the server's own minting is not used."""

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from tidewire.server.jwks import FixedKeys
from tidewire.server.key_set import parse_key_set

NOW_S = 1_800_000_000.0
SECRET = "a-secret-of-the-tests-32-characters-long"
OTHER_SECRET = "another-secret-of-32-characters-or-more"
CLAIMS = {"role": "authenticated", "exp": NOW_S + 3600, "iat": NOW_S - 5, "sub": "ada"}

EVERY_ALGORITHM = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), "oct"),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "rsa"),
    "ES256": "p256",
    "ES384": "p384",
    "ES512": "p521",
    "EdDSA": "ed25519",
    "Ed25519": "ed25519",
}
"""Each with the kid of the key that it belongs to."""


@cache
def key(kid: str) -> Key:
    """Make a key once; `stranger-…` are keys that nobody was told about."""
    kind = kid.removeprefix("stranger-")
    if kind == "oct":
        return OctKey.generate_key(512)
    if kind == "rsa":
        return RSAKey.generate_key(2048)
    if kind == "ed25519":
        return OKPKey.generate_key("Ed25519")
    curves: dict[str, Any] = {"p256": "P-256", "p384": "P-384", "p521": "P-521"}
    return ECKey.generate_key(curves[kind])


def public_jwk(name: str, /, **members: Any) -> dict[str, Any]:
    """Return what an issuer publishes, with changes; of a secret, the secret."""
    return {**key(name).as_dict(), "kid": name, **members}


def public_pem(kid: str) -> bytes:
    made = key(kid)
    assert isinstance(made, RSAKey | ECKey)
    return made.as_pem(private=False)


def key_set_text(*jwks: Mapping[str, Any]) -> bytes:
    """Write a JWK Set; with all keys when none are given."""
    return json.dumps({"keys": jwks or [public_jwk(kid) for kid in set(EVERY_ALGORITHM.values())]}).encode()


def every_key() -> FixedKeys:
    return FixedKeys(parse_key_set(key_set_text(), with_secrets=True))


def sign(
    algorithm: str = "HS256",
    signer: Key | str = SECRET,
    *,
    kid: Any = None,
    header: Mapping[str, Any] | None = None,
    **claims: Any,
) -> str:
    """Sign the usual claims with changes; a claim that is `...` is left out."""
    values = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    return sign_bytes(json.dumps(values).encode(), algorithm, signer, kid=kid, header=header)


def sign_bytes(
    payload: bytes,
    algorithm: str = "HS256",
    signer: Key | str = SECRET,
    *,
    kid: Any = None,
    header: Mapping[str, Any] | None = None,
) -> str:
    """Sign any bytes under any header, as an attacker with the key could; `algorithm` signs, `header` may lie."""
    values = {"alg": algorithm, **({} if kid is None else {"kid": kid}), **(header or {})}
    signed = f"{encode(json.dumps(values).encode())}.{encode(payload)}"
    used = OctKey.import_key(signer) if isinstance(signer, str) else signer
    return f"{signed}.{encode(jws.JWSRegistry.algorithms[algorithm].sign(signed.encode(), used))}"


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()
