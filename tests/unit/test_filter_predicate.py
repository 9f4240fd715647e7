"""Compiled filters answer as the specification says, refuse what they cannot prove, and fail closed."""

import pytest

from tests.support.filter_cases import Case, build_relation, build_type, read_cases
from tidewire.filters.answer import UNDECIDED, Answer
from tidewire.filters.checks import expression_error, spoken_name
from tidewire.filters.collation import NONDETERMINISTIC
from tidewire.filters.equality import EqualityKeys, as_written, canonical, equality_keys
from tidewire.filters.grammar import parse_filter
from tidewire.filters.predicate import compile_filter
from tidewire.filters.sql import filter_query, quote_identifier
from tidewire.filters.unsure import Unprovable
from tidewire.model.change import ABSENT
from tidewire.model.errors import ConfigurationError
from tidewire.model.relation import Column, PgType, Relation

CASES = read_cases()
MOOD = PgType(20_000, "mood", "enum")
ADDRESS = PgType(20_001, "address", "composite", attributes=(("street", build_type("text")),))
POSITIVE = PgType(20_002, "positive", "domain", base=build_type("int4"))
CITEXT = PgType(20_003, "citext")


def answer(text: str, type_name: str, value: str | None, *, locale: str = "") -> Answer:
    relation = build_relation({"c": type_name})
    return compile_filter(parse_filter(text), relation, locales={"c": locale})((value,))


def refuses(text: str, type_: PgType, *, locale: str = "") -> bool:
    relation = build_relation({"c": ""}, c=type_)
    try:
        compile_filter(parse_filter(text), relation, locales={"c": locale})
    except Unprovable:
        return True
    return False


@pytest.mark.parametrize("case", [case for case in CASES if case.error is None], ids=lambda case: case.filter[:60])
def test_the_specified_answer(case: Case) -> None:
    relation = build_relation(case.columns)
    conditions = parse_filter(case.filter)
    if not case.ask:
        assert compile_filter(conditions, relation, locales=case.locales)(case.values) is case.answer
        return
    assert compile_filter(conditions, relation, locales=case.locales, partial=True)(case.values) is UNDECIDED


@pytest.mark.parametrize("case", [case for case in CASES if case.error is not None], ids=lambda case: case.filter[:60])
def test_the_specified_error(case: Case) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compile_filter(parse_filter(case.filter), build_relation(case.columns))
    assert caught.value.message == case.error
    assert caught.value.hint


def test_every_type_has_cases() -> None:
    assert len(CASES) > 200
    assert {case.ask for case in CASES} == {True, False}


@pytest.mark.parametrize("name", ["eq", "neq", "not.eq", "lt", "in", "is", "isdistinct", "not.isdistinct", "like"])
def test_an_absent_value_fails_closed(name: str) -> None:
    value = {"in": "(a)", "is": "null"}.get(name, "a")
    [condition] = parse_filter(f"c={name}.{value}")
    predicate = compile_filter([condition], build_relation({"c": "text"}), locales={"c": "C"})
    assert predicate((ABSENT,)) is None


def test_what_is_false_for_certain_needs_no_postgres() -> None:
    relation = build_relation({"a": "int4", "b": "interval"})
    conditions = parse_filter("b=eq.1 day,a=eq.1")
    predicate = compile_filter(conditions, relation, partial=True)
    assert predicate(("2", "1 day")) is False
    assert predicate(("1", "1 day")) is UNDECIDED
    assert predicate((None, "1 day")) is UNDECIDED  # NULL and false are not the same
    assert predicate(("1", ABSENT)) is None
    with pytest.raises(Unprovable) as caught:
        compile_filter(conditions, relation)
    assert caught.value.condition is conditions[0]
    assert str(caught.value) == "eq on column b is for Postgres to answer"
    predicate = compile_filter(parse_filter("b=gt.2024-01-01,a=eq.1"), build_relation({"a": "int4", "b": "date"}))
    assert predicate((None, "01/31/2024")) is UNDECIDED


@pytest.mark.parametrize(
    "text",
    [
        "c=match.(a|b)",
        "c=match.a{2}",
        "c=match.\\d",
        "c=match.\\yword",
        "c=match.[[:alpha:]]",
        "c=match.[z-a]",
        "c=match.[a-Z]",
        "c=match.***=a",
        "c=match.*a",
        "c=match.a**",
        "c=match.a+?",
        "c=match.(",
        "c=match.a*b*",
        "c=match.a?a?a?a?a?",
        "c=match.a^b",
        "c=match.^*",
        "c=match.a\\",
        "c=like.a\\",
        "c=ilike.é",
        "c=ilike.hi",
        "c=imatch.[A-Z]i",
        "c=lt.a",
        "c=eq.\ufffd",
    ],
)
def test_what_only_postgres_can_tell_about_text(text: str) -> None:
    assert refuses(text, build_type("text"))


