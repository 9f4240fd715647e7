"""/auth/v1 as clients of GoTrue use it: accounts, sessions, codes by e-mail, administrators, and intruders."""

import base64
import http.client
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psycopg
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.support.postgres import fresh_database
from tests.support.server import Answer, RealtimeServer, migrate, realtime, request, token
from tests.support.waiting import wait_until
from tidewire.postgres.embedded import EmbeddedPostgres

PASSWORD: Final = "correct horse"
MANY_GIGABYTES: Final = "$argon2id$v=19$m=9999999,t=2,p=1$YWFhYWFhYWE$YWFhYWFhYWE"
SITE: Final = "https://app.example"
PLENTY: Final[dict[str, Any]] = {
    "auth_attempts_per_min": 100_000,
    "mails_per_h": 1000,
    "site_url": SITE,
    "anonymous_sign_in": True,
}


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_database(server) as made:
        migrate(made)
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, **PLENTY) as running:
        yield running


@pytest.fixture(scope="module")
def confirming(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, slot="confirming", auto_confirm=False, **PLENTY) as running:
        yield running


def call(
    served: RealtimeServer, method: str, path: str, body: object = None, *, bearer: str | None = None, **headers: str
) -> Answer:
    """Ask as clients do: with the key of the project, and the user's token instead where there is one."""
    key = token()
    sent = {"apikey": key, "authorization": f"Bearer {bearer or key}", "content_type": "application/json", **headers}
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    return request(method, f"{served.url}/auth/v1{path}", data, headers=sent)


def email() -> str:
    return f"{uuid4().hex}@example.org"


def sign_up(served: RealtimeServer, address: str | None = None, **body: Any) -> dict[str, Any]:
    answered = call(served, "POST", "/signup", {"email": address or email(), "password": PASSWORD, **body})
    assert answered.status == 200, answered
    made: dict[str, Any] = answered.json
    return made


def sign_in(served: RealtimeServer, address: str, password: str = PASSWORD) -> Answer:
    return call(served, "POST", "/token?grant_type=password", {"email": address, "password": password})


def refresh(served: RealtimeServer, refresh_token: str) -> Answer:
    return call(served, "POST", "/token?grant_type=refresh_token", {"refresh_token": refresh_token})


def admin(served: RealtimeServer, method: str, path: str, body: object = None) -> Answer:
    return call(served, method, f"/admin{path}", body, bearer=token("service_role"))


def claims_of(access_token: str) -> dict[str, Any]:
    part = access_token.split(".")[1]
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return read


def refused(answered: Answer) -> tuple[int, str]:
    assert answered.json["code"] == answered.status
    assert isinstance(answered.json["msg"], str)
    return answered.status, answered.json["error_code"]


