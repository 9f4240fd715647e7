"""Keys, claims, the hook that adds some, and the door itself."""

import base64
import json
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.support.accounts import PASSWORD, SITE, call, claims_of, email, refresh, refused, sign_up
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime, request, token
from tidewire.postgres.embedded import EmbeddedPostgres


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
        with fresh_migrated_database(server) as made:
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
