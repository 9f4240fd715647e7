"""Administrators make, read, change and delete users."""

import re
from typing import Final
from uuid import uuid4

import bcrypt
import psycopg
import pytest

from tests.support.accounts import (
    PASSWORD,
    SITE,
    admin,
    call,
    claims_of,
    email,
    follow,
    refresh,
    refused,
    sign_in,
    sign_up,
)
from tests.support.server import Answer, RealtimeServer, token

MANY_GIGABYTES: Final = "$argon2id$v=19$m=9999999,t=2,p=1$YWFhYWFhYWE$YWFhYWFhYWE"


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
            ({"email": "x@example.org", "password_hash": f"$2b$31${'a' * 53}"}, "validation_failed"),
            ({"email": "x@example.org", "password_hash": MANY_GIGABYTES}, "validation_failed"),
            ({"id": "no uuid"}, "validation_failed"),
            ({"role": ""}, "validation_failed"),
        ],
        ids=str,
    )
    def test_a_user_with_a_mistake(self, served: RealtimeServer, body: object, code: str) -> None:
        assert refused(admin(served, "POST", "/users", body)) == (400, code)

    def test_a_user_brings_a_password_along_from_elsewhere(self, served: RealtimeServer, dsn: str) -> None:
        address = email()
        brought = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        made = admin(served, "POST", "/users", {"email": address, "password_hash": brought, "email_confirm": True})
        assert made.status == 200, made
        assert sign_in(served, address, "wrong horse").status == 400
        assert sign_in(served, address).status == 200
        with psycopg.connect(dsn) as connection:
            kept = connection.execute("select encrypted_password from auth.users where email = %s", [address])
            assert str(kept.fetchone()).startswith("('$argon2id$")
        assert sign_in(served, address).status == 200

    def test_sessions_are_listed_and_ended(self, served: RealtimeServer) -> None:
        address = email()
        first, second = sign_up(served, address), sign_in(served, address).json
        path = f"/users/{first['user']['id']}/sessions"
        ids = [claims_of(each["access_token"])["session_id"] for each in (second, first)]
        assert [each["id"] for each in admin(served, "GET", path).json["sessions"]] == ids
        assert admin(served, "DELETE", f"{path}/{ids[0]}").status == 204
        assert refused(admin(served, "DELETE", f"{path}/{ids[0]}")) == (404, "session_not_found")
        assert refresh(served, second["refresh_token"]).status == 400
        assert admin(served, "DELETE", path).status == 204
        assert refresh(served, first["refresh_token"]).status == 400
        assert admin(served, "GET", path).json == {"sessions": []}
        assert refused(admin(served, "GET", f"/users/{uuid4()}/sessions")) == (404, "user_not_found")
        assert refused(call(served, "GET", f"/admin{path}", bearer=first["access_token"])) == (403, "not_admin")


def make_link(served: RealtimeServer, **wish: object) -> Answer:
    return admin(served, "POST", "/generate_link", wish)


class TestLinksToSendOneself:
    def test_whoever_follows_one_is_signed_in(self, confirming: RealtimeServer) -> None:
        address = email()
        made = make_link(confirming, type="signup", email=address, password=PASSWORD, data={"n": 1}).json
        assert (made["email"], made["user_metadata"], made["verification_type"]) == (address, {"n": 1}, "signup")
        assert refused(sign_in(confirming, address)) == (400, "email_not_confirmed")
        page, told = follow(confirming, made["action_link"].partition("/auth/v1")[2])
        assert (page, "access_token" in told) == (SITE, True)
        assert sign_in(confirming, address).status == 200

    @pytest.mark.parametrize("type_", ["magiclink", "invite", "recovery"])
    def test_the_hash_and_the_code_sign_in_as_well(self, confirming: RealtimeServer, type_: str) -> None:
        address = email()
        admin(confirming, "POST", "/users", {"email": address})
        made = make_link(confirming, type=type_, email=address, redirect_to=f"{SITE}/in").json
        assert made["redirect_to"] == f"{SITE}/in"
        by_hash = {"type": type_, "token_hash": made["hashed_token"]}
        assert call(confirming, "POST", "/verify", by_hash).json["user"]["email"] == address
        assert refused(call(confirming, "POST", "/verify", by_hash)) == (403, "otp_expired")
        if type_ != "invite":
            again = make_link(confirming, type=type_, email=address).json
            by_code = {"type": type_, "email": address, "token": again["email_otp"]}
            assert call(confirming, "POST", "/verify", by_code).status == 200

    def test_a_new_address(self, confirming: RealtimeServer) -> None:
        old, new = email(), email()
        admin(confirming, "POST", "/users", {"email": old, "password": PASSWORD, "email_confirm": True})
        made = make_link(confirming, type="email_change_new", email=old, new_email=new).json
        follow(confirming, made["action_link"].partition("/auth/v1")[2])
        assert (sign_in(confirming, new).status, sign_in(confirming, old).status) == (200, 400)

    def test_what_is_refused(self, confirming: RealtimeServer) -> None:
        address = email()
        admin(confirming, "POST", "/users", {"email": address, "password": PASSWORD, "email_confirm": True})
        for wish, answered in (
            ({"type": "recovery", "email": email()}, (404, "user_not_found")),
            ({"type": "signup", "email": address, "password": PASSWORD}, (422, "email_exists")),
            ({"type": "signup", "email": email(), "password": "short"}, (422, "weak_password")),
            ({"type": "email_change_new", "email": address, "new_email": address}, (422, "email_exists")),
            ({"type": "email_change_current", "email": address, "new_email": email()}, (400, "validation_failed")),
            ({"type": "magiclink"}, (400, "email_address_invalid")),
        ):
            assert refused(make_link(confirming, **wish)) == answered, wish
        body = {"type": "magiclink", "email": address}
        assert refused(call(confirming, "POST", "/admin/generate_link", body)) == (403, "not_admin")