class TestSigningUpAndIn:
    def test_a_session_is_what_clients_store(self, served: RealtimeServer) -> None:
        address = email()
        made = sign_up(served, address.upper(), data={"name": "Ada"})
        assert made["token_type"] == "bearer"
        assert made["expires_in"] == 3600
        user = made["user"]
        assert (user["email"], user["role"], user["aud"]) == (address, "authenticated", "authenticated")
        assert user["user_metadata"] == {"name": "Ada"}
        assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
        assert [identity["provider"] for identity in user["identities"]] == ["email"]
        claims = claims_of(made["access_token"])
        assert (claims["sub"], claims["role"], claims["is_anonymous"]) == (user["id"], "authenticated", False)
        assert claims["exp"] == made["expires_at"]
        assert claims["amr"][0]["method"] == "password"
        again = sign_in(served, address)
        assert again.status == 200
        assert again.json["user"]["id"] == user["id"]
        assert again.headers["cache-control"] == "no-store"

    def test_the_token_opens_the_other_doors(self, served: RealtimeServer) -> None:
        access = sign_up(served)["access_token"]
        assert served.post("/api/broadcast", {"messages": []}, authorization=f"Bearer {access}").status == 202
        with served.connect(apikey=access) as client:
            client.join("realtime:room")

    def test_a_wrong_password_and_a_stranger_look_the_same(self, served: RealtimeServer) -> None:
        address = email()
        sign_up(served, address)
        answers = [sign_in(served, address, "wrong horse"), sign_in(served, email(), "wrong horse")]
        answers.append(sign_in(served, address, "x" * 2000))
        assert {refused(each) for each in answers} == {(400, "invalid_credentials")}
        assert len({each.body for each in answers}) == 1

    def test_an_address_is_taken_once_whatever_its_case(self, served: RealtimeServer) -> None:
        address = email()
        sign_up(served, address)
        answered = call(served, "POST", "/signup", {"email": address.title(), "password": PASSWORD})
        assert refused(answered) == (422, "user_already_exists")

    def test_many_who_want_one_address_at_once(self, served: RealtimeServer) -> None:
        body = {"email": email(), "password": PASSWORD}
        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda _: call(served, "POST", "/signup", body).status, range(6)))
        assert sorted(answers) == [200, 422, 422, 422, 422, 422]

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"email": "ada@example.org", "password": "short"}, 422, "weak_password"),
            ({"email": "ada@example.org", "password": "x" * 1025}, 422, "weak_password"),
            ({"email": "no address", "password": PASSWORD}, 400, "email_address_invalid"),
            ({"email": "a@b\r\nbcc: c@d", "password": PASSWORD}, 400, "email_address_invalid"),
            ({"email": "a\x00@example.org", "password": PASSWORD}, 400, "email_address_invalid"),
            ({"email": 5, "password": PASSWORD}, 400, "validation_failed"),
            ({"email": "fits@example.org", "password": PASSWORD, "data": {"a": "\x00"}}, 400, "validation_failed"),
            ({"email": "fits@example.org", "password": PASSWORD, "data": {"a": "x" * 5000}}, 400, "validation_failed"),
            ({"email": "fits@example.org", "password": PASSWORD, "data": [1]}, 400, "validation_failed"),
            ({"phone": "+4912345", "password": PASSWORD}, 422, "phone_provider_disabled"),
            (b"{", 400, "bad_json"),
            (b"\xff", 400, "bad_json"),
            (b"[" * 5000, 400, "validation_failed"),
            (b'{"data":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, 400, "bad_json"),
            (b"x" * 70_000, 413, "validation_failed"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_a_sign_up_with_a_mistake(self, served: RealtimeServer, body: object, status: int, code: str) -> None:
        assert refused(call(served, "POST", "/signup", body)) == (status, code)

    def test_without_a_key_of_the_project_nothing_is_done(self, served: RealtimeServer) -> None:
        for path in ("/signup", "/token?grant_type=password", "/recover", "/otp", "/verify", "/resend"):
            answered = request("POST", f"{served.url}/auth/v1{path}", b"{}")
            assert refused(answered) == (401, "no_authorization"), path

    def test_somebody_without_an_address_becomes_a_user_with_one(self, served: RealtimeServer) -> None:
        made = call(served, "POST", "/signup", {"data": {"cart": 1}}).json
        assert (made["user"]["is_anonymous"], made["user"]["email"]) == (True, "")
        assert claims_of(made["access_token"])["is_anonymous"] is True
        address = email()
        wish = {"email": address, "password": PASSWORD}
        changed = call(served, "PUT", "/user", wish, bearer=made["access_token"]).json
        assert (changed["id"], changed["is_anonymous"]) == (made["user"]["id"], False)
        assert sign_in(served, address).json["user"]["user_metadata"] == {"cart": 1}

    def test_what_is_switched_off_is_refused(self, dsn: str) -> None:
        with realtime(dsn, slot="closed", signup=False) as served:
            answered = call(served, "POST", "/signup", {"email": email(), "password": PASSWORD})
            assert refused(answered) == (422, "signup_disabled")
        with realtime(dsn, slot="closed", mode="production", auto_confirm=False) as served:
            assert refused(call(served, "POST", "/signup", {})) == (422, "anonymous_provider_disabled")
            answered = call(served, "POST", "/signup", {"email": email(), "password": PASSWORD})
            assert refused(answered) == (422, "email_provider_disabled")
        with realtime(dsn, slot="closed", accounts=False) as served:
            assert call(served, "GET", "/settings").status == 404


class TestSessions:
    def test_a_refresh_token_is_exchanged_once(self, dsn: str) -> None:
        with realtime(dsn, slot="strict", refresh_grace_s=0.0) as served:
            first = sign_up(served)["refresh_token"]
            second = refresh(served, first).json
            third = refresh(served, second["refresh_token"]).json
            assert refused(refresh(served, first)) == (400, "refresh_token_already_used")
            assert refused(refresh(served, third["refresh_token"])) == (400, "refresh_token_not_found")
            answered = call(served, "GET", "/user", bearer=third["access_token"])
            assert refused(answered) == (403, "session_not_found")

    def test_two_tabs_that_refresh_at_once_stay_together(self, served: RealtimeServer) -> None:
        made = sign_up(served)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: refresh(served, made["refresh_token"]), range(8)))
        assert {each.status for each in answers} == {200}
        following = {each.json["refresh_token"] for each in answers}
        assert len(following) == 1
        assert following != {made["refresh_token"]}
        sessions = {claims_of(each.json["access_token"])["session_id"] for each in answers}
        assert sessions == {claims_of(made["access_token"])["session_id"]}

    def test_within_the_grace_a_token_whose_successor_was_used_is_stolen(self, served: RealtimeServer) -> None:
        first = sign_up(served)["refresh_token"]
        second = refresh(served, first).json["refresh_token"]
        third = refresh(served, second).json["refresh_token"]
        assert refused(refresh(served, first)) == (400, "refresh_token_already_used")
        assert refused(refresh(served, third)) == (400, "refresh_token_not_found")

    def test_a_session_that_nobody_used_has_ended(self, served: RealtimeServer, dsn: str) -> None:
        made = sign_up(served)
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "update auth.sessions set refreshed_at = now() - interval '91 days' where user_id = %s",
                [made["user"]["id"]],
            )
        assert refused(refresh(served, made["refresh_token"])) == (400, "session_expired")

    @pytest.mark.parametrize("wrong", ["", "x", "\x00", "é" * 50, "x" * 2000, "' or true --"])
    def test_what_is_no_refresh_token(self, served: RealtimeServer, wrong: str) -> None:
        assert refused(refresh(served, wrong)) == (400, "refresh_token_not_found")

    def test_only_hashes_of_tokens_are_kept(self, served: RealtimeServer, dsn: str) -> None:
        made = sign_up(served)
        with psycopg.connect(dsn) as connection:
            kept = connection.execute(
                "select (select array_agg(t.token) from auth.refresh_tokens t where t.user_id = u.id),"
                " encrypted_password from auth.users u where id = %s",
                [made["user"]["id"]],
            ).fetchone()
        assert kept is not None
        assert made["refresh_token"] not in kept[0]
        assert kept[1].startswith("$argon2id$v=19$m=19456,t=2,p=1$")

    @pytest.mark.parametrize(("scope", "open_ones"), [("global", []), ("local", [1, 2]), ("others", [0]), ("", [])])
    def test_signing_out(self, served: RealtimeServer, scope: str, open_ones: list[int]) -> None:
        address = email()
        sessions = [sign_up(served, address), sign_in(served, address).json, sign_in(served, address).json]
        path = f"/logout?scope={scope}" if scope else "/logout"
        assert call(served, "POST", path, bearer=sessions[0]["access_token"]).status == 204
        found = [refresh(served, each["refresh_token"]).status == 200 for each in sessions]
        assert found == [at in open_ones for at in range(3)]

    def test_a_scope_that_is_none(self, served: RealtimeServer) -> None:
        access = sign_up(served)["access_token"]
        assert refused(call(served, "POST", "/logout?scope=mine", bearer=access)) == (400, "validation_failed")

    def test_a_user_has_a_hundred_sessions_at_most(self, served: RealtimeServer, dsn: str) -> None:
        address = email()
        first = sign_up(served, address)
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "insert into auth.sessions (id, user_id, method, refresh_token_key)"
                " select gen_random_uuid(), %s, 'password', '' from generate_series(1, 150)",
                [first["user"]["id"]],
            )
        sign_in(served, address)
        with psycopg.connect(dsn) as connection:
            counted = connection.execute(
                "select count(*) from auth.sessions where user_id = %s", [first["user"]["id"]]
            ).fetchone()
        assert counted == (100,)
        assert refresh(served, first["refresh_token"]).status == 400


