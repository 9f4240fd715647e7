"""Tokens that are good give their claims; every other one is refused for the reason that clients know."""

import json
import math
from typing import Any

import pytest
from joserfc.jwk import Key, OctKey

from tests.support.tokens import (
    CLAIMS,
    EVERY_ALGORITHM,
    NOW_S,
    OTHER_SECRET,
    SECRET,
    encode,
    every_key,
    key,
    key_set_text,
    public_jwk,
    public_pem,
    sign,
    sign_bytes,
)
from tidewire.hub import authorize
from tidewire.hub.authorize import MAX_TOKEN_CHARS, Authorizer, sign_token
from tidewire.hub.claim_checks import CLOCK_SKEW_S, ClaimChecks, check_expiry
from tidewire.model.errors import ConfigurationError, TokenRefused
from tidewire.server.jwks import FixedKeys
from tidewire.server.key_set import parse_key_set

PUBLISHABLE = "sb_publishable_" + "p" * 22
SERVICE = "sb_secret_" + "s" * 22

MALFORMED = "MalformedJWT: The token provided is not a valid JWT"
SIGNATURE = "JwtSignatureError: Failed to validate JWT signature"
SIGNER = "JwtSignerError: Failed to generate JWT signer, check your JWT secret or JWKS configuration"
MISSING = "InvalidJWTToken: Fields `role` and `exp` are required in JWT"
NO_TIME = "InvalidJWTToken: Token expiration time is invalid"


def signer_of(kid: str) -> str:
    return SIGNER.replace("signer,", f'signer for key ID (kid) "{kid}",')


def not_accepted(claim: str) -> str:
    return f"InvalidJWTToken: Claim `{claim}` in JWT is not accepted"


def authorizer(**changes: Any) -> Authorizer:
    return Authorizer(
        **{
            "clock": lambda: NOW_S,
            "secrets": (SECRET,),
            "keys": every_key(),
            "opaque_keys": {PUBLISHABLE: "anon", SERVICE: "service_role"},
            **changes,
        }
    )


def headed(header: bytes, payload: str = "e30") -> str:
    """Write a token that is not signed at all."""
    return f"{encode(header)}.{payload}."


async def refusal(token: str, **changes: Any) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        await authorizer(**changes).authorize(token)
    return caught.value


async def test_a_good_token_gives_its_claims() -> None:
    claims = await authorizer().authorize(sign(team=[1, 2]))
    assert (claims.role, claims.subject, claims.expires_at_s) == ("authenticated", "ada", NOW_S + 3600)
    assert claims.values == {**CLAIMS, "team": [1, 2]}


async def test_what_we_mint_is_accepted() -> None:
    assert (await authorizer().authorize(sign_token(CLAIMS, SECRET))).values == CLAIMS


@pytest.mark.parametrize(("algorithm", "kid"), EVERY_ALGORITHM.items())
async def test_every_algorithm_verifies_by_key_id(algorithm: str, kid: str) -> None:
    claims = await authorizer(secrets=()).authorize(sign(algorithm, key(kid), kid=kid))
    assert claims.subject == "ada"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_an_unknown_key_id_falls_back_to_the_shared_secret(algorithm: str) -> None:
    assert (await authorizer().authorize(sign(algorithm, kid="nobody's"))).role == "authenticated"


async def test_both_secrets_verify_during_a_rotation_and_only_the_new_one_after_it() -> None:
    old, new = sign(signer=OTHER_SECRET), sign(signer=SECRET)
    during = authorizer(secrets=(SECRET, OTHER_SECRET))
    assert {(await during.authorize(token)).subject for token in (old, new)} == {"ada"}
    assert (await refusal(old)).reason.join_text == SIGNATURE


