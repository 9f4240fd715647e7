"""Sessions: refresh tokens, signing out, and the end of what was stolen."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.support.accounts import PASSWORD, call, claims_of, email, refresh, refused, sign_in, sign_up
from tests.support.server import RealtimeServer, realtime


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

    def test_users_see_their_sessions_and_end_them(self, served: RealtimeServer) -> None:
        address = email()
        here = sign_up(served, address)
        there = call(
            served,
            "POST",
            "/token?grant_type=password",
            {"email": address, "password": PASSWORD},
            user_agent="Phone/1",
        ).json
        listed = call(served, "GET", "/sessions", bearer=here["access_token"]).json["sessions"]
        assert [each["current"] for each in listed] == [False, True]
        assert (listed[0]["user_agent"], listed[0]["ip"], listed[0]["method"]) == ("Phone/1", "127.0.0.1", "password")
        path = f"/sessions/{listed[0]['id']}"
        stranger = sign_up(served)["access_token"]
        assert refused(call(served, "DELETE", path, bearer=stranger)) == (404, "session_not_found")
        assert refresh(served, there["refresh_token"]).status == 200
        assert call(served, "DELETE", path, bearer=here["access_token"]).status == 204
        assert refused(call(served, "DELETE", path, bearer=here["access_token"])) == (404, "session_not_found")
        assert refused(call(served, "GET", "/user", bearer=there["access_token"])) == (403, "session_not_found")
        assert refused(call(served, "DELETE", "/sessions/x", bearer=here["access_token"])) == (400, "validation_failed")
        assert refused(call(served, "GET", "/sessions")) == (403, "bad_jwt")