class TestOneself:
    def test_reading_and_changing(self, served: RealtimeServer) -> None:
        made = sign_up(served, data={"name": "Ada", "old": 1})
        access = made["access_token"]
        assert call(served, "GET", "/user", bearer=access).json["id"] == made["user"]["id"]
        changed = call(served, "PUT", "/user", {"data": {"old": None, "new": {"deep": None}}}, bearer=access)
        assert changed.json["user_metadata"] == {"name": "Ada", "new": {"deep": None}}
        other = email()
        assert call(served, "PUT", "/user", {"email": other}, bearer=access).json["email"] == other
        assert sign_in(served, other).status == 200

    def test_a_new_password_ends_the_other_sessions(self, served: RealtimeServer) -> None:
        address = email()
        here, there = sign_up(served, address), sign_in(served, address).json
        access = here["access_token"]
        for wish, answered in (
            ({"password": PASSWORD}, (422, "same_password")),
            ({"password": "short"}, (422, "weak_password")),
            ({"password": "battery staple", "current_password": "wrong one"}, (400, "invalid_credentials")),
        ):
            assert refused(call(served, "PUT", "/user", wish, bearer=access)) == answered
        wish = {"password": "battery staple", "current_password": PASSWORD}
        assert call(served, "PUT", "/user", wish, bearer=access).status == 200
        assert refresh(served, here["refresh_token"]).status == 200
        assert refresh(served, there["refresh_token"]).status == 400
        assert sign_in(served, address).status == 400
        assert sign_in(served, address, "battery staple").status == 200

    def test_an_address_of_somebody_else_cannot_be_taken(self, served: RealtimeServer) -> None:
        taken = email()
        sign_up(served, taken)
        answered = call(served, "PUT", "/user", {"email": taken}, bearer=sign_up(served)["access_token"])
        assert refused(answered) == (422, "email_exists")

    def test_what_users_must_not_change_is_not_changed(self, served: RealtimeServer) -> None:
        made = sign_up(served)
        wish = {"role": "service_role", "app_metadata": {"admin": True}, "id": str(uuid4()), "is_super_admin": True}
        changed = call(served, "PUT", "/user", wish, bearer=made["access_token"]).json
        assert (changed["id"], changed["role"]) == (made["user"]["id"], "authenticated")
        assert changed["app_metadata"] == made["user"]["app_metadata"]

    def test_whose_token_does_not_say_who_it_is(self, served: RealtimeServer) -> None:
        made = sign_up(served)
        head, payload, signature = made["access_token"].split(".")
        none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
        wrong = [
            f"{none}.{payload}.",
            f"{head}.{payload}.{signature[:-8]}AAAAAAAA",
            token("authenticated", sub="nobody"),
            token("authenticated", sub=made["user"]["id"], exp=1),
            token("authenticated", sub=made["user"]["id"], session_id=5),
            token("authenticated"),
            "x",
        ]
        for bearer in wrong:
            assert refused(call(served, "GET", "/user", bearer=bearer)) == (403, "bad_jwt"), bearer
        gone = token("authenticated", sub=made["user"]["id"], session_id=str(uuid4()))
        assert refused(call(served, "GET", "/user", bearer=gone)) == (403, "session_not_found")
        assert refused(request("GET", f"{served.url}/auth/v1/user")) == (401, "no_authorization")


