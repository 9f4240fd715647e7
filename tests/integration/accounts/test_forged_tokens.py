"""What no door may take for a token: expired, meant for others, unsigned, signed with the wrong key, or damaged."""

import base64
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import psycopg
import pytest

from tests.support.accounts import PLENTY, call, email
from tests.support.server import FAR_S, RealtimeServer, realtime, request
from tests.support.tokens import OTHER_SECRET, encode, key, key_set_text, public_jwk, public_pem, sign
from tests.support.websocket import RawClient, upgrade_request

AUDIENCE, ISSUER = "tide", "https://issuer.example"
USER = "0a6b7c8d-0000-4000-8000-000000000001"
CLAIMS: Final[dict[str, Any]] = {"aud": AUDIENCE, "iss": ISSUER, "exp": FAR_S, "iat": ..., "sub": USER}
TOPIC: Final = "realtime:room"
OPAQUE: Final = "an opaque key that nobody has"


@pytest.fixture(scope="module")
def guarded(dsn: str) -> Iterator[RealtimeServer]:
    """Serve with everything that can verify a token: a secret, public keys of others, and the keys of accounts."""
    with psycopg.connect(dsn) as connection:
        connection.execute("insert into auth.users (id) values (%s)", [USER])
        connection.execute("create table readable (id int); grant select on readable to authenticated")
    keys = key_set_text(public_jwk("rsa"), public_jwk("p256")).decode()
    settings = {"jwks": keys, "jwt_audience": AUDIENCE, "jwt_issuer": ISSUER, "token_interval_s": 0.001, **PLENTY}
    with realtime(dsn, slot="guarded", **settings) as running:
        yield running


@pytest.fixture(scope="module")
def issued(guarded: RealtimeServer) -> str:
    """Return a token that the accounts themselves have signed."""
    anon = good("anon")
    made = call(guarded, "POST", "/signup", {"email": email(), "password": "correct horse"}, apikey=anon, bearer=anon)
    assert made.status == 200, made
    access: str = made.json["access_token"]
    return access


def good(role: Any = "authenticated", **changed: Any) -> str:
    return sign(role=role, **{**CLAIMS, **changed})


def signed(algorithm: str, signer: str, *, kid: str | None = None, **changed: Any) -> str:
    return sign(algorithm, key(signer), kid=kid or signer, **{**CLAIMS, **changed})


GOOD: Final[Mapping[str, Callable[[str], str]]] = {
    "of the secret": lambda _: good(),
    "of an RSA key": lambda _: signed("RS256", "rsa"),
    "of an EC key": lambda _: signed("ES256", "p256"),
    "of the accounts": lambda issued: issued,
    "for several": lambda _: good(aud=["others", AUDIENCE]),
}


def with_header(issued: str, header: Mapping[str, Any], signature: str = "") -> str:
    return f"{encode(json.dumps(header).encode())}.{issued.split('.')[1]}.{signature}"


def header_of(token_: str) -> dict[str, Any]:
    part = token_.split(".", maxsplit=1)[0]
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return read


def with_claims(issued: str, **changed: Any) -> str:
    """Keep the signature and change what was signed."""
    head, payload, signature = issued.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return f"{head}.{encode(json.dumps({**claims, **changed}).encode())}.{signature}"


def with_public_key_as_secret(kid: str, *, named: bool) -> str:
    """Sign with HS256 and the text of a public key, which everybody has; no library lets itself be used for it."""
    claims = {name: value for name, value in CLAIMS.items() if value is not ...}
    header = {"alg": "HS256", **({"kid": kid} if named else {})}
    signed_part = f"{encode(json.dumps(header).encode())}.{encode(json.dumps({**claims, 'role': 'anon'}).encode())}"
    return f"{signed_part}.{encode(hmac.digest(public_pem(kid), signed_part.encode(), 'sha256'))}"


