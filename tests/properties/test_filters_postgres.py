"""Postgres is the oracle of filters: what the compiler does not refuse it answers as Postgres does, on every version.

Also the other way round: what the compiler calls an error is one, and what is an error it never compiles.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from tests.support.filter_cases import Case, read_cases
from tests.support.type_catalog import read_relation
from tests.support.type_literals import SCALARS
from tidewire.filters.answer import UNDECIDED, Answer
from tidewire.filters.equality import canonical, equality_keys
from tidewire.filters.grammar import Condition, Operator, parse_filter
from tidewire.filters.predicate import compile_filter
from tidewire.filters.sql import FilterQuery, filter_query
from tidewire.filters.unsure import Unprovable
from tidewire.model.change import Row
from tidewire.model.errors import ConfigurationError
from tidewire.model.relation import Relation

Database = psycopg.Connection[Any]

PATIENCE_S = 60 * max(1, settings().max_examples // 100)
"""A hundred rounds take about 3 s on a quiet machine; the long form runs a hundred times as many."""

SETTINGS = "set datestyle = ISO; set intervalstyle = postgres; set timezone = UTC; set extra_float_digits = 1"

ODD_SCHEMA = '50% "odd"'

LABELS = ["sad", "ok", 'it\'s "{great}", (really)\\']

SCHEMA = """
    create type mood as enum ('sad', 'ok', 'it''s "{great}", (really)\\');
    create domain positive as int4 check (value > 0);
    create domain word as text collate "C";