class TestAdministrators:
    def test_users_are_made_read_changed_and_deleted(self, served: RealtimeServer) -> None:
        address = email()
        wish = {"email": address, "password": PASSWORD, "email_confirm": True, "app_metadata": {"team": 7}}
        made = admin(served, "POST", "/users", wish)
        assert made.status == 200, made
        path = f"/users/{made.json['id']}"
        assert admin(served, "GET", path).json == made.json
        signed_in = sign_in(served, address).json
        assert claims_of(signed_in["access_token"])["app_metadata"]["team"] == 7
        wish = {"user_metadata": {"n": 1}, "role": "editor", "password": "battery staple"}
        changed = admin(served, "PUT", path, wish)
        assert (changed.json["user_metadata"], changed.json["role"]) == ({"n": 1}, "editor")
        assert refresh(served, signed_in["refresh_token"]).status == 400
        banned = admin(served, "PUT", path, {"ban_duration": "1h30m"}).json
        assert "banned_until" in banned
        assert refused(sign_in(served, address, "battery staple")) == (400, "user_banned")
        assert "banned_until" not in admin(served, "PUT", path, {"ban_duration": "none"}).json
        assert sign_in(served, address, "battery staple").status == 200
        assert admin(served, "DELETE", path, {"should_soft_delete": False}).json == {}
        assert refused(admin(served, "GET", path)) == (404, "user_not_found")
        assert refused(admin(served, "DELETE", path)) == (404, "user_not_found")

    def test_a_softly_deleted_user_leaves_a_bare_row(self, served: RealtimeServer, dsn: str) -> None:
        address = email()
        made = sign_up(served, address)
        id_ = made["user"]["id"]
        assert admin(served, "DELETE", f"/users/{id_}", {"should_soft_delete": True}).status == 200
        assert refused(sign_in(served, address)) == (400, "invalid_credentials")
        assert refresh(served, made["refresh_token"]).status == 400
        with psycopg.connect(dsn) as connection:
            kept = connection.execute("select email, encrypted_password from auth.users where id = %s", [id_])
            assert kept.fetchone() == (None, None)
        sign_up(served, address)

    def test_a_user_whom_other_rows_refer_to(self, served: RealtimeServer, dsn: str) -> None:
        id_ = sign_up(served)["user"]["id"]
        with psycopg.connect(dsn) as connection:
            connection.execute("create table profiles (id uuid references auth.users)")
            connection.execute("insert into profiles values (%s)", [id_])
        assert refused(admin(served, "DELETE", f"/users/{id_}", {})) == (409, "conflict")
        assert admin(served, "DELETE", f"/users/{id_}", {"should_soft_delete": True}).status == 200

    def test_pages(self, served: RealtimeServer) -> None:
        sign_up(served)
        sign_up(served)
        first = admin(served, "GET", "/users?page=1&per_page=1")
        total = int(first.headers["x-total-count"])
        assert len(first.json["users"]) == 1
        links = re.findall(r'[?]page=(\d+)&per_page=1>; rel="(\w+)"', first.headers["link"])
        assert links == [("2", "next"), (str(total), "last")]
        beyond = admin(served, "GET", f"/users?page={total + 5}&per_page=1")
        assert (beyond.json["users"], beyond.headers["x-total-count"]) == ([], str(total))
        assert refused(admin(served, "GET", "/users?page=-1")) == (400, "validation_failed")
        assert admin(served, "GET", "/users?page=&per_page=").status == 200

    def test_only_administrators(self, served: RealtimeServer) -> None:
        access = sign_up(served)["access_token"]
        for method, path in (("GET", "/users"), ("POST", "/users"), ("DELETE", f"/users/{uuid4()}")):
            for bearer in (token(), access):
                answered = call(served, method, f"/admin{path}", {}, bearer=bearer)
                assert refused(answered) == (403, "not_admin")

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"email": "x@example.org", "ban_duration": "soon"}, "validation_failed"),
            ({"email": "x@example.org", "ban_duration": "-5h"}, "validation_failed"),
            ({"email": "x@example.org", "password_hash": "$2a$10$bcrypt"}, "validation_failed"),
            ({"email": "x@example.org", "password_hash": MANY_GIGABYTES}, "validation_failed"),
            ({"id": "no uuid"}, "validation_failed"),
            ({"role": ""}, "validation_failed"),
        ],
        ids=str,
    )
    def test_a_user_with_a_mistake(self, served: RealtimeServer, body: object, code: str) -> None:
        assert refused(admin(served, "POST", "/users", body)) == (400, code)


