"""Links that lead back with a code, which only the client that asked for the link can exchange."""

import base64
import hashlib
import secrets
from urllib.parse import parse_qs, quote, urlsplit

import psycopg
import pytest
from msgspec import Struct

from tests.support.accounts import PASSWORD, SITE, Mailbox, admin, call, claims_of, email, follow, refused, sign_up
from tests.support.server import Answer, RealtimeServer


class Asking(Struct, frozen=True):
    """A client that asks for a link: it alone knows the verifier."""

    verifier: str

    @property
    def body(self) -> dict[str, str]:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return {"code_challenge": challenge, "code_challenge_method": "s256"}


@pytest.fixture
def asking() -> Asking:
    return Asking(secrets.token_urlsafe(32))


def exchange(served: RealtimeServer, code: str, verifier: str) -> Answer:
    body = {"auth_code": code, "code_verifier": verifier}
    return call(served, "POST", "/token?grant_type=pkce", body)


def code_behind(served: RealtimeServer, link: str, page: str = SITE) -> str:
    led_to, fragment = follow(served, link)
    parts = urlsplit(led_to)
    assert (f"{parts.scheme}://{parts.netloc}{parts.path}", fragment) == (page, {}), "no token in the address"
    return parse_qs(parts.query)["code"][0]


def test_signing_up(confirming: RealtimeServer, mailbox: Mailbox, asking: Asking) -> None:
    address = email()
    sign_up(confirming, address, **asking.body)
    link, _ = mailbox.last(address)
    code = code_behind(confirming, link)
    session = exchange(confirming, code, asking.verifier)
    assert session.json["user"]["email"] == address
    assert claims_of(session.json["access_token"])["amr"][0]["method"] == "otp"
    assert refused(exchange(confirming, code, asking.verifier)) == (404, "flow_state_not_found")
    assert follow(confirming, link)[1]["error_code"] == ["otp_expired"]


@pytest.mark.parametrize("path", ["/recover", "/otp", "/magiclink"])
def test_links_to_an_account(confirming: RealtimeServer, mailbox: Mailbox, asking: Asking, path: str) -> None:
    address = email()
    admin(confirming, "POST", "/users", {"email": address, "password": PASSWORD, "email_confirm": True})
    target = f"{SITE}/back?x=1#top"
    call(confirming, "POST", f"{path}?redirect_to={quote(target, safe='')}", {"email": address, **asking.body})
    led_to, _ = follow(confirming, mailbox.last(address)[0])
    query = parse_qs(urlsplit(led_to).query)
    assert query["x"] == ["1"]
    assert exchange(confirming, query["code"][0], asking.verifier).json["user"]["email"] == address


def test_a_new_address(confirming: RealtimeServer, mailbox: Mailbox, asking: Asking) -> None:
    old, new = email(), email()
    sign_up(confirming, old)
    access = follow(confirming, mailbox.last(old)[0])[1]["access_token"][0]
    call(confirming, "PUT", "/user", {"email": new, **asking.body}, bearer=access)
    code = code_behind(confirming, mailbox.last(new)[0])
    assert exchange(confirming, code, asking.verifier).json["user"]["email"] == new


def test_whoever_finds_the_code_cannot_use_it(confirming: RealtimeServer, mailbox: Mailbox, asking: Asking) -> None:
    address = email()
    sign_up(confirming, address, **asking.body)
    code = code_behind(confirming, mailbox.last(address)[0])
    other = secrets.token_urlsafe(32)
    assert refused(exchange(confirming, code, other)) == (400, "bad_code_verifier")
    assert refused(exchange(confirming, code, asking.verifier)) == (404, "flow_state_not_found"), "one attempt"


def test_a_code_that_is_too_old(confirming: RealtimeServer, mailbox: Mailbox, asking: Asking, dsn: str) -> None:
    address = email()
    sign_up(confirming, address, **asking.body)
    code = code_behind(confirming, mailbox.last(address)[0])
    with psycopg.connect(dsn) as connection:
        connection.execute("update auth.flow_state set auth_code_issued_at = now() - interval '301 seconds'")
    assert refused(exchange(confirming, code, asking.verifier)) == (404, "flow_state_not_found")


def test_the_code_that_is_typed_needs_no_verifier(
    confirming: RealtimeServer, mailbox: Mailbox, asking: Asking, dsn: str
) -> None:
    address = email()
    sign_up(confirming, address, **asking.body)
    link, code = mailbox.last(address)
    body = {"type": "signup", "email": address, "token": code}
    assert call(confirming, "POST", "/verify", body).status == 200
    with psycopg.connect(dsn) as connection:
        kept = connection.execute(
            "select to_jsonb(f)::text from auth.flow_state f join auth.users u on u.id = f.user_id where email = %s",
            [address],
        ).fetchone()
    assert kept is not None
    assert parse_qs(urlsplit(link).query)["token"][0] not in kept[0]
    assert asking.verifier not in kept[0]


@pytest.mark.parametrize("path", ["/signup", "/recover", "/otp"])
def test_what_is_no_challenge(confirming: RealtimeServer, path: str) -> None:
    for challenge in ({"code_challenge": "x"}, {"code_challenge": "x" * 43, "code_challenge_method": "md5"}):
        body = {"email": email(), "password": PASSWORD, **challenge}
        assert refused(call(confirming, "POST", path, body)) == (400, "validation_failed")


def test_what_is_no_code(confirming: RealtimeServer) -> None:
    assert refused(exchange(confirming, "' or true --", "x" * 43)) == (404, "flow_state_not_found")
    answered = call(confirming, "POST", "/token?grant_type=pkce", {"auth_code": "x", "code_verifier": None})
    assert refused(answered) == (400, "validation_failed")
