"""Whom a token stands for before one table, and the settings under which Postgres judges for them. Asks nobody."""

from collections.abc import Mapping
from json import dumps, loads
from typing import Any, Final

from tidewire.match.policy_claims import audience_of, check_claims, session_settings, setting_text
from tidewire.match.rule import Rule
from tidewire.match.subscription import Audience, Subscription

_ALL: Final = "[]"
"""The path, as JSON, of the claims as a whole."""


def audience_in_full(rule: Rule, wish: Subscription) -> Audience:
    """Return everyone whom the policies cannot tell apart; where nobody knows what they read, everyone with the token.

    Raises ConfigurationError for claims that Postgres could not take.
    """
    role = wish.audience.role
    if rule.restriction is None:
        return wish.audience
    if rule.compiled is not None:
        return rule.compiled.audience(wish.claims)
    if rule.reads is not None:
        return audience_of(role, wish.claims, rule.reads.claims)
    check_claims(wish.claims)
    return Audience(role, ((_ALL, dumps(wish.claims, sort_keys=True, separators=(",", ":"), ensure_ascii=False)),))


def session_of(rule: Rule, audience: Audience) -> Mapping[str, str]:
    """Return the settings, besides the role, under which Postgres is to judge rows for an audience of this rule."""
    if rule.compiled is not None:
        return rule.compiled.session(audience)
    if rule.reads is not None:
        return session_settings(audience, rule.reads.settings)
    text = audience.claims[0][1]
    claims: dict[str, Any] = loads(text)
    single = {f"request.jwt.claim.{name}": setting_text(claims.get(name)) for name in ("sub", "role", "email")}
    return {"request.jwt.claims": text, **single}