@pytest.mark.parametrize(
    ("text", "type_name"),
    [
        ("c=eq.0x1F", "int4"),
        ("c=eq.1_000", "int8"),
        ("c=eq.-1", "oid"),
        ("c=eq.1e2000", "numeric"),
        ("c=eq.abc", "numeric"),
        ("c=eq." + "1" * 2000, "numeric"),
        ("c=eq.1e400", "float8"),
        ("c=eq.1e-400", "float8"),
        ("c=eq.0x1p3", "float8"),
        ("c=eq.1e39", "float4"),
        ("c=eq.16777217", "float4"),
        ("c=eq.1e-40", "float4"),
        ("c=eq.tomorrow", "date"),
        ("c=eq.2023-02-29", "date"),
        ("c=eq.01/02/2024", "date"),
        ("c=eq.noon", "time"),
        ("c=eq.25:00", "time"),
        ("c=eq.2024-01-01", "timestamp"),
        ("c=eq.2024-01-01 10:00:00.1234567", "timestamp"),
        ("c=eq.2024-01-01 10:00:00", "timestamptz"),
        ("c=eq.2024-01-01 10:00:00 Europe/Berlin", "timestamptz"),
        ("c=eq.0001-01-01 00:00:00+14", "timestamptz"),
        ("c=eq.2024-01-01 00:00:00+15", "timestamptz"),
        ("c=eq.abc", "bytea"),
        ("c=eq.\\xabc", "bytea"),
        ("c=like.a%", "bytea"),
        ("c=eq." + "x" * 64, "name"),
        ("c=eq.1", "json"),
        ("c=in.(1)", "jsonb"),
        ("c=isdistinct.1", "inet"),
        ("c=eq.{}", "int4[]"),
    ],
)
def test_what_only_postgres_can_tell_about_other_types(text: str, type_name: str) -> None:
    assert refuses(text, build_type(type_name))


def test_enums_are_compared_but_not_ordered() -> None:
    relation = build_relation({"c": ""}, c=MOOD)
    assert compile_filter(parse_filter("c=in.(sad,ok)"), relation)(("ok",)) is True
    assert refuses("c=lt.ok", MOOD)


def test_domains_are_what_they_are_made_of() -> None:
    relation = build_relation({"c": ""}, c=POSITIVE)
    assert compile_filter(parse_filter("c=gt.9"), relation)(("10",)) is True
    with pytest.raises(ConfigurationError, match="requires a text-compatible column type, got positive"):
        compile_filter(parse_filter("c=like.9"), relation)


def test_types_of_extensions_and_rows_are_left_to_postgres() -> None:
    assert all(refuses(f"c={name}.a", CITEXT) for name in ("eq", "lt", "like", "imatch", "isdistinct"))
    assert refuses("c=is.null", ADDRESS)
    assert not refuses("c=is.null", CITEXT)


@pytest.mark.parametrize("text", ["c=eq.a", "c=in.(a)", "c=like.a", "c=isdistinct.a", "c=ilike.a", "c=match.a"])
def test_a_nondeterministic_collation_leaves_even_equality_open(text: str) -> None:
    assert refuses(text, build_type("text"), locale=NONDETERMINISTIC)


@pytest.mark.parametrize("locale", ["", "en_US.UTF-8", "de-AT", "c"])
def test_only_some_locales_order_by_code_point(locale: str) -> None:
    assert refuses("c=lt.a", build_type("text"), locale=locale)
    assert answer("c=lt.a", "text", "B", locale="C.UTF-8") is True


def test_case_folds_by_the_locale() -> None:
    assert answer("c=ilike.HI", "text", "hi", locale="en_US.UTF-8") is True
    assert answer("c=ilike.AB", "text", "ab") is True
    assert refuses("c=ilike.HI", build_type("text"), locale="tr_TR.UTF-8")
    assert answer("c=ilike.k", "text", "\u212a", locale="en_US.UTF-8") is UNDECIDED  # the Kelvin sign


def test_rows_in_another_form_than_expected_are_undecided() -> None:
    assert answer("c=eq.2024-01-01 10:00:00Z", "timestamptz", "2024-01-01 11:00:00+01") is UNDECIDED
    assert answer("c=lt.2024-01-01", "date", "12/31/2023") is UNDECIDED
    assert answer("c=eq.\\x00", "bytea", "\\000") is UNDECIDED
    assert answer("c=isdistinct.\\x00", "bytea", "\\000") is UNDECIDED
    assert answer("c=in.(\\\\x00)", "bytea", "\\000") is UNDECIDED
    assert answer("c=gt.1", "float4", "1e-40") is UNDECIDED


