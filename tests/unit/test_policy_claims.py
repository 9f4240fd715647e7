"""Audiences: what of a token policies read, who cannot be told apart, and how claims turn into values."""

from typing import Any

import pytest

from tidewire.filters.unsure import Unsure
from tidewire.match.policy_claims import MAX_DEPTH, Fails, KnownClaims, audience_of, session_settings
from tidewire.match.subscription import Audience
from tidewire.model.errors import ConfigurationError

SUB, TENANT = ("sub",), ("app_metadata", "tenant")


def known(claims: dict[str, Any], *paths: tuple[str, ...]) -> KnownClaims:
    return KnownClaims(audience_of("reader", claims, paths))


def test_tokens_differ_only_in_claims_that_are_read() -> None:
    one = {"sub": "a", "exp": 1, "app_metadata": {"tenant": "t", "plan": 1}}
    two = {"sub": "b", "exp": 2, "app_metadata": {"tenant": "t", "plan": 2}}
    assert audience_of("reader", one, []) == audience_of("reader", two, []) == Audience("reader")
    assert audience_of("reader", one, [TENANT]) == audience_of("reader", two, [TENANT])
    assert audience_of("reader", one, [SUB]) != audience_of("reader", two, [SUB])
    assert audience_of("reader", one, []) != audience_of("other", one, [])


def test_ten_thousand_users_are_one_audience_where_no_claim_is_read() -> None:
    assert len({audience_of("reader", {"sub": str(number)}, []) for number in range(10_000)}) == 1


def test_objects_are_equal_whatever_the_order_of_their_keys() -> None:
    one, two = {"deep": {"a": 1, "b": 2}}, {"deep": {"b": 2, "a": 1}}
    assert audience_of("reader", one, [("deep",)]) == audience_of("reader", two, [("deep",)])


def test_a_claim_that_is_missing_is_not_one_that_is_null() -> None:
    assert audience_of("reader", {}, [SUB]) != audience_of("reader", {"sub": None}, [SUB])
    assert known({"sub": None}, SUB).exists(SUB)
    assert not known({}, SUB).exists(SUB)


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), ("", ""), (None, None), (True, "true"), (False, "false"), (-7, "-7"), (2**70, str(2**70))],
)
def test_claims_as_text(value: object, text: str | None) -> None:
    assert known({"sub": value}, SUB).text(SUB) == text


@pytest.mark.parametrize("value", [1.5, 1.0, [1], {"a": 1}])
def test_how_postgres_writes_other_values_is_not_guessed(value: object) -> None:
    with pytest.raises(Unsure):
        known({"sub": value}, SUB).text(SUB)


@pytest.mark.parametrize("metadata", [None, "text", ["tenant"], {"other": 1}, 5])
def test_a_path_that_leads_nowhere_gives_null(metadata: object) -> None:
    assert known({"app_metadata": metadata}, TENANT).text(TENANT) is None


def test_keys_elements_and_flags() -> None:
    claims = known(
        {"a": ["x", 1, "y"], "b": {"k": 1}, "c": "word", "d": 5, "e": True, "f": None}, *[(n,) for n in "abcdef"]
    )
    assert [claims.keys((name,)) for name in "abcdg"] == [{"x", "y"}, {"k"}, {"word"}, set(), None]
    assert claims.elements(("a",)) == ["x", "1", "y"]
    assert claims.elements(("g",)) == []
    assert (claims.flag(("e",)), claims.flag(("g",))) == ("t", None)
    for name in "bcd":
        with pytest.raises(Fails):
            claims.elements((name,))
        with pytest.raises(Fails):
            claims.flag((name,))
    with pytest.raises(Unsure):
        claims.flag(("f",))


@pytest.mark.parametrize(
    "value", ["a\0b", "\ud800", {"\0": 1}, [["\udfff"]], float("nan"), float("inf"), 2**2000], ids=repr
)
def test_claims_that_postgres_could_not_hold_are_refused_though_nobody_reads_them(value: object) -> None:
    with pytest.raises(ConfigurationError, match="reading claims: expected") as caught:
        audience_of("reader", {"unread": value}, [])
    assert str(value) not in caught.value.message


def test_claims_are_bounded_in_depth() -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH + 1):
        deep = {"a": deep}
    with pytest.raises(ConfigurationError, match="levels"):
        audience_of("reader", deep, [])


def test_a_session_has_what_the_audience_has() -> None:
    claims = {"sub": "u", "deep": {"a": "ä", "b": 1}, "level": 3, "none": None}
    audience = audience_of("reader", claims, [SUB, ("deep", "a"), ("level",), ("none",), ("missing",)])
    assert session_settings(audience, ["sub", "level", "none", "missing"]) == {
        "request.jwt.claims": '{"deep":{"a":"ä"},"level":3,"none":null,"sub":"u"}',
        "request.jwt.claim.sub": "u",
        "request.jwt.claim.level": "3",
        "request.jwt.claim.none": "",
        "request.jwt.claim.missing": "",
    }
