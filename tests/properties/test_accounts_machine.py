"""Sessions under every order of events: whoever shows an old refresh token ends the session, and nobody else does.

And tokens: what is expired, for somebody else, unsigned or signed with another key never passes.
"""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from joserfc.jwk import ECKey
from msgspec import Struct

from tests.support.tokens import NOW_S, SECRET, sign_bytes
from tidewire.accounts.sessions import ShownToken, first_token, hash_token, judge_refresh, successor
from tidewire.accounts.signing_keys import AHEAD_S, KeyAge, plan_keys
from tidewire.hub.authorize import Authorizer, sign_claims
from tidewire.hub.claim_checks import ClaimChecks
from tidewire.model.errors import TokenRefused
from tidewire.server.jwks import FixedKeys

GRACE_S, IDLE_S = 10.0, 1000.0


class _Row(Struct):
    used_at_s: float | None = None
    parent: str | None = None


class RefreshMachine(RuleBasedStateMachine):
    """Stores what the tables store, obeys the verdicts, and compares with a model that knows the whole chain."""

    shown = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.key = b"key of the session"
        self.chain = [first_token(b"\x01" * 24)]
        self.used_at_s: list[float] = []
        self.rows = {hash_token(self.chain[0]): _Row()}
        self.refreshed_at_s = 0.0
        self.is_open = True

    @rule(pause_s=st.sampled_from([0.0, 0.5, 9.5, 10.5, 300.0, 999.0, 1001.0]))
    def wait(self, pause_s: float) -> None:
        self.now_s += pause_s

    @rule(back=st.integers(0, 4))
    def show(self, back: int) -> None:
        """Show the newest token, or one that is older by so many."""
        at = len(self.chain) - 1 - back
        if at < 0:
            return
        answered = self._refresh(self.chain[at])
        if not self.is_open_in_model(at):
            assert answered is None
            assert not self.rows
            self.is_open = False
        elif back == 0:
            assert answered is not None
            assert answered not in self.chain
            self.chain.append(answered)
            self.used_at_s.append(self.now_s)
        else:
            assert answered == self.chain[-1], "a repeated refresh gets what the first one got"

    @rule(guess=st.text(max_size=40))
    def guess(self, guess: str) -> None:
        if guess not in self.chain:
            assert self._refresh(guess) is None

    def is_open_in_model(self, at: int) -> bool:
        """Say whether showing the token at this place of the chain should be answered."""
        if not self.is_open or self.now_s - max(self.used_at_s, default=0.0) > IDLE_S:
            return False
        if at == len(self.chain) - 1:
            return True
        return at == len(self.chain) - 2 and self.now_s - self.used_at_s[at] <= GRACE_S

    def _refresh(self, token: str) -> str | None:
        row = self.rows.get(hash_token(token))
        if row is None:
            return None
        used = any(each.parent == hash_token(token) and each.used_at_s is not None for each in self.rows.values())
        stored = ShownToken(row.used_at_s, used, self.refreshed_at_s)
        verdict = judge_refresh(stored, self.now_s, grace_s=GRACE_S, idle_s=IDLE_S)
        following = successor(token, self.key)
        if verdict == "rotate":
            row.used_at_s = self.refreshed_at_s = self.now_s
            self.rows[hash_token(following)] = _Row(parent=hash_token(token))
        if verdict in {"revoke", "expired"}:
            self.rows.clear()
            return None
        return following

    @invariant()
    def there_is_one_token_to_go_on_with(self) -> None:
        unused = [row for row in self.rows.values() if row.used_at_s is None]
        assert len(unused) == (1 if self.rows else 0)

    @invariant()
    def no_text_of_a_token_is_stored(self) -> None:
        assert not self.rows.keys() & set(self.chain)


TestRefreshTokens = RefreshMachine.TestCase