class Mailbox:
    """Reads what a development server writes in place of sending e-mails."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self.text = ""

    def last(self, address: str, count: int = 1) -> tuple[str, str]:
        """Wait for the newest e-mail to an address; return its link and its code."""

        def arrived() -> bool:
            self.text += self._capfd.readouterr().out
            return self.text.count(f"--- e-mail to {address}") >= count

        wait_until(arrived)
        mail = self.text.rpartition(f"--- e-mail to {address}")[2]
        link = re.search(r"^http\S+/auth/v1(/verify\S+)$", mail, re.MULTILINE)
        code = re.search(r"enter the code (\d{6})\.", mail)
        assert link is not None
        assert code is not None
        return link[1], code[1]


@pytest.fixture
def mailbox(capfd: pytest.CaptureFixture[str]) -> Mailbox:
    return Mailbox(capfd)


def follow(served: RealtimeServer, link: str) -> tuple[str, dict[str, list[str]]]:
    """Open a link as a browser does, but stay where it leads from."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    try:
        connection.request("GET", f"/auth/v1{link}")
        response = connection.getresponse()
        response.read()
        target = response.headers["location"]
    finally:
        connection.close()
    assert response.status == 303
    page, _, fragment = target.partition("#")
    return page, parse_qs(fragment)


class TestAddresses:
    def test_a_sign_up_waits_for_its_confirmation(self, confirming: RealtimeServer, mailbox: Mailbox) -> None:
        address = email()
        waiting = sign_up(confirming, address)
        assert "access_token" not in waiting
        assert "email_confirmed_at" not in waiting
        assert refused(sign_in(confirming, address)) == (400, "email_not_confirmed")
        page, told = follow(confirming, mailbox.last(address)[0])
        assert page == SITE
        assert told["type"] == ["signup"]
        user = call(confirming, "GET", "/user", bearer=told["access_token"][0]).json
        assert (user["id"], "email_confirmed_at" in user) == (waiting["id"], True)
        assert sign_in(confirming, address).status == 200

    def test_a_taken_address_looks_like_a_new_one(self, confirming: RealtimeServer) -> None:
        address = email()
        admin(confirming, "POST", "/users", {"email": address, "password": PASSWORD, "email_confirm": True})
        new, taken = sign_up(confirming, email()), sign_up(confirming, address, password="another horse")
        assert new.keys() == taken.keys()
        assert new["identities"][0].keys() == taken["identities"][0].keys()
        assert new["app_metadata"] == taken["app_metadata"]
        assert sign_in(confirming, address).status == 200

    def test_a_link_counts_once(self, confirming: RealtimeServer, mailbox: Mailbox) -> None:
        address = email()
        sign_up(confirming, address)
        link, code = mailbox.last(address)
        assert "access_token" in follow(confirming, link)[1]
        assert follow(confirming, link)[1]["error_code"] == ["otp_expired"]
        body = {"type": "signup", "email": address, "token": code}
        assert refused(call(confirming, "POST", "/verify", body)) == (403, "otp_expired")

    def test_a_code_may_be_guessed_at_five_times(self, confirming: RealtimeServer, mailbox: Mailbox) -> None:
        address = email()
        sign_up(confirming, address)
        code = mailbox.last(address)[1]
        wrong = {"type": "signup", "email": address, "token": f"{(int(code) + 1) % 1_000_000:06}"}
        for _ in range(5):
            assert refused(call(confirming, "POST", "/verify", wrong)) == (403, "otp_expired")
        assert refused(call(confirming, "POST", "/verify", {**wrong, "token": code})) == (403, "otp_expired")

    def test_a_code_that_is_too_old(self, confirming: RealtimeServer, mailbox: Mailbox, dsn: str) -> None:
        address = email()
        sign_up(confirming, address)
        link, code = mailbox.last(address)
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "update auth.one_time_tokens set created_at = now() - interval '61 minutes' where relates_to = %s",
                [address],
            )
        body = {"type": "signup", "email": address, "token": code}
        assert refused(call(confirming, "POST", "/verify", body)) == (403, "otp_expired")
        assert follow(confirming, link)[1]["error"] == ["access_denied"]

    def test_a_forgotten_password(self, served: RealtimeServer, mailbox: Mailbox) -> None:
        address = email()
        sign_up(served, address)
        known, unknown = (call(served, "POST", "/recover", {"email": each}) for each in (address, email()))
        assert (known.status, known.body) == (unknown.status, unknown.body) == (200, b"{}")
        code = mailbox.last(address)[1]
        session = call(served, "POST", "/verify", {"type": "recovery", "email": address, "token": code}).json
        wish = {"password": "battery staple"}
        assert call(served, "PUT", "/user", wish, bearer=session["access_token"]).status == 200
        assert sign_in(served, address, "battery staple").status == 200

    def test_a_code_makes_a_user_only_where_that_is_wished(self, served: RealtimeServer, mailbox: Mailbox) -> None:
        refused_one, address = email(), email()
        assert call(served, "POST", "/otp", {"email": refused_one, "create_user": False}).status == 200
        assert call(served, "POST", "/otp", {"email": address, "data": {"a": 1}}).status == 200
        link, _ = mailbox.last(address)
        body = {"type": "email", "token_hash": parse_qs(urlsplit(link).query)["token"][0]}
        session = call(served, "POST", "/verify", body).json
        assert session["user"]["user_metadata"] == {"a": 1}
        assert claims_of(session["access_token"])["amr"][0]["method"] == "otp"
        assert f"e-mail to {refused_one}" not in mailbox.text

    def test_whoever_signed_up_with_my_address_does_not_share_my_account(
        self, confirming: RealtimeServer, mailbox: Mailbox
    ) -> None:
        address = email()
        sign_up(confirming, address, password="of the attacker")
        mailbox.last(address)
        call(confirming, "POST", "/otp", {"email": address})
        code = mailbox.last(address, 2)[1]
        assert call(confirming, "POST", "/verify", {"type": "magiclink", "email": address, "token": code}).status == 200
        assert refused(sign_in(confirming, address, "of the attacker")) == (400, "invalid_credentials")

    def test_a_new_address_counts_when_it_is_proved(self, confirming: RealtimeServer, mailbox: Mailbox) -> None:
        old, new = email(), email()
        sign_up(confirming, old)
        access = follow(confirming, mailbox.last(old)[0])[1]["access_token"][0]
        changed = call(confirming, "PUT", "/user", {"email": new}, bearer=access).json
        assert changed["email"] == old
        follow(confirming, mailbox.last(new)[0])
        assert sign_in(confirming, new).status == 200
        assert sign_in(confirming, old).status == 400

    def test_a_token_is_led_only_where_the_operator_said(self, confirming: RealtimeServer, mailbox: Mailbox) -> None:
        for asked, page in (
            (f"{SITE}/welcome?x=1", f"{SITE}/welcome?x=1"),
            ("https://evil.example", SITE),
            (f"{SITE}@evil.example", SITE),
            (f"{SITE}.evil.example", SITE),
        ):
            address = email()
            body = {"email": address, "password": PASSWORD}
            assert call(confirming, "POST", f"/signup?redirect_to={asked}", body).status == 200
            assert follow(confirming, mailbox.last(address)[0])[0] == page

    def test_an_invitation(self, confirming: RealtimeServer, mailbox: Mailbox) -> None:
        address = email()
        invited = call(confirming, "POST", "/invite", {"email": address}, bearer=token("service_role"))
        assert "invited_at" in invited.json
        link, _ = mailbox.last(address)
        assert "access_token" in follow(confirming, link)[1]
        answered = call(confirming, "POST", "/invite", {"email": address}, bearer=token("service_role"))
        assert refused(answered) == (422, "email_exists")