@pytest.mark.parametrize("text", ["c=like.%a_a_b", "c=match.a*b", "c=match.a.a.a.a.b", "c=ilike.%a_a_b%"])
def test_the_work_on_one_row_is_bounded(text: str) -> None:
    assert answer(text, "text", "a" * 1_000_000) is UNDECIDED
    assert answer(text, "text", "a" * 500) is False


def test_a_filter_without_conditions_is_true() -> None:
    assert compile_filter((), build_relation({"c": "text"}))((ABSENT,)) is True


@pytest.mark.parametrize(
    ("columns", "text", "expected"),
    [
        ({"n": "int4"}, "n=eq.+007", [EqualityKeys(0, 0, ("7",))]),
        ({"a": "text", "n": "int8"}, "a=like.x,n=in.(2,02,NULL,1)", [EqualityKeys(1, 1, ("1", "2"))]),
        ({"c": "uuid"}, "c=eq.{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        ({"c": "bool"}, "c=eq.yes", ["t"]),
        ({"c": "char(5)"}, "c=eq.ab ", ["ab"]),
        ({"c": "text"}, 'c=eq."ab "', ["ab "]),
        ({"c": "numeric"}, "c=in.(1.50,15e-1,0.0,-0)", ["0", "1.5"]),
        ({"c": "timestamp"}, "c=eq.2024-01-01T10:00:00.500", ["2024-01-01 10:00:00.5"]),
        ({"c": "text"}, "c=in.()", [EqualityKeys(0, 0, ())]),
        ({"c": "text"}, "c=not.eq.a", []),
        ({"c": "text"}, "c=neq.a,c=isdistinct.a,c=is.null,c=lt.a", []),
        ({"c": "float8"}, "c=eq.1", []),
        ({"c": "timestamptz"}, "c=eq.2024-01-01T10:00:00Z", []),
        ({"c": "interval"}, "c=eq.1 day", []),
        ({"c": "int4"}, "c=eq.0x10", []),
    ],
)
def test_equality_keys(columns: dict[str, str], text: str, expected: list[EqualityKeys | str]) -> None:
    found = equality_keys(parse_filter(text), build_relation(columns))
    if expected and isinstance(expected[0], str):
        assert [value for keys in found for value in keys.values] == expected
    else:
        assert list(found) == expected


def test_a_nondeterministic_collation_has_no_equality_keys() -> None:
    relation = build_relation({"c": "text"})
    assert equality_keys(parse_filter("c=eq.a"), relation, locales={"c": NONDETERMINISTIC}) == ()
    assert canonical(build_type("text"), locale=NONDETERMINISTIC) is None


@pytest.mark.parametrize(
    ("type_name", "text", "form"),
    [("char(5)", "ab   ", "ab"), ("numeric", "1.500", "1.5"), ("numeric", "100", "100"), ("numeric", "0.00", "0")],
)
def test_canonical_form_of_rows(type_name: str, text: str, form: str) -> None:
    convert = canonical(build_type(type_name))
    assert convert is not None
    assert convert(text) == form


def test_rows_of_most_types_are_canonical_as_they_are() -> None:
    assert canonical(build_type("int8")) is as_written
    assert canonical(POSITIVE) is as_written
    assert canonical(build_type("float8")) is None
    assert canonical(build_type("jsonb")) is None


def test_names_in_messages_are_those_of_postgres() -> None:
    assert spoken_name(build_type("int4[]")) == "integer[]"
    assert spoken_name(build_type("char(3)")) == "character"
    assert spoken_name(MOOD) == "mood"


def test_a_regular_expression_that_postgres_refused_is_named() -> None:
    error = expression_error("imatch", "invalid regular expression: parentheses () not balanced")
    assert error.message.startswith("invalid regular expression for imatch filter: invalid regular expression: paren")


def test_a_query_quotes_names_and_binds_values() -> None:
    relation = Relation(1, 'sch"ema', "50% off", "full", (Column('c"%s', build_type("text")),))
    query = filter_query(parse_filter("c\"%s=not.eq.x'y"), relation)
    assert query.text == 'select not (coalesce((null::"sch""ema"."50%% off")."c""%%s", %s) = %s)'
    assert query.parameters(("v",)) == ["v", "x'y"]
    assert query.parameters((None,)) == [None, "x'y"]
    assert query.parameters((ABSENT,)) is None


def test_a_query_of_a_keyword_binds_only_the_value() -> None:
    query = filter_query(parse_filter('b=not.is.true,t=in.(a,NULL,"q\\"")'), build_relation({"b": "bool", "t": "text"}))
    assert query.text.count("%s") == 3
    assert query.parameters(("t", "a")) == ["t", "a", '{"a",NULL,"q\\""}']
    assert filter_query((), build_relation({"b": "bool"})).text == "select true"


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_no_table_has_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="quoting a name"):
        quote_identifier(name)