"""

COLUMNS = {
    "small": "int2",
    "whole": "int4",
    "big": "int8",
    "exact": "numeric(9, 3)",
    "single": "float4",
    "double": "float8",
    "flag": "bool",
    "id": "uuid",
    "owner": "oid",
    "free": "text",
    'sorted "%s"': 'text collate "C"',
    "short": 'varchar(9) collate "C"',
    "padded": 'char(5) collate "C"',
    "ident": "name",
    "feeling": "mood",
    "count": "positive",
    "term": "word",
    "bytes": "bytea",
    "day": "date",
    "clock": "time",
    "moment": "timestamp",
    "instant": "timestamptz",
    "span": "interval",
    "document": "jsonb",
    "draft": "json",
    "host": "inet",
    "list": "int4[]",
}
LOCALES = dict.fromkeys(('sorted "%s"', "short", "padded", "ident", "term"), "C")
TEXTS = {"free", *LOCALES}

_letters = st.text("aAbBiI .%_é", max_size=5)
_pattern = st.text("aAbBi%_é.\\", max_size=6)
_expression = st.lists(
    st.sampled_from(["a", "b", "I", "é", ".", "[a-c]", "[^ab]", "[B-A]", "\\.", "\\a", *"*+?^$(|"]),
    max_size=5,
).map("".join)
_nonsense = st.sampled_from(["", " ", "abc", "1.5", "-1", "0x1F", "1_0", "99999999999999999999", "NaN", "2024-02-30"])
_spellings: dict[str, st.SearchStrategy[str]] = {
    "bool": st.sampled_from(["TRUE", "t", "of", "o", "yes", "n", "1", "2", " off "]),
    "date": st.sampled_from(["2024-02-29", "epoch", "1999-01-08", "January 8, 1999"]),
    "time": st.sampled_from(["04:05", "04:05:06.7890", "24:00:00", "04:05 PM"]),
    "timestamp": st.sampled_from(["2024-02-29T13:01:02.500Z", "2024-02-29 13:01+05", "2024-02-29"]),
    "timestamptz": st.sampled_from(["2024-02-29T13:01:02.500Z", "2024-02-29T13:01:02-11:30", "2024-02-29 13:01"]),
    "numeric": st.sampled_from(["1.50", "15e-1", "-0", "inf", "1.", ".5", "1e3"]),
    "float8": st.sampled_from(["1.50", "15e-1", "-0", "inf", "1e400", "1e-400", "0.1"]),
    "float4": st.sampled_from(["1.50", "16777217", "-0", "1e39", "1e-40", "0.1", "3.4028236e38"]),
    "uuid": st.sampled_from(["{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11"]),
}
_other_names = {"varchar": "text", "bpchar": "text", "text": "text", "mood": "mood", "positive": "int4", "word": "text"}


@pytest.fixture
def connection(any_database: str) -> Iterator[Database]:
    with psycopg.connect(any_database, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(SETTINGS)
        connection.execute(SCHEMA)
        yield connection


@pytest.fixture
def relation(connection: Database) -> Relation:
    connection.execute(sql.SQL("create schema {}").format(sql.Identifier(ODD_SCHEMA)))
    return create_table(connection, ODD_SCHEMA, "100% table", COLUMNS)


def literals_of(type_name: str) -> st.SearchStrategy[str]:
    name = type_name.partition(" ")[0].partition("(")[0]
    name = _other_names.get(name, "text" if name == "char" else name)
    if name == "mood":
        return st.sampled_from(LABELS)
    if name == "text":
        return _letters
    if name == "int4[]":
        return st.just("{1,2}")
    small = st.integers(0, 3).map(str)  # so that values meet
    is_number = name in {"int2", "int4", "int8", "oid", "numeric", "float4", "float8"}
    return small | SCALARS[name] if is_number else SCALARS[name]


@st.composite
def questions(draw: st.DrawFn) -> tuple[Condition, str | None]:
    """Draw a condition and a value for its column that has a fair chance to be equal."""
    column = draw(st.sampled_from(list(COLUMNS)))
    type_name = COLUMNS[column]
    literals = literals_of(type_name)
    value = draw(st.none() | literals)
    spelled = [literals, _spellings.get(type_name.partition("(")[0], literals)]
    if type_name != "mood":  # its labels are not known without the catalog
        spelled.append(_nonsense)
    if value is not None:
        spelled.extend([st.just(value)] * 3)
    constants = st.one_of(spelled)
    operators: list[Operator] = ["eq", "neq", "lt", "lte", "gt", "gte", "in", "is", "isdistinct"]
    if column in TEXTS or draw(st.integers(0, 9)) == 0:
        operators.extend(["like", "ilike", "match", "imatch"] * 2)
    operator = draw(st.sampled_from(operators))
    negated = draw(st.booleans())
    if operator == "in":
        return Condition(column, operator, tuple(draw(st.lists(st.none() | constants, max_size=3))), negated), value
    if operator == "is":
        return Condition(column, operator, draw(st.sampled_from(["null", "true", "false", "unknown"])), negated), value
    patterns = {"like": _pattern, "ilike": _pattern, "match": _expression, "imatch": _expression}
    return Condition(column, operator, draw(patterns.get(operator, constants)), negated), value


@pytest.mark.timeout(PATIENCE_S)
def test_compiled_answers_are_those_of_postgres(connection: Database, relation: Relation) -> None:
    tally = {"compiled": 0, "refused": 0, "error": 0}

    @given(st.lists(questions(), min_size=1, max_size=8))
    def check(asked: list[tuple[Condition, str | None]]) -> None:
        for condition, literal in asked:
            row = log_row(connection, relation, {condition.column: literal})
            theirs = ask_postgres(connection, filter_query([condition], relation), row)
            ours = ask_compiled([condition], relation, row)
            if isinstance(ours, str):
                tally["error"] += 1
                assert isinstance(theirs, str), (condition, literal, ours, theirs)
                assert "invalid input syntax" not in ours or ours == theirs
            elif ours is UNDECIDED:
                tally["refused"] += 1
            else:
                tally["compiled"] += 1
                assert ours is theirs, (condition, row)

    check()
    # The compiler must not hide behind refusals.
    assert tally["compiled"] > tally["refused"], tally
    assert tally["compiled"] > sum(tally.values()) / 3, tally


@pytest.mark.timeout(PATIENCE_S)
def test_several_conditions_combine_as_in_sql(connection: Database, relation: Relation) -> None:
    @given(st.lists(questions(), min_size=2, max_size=3, unique_by=lambda question: question[0].column))
    def check(asked: list[tuple[Condition, str | None]]) -> None:
        conditions = [condition for condition, _ in asked]
        row = log_row(connection, relation, {condition.column: literal for condition, literal in asked})
        ours = ask_compiled(conditions, relation, row)
        if ours is UNDECIDED:
            return
        theirs = ask_postgres(connection, filter_query(conditions, relation), row)
        if isinstance(ours, str):
            assert isinstance(theirs, str)
        elif not isinstance(theirs, str):  # a pattern that is an error, where another condition is false
            assert ours is theirs, (conditions, row)
        else:
            assert ours is False

    check()


@pytest.mark.timeout(PATIENCE_S)
def test_equality_keys_find_exactly_the_rows_that_are_equal(connection: Database, relation: Relation) -> None:
    @given(st.lists(questions(), min_size=1, max_size=8))
    def check(asked: list[tuple[Condition, str | None]]) -> None:
        for condition, literal in asked:
            try:
                found = equality_keys([condition], relation, locales=LOCALES)
            except ConfigurationError:
                continue
            row = log_row(connection, relation, {condition.column: literal})
            for keys in found:
                convert = canonical(relation.columns[keys.column].type)
                text = row[keys.column]
                assert convert is not None
                hit = isinstance(text, str) and convert(text) in keys.values
                assert hit is (ask_postgres(connection, filter_query([condition], relation), row) is True)

    check()


def test_postgres_gives_the_specified_answers(connection: Database) -> None:
    tables = tables_of_cases(connection)
    cases = [case for case in read_cases() if case.complete]
    assert len(cases) > 150
    for case in cases:
        query = filter_query(parse_filter(case.filter), tables(case))
        assert ask_postgres(connection, query, case.values) is case.answer, case


def test_postgres_gives_the_specified_errors(connection: Database) -> None:
    tables = tables_of_cases(connection)
    cases = [case for case in read_cases() if case.error and " type" in case.error]
    assert len(cases) > 10
    for case in cases:
        theirs = probe(connection, filter_query(parse_filter(case.filter), tables(case)))
        assert theirs is not None, case
        assert theirs == case.error or "operator does not exist" in theirs, case


def test_a_probe_finds_what_postgres_refuses(connection: Database, relation: Relation) -> None:
    refused = {
        "feeling=eq.nobody": "invalid input value for enum mood",
        "free=match.(": "invalid regular expression: parentheses () not balanced",
        "free=imatch.*a": "invalid regular expression: quantifier operand invalid",
        "free=like.a\\": "LIKE pattern must not end with escape character",
        "free=ilike.%a\\%_b\\": "LIKE pattern must not end with escape character",
        "draft=eq.{}": "operator does not exist: json = ",
        "day=eq.2023-02-29": "date/time field value out of range",
        "whole=in.(1,x)": "invalid input syntax for type integer",
    }
    for text, error in refused.items():
        found = probe(connection, filter_query(parse_filter(text), relation))
        assert found is not None, text
        assert error in found


def test_a_probe_of_a_good_filter_finds_nothing(connection: Database, relation: Relation) -> None:
    text = "feeling=eq.sad,free=match.(a|b){2},draft=is.null,count=gt.0,span=lt.1 day,list=eq.{},whole=in.(1,NULL)"
    assert probe(connection, filter_query(parse_filter(text.replace("{}", '"{}"')), relation)) is None


def test_a_query_needs_no_privilege_on_the_table(connection: Database, relation: Relation) -> None:
    role = sql.Identifier("nobody_in_particular")
    schema = sql.Identifier(ODD_SCHEMA)
    connection.execute(sql.SQL("create role {}; grant usage on schema {} to {}").format(role, schema, role))
    connection.execute("set role nobody_in_particular")
    try:
        row = ("7", *[None] * (len(relation.columns) - 1))
        assert ask_postgres(connection, filter_query(parse_filter("small=gt.6"), relation), row) is True
    finally:
        connection.execute("reset role")
        connection.execute("drop owned by nobody_in_particular; drop role nobody_in_particular")


def create_table(connection: Database, schema: str, name: str, columns: Mapping[str, str]) -> Relation:
    definitions = [sql.SQL("{} {}").format(sql.Identifier(c), sql.SQL(t)) for c, t in columns.items()]
    table = sql.Identifier(schema, name)
    connection.execute(sql.SQL("create table {} ({})").format(table, sql.SQL(", ").join(definitions)))
    return read_relation(connection, table.as_string(connection))


def tables_of_cases(connection: Database) -> Callable[[Case], Relation]:
    """Return the table of a case; cases with the same columns share one."""
    made: dict[tuple[tuple[str, str], ...], Relation] = {}

    def table(case: Case) -> Relation:
        columns = tuple(case.columns.items())
        if columns not in made:
            made[columns] = create_table(connection, "public", f"orders_{len(made)}", case.columns)
        return made[columns]

    return table


def log_row(connection: Database, relation: Relation, literals: Mapping[str, str | None]) -> Row:
    """Return the row as the log would carry it: what each type's output function makes of the literal."""
    texts: dict[str, str | None] = {}
    table = sql.Identifier(relation.schema, relation.name)
    for name, literal in literals.items():
        query = sql.SQL("select coalesce((null::{}).{}, $1)").format(table, sql.Identifier(name))
        result = psycopg.RawCursor(connection).execute(query, (literal,)).pgresult
        assert result is not None
        raw = result.get_value(0, 0)
        texts[name] = None if raw is None else raw.decode()
    return tuple(texts.get(column.name) for column in relation.columns)


def ask_postgres(connection: Database, query: FilterQuery, row: Row) -> bool | str | None:
    """Return Postgres's answer, or the first line of its refusal."""
    try:
        found = connection.execute(query.text.encode(), query.parameters(row)).fetchone()
    except (psycopg.DataError, psycopg.ProgrammingError) as error:
        return error.diag.message_primary or ""
    assert found is not None
    answer: bool | None = found[0]
    return answer


def probe(connection: Database, query: FilterQuery) -> str | None:
    """Return what Postgres objects to, if anything."""
    try:
        connection.execute(query.text.encode(), query.probe())
    except (psycopg.DataError, psycopg.ProgrammingError) as error:
        return error.diag.message_primary
    return None


def ask_compiled(conditions: list[Condition], relation: Relation, row: Row) -> Answer | str:
    """Return our answer, UNDECIDED also where the compiler refuses, or the message of an error."""
    try:
        return compile_filter(conditions, relation, locales=LOCALES)(row)
    except Unprovable:
        return UNDECIDED
    except ConfigurationError as error:
        return error.message