class TestLimits:
    def test_an_address_on_the_network_may_try_so_often(self, dsn: str) -> None:
        with realtime(dsn, slot="limits", auth_attempts_per_min=3) as served:
            answers = [sign_in(served, email()) for _ in range(5)]
            assert [each.status for each in answers] == [400, 400, 400, 429, 429]
            assert refused(answers[-1]) == (429, "over_request_rate_limit")
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 20

    def test_an_account_is_locked_after_wrong_passwords(self, served: RealtimeServer) -> None:
        address = email()
        sign_up(served, address)
        statuses = [sign_in(served, address, "wrong horse").status for _ in range(7)]
        assert statuses == [400] * 5 + [429] * 2
        assert sign_in(served, address).status == 429
        assert sign_in(served, email()).status == 400

    def test_guessing_in_parallel_is_not_quicker(self, served: RealtimeServer) -> None:
        address = email()
        sign_up(served, address)
        with ThreadPoolExecutor(12) as threads:
            answers = list(threads.map(lambda _: sign_in(served, address, "wrong horse").status, range(24)))
        assert answers.count(400) == 5

    def test_nobody_gets_more_mail_than_that(self, dsn: str) -> None:
        with realtime(dsn, slot="limits", mails_per_h=2) as served:
            address = email()
            answers = [call(served, "POST", "/recover", {"email": address}) for _ in range(3)]
            assert [each.status for each in answers] == [200, 200, 429]
            assert refused(answers[-1]) == (429, "over_email_send_rate_limit")