FORGED: Final[Mapping[str, Callable[[str], str]]] = {
    "expired": lambda _: good(exp=1),
    "expired, with its own key": lambda _: signed("ES256", "p256", exp=1),
    "expired, of the accounts": lambda issued: with_claims(issued, exp=FAR_S),
    "not valid yet": lambda _: good(nbf=FAR_S - 1),
    "issued at no time": lambda _: good(iat="yesterday"),
    "without an end": lambda _: good(exp=...),
    "for ever": lambda _: good(exp=1e300),
    "for others": lambda _: good(aud="others"),
    "for nobody": lambda _: good(aud=...),
    "for several others": lambda _: signed("RS256", "rsa", aud=["others", "tid"]),
    "from another issuer": lambda _: good(iss="https://evil.example"),
    "from no issuer": lambda _: signed("ES256", "p256", iss=...),
    "without a role": lambda _: good(role=...),
    "unsigned": lambda issued: with_header(issued, {"alg": "none"}),
    "unsigned in capitals": lambda issued: with_header(issued, {"alg": "NoNe", "typ": "JWT"}),
    "unsigned, with the old signature": lambda issued: with_header(issued, {"alg": "none"}, issued.split(".")[2]),
    "an RSA key as the secret": lambda _: with_public_key_as_secret("rsa", named=False),
    "an RSA key as the secret, named": lambda _: with_public_key_as_secret("rsa", named=True),
    "an EC key as the secret": lambda _: with_public_key_as_secret("p256", named=False),
    "an EC key as the secret, named": lambda _: with_public_key_as_secret("p256", named=True),
    "of another secret": lambda _: sign(signer=OTHER_SECRET, **CLAIMS),
    "of a stranger's RSA key": lambda _: signed("RS256", "stranger-rsa", kid="rsa"),
    "of a stranger's EC key": lambda _: signed("ES256", "stranger-p256", kid="p256"),
    "of a stranger's key in the name of the accounts": lambda issued: signed(
        "ES256", "stranger-p256", kid=header_of(issued)["kid"]
    ),
    "of one key under the id of the other": lambda _: signed("ES256", "p256", kid="rsa"),
    "of a key that nobody knows": lambda _: signed("ES256", "stranger-p256"),
    "of an algorithm that it does not name": lambda _: sign(
        "RS256", key("rsa"), kid="rsa", header={"alg": "PS256"}, **CLAIMS
    ),
    "with a key of its own": lambda _: sign(
        "RS256", key("stranger-rsa"), header={"jwk": public_jwk("stranger-rsa")}, **CLAIMS
    ),
    "with extensions": lambda _: sign(header={"crit": ["exp"]}, **CLAIMS),
    "promoted": lambda issued: with_claims(issued, role="service_role"),
    "somebody else's": lambda issued: with_claims(issued, sub=USER),
    "with another's signature": lambda issued: ".".join([*issued.split(".")[:2], good().split(".")[2]]),
    "a changed signature": lambda issued: issued[:-6] + ("AAAAAA" if issued[-6:] != "AAAAAA" else "BBBBBB"),
    "a longer signature": lambda issued: issued + "AAAA",
    "half": lambda issued: issued[: len(issued) // 2],
    "without its last character": lambda issued: issued[:-1],
    "without its signature": lambda issued: issued.rpartition(".")[0],
    "with an empty signature": lambda issued: issued.rpartition(".")[0] + ".",
    "too long": lambda _: good(more="x" * 20_000),
    OPAQUE: lambda _: "sb_secret_" + "k" * 30,
    "no token": lambda _: "no token",
}


def signed_in(served: RealtimeServer, shown: str) -> bool:
    answered = request("GET", f"{served.url}/auth/v1/user", headers={"authorization": f"Bearer {shown}"})
    assert answered.status in {200, 403}, answered
    return answered.status == 200


def reading(served: RealtimeServer, shown: str) -> bool:
    answered = served.get("/rest/v1/readable", authorization=f"Bearer {shown}", apikey=good("anon"))
    assert answered.status in {200, 401}, answered
    return answered.status == 200


def sending(served: RealtimeServer, shown: str) -> bool:
    answered = served.post("/api/broadcast", {"messages": []}, authorization=f"Bearer {shown}")
    assert answered.status in {202, 401}, answered
    return answered.status == 202


def shaking_hands(served: RealtimeServer, shown: str) -> bool:
    with RawClient(served.port) as client:
        client.send(upgrade_request(f"/realtime/v1/websocket?vsn=2.0.0&apikey={shown.replace(' ', '%20')}"))
        status = int(client.read_until(b"\r\n\r\n").split()[1])
    assert status in {101, 401, 414, 431}, status
    return status == 101


def joining(served: RealtimeServer, shown: str) -> bool:
    with served.connect(apikey=good("anon")) as client:
        client.push(TOPIC, "phx_join", {"config": {}, "access_token": shown})
        status: str = client.receive("phx_reply")["payload"]["status"]
        return status == "ok"


def going_on(served: RealtimeServer, shown: str) -> bool:
    """Show it in a channel that was joined with a good one: it goes on, or ends."""
    with served.connect(apikey=good("anon")) as client:
        client.join(TOPIC)
        client.push(TOPIC, "access_token", {"access_token": shown})
        client.broadcast(TOPIC, "ping", b"{}", binary=False)
        client.push("phoenix", "heartbeat", {}, join_ref=None)
        while (message := client.receive("phx_reply", "phx_close"))["event"] != "phx_close":
            if message["topic"] == "phoenix":
                return True
        return False


DOORS: Final[tuple[Callable[[RealtimeServer, str], bool], ...]] = (
    signed_in,
    reading,
    sending,
    shaking_hands,
    joining,
    going_on,
)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
class TestTokens:
    def test_good_ones_pass(self, guarded: RealtimeServer, issued: str, door: Callable[..., bool]) -> None:
        passed = {name for name, make in GOOD.items() if door(guarded, make(issued))}
        assert passed == set(GOOD)

    def test_no_forged_one_passes(self, guarded: RealtimeServer, issued: str, door: Callable[..., bool]) -> None:
        # In a channel an opaque key is not looked at: clients repeat theirs there, and the socket's own token counts.
        ignored = {OPAQUE} if door in {joining, going_on} else set()
        passed = {name for name, make in FORGED.items() if door(guarded, make(issued))}
        assert passed == ignored
