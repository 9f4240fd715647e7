"""Signing up and in, oneself, and what is refused on the way."""

import base64
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.support.accounts import PASSWORD, call, claims_of, email, refresh, refused, sign_in, sign_up
from tests.support.server import RealtimeServer, realtime, request, token


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