class TestKeys:
    def test_the_key_set_verifies_tokens(self, served: RealtimeServer) -> None:
        published = request("GET", f"{served.url}/auth/v1/.well-known/jwks.json")
        assert all("d" not in key and key["alg"] == "ES256" for key in published.json["keys"])
        access = sign_up(served)["access_token"]
        read = jwt.decode(access, KeySet.import_key_set(published.json), algorithms=["ES256"])
        assert read.header["kid"] in {key["kid"] for key in published.json["keys"]}

    def test_another_node_signs_with_the_same_keys(self, served: RealtimeServer, dsn: str) -> None:
        access = sign_up(served)["access_token"]
        with realtime(dsn, slot="other_node") as other:
            assert call(other, "GET", "/user", bearer=access).status == 200

    def test_the_shared_secret_signs_on_request(self, dsn: str) -> None:
        with realtime(dsn, slot="shared", auth_algorithm="HS256") as served:
            access = sign_up(served)["access_token"]
            assert json.loads(base64.urlsafe_b64decode(access.split(".")[0] + "=="))["alg"] == "HS256"
            assert call(served, "GET", "/user", bearer=access).status == 200
            assert call(served, "GET", "/.well-known/jwks.json").json == {"keys": []}

    def test_what_the_settings_demand_of_tokens_is_in_ours(self, dsn: str) -> None:
        demanded: dict[str, Any] = {"jwt_audience": "tide", "jwt_issuer": "https://me", "jwt_claims": {"env": "test"}}
        with realtime(dsn, slot="demands", **demanded) as served:
            key = token(aud="tide", iss="https://me", env="test")
            body = {"email": email(), "password": PASSWORD}
            made = call(served, "POST", "/signup", body, apikey=key, bearer=key)
            access = made.json["access_token"]
            assert {name: claims_of(access)[name] for name in ("aud", "iss", "env")} == {
                "aud": "tide",
                "iss": "https://me",
                "env": "test",
            }
            assert call(served, "GET", "/user", bearer=access).status == 200