@given(
    st.lists(st.floats(0.1, 400.0), max_size=40),
    st.floats(1.0, 100.0),
    st.floats(0.05, 2.0),
)
def test_whatever_a_key_signed_is_verified_until_it_expires(
    pauses_h: list[float], rotation_days: float, token_h: float
) -> None:
    """Nodes look at the keys at any times; a token that is still good finds its key shown, long before it signs."""
    keys: list[KeyAge] = []
    signed: list[tuple[float, str]] = []
    first_shown: dict[str, float] = {}
    now_s = 0.0
    for pause_h in pauses_h:
        now_s += pause_h * 3600
        plan = plan_keys(keys, now_s, rotation_s=rotation_days * 86_400, token_s=token_h * 3600)
        if plan.needs_key:
            keys.append(KeyAge(f"key {len(first_shown)}", now_s))
        keys = [key for key in keys if key.kid not in plan.outlived]
        plan = plan_keys(keys, now_s, rotation_s=rotation_days * 86_400, token_s=token_h * 3600)
        for kid in plan.shown:
            first_shown.setdefault(kid, now_s)
        assert plan.signer in plan.shown
        assert plan.signer == "key 0" or now_s - first_shown[plan.signer or ""] >= AHEAD_S
        assert all(kid in plan.shown for at_s, kid in signed if now_s < at_s + token_h * 3600)
        signed.append((now_s, plan.signer or ""))
        assert len(keys) <= 3 + len(pauses_h)


OURS, STRANGER = (ECKey.generate_key("P-256", {"kid": "ours"}) for _ in range(2))
VALUES: dict[str, Any] = {"role": "authenticated", "sub": "ada", "aud": "tide", "iss": "https://me", "exp": NOW_S + 60}


def _authorize(token: str) -> bool:
    public = ECKey.import_key({**OURS.as_dict(private=False), "kid": "ours"})
    checks = ClaimChecks(audience="tide", issuer="https://me")
    keys = FixedKeys({("EC", "ours"): public})
    verifier = Authorizer(clock=lambda: NOW_S, secrets=(SECRET,), keys=keys, checks=checks)
    try:
        asyncio.run(verifier.authorize(token))
    except TokenRefused:
        return False
    return True


def test_the_token_that_is_ours_passes() -> None:
    assert _authorize(sign_claims(VALUES, OURS, "ES256"))


@given(
    st.sampled_from(["ours", "stranger"]),
    st.integers(-10_000, 10_000),
    st.sampled_from(["tide", "other", None, ["tide", "x"], ["x"], 5]),
    st.sampled_from(["https://me", "https://evil", None]),
)
def test_only_our_key_our_audience_and_our_time_pass(signer: str, left_s: int, audience: Any, issuer: Any) -> None:
    values = {**VALUES, "exp": NOW_S + left_s, "aud": audience, "iss": issuer}
    token = sign_claims(values, OURS if signer == "ours" else STRANGER, "ES256")
    right = signer == "ours" and left_s > 0 and audience in ("tide", ["tide", "x"]) and issuer == "https://me"
    assert _authorize(token) == right


@given(st.sampled_from(["none", "None", "NONE", "HS256", "ES384", "RS256", ""]), st.booleans())
def test_no_other_algorithm_passes_with_our_key(algorithm: str, with_kid: bool) -> None:  # noqa: FBT001 - hypothesis
    """Neither unsigned, nor with the public key taken for a secret."""
    text = OURS.as_pem(private=False).decode()
    payload = sign_claims(VALUES, OURS, "ES256").split(".")[1]
    header = {"alg": algorithm, **({"kid": "ours"} if with_kid else {})}
    raw = sign_bytes(b"{}", "HS256", STRANGER_SECRET, header=header)
    head, _, signature = raw.split(".")
    for token in (f"{head}.{payload}.", f"{head}.{payload}.{signature}", f"{head}.{payload}.{text[:43]}"):
        assert not _authorize(token)


STRANGER_SECRET = "a-secret-that-the-server-does-not-have-1"
