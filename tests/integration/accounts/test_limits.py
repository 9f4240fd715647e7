"""How often anybody may try."""

from concurrent.futures import ThreadPoolExecutor

import psycopg

from tests.support.accounts import PLENTY, call, email, refused, sign_in, sign_up
from tests.support.server import RealtimeServer, realtime


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

    def test_a_lock_holds_on_every_node_and_through_a_restart(self, dsn: str) -> None:
        address, stranger = email(), email()
        with realtime(dsn, slot="limits", **PLENTY) as first:
            sign_up(first, address)
            for each in (address, stranger):
                assert [sign_in(first, each, "wrong horse").status for _ in range(5)] == [400] * 5
        with realtime(dsn, slot="limits", **PLENTY) as second:
            answers = [sign_in(second, each) for each in (address, stranger)]
            assert [refused(each) for each in answers] == [(429, "over_request_rate_limit")] * 2

    def test_the_right_password_is_forgiven_the_wrong_ones(self, served: RealtimeServer) -> None:
        address = email()
        sign_up(served, address)
        for _ in range(2):
            assert [sign_in(served, address, "wrong horse").status for _ in range(4)] == [400] * 4
            assert sign_in(served, address).status == 200

    def test_nothing_is_kept_of_failures_that_no_longer_count(self, served: RealtimeServer, dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "insert into auth.tidewire_attempts"
                " select uuid_send(gen_random_uuid()), 1, now() - interval '31 minutes' from generate_series(1, 50)"
            )
        addresses = [email() for _ in range(3)]
        for each in addresses:
            sign_in(served, each)
        with psycopg.connect(dsn) as connection:
            found = connection.execute(
                "select count(*) filter (where last_at < now() - interval '30 minutes'),"
                " bool_and(key::text not like '%example%') from auth.tidewire_attempts"
            ).fetchone()
        assert found == (0, True)
