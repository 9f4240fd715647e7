"""What goes through e-mail: confirmations, links, codes, invitations."""

from urllib.parse import parse_qs, urlsplit

import psycopg

from tests.support.accounts import (
    PASSWORD,
    SITE,
    Mailbox,
    admin,
    call,
    claims_of,
    email,
    follow,
    refused,
    sign_in,
    sign_up,
)
from tests.support.server import RealtimeServer, token


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