@pytest.mark.parametrize(
    ("token", "join_reason"),
    [
        pytest.param("", MALFORMED, id="empty"),
        pytest.param("a.b", MALFORMED, id="two parts"),
        pytest.param("a.b.c.d", MALFORMED, id="four parts"),
        pytest.param("!.?.*", MALFORMED, id="no base64"),
        pytest.param("€.ü.\ud800", MALFORMED, id="no ASCII"),
        pytest.param(headed(b"[]"), MALFORMED, id="header is a list"),
        pytest.param(headed(b"7"), MALFORMED, id="header is a number"),
        pytest.param(headed(b'"alg"'), MALFORMED, id="header is a text"),
        pytest.param(headed(b"{}"), MALFORMED, id="header without alg"),
        pytest.param(headed(b"[" * 3000), MALFORMED, id="header nested too deep"),
        pytest.param(sign() + "=", SIGNATURE, id="padding"),
        pytest.param(sign() + "\n", SIGNATURE, id="trailing newline"),
        pytest.param(" " + sign(), MALFORMED, id="leading blank"),
        pytest.param(sign(pad="x" * MAX_TOKEN_CHARS), MALFORMED, id="too long"),
        pytest.param(sign(header={"crit": ["exp"]}), MALFORMED, id="crit"),
        pytest.param(sign(header={"crit": []}), MALFORMED, id="empty crit"),
        pytest.param(sign(header={"b64": False, "crit": ["b64"]}), MALFORMED, id="b64"),
        pytest.param(sign(header={"b64": True}), MALFORMED, id="b64 without crit"),
        pytest.param(sign(kid=7), MALFORMED, id="kid is a number"),
        pytest.param(sign(header={"alg": None}), MALFORMED, id="alg is null"),
        pytest.param(sign_bytes(b"[1]"), MALFORMED, id="claims are a list"),
        pytest.param(sign_bytes(b""), MALFORMED, id="no claims"),
        pytest.param(sign_bytes(b'{"role":"a","exp":NaN}'), MALFORMED, id="claims with NaN"),
        pytest.param(sign_bytes(b'{"role":"a","exp":1e999}'), MALFORMED, id="exp overflows"),
        pytest.param(sign_bytes(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"), MALFORMED, id="claims nested too deep"),
        pytest.param(sign_bytes(b"\xff"), MALFORMED, id="claims are no UTF-8"),
        pytest.param("sb_secret_" + "x" * 22, MALFORMED, id="opaque key of nobody"),
        pytest.param("sb_secret_ü\ud800", MALFORMED, id="opaque key that is no ASCII"),
        pytest.param(headed(b'{"alg":"none"}', sign().split(".")[1]), SIGNER, id="alg none"),
        pytest.param(sign(header={"alg": "NONE"}), SIGNER, id="alg NONE"),
        pytest.param(sign(header={"alg": "hs256"}), SIGNER, id="alg in lower case"),
        pytest.param(sign(header={"alg": "dir"}), SIGNER, id="alg of another standard"),
        pytest.param(sign("RS256", key("rsa")), SIGNER, id="public key without kid"),
        pytest.param(sign("RS256", key("rsa"), kid="new"), signer_of("new"), id="unknown kid"),
        pytest.param(sign("RS256", key("rsa"), kid="k" * 200), signer_of("k" * 64), id="kid too long to repeat"),
        pytest.param(sign("RS256", key("rsa"), kid="p256"), signer_of("p256"), id="kid of another type"),
        pytest.param(sign("RS256", key("stranger-rsa"), kid="rsa"), SIGNATURE, id="key of a stranger"),
        pytest.param(sign(signer=OTHER_SECRET), SIGNATURE, id="another secret"),
        pytest.param(sign(header={"alg": "HS512"}), SIGNATURE, id="another hash"),
        pytest.param(sign(kid="oct"), SIGNATURE, id="kid of a secret, signed with the shared one"),
        pytest.param(sign("ES384", key("p384"), kid="p256"), SIGNATURE, id="kid of another curve"),
        pytest.param(sign(role=...), MISSING, id="no role"),
        pytest.param(sign(exp=...), MISSING, id="no exp"),
        pytest.param(sign(exp=None), MISSING, id="exp is null"),
        pytest.param(sign(role=""), MISSING, id="empty role"),
        pytest.param(sign(role=["anon"]), MISSING, id="role is a list"),
        pytest.param(sign(role="none"), MISSING, id="role none"),
        pytest.param(sign(role="a\0b"), MISSING, id="role with NUL"),
        pytest.param(sign(role="ä" * 32), MISSING, id="role of 64 bytes"),
        pytest.param(sign(exp="tomorrow"), NO_TIME, id="exp is a text"),
        pytest.param(sign(exp=True), NO_TIME, id="exp is a boolean"),
        pytest.param(sign(exp=10**400), NO_TIME, id="exp is no time"),
        pytest.param(sign(exp=-(10**400)), NO_TIME, id="exp is no time either"),
        pytest.param(sign(exp=NOW_S - 61.5), "InvalidJWTToken: Token has expired 61 seconds ago", id="expired"),
        pytest.param(sign(iat="x"), "InvalidJWTToken: Claim `iat` in JWT is not a time", id="iat is a text"),
        pytest.param(sign(nbf=[]), "InvalidJWTToken: Claim `nbf` in JWT is not a time", id="nbf is a list"),
        pytest.param(sign(nbf=NOW_S + 60), "InvalidJWTToken: Token is not valid yet", id="not yet"),
    ],
)
async def test_every_refusal_has_its_reason(token: str, join_reason: str) -> None:
    error = await refusal(token)
    assert error.reason.join_text == join_reason
    assert SECRET not in repr(error)


@pytest.mark.parametrize(
    ("checks", "claims", "join_reason"),
    [
        (ClaimChecks(audience="app"), {"aud": "app"}, None),
        (ClaimChecks(audience="app"), {"aud": ["other", "app"]}, None),
        (ClaimChecks(audience="app"), {"aud": "application"}, not_accepted("aud")),
        (ClaimChecks(audience="app"), {"aud": ["other", ["app"]]}, not_accepted("aud")),
        (ClaimChecks(audience="app"), {}, not_accepted("aud")),
        (ClaimChecks(issuer="me"), {"iss": "me"}, None),
        (ClaimChecks(issuer="me"), {"iss": ["me"]}, not_accepted("iss")),
        (ClaimChecks(issuer="me"), {}, not_accepted("iss")),
        (ClaimChecks(exact={"beta": True}), {"beta": True}, None),
        (ClaimChecks(exact={"beta": True}), {"beta": 1}, not_accepted("beta")),
        (ClaimChecks(exact={"level": 1}), {"level": 1}, None),
        (ClaimChecks(exact={"level": 1}), {"level": True}, not_accepted("level")),
        (ClaimChecks(exact={"level": 1}), {}, not_accepted("level")),
    ],
)
async def test_expected_claims(checks: ClaimChecks, claims: dict[str, Any], join_reason: str | None) -> None:
    token = sign(**claims)
    if join_reason is None:
        assert (await authorizer(checks=checks).authorize(token)).subject == "ada"
    else:
        assert (await refusal(token, checks=checks)).reason.join_text == join_reason


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"exp": NOW_S + 0.001}, True),
        ({"exp": NOW_S}, False),
        ({"nbf": NOW_S + CLOCK_SKEW_S}, True),
        ({"nbf": NOW_S + CLOCK_SKEW_S + 0.001}, False),
        ({"nbf": None, "iat": None}, True),
        ({"iat": NOW_S + 3600}, True),  # only has to be a time: clocks of issuers differ
        ({"role": "ä" * 31}, True),
    ],
)
async def test_boundaries(claims: dict[str, Any], *, accepted: bool) -> None:
    if accepted:
        assert await authorizer().authorize(sign(**claims))
    else:
        assert (await refusal(sign(**claims))).reason.code == "InvalidJWTToken"


