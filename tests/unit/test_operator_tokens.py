"""Links that let operators in, and the tokens that follow: how often, how long, and for whom."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.node import Clock
from tests.support.tokens import SECRET
from tidewire.hub.authorize import Authorizer, sign_token
from tidewire.hub.claim_checks import ClaimChecks
from tidewire.model.claims import Claims, is_operator
from tidewire.model.errors import ConfigurationError
from tidewire.services.operator_tokens import (
    LINK_S,
    MOST_LINKS,
    SIGNED_IN_S,
    TOKEN_S,
    LinkRefused,
    Minted,
    OperatorTokens,
)

CHECKS = ClaimChecks(audience="everybody", issuer="me")


async def sign(values: Mapping[str, Any]) -> str:
    return sign_token(values, SECRET)


@pytest.fixture
def tokens(clock: Clock) -> OperatorTokens:
    return OperatorTokens(sign, CHECKS, clock)


async def read(minted: Minted, clock: Clock) -> Claims:
    return await Authorizer(clock=clock, secrets=(SECRET,), checks=CHECKS).authorize(minted.access_token)


async def test_a_link_makes_an_operator_without_rights_in_the_database(tokens: OperatorTokens, clock: Clock) -> None:
    minted = await tokens.sign_in(tokens.new_link())
    claims = await read(minted, clock)
    assert is_operator(claims)
    assert (claims.role, claims.expires_at_s) == ("anon", minted.expires_at)
    assert minted.expires_at == clock.now_s + TOKEN_S
    assert minted.access_token not in repr(minted)


async def test_a_link_is_long_and_new_each_time(tokens: OperatorTokens) -> None:
    links = {tokens.new_link() for _ in range(100)}
    assert len(links) == 100
    assert all(len(link) >= 43 for link in links)


async def test_a_link_counts_once_and_for_ten_minutes(tokens: OperatorTokens, clock: Clock) -> None:
    link, late = tokens.new_link(), tokens.new_link()
    await tokens.sign_in(link)
    with pytest.raises(LinkRefused):
        await tokens.sign_in(link)
    clock.now_s += LINK_S
    with pytest.raises(LinkRefused):
        await tokens.sign_in(late)


async def test_only_the_last_links_count(tokens: OperatorTokens) -> None:
    links = [tokens.new_link() for _ in range(MOST_LINKS + 1)]
    with pytest.raises(LinkRefused):
        await tokens.sign_in(links[0])
    await tokens.sign_in(links[1])


async def test_tokens_follow_each_other_until_the_time_is_over(tokens: OperatorTokens, clock: Clock) -> None:
    began_s = clock.now_s
    minted = await tokens.sign_in(tokens.new_link())
    while clock.now_s < began_s + SIGNED_IN_S - TOKEN_S:
        clock.now_s += TOKEN_S - 60
        minted = await tokens.renew(await read(minted, clock))
    assert minted.expires_at <= began_s + SIGNED_IN_S
    claims = await read(minted, clock)
    clock.now_s = began_s + SIGNED_IN_S
    with pytest.raises(LinkRefused):
        await tokens.renew(claims)


async def test_tokens_that_came_otherwise_are_not_followed(tokens: OperatorTokens, clock: Clock) -> None:
    minted = await tokens.mint("service_role", None, {}, 60)
    claims = await read(minted, clock)
    with pytest.raises(LinkRefused):
        await tokens.renew(claims)


async def test_a_token_to_look_with_says_what_was_asked_for(tokens: OperatorTokens, clock: Clock) -> None:
    claims = await read(await tokens.mint("authenticated", "ada", {"team": 7}, 60), clock)
    assert (claims.role, claims.subject, claims.values["team"]) == ("authenticated", "ada", 7)
    assert claims.expires_at_s == clock.now_s + 60
    assert not is_operator(claims)


@pytest.mark.parametrize("claims", [{"iss": "them"}, {"aud": "few"}, {"console_until": 1}, {"big": "x" * 20_000}])
async def test_some_claims_are_never_written(tokens: OperatorTokens, claims: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        await tokens.mint("authenticated", None, claims, 60)


async def test_without_a_key_there_is_a_remedy(clock: Clock) -> None:
    tokens = OperatorTokens(None, CHECKS, clock)
    assert not tokens.can_sign
    with pytest.raises(ConfigurationError) as caught:
        await tokens.mint("authenticated", None, {}, 60)
    assert "TIDEWIRE_JWT_SECRET" in caught.value.hint