class TestTheHook:
    def test_claims_may_be_added(self, dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "create function add_claims(event jsonb) returns jsonb language sql as $$"
                " select jsonb_set(event, '{claims,level}', to_jsonb(length(event ->> 'user_id'))) $$"
            )
        with realtime(dsn, slot="hook", access_token_hook="public.add_claims") as served:
            made = sign_up(served)
            assert claims_of(made["access_token"])["level"] == 36
            assert claims_of(refresh(served, made["refresh_token"]).json["access_token"])["level"] == 36

    @pytest.mark.parametrize(
        "answered",
        [
            "jsonb_set(event, '{claims,role}', '\"service_role\"')",
            "event #- '{claims,exp}'",
            "'5'::jsonb",
            "null::jsonb",
            "to_jsonb(1 / (length(event::text) * 0))",
            "jsonb_set(event, '{claims,much}', to_jsonb(repeat('x', 20000)))",
        ],
    )
    def test_nothing_else_may_be_done(self, dsn: str, answered: str) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "create or replace function wrong_claims(event jsonb) returns jsonb language sql as"
                f" $$ select {answered} $$"
            )
        with realtime(dsn, slot="hook", access_token_hook="public.wrong_claims") as served:
            body = {"email": email(), "password": PASSWORD}
            assert refused(call(served, "POST", "/signup", body)) == (500, "unexpected_failure")


class TestTheDoor:
    def test_browsers_may_call_it(self, served: RealtimeServer) -> None:
        asked = {"origin": SITE, "access-control-request-method": "PUT"}
        asked["access-control-request-headers"] = "apikey,authorization,x-client-info,x-supabase-api-version"
        for path in ("/user", "/token?grant_type=password", "/signup", f"/admin/users/{uuid4()}"):
            answered = request("OPTIONS", f"{served.url}/auth/v1{path}", headers=asked)
            assert (answered.status, answered.headers["access-control-allow-origin"]) == (200, "*")
            assert "x-supabase-api-version" in answered.headers["access-control-allow-headers"]
        listed = call(served, "GET", "/admin/users", bearer=token("service_role"), origin=SITE)
        assert "x-total-count" in listed.headers["access-control-expose-headers"].lower()

    def test_what_is_not_there(self, served: RealtimeServer) -> None:
        assert refused(call(served, "GET", "/factors")) == (404, "validation_failed")
        assert refused(call(served, "POST", "/token?grant_type=web3", {})) == (400, "validation_failed")
        assert call(served, "GET", "/health").json["name"] == "GoTrue"
        assert call(served, "GET", "/settings").json["external"]["anonymous_users"] is True

    def test_without_its_tables_it_says_so(self, server: EmbeddedPostgres) -> None:
        with fresh_database(server) as made:
            migrate(made)
            with psycopg.connect(made) as connection:
                connection.execute("drop table auth.users cascade")
            with realtime(made, slot="no_tables") as served:
                body = {"email": email(), "password": PASSWORD}
                assert refused(call(served, "POST", "/signup", body)) == (503, "unexpected_failure")

    def test_readers_see_nothing_of_the_tables(self, dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            seen = connection.execute(
                "select r.rolname, c.relname from pg_class c, pg_roles r where relnamespace = 'auth'::regnamespace"
                " and relkind = 'r' and rolname in ('anon', 'authenticated', 'service_role')"
                " and has_table_privilege(r.oid, c.oid, 'select, insert, update, delete')"
            ).fetchall()
        assert seen == []