async def test_a_token_expires_while_the_server_runs() -> None:
    now_s = NOW_S
    running = authorizer(clock=lambda: now_s)
    claims = await running.authorize(sign(exp=NOW_S + 10))
    check_expiry(claims.expires_at_s, now_s)
    now_s += 12
    with pytest.raises(TokenRefused, match="Token has expired 2 seconds ago") as caught:
        await running.authorize(sign(exp=NOW_S + 10))
    assert caught.value.handshake == "Token has expired"
    with pytest.raises(TokenRefused, match="Token has expired 2 seconds ago"):
        check_expiry(claims.expires_at_s, now_s)


async def test_the_limit_of_length_is_exact() -> None:
    tokens = [sign(pad="x" * (MAX_TOKEN_CHARS * 3 // 4 - less)) for less in range(160)]
    longest = max((token for token in tokens if len(token) <= MAX_TOKEN_CHARS), key=len)
    too_long = min((token for token in tokens if len(token) > MAX_TOKEN_CHARS), key=len)
    assert len(too_long) - len(longest) <= 2
    assert (await authorizer().authorize(longest)).subject == "ada"
    assert (await refusal(too_long)).reason.join_text == MALFORMED


async def test_opaque_keys_stand_for_their_roles_and_never_expire() -> None:
    for opaque, role in ((PUBLISHABLE, "anon"), (SERVICE, "service_role")):
        claims = await authorizer().authorize(opaque)
        assert (claims.role, claims.subject, claims.values) == (role, None, {"role": role})
        assert claims.expires_at_s == math.inf
    assert (await refusal(SERVICE[:-1])).reason.join_text == MALFORMED


async def test_a_public_key_is_never_taken_for_a_shared_secret() -> None:
    for public in (public_pem("rsa"), public_pem("rsa").strip(), json.dumps(public_jwk("rsa")).encode()):
        forger = OctKey(public, public)
        for kid in ("rsa", None):
            assert (await refusal(sign("HS256", forger, kid=kid))).reason.join_text == SIGNATURE
        assert (await refusal(sign("HS256", forger, kid="rsa"), secrets=())).reason.join_text == signer_of("rsa")


async def test_keys_that_a_token_brings_along_are_ignored() -> None:
    own = key("stranger-p256").as_dict()
    for header in ({"jwk": own}, {"jku": "http://127.0.0.1:9/keys"}, {"x5u": "http://127.0.0.1:9/cert"}):
        error = await refusal(sign("ES256", key("stranger-p256"), kid="p256", header=header))
        assert error.reason.join_text == SIGNATURE
        assert (await refusal(sign("ES256", key("stranger-p256"), header=header))).reason.join_text == SIGNER


async def test_a_key_verifies_only_the_algorithm_it_is_marked_for() -> None:
    keys = FixedKeys(parse_key_set(key_set_text(public_jwk("rsa", alg="RS256", use="sig")), with_secrets=False))
    assert await authorizer(keys=keys).authorize(sign("RS256", key("rsa"), kid="rsa"))
    assert (await refusal(sign("PS256", key("rsa"), kid="rsa"), keys=keys)).reason.join_text == SIGNATURE


async def test_unknown_header_members_do_no_harm() -> None:
    assert await authorizer().authorize(sign(header={"typ": "JWT", "x-tenant": 7, "cty": "JWT"}))


@pytest.mark.parametrize("secret", ["", public_pem("stranger-p256").decode()], ids=["empty", "public key"])
def test_what_is_no_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="JWT secret") as caught:
        Authorizer(clock=lambda: NOW_S, secrets=(secret,))
    assert not secret or secret not in repr(caught.value)


# --- what is remembered -------------------------------------------------------------------------------------------


class Changing:
    """A key set of one key, which may be taken away or exchanged."""

    def __init__(self, key: Key | None) -> None:
        self.key = key

    async def find(self, kid: str, key_type: str) -> Key | None:  # noqa: ARG002 - the contract's parameters
        return self.key


async def test_a_signature_that_was_verified_counts_only_as_long_as_its_key() -> None:
    keys = Changing(OctKey.import_key(SECRET))
    verifier = authorizer(keys=keys, secrets=())
    good = sign(kid="one")
    for _ in range(2):
        assert (await verifier.authorize(good)).subject == "ada"
    for gone in (None, OctKey.import_key(OTHER_SECRET)):
        keys.key = gone
        with pytest.raises(TokenRefused):
            await verifier.authorize(good)
    keys.key = OctKey.import_key(SECRET)
    assert (await verifier.authorize(good)).subject == "ada"


async def test_a_token_that_was_good_expires() -> None:
    now_s = float(NOW_S)
    verifier = authorizer(clock=lambda: now_s)
    await verifier.authorize(sign())
    now_s += 3600
    with pytest.raises(TokenRefused, match="expired"):
        await verifier.authorize(sign())


async def test_a_token_that_differs_in_its_signature_is_another_one() -> None:
    verifier = authorizer()
    good = sign()
    await verifier.authorize(good)
    head, _, signature = good.rpartition(".")
    swapped = signature[0].swapcase() if signature[0].isalpha() else "A"
    with pytest.raises(TokenRefused):
        await verifier.authorize(f"{head}.{swapped}{signature[1:]}")


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorize, "MOST_REMEMBERED", 3)
    verifier = authorizer()
    for number in range(10):
        await verifier.authorize(sign(team=number))
    await verifier.authorize(sign(team="x" * authorize.MOST_REMEMBERED_CHARS))
    assert len(verifier._verified) == 3
