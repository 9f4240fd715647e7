"""The text of a filter becomes conditions: where it is cut, what quotes and escapes mean, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.filters.grammar import OPERATORS, Condition, inspect_text, parse_filter
from tidewire.model.errors import ConfigurationError

PREFIX = "Error parsing `filter` params: "


def outcome(text: str) -> tuple[Condition, ...] | str:
    try:
        return parse_filter(text)
    except ConfigurationError as error:
        return error.message


def value_of(text: str) -> str | tuple[str | None, ...]:
    [condition] = parse_filter(text)
    return condition.value


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_blank_text_is_no_condition(text: str) -> None:
    assert parse_filter(text) == ()


@pytest.mark.parametrize("operator", sorted(OPERATORS - {"in"}))
@pytest.mark.parametrize("negated", [False, True])
def test_every_operator_with_and_without_not(operator: str, *, negated: bool) -> None:
    [condition] = parse_filter(f"status={'not.' if negated else ''}{operator}.a.b=c")
    assert (condition.column, condition.operator, condition.value) == ("status", operator, "a.b=c")
    assert condition.negated is negated


def test_conditions_are_joined_by_commas_and_trimmed() -> None:
    assert parse_filter(" a=eq.1 , b=not.lt.2 ") == (
        Condition("a", "eq", "1", literal="1"),
        Condition("b", "lt", "2", negated=True, literal="2"),
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("t=eq.", ""),
        ("t=eq.null", "null"),
        ("t=eq.eq.not.eq", "eq.not.eq"),
        ('t=eq."a,b"', "a,b"),
        ('t=eq."a)(b"', "a)(b"),
        ('t=eq."say \\"hi\\""', 'say "hi"'),
        ('t=eq."back\\\\slash"', "back\\slash"),
        ('t=eq."\\n"', "n"),
        ('t=eq."line\nbreak"', "line\nbreak"),
        ('t=eq.""', ""),
        ('t=eq."open', '"open'),
        ('t=eq."open, and more', '"open, and more'),
        ('t=eq."ends with escape\\', '"ends with escape\\'),
        ('t=eq."a"b', '"a"b'),
        ('t=eq.a"b', 'a"b'),
        ("t=eq.back\\slash", "back\\slash"),
        ("t=match.^(a,b)$", "^(a,b)$"),
        ("t=eq.(open, and more", "(open, and more"),
        ("t=eq.a)b", "a)b"),
        ("t=eq.💧", "💧"),
    ],
)
def test_values(text: str, value: str) -> None:
    assert value_of(text) == value


def test_a_quote_within_a_word_does_not_protect_a_comma() -> None:
    assert [condition.value for condition in parse_filter('a=eq.5" x 3,b=eq.1')] == ['5" x 3', "1"]


def test_a_parenthesis_that_closes_nothing_does_not_protect_a_comma() -> None:
    assert [condition.value for condition in parse_filter("a=eq.x),b=eq.(1")] == ["x)", "(1"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("()", ()),
        ("( )", ()),
        ("(a)", ("a",)),
        ('(a,"b,c",d)', ("a", "b,c", "d")),
        ('( a , "b" , c d )', ("a", "b", "c d")),
        ("(null,NULL,Null)", (None, None, None)),
        ('("null","")', ("null", "")),
        ('("a\\"b","c\\\\d")', ('a"b', "c\\d")),
        ("(a\\,b)", ("a,b",)),
        ("(a(b),c)", ("a(b)", "c")),
    ],
)
def test_lists(text: str, values: tuple[str | None, ...]) -> None:
    assert value_of(f"t=in.{text}") == values


@pytest.mark.parametrize("inner", ["a,", ",a", "a,,b", "a, ,b", '"a"b', 'a"b"', "{1}", '"open', "a\\", "}"])
def test_lists_that_postgres_would_not_read(inner: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_filter(f"t=in.({inner})")
    assert caught.value.message == f'malformed array literal: "{{{inner}}}"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t=foo.hey", '["foo", "hey"]'),
        ("t=not.foo.hey", '["foo", "hey"]'),
        ("t=EQ.1", '["EQ", "1"]'),
        ("undefined", '["undefined"]'),
        ("t=eq", '["eq"]'),
        ("t=", '[""]'),
        ('t=f"o.#{x}\\', '["f\\"o", "\\#{x}\\\\"]'),
        (",", "filter must not contain empty segments (check for extra commas)"),
        ("t=eq.1,", "filter must not contain empty segments (check for extra commas)"),
        ("t=eq.1, ,t=eq.2", "filter must not contain empty segments (check for extra commas)"),
        ("t=in.1,2", "`in` filter value must be wrapped by parentheses"),
        ("t=in.(", "`in` filter value must be wrapped by parentheses"),
        ("t=in.(1) x", "`in` filter value must be wrapped by parentheses"),
        ("t=eq.a\0b", "text must be Unicode without the zero character"),
        ("t=eq.\ud800", "text must be Unicode without the zero character"),
    ],
)
def test_refusals_have_the_words_that_clients_know(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_filter(text)
    assert caught.value.message == PREFIX + message
    assert caught.value.hint


def test_a_condition_shows_itself_as_error_messages_do() -> None:
    shown = [str(condition) for condition in parse_filter('nope=eq.1,t=not.in.(a,"b c")')]
    assert shown == ['{"nope", "eq", "1", false}', '{"t", "in", "{a,\\"b c\\"}", true}']


def test_control_characters_are_shown_escaped() -> None:
    assert inspect_text('a\n\t\r"') == '"a\\n\\t\\r\\""'


@given(st.text('ab=.,()"\\ {}', max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    found = outcome(text)
    if isinstance(found, str):
        assert found.startswith((PREFIX, "malformed array literal: "))
    else:
        assert bool(found) is bool(text.strip())


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), min_size=1, max_size=5))
def test_quoting_carries_any_value(values: list[str]) -> None:
    quoted = ['"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values]
    assert value_of(f"t=in.({','.join(quoted)})") == tuple(values)
    text = ",".join(f"t=eq.{value}" for value in quoted)
    assert [condition.value for condition in parse_filter(text)] == values


@pytest.mark.parametrize("piece", ["(", ")", '"', "\\", ".", '."', "a=eq.1,", '."\\'])
def test_long_hostile_text_takes_linear_time(piece: str) -> None:
    assert outcome("a=eq." + piece * 50_000)  # the time limit of a test is what would catch it
    assert outcome("a=in.(" + piece * 50_000 + ")")
