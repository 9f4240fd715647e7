"""What the accounts decide by themselves: passwords, addresses, rates, claims, keys, redirects and bodies."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import Struct

from tidewire.accounts.lockout import FOR_ACCOUNT, FOR_ADDRESS, KEPT_S, Failures, Lock
from tidewire.accounts.passwords import check_new_password, encode_password, normal_email
from tidewire.accounts.pkce import answers, read_challenge
from tidewire.accounts.rates import Allowance, Rates
from tidewire.accounts.redirects import choose_redirect
from tidewire.accounts.refusals import AccountRefused, too_many, weak_password
from tidewire.accounts.requests import AdminUser, SignUp, read_ban, read_body, read_page, read_uuid
from tidewire.accounts.sessions import ShownToken, Verdict, first_token, hash_token, judge_refresh, successor
from tidewire.accounts.signing_keys import AHEAD_S, KeyAge, plan_keys
from tidewire.accounts.token_claims import Issue, add_claims, check_size, make_claims
from tidewire.accounts.users import User, describe_user

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY_S = 86_400.0
ADA = User(uuid4(), "authenticated", "authenticated", "ada@example.org", {"team": 1}, {"name": "Ada"}, NOW, NOW)
SITE = "https://app.example"


def refusal(refused: pytest.ExceptionInfo[AccountRefused]) -> str:
    return refused.value.refusal.code


class TestPasswords:
    def test_the_shortest_counts_characters_and_not_bytes(self) -> None:
        check_new_password("éèêëàâäü", fewest_chars=8)
        with pytest.raises(AccountRefused) as refused:
            check_new_password("éèêëàâä", fewest_chars=8)
        assert refused.value.refusal.body()["weak_password"] == {"reasons": ["length"]}

    @pytest.mark.parametrize("password", ["x" * 1025, "é" * 513, "eight\0chars"])
    def test_what_must_not_be_hashed(self, password: str) -> None:
        with pytest.raises(AccountRefused) as refused:
            check_new_password(password, fewest_chars=8)
        assert refusal(refused) == "weak_password"

    def test_composed_and_decomposed_letters_are_the_same(self) -> None:
        assert encode_password("e\u0301") == encode_password("\u00e9")
        assert encode_password("\ud800") == b"?"


class TestAddresses:
    @pytest.mark.parametrize(
        ("given", "stored"),
        [(" Ada@Example.ORG ", "ada@example.org"), ("a+b@x.y", "a+b@x.y"), ("jörg@köln.example", "jörg@köln.example")],
    )
    def test_good_ones(self, given: str, stored: str) -> None:
        assert normal_email(given) == stored

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "ada",
            "@x",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b\r\nbcc: x@y",
            "a\0@b",
            "<a@b>",
            "a@.b",
            "a@b.",
            "a@b..c",
            "a@-b",
            f"{'a' * 65}@b",
            f"a@{'b' * 254}",
            "a@b,c@d",
            'x"@b',
            "a\u202e@b",
        ],
        ids=ascii,
    )
    def test_bad_ones(self, given: str) -> None:
        with pytest.raises(AccountRefused) as refused:
            normal_email(given)
        assert refusal(refused) == "email_address_invalid"
        assert not given or given not in str(refused.value.refusal.body())


class TestRates:
    def test_a_burst_and_then_evenly(self) -> None:
        rates = Rates(Allowance(3, 60.0))
        assert [rates.take("a", 0.0) for _ in range(3)] == [0.0] * 3
        assert rates.take("a", 0.0) == pytest.approx(20.0)
        assert rates.take("b", 0.0) == 0.0
        assert rates.take("a", 20.0) == 0.0
        assert rates.take("a", 20.0) == pytest.approx(20.0)
        assert [rates.take("a", 1000.0) for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(20.0)]

    def test_being_refused_costs_nothing(self) -> None:
        rates = Rates(Allowance(1, 10.0))
        rates.take("a", 0.0)
        for _ in range(100):
            rates.take("a", 1.0)
        assert rates.take("a", 10.0) == 0.0

    def test_it_forgets_rather_than_grow(self) -> None:
        rates = Rates(Allowance(1, 10.0), most_keys=2)
        for key in ("a", "b", "c"):
            rates.take(key, 0.0)
        assert rates.take("c", 0.0) > 0
        assert rates.take("a", 0.0) == 0.0


class TestLocks:
    LOCK = Lock(free=2, first_s=5.0, longest_s=30.0)

    def test_each_failure_doubles_the_lock(self) -> None:
        waits = [self.LOCK.wait_s(Failures(count, 0.0)) for count in range(8)]
        assert waits == [0.0, 0.0, 5.0, 10.0, 20.0, 30.0, 30.0, 30.0]
        assert self.LOCK.wait_s(Failures(5, 29.0)) == 1.0
        assert self.LOCK.wait_s(Failures(5, 31.0)) == 0.0
        assert self.LOCK.wait_s(Failures(10**9, 0.0)) == 30.0

    def test_failures_are_forgiven_in_time(self) -> None:
        assert self.LOCK.count(Failures(5, 60.0)) == 6
        assert self.LOCK.count(Failures(5, 60.1)) == 1

    def test_nothing_is_deleted_that_still_counts(self) -> None:
        assert max(FOR_ACCOUNT.forgets_s, FOR_ADDRESS.forgets_s) <= KEPT_S


class TestChallenges:
    VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    """The example of RFC 7636."""

    def test_only_the_verifier_answers(self) -> None:
        kept = read_challenge(self.CHALLENGE, "S256")
        assert kept == self.CHALLENGE
        assert answers(self.VERIFIER, kept)
        for wrong in (self.CHALLENGE, self.VERIFIER[:-1], "", self.VERIFIER + "\0", "é" * 43, self.VERIFIER[:-1] + "l"):
            assert not answers(wrong, kept)

    def test_a_plain_one_is_not_kept_as_it_is(self) -> None:
        kept = read_challenge(self.VERIFIER, "plain")
        assert kept == self.CHALLENGE
        assert answers(self.VERIFIER, kept)

    @pytest.mark.parametrize(
        ("challenge", "method"),
        [
            ("short", "s256"),
            ("x" * 129, "s256"),
            ("é" * 43, "s256"),
            ("x" * 43, "md5"),
            ("x" * 43, None),
            (None, "s256"),
        ],
    )
    def test_what_is_no_challenge(self, challenge: str | None, method: str | None) -> None:
        with pytest.raises(AccountRefused) as refused:
            read_challenge(challenge, method)
        assert refusal(refused) == "validation_failed"

    def test_there_need_not_be_one(self) -> None:
        assert read_challenge(None, None) is None
        assert read_challenge("", "") is None


@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        (ShownToken(None, successor_used=False, refreshed_at_s=900.0), "rotate"),
        (ShownToken(995.0, successor_used=False, refreshed_at_s=995.0), "repeat"),
        (ShownToken(990.0, successor_used=False, refreshed_at_s=990.0), "repeat"),
        (ShownToken(989.9, successor_used=False, refreshed_at_s=990.0), "revoke"),
        (ShownToken(999.0, successor_used=True, refreshed_at_s=999.0), "revoke"),
        (ShownToken(None, successor_used=False, refreshed_at_s=-0.5), "expired"),
        (ShownToken(None, successor_used=False, refreshed_at_s=999.0, ends_at_s=1000.0), "expired"),
    ],
)
def test_what_becomes_of_a_refresh_token(shown: ShownToken, verdict: Verdict) -> None:
    assert judge_refresh(shown, 1000.0, grace_s=10.0, idle_s=1000.0) == verdict


def test_successors_depend_on_the_token_and_on_the_session() -> None:
    token = first_token(b"x" * 24)
    following = {successor(token, b"key"), successor(token, b"other"), successor(successor(token, b"key"), b"key")}
    assert len(following | {token}) == 4
    assert successor(token, b"key") == successor(token, b"key")
    assert all(len(each) == 32 for each in following)
    assert len(hash_token("\ud800")) == 64


class TestClaims:
    ISSUE = Issue(uuid4(), "password", 900, 1000, 3600)

    def test_what_a_token_says(self) -> None:
        claims = make_claims(ADA, self.ISSUE, {"iss": "https://me", "env": "test"})
        assert (claims["iat"], claims["exp"], claims["aud"]) == (1000, 4600, "authenticated")
        assert (claims["iss"], claims["env"], claims["role"]) == ("https://me", "test", "authenticated")
        assert claims["amr"] == [{"method": "password", "timestamp": 900}]
        assert make_claims(ADA, self.ISSUE, {"aud": "tide"})["aud"] == "tide"

    def test_what_is_demanded_does_not_outweigh_who_it_is(self) -> None:
        assert make_claims(ADA, self.ISSUE, {"sub": "nobody"})["sub"] == str(ADA.id)

    def test_a_hook_may_only_add(self) -> None:
        claims = make_claims(ADA, self.ISSUE, {})
        assert add_claims(claims, {"claims": {**claims, "level": 3}})["level"] == 3
        without_exp = {name: value for name, value in claims.items() if name != "exp"}
        wrong: list[Any] = [None, 5, [], {}, {"claims": []}, {"claims": without_exp}]
        wrong.append({"claims": {**claims, "role": "service_role"}})
        for answered in wrong:
            with pytest.raises(AccountRefused):
                add_claims(claims, answered)

    def test_a_token_that_nobody_would_read_is_not_issued(self) -> None:
        check_size({"a": "x" * 10_000})
        with pytest.raises(AccountRefused):
            check_size({"a": "x" * 11_000})


class TestKeys:
    @staticmethod
    def plan(*made_days: float, now_days: float) -> Any:
        keys = [KeyAge(str(day), day * DAY_S) for day in made_days]
        return plan_keys(keys, now_days * DAY_S, rotation_s=90 * DAY_S, token_s=3600)

    def test_the_first_key_signs_at_once(self) -> None:
        assert plan_keys([], 0.0, rotation_s=DAY_S, token_s=1).needs_key
        plan = self.plan(1, now_days=1)
        assert (plan.signer, plan.shown, plan.needs_key) == ("1", ("1",), False)

    def test_the_next_key_is_shown_before_it_signs(self) -> None:
        assert self.plan(1, now_days=91).needs_key
        plan = self.plan(91, 1, now_days=91 + (AHEAD_S - 1) / DAY_S)
        assert (plan.signer, plan.shown, plan.needs_key) == ("1", ("1", "91"), False)

    def test_a_replaced_key_is_shown_until_its_tokens_have_expired(self) -> None:
        replaced = 91 + AHEAD_S / DAY_S
        plan = self.plan(1, 91, now_days=replaced)
        assert (plan.signer, plan.outlived) == ("91", ())
        assert self.plan(1, 91, now_days=replaced + 3601 / DAY_S).outlived == ()
        plan = self.plan(1, 91, now_days=replaced + (3601 + AHEAD_S) / DAY_S)
        assert (plan.shown, plan.outlived) == (("91",), ("1",))


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("", SITE),
        (f"{SITE}/a?b=c#d", f"{SITE}/a?b=c#d"),
        ("https://app.example:443/a", "https://app.example:443/a"),
        ("myapp://callback", "myapp://callback"),
        ("http://app.example", SITE),
        ("https://app.example:444", SITE),
        ("https://app.example.evil.example", SITE),
        ("https://app.example@evil.example", SITE),
        ("https://evil.example\\@app.example", SITE),
        ("//evil.example", SITE),
        ("javascript:alert(1)", SITE),
        ("https://app.example\r\nset-cookie: a=b", SITE),
        ("https://[", SITE),
        ("https://app.example:99999", SITE),
        (f"{SITE}/{'x' * 3000}", SITE),
    ],
)
def test_where_a_link_may_lead(asked: str, chosen: str) -> None:
    assert choose_redirect(asked, SITE, ["myapp://callback"]) == chosen


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"{", "bad_json"),
            (b"[]", "validation_failed"),
            (b'{"email":5}', "validation_failed"),
            (b'{"email":"\xff"}', "bad_json"),
            (b'{"data":' + b"[" * 90_000, "validation_failed"),
        ],
    )
    def test_what_is_no_body(self, body: bytes, code: str) -> None:
        with pytest.raises(AccountRefused) as refused:
            read_body(body, SignUp)
        assert refusal(refused) == code

    def test_what_clients_send_besides_is_passed_over(self) -> None:
        sent: dict[str, Any] = {"email": "a@b", "gotrue_meta_security": {}, "code_challenge": None}
        assert read_body(json.dumps(sent).encode(), SignUp) == SignUp(email="a@b")
        assert read_body(b"", SignUp) == SignUp()

    @pytest.mark.parametrize("role", ["", "x" * 64, "a\0b"])
    def test_a_role_that_is_no_name(self, role: str) -> None:
        with pytest.raises(AccountRefused):
            read_body(json.dumps({"role": role}).encode(), AdminUser)

    def test_pages(self) -> None:
        assert read_page({}) == read_page({"page": "", "per_page": ""}) == (1, 50)
        assert read_page({"page": "3", "per_page": "5000"}) == (3, 1000)
        for wrong in ("0", "-1", "x", "٣", "9" * 30):
            with pytest.raises(AccountRefused):
                read_page({"page": wrong})

    @pytest.mark.parametrize(
        ("text", "lasts"),
        [("24h", timedelta(hours=24)), ("1h30m", timedelta(minutes=90)), ("1.5s", timedelta(seconds=1.5))],
    )
    def test_bans(self, text: str, lasts: timedelta) -> None:
        assert read_ban(text, NOW) == NOW + lasts

    @pytest.mark.parametrize("text", ["", "h", "5", "-5h", "5x", "1e9h", "9999999h", "1.2.3h", "nan", "infh"])
    def test_what_is_no_ban(self, text: str) -> None:
        with pytest.raises(AccountRefused):
            read_ban(text, NOW)

    def test_no_ban(self) -> None:
        assert read_ban("none", NOW) is None

    def test_ids(self) -> None:
        assert read_uuid(str(ADA.id)) == ADA.id
        with pytest.raises(AccountRefused):
            read_uuid("5")


def test_how_a_user_is_described() -> None:
    described = describe_user(ADA)
    assert (described["id"], described["created_at"]) == (str(ADA.id), "2026-05-01T12:00:00Z")
    assert "email_confirmed_at" not in described
    assert all(not isinstance(value, Struct | UUID | datetime) for value in described.values())


def test_a_refusal_says_when_to_come_back() -> None:
    assert [too_many(wait_s).refusal.retry_after_s for wait_s in (0.2, 1.4, 2.0)] == [1, 2, 2]
    assert too_many(3, mails=True).refusal.code == "over_email_send_rate_limit"
    assert weak_password("x", "length").refusal.body()["weak_password"] == {"reasons": ["length"]}
