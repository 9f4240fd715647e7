"""Whatever is done to a token, it is refused, unless the right key signed it with the right algorithm."""

import asyncio
import json
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st
from joserfc.jwk import Key

from tests.support.tokens import (
    CLAIMS,
    EVERY_ALGORITHM,
    NOW_S,
    OTHER_SECRET,
    SECRET,
    encode,
    every_key,
    key,
    sign,
    sign_bytes,
)
from tidewire.hub.authorize import Authorizer
from tidewire.hub.claim_checks import MAX_ROLE_BYTES, MAX_TIME_S, ClaimChecks, check_claims
from tidewire.model.claims import Claims
from tidewire.model.errors import TokenRefused

AUTHORIZER = Authorizer(
    clock=lambda: NOW_S, secrets=(SECRET,), keys=every_key(), opaque_keys={"sb_secret_" + "k" * 22: "service_role"}
)
SHARED = {"HS256", "HS384", "HS512"}
SAME = {"EdDSA": "Ed25519"}  # two names of one algorithm
KIDS = sorted(set(EVERY_ALGORITHM.values()))
TYPES = {"HS": ["oct", "stranger-oct"], "RS": ["rsa", "stranger-rsa"], "PS": ["rsa", "stranger-rsa"]} | {
    name: [kid, f"stranger-{kid}"] for name, kid in EVERY_ALGORITHM.items() if name[:2] not in {"HS", "RS", "PS"}
}

algorithms = st.sampled_from(sorted(EVERY_ALGORITHM))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def verdict(token: str) -> Claims | None:
    """Return the claims, or None when the token is refused; any other exception fails the test."""
    try:
        return asyncio.run(AUTHORIZER.authorize(token))
    except TokenRefused:
        return None


def signer(name: str) -> Key | str:
    return {"shared": SECRET, "other": OTHER_SECRET}.get(name) or key(name)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a good token and what becomes of it by changing, inserting, dropping or swapping some characters."""
    algorithm = draw(algorithms)
    good = sign(algorithm, key(EVERY_ALGORITHM[algorithm]), kid=EVERY_ALGORITHM[algorithm])
    token = list(good)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(token) - 1))
        replacement = draw(st.text("ABab01-_.=+/ \n\0é", max_size=2))
        token[place : place + draw(st.integers(0, 2))] = replacement
        assume(token)
    return good, "".join(token)


@given(mutated())
def test_a_mutated_token_never_verifies(tokens: tuple[str, str]) -> None:
    good, bad = tokens
    assert verdict(good) is not None
    assume(good != bad)
    assert verdict(bad) is None


@st.composite
def forgeries(draw: st.DrawFn) -> tuple[str, str, str, str | None]:
    """Draw the algorithm that signed and its key, then what the header says of both."""
    signed_with = draw(algorithms)
    owners = TYPES.get(signed_with) or TYPES[signed_with[:2]]
    if signed_with in SHARED:
        owners = [*owners, "shared", "other"]
    owner = draw(st.sampled_from(owners))
    said = draw(st.one_of(st.just(signed_with), algorithms))
    kid = draw(st.one_of(st.just(owner), st.none(), st.sampled_from(KIDS)))
    return signed_with, owner, said, kid


@given(forgeries())
@example(("HS256", "shared", "HS256", "rsa"))
@example(("HS256", "stranger-oct", "RS256", "rsa"))
@example(("RS256", "rsa", "HS256", "rsa"))
def test_only_the_named_key_and_algorithm_verify(forgery: tuple[str, str, str, str | None]) -> None:
    signed_with, owner, said, kid = forgery
    token = sign(signed_with, signer(owner), header={"alg": said}, kid=kid)
    by_kid = kid == owner and EVERY_ALGORITHM[said] == owner
    by_secret = owner == "shared" and said in SHARED and kid != "oct"
    right = SAME.get(said, said) == SAME.get(signed_with, signed_with) and (by_kid or by_secret)
    assert (verdict(token) is not None) == right


@given(st.text() | st.builds(lambda *parts: ".".join(parts), *[st.binary(max_size=60).map(encode)] * 3))
def test_any_text_is_refused_and_nothing_worse(text: str) -> None:
    assert verdict(text) is None


@given(st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ", "jwk", "jku", "x5c"]), json_values))
def test_any_header_is_refused_or_harmless(header: dict[str, Any]) -> None:
    """The signature is right for HS256, so it verifies exactly when the header says nothing else."""
    claims = verdict(sign(header=header))
    if header.get("alg", "HS256") != "HS256" or header.keys() & {"crit", "b64"}:
        assert claims is None


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_signed_payload_is_refused_and_nothing_worse(payload: bytes) -> None:
    assert verdict(sign_bytes(payload)) is None


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("role", "exp", "iat", "nbf", "sub", "aud"), json_values)))
def test_accepted_claims_are_usable(changes: dict[str, Any]) -> None:
    try:
        claims = check_claims({**CLAIMS, **changes}, ClaimChecks(), NOW_S)
    except TokenRefused:
        return
    assert NOW_S < claims.expires_at_s <= MAX_TIME_S
    assert 0 < len(claims.role.encode()) <= MAX_ROLE_BYTES
    assert claims.role != "none"
    assert claims.subject is None or isinstance(claims.subject, str)
