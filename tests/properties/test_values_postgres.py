"""Values and rows of every type, through a real Postgres: our JSON of the text form equals `to_jsonb` of the value.

Where they differ on purpose, `expected` says how; docs/reference/types.md says why.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from tests.support.type_catalog import read_relation, read_type
from tests.support.type_literals import literals
from tidewire.model.record import record_encoder
from tidewire.model.relation import PgType
from tidewire.model.values import json_encoder

Database = psycopg.Connection[Any]

PATIENCE_S = 60 * max(1, settings().max_examples // 100)
"""A hundred rows of every type take 3 s on a quiet machine; the long form runs a hundred times as many."""

LABELS = ["sad", "NULL", 'it\'s "{great}", (really)\\']

SETTINGS = """
    set datestyle = ISO; set intervalstyle = postgres; set timezone = UTC; set extra_float_digits = 1;
    set bytea_output = hex; set client_encoding = UTF8
"""

SCHEMA = """
    create type mood as enum ('sad', 'NULL', 'it''s "{great}", (really)\\');
    create domain positive as int4;
    create domain measure as float8;
    create domain photo as bytea;
    create domain amounts as numeric[];
    create type lonely as (single text);
    create type nobody as ();
    create type address as (street text, "the ""house"" number" positive, since timestamptz);
    create type person as (
        "its {name} %s" text, home address, past address[], feeling mood, face photo, faces bytea[], weight measure,
        score numeric, notes jsonb, draft json, places box[], active bool, owner oid, words int2vector
    );
"""

GROUPS = {
    "numbers": ["int2", "int4", "int8", "numeric", "float4", "float8", "positive", "measure", "money", "oid", "xid"],
    "texts": ["text", "varchar(9)", "char(9)", '"char"', "name", "bool", "mood", "uuid", "tsvector", "regclass"],
    "bytes": ["bytea", "photo", "bit(7)", "varbit", "pg_lsn", "tid", "int2vector", "oidvector"],
    "times": ["date", "time", "timetz", "timestamp", "timestamptz", "interval"],
    "documents": ["json", "jsonb", "json[]", "jsonb[]"],
    "places": ["inet", "cidr", "macaddr", "point", "box", "circle", "polygon"],
    "ranges": ["int4range", "int8range", "numrange", "tsrange", "tstzrange", "int4multirange", "tstzmultirange"],
    "arrays of numbers": ["int8[]", "numeric[]", "float4[]", "float8[]", "measure[]", "bool[]", "oid[]", "amounts"],
    "arrays of others": [
        "text[]",
        "char(3)[]",
        "bytea[]",
        "mood[]",
        "timestamptz[]",
        "box[]",
        "int4range[]",
        "amounts[]",
    ],
    "composites": ["lonely", "nobody", "address", "address[]", "person", "lonely[]", "nobody[]"],
}

TEN = ["int8", "text", "text", "timestamptz", "numeric", "bool", "uuid", "jsonb", "int4", "float8"]
ALL = [name for names in GROUPS.values() for name in names]


@pytest.fixture
def connection(any_database: str) -> Iterator[Database]:
    with psycopg.connect(any_database, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(SETTINGS)
        connection.execute(SCHEMA)
        yield connection


@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.parametrize("group", GROUPS)
def test_a_value_equals_to_jsonb(connection: Database, group: str) -> None:
    types = {name: read_type(connection, name) for name in GROUPS[group]}
    of_any_type = st.sampled_from(GROUPS[group]).flatmap(
        lambda name: st.tuples(st.just(name), literals(types[name], LABELS))
    )

    @given(st.lists(of_any_type, min_size=1, max_size=8))
    def check(values: list[tuple[str, str]]) -> None:
        for (name, _), (text, theirs) in zip(values, answers(connection, values), strict=True):
            ours = json_encoder(types[name])(text)
            assert loads(ours) == expected(types[name], loads(theirs)), (name, text, ours, theirs)
            assert "\n" not in ours
            if is_number(types[name]) and loads(ours) is not None:
                assert ours == text, "a number keeps its text"

    check()


@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.parametrize("names", [TEN, ALL], ids=["ten columns", "every type"])
def test_a_row_equals_to_jsonb(connection: Database, names: list[str]) -> None:
    # Hostile on purpose: names become members of the object.
    columns = [f"c{place} \"'{{}}\\%s" for place in range(len(names))]
    definitions = [sql.SQL("{} {}").format(sql.Identifier(c), sql.SQL(n)) for c, n in zip(columns, names, strict=True)]
    connection.execute(sql.SQL("create table whole ({})").format(sql.SQL(", ").join(definitions)))
    relation = read_relation(connection, "whole")
    encode = record_encoder(relation)
    insert = sql.SQL(
        "with row as (insert into whole values ({}) returning *) select row.*, to_jsonb(row)::text from row"
    ).format(sql.SQL(", ").join(sql.SQL("%s::text::{}").format(sql.SQL(name)) for name in names))

    @given(st.tuples(*(st.none() | literals(column.type, LABELS) for column in relation.columns)))
    def check(values: tuple[str | None, ...]) -> None:
        *row, theirs = first_row(connection.execute(insert, values))
        assert theirs is not None
        whole = loads(theirs)
        assert loads(encode(tuple(row))) == {
            column.name: expected(column.type, whole[column.name]) for column in relation.columns
        }

    check()


def test_xml_is_its_text(connection: Database) -> None:
    try:
        connection.execute("select '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        # The embedded server is built without libxml, so such a column cannot exist there.
        assert read_type(connection, "xml").name == "xml"
        return
    [(text, theirs)] = answers(connection, [("xml", "<a b='\"'>ü</a>")])
    assert loads(json_encoder(read_type(connection, "xml"))(text)) == loads(theirs)


def test_a_type_altered_after_the_row_was_written_is_passed_on_as_text(connection: Database) -> None:
    old = read_type(connection, "address")
    connection.execute("alter type address add attribute town text")
    [(text, _)] = answers(connection, [("address", '("a, b",7,2024-02-29,x)')])
    assert loads(json_encoder(old)(text)) == text
    assert loads(json_encoder(read_type(connection, "address"))(text))["town"] == "x"


def test_a_session_in_another_time_zone_says_so(connection: Database) -> None:
    for zone in ("Asia/Kolkata", "Europe/Amsterdam", "America/St_Johns", "Etc/GMT+5"):
        connection.execute("select set_config('timezone', %s, false)", (zone,))
        # Before standard time the offsets of cities have seconds.
        values = [("timestamptz", moment) for moment in ("2024-07-01", "0800-01-01", "0044-03-15 BC", "infinity")]
        for text, theirs in answers(connection, values):
            assert loads(json_encoder(read_type(connection, "timestamptz"))(text)) == loads(theirs)


def test_bytea_in_escape_form_is_hex_too(connection: Database) -> None:
    connection.execute("set bytea_output = escape")
    everything = bytes(range(256)).hex()
    [(text, _)] = answers(connection, [("bytea", "\\x" + everything)])
    assert loads(json_encoder(read_type(connection, "bytea"))(text)) == everything


def expected(type_: PgType, value: Any, *, nested: bool = False) -> Any:
    """Turn what `to_jsonb` says into what Tidewire says: the two intended differences, and no more."""
    if value is None:
        return None
    if type_.kind == "domain" and type_.base is not None:
        return expected(type_.base, value, nested=nested)
    if type_.kind == "array":
        return [expected(type_ if isinstance(item, list) else innermost(type_), item, nested=True) for item in value]
    if type_.kind == "composite":
        return {name: expected(part, value[name], nested=True) for name, part in type_.attributes}
    if is_number(type_) and isinstance(value, str) and not nested:
        return None  # NaN and the infinities
    return value.removeprefix("\\x") if type_.name == "bytea" else value


def innermost(type_: PgType) -> PgType:
    """Return the type of what an array holds in the end, through arrays of domains over arrays."""
    inner = type_.element if type_.kind == "array" else type_.base
    return type_ if inner is None else innermost(inner)


def is_number(type_: PgType) -> bool:
    return type_.name in {"int2", "int4", "int8", "numeric", "float4", "float8"}


def answers(connection: Database, values: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return, for each (type, literal), the text form that the log would carry and `to_jsonb`."""
    pair = "%s::text::{type}, to_jsonb(%s::text::{type})::text"
    query = sql.SQL(", ").join(sql.SQL(pair).format(type=sql.SQL(name)) for name, _ in values)
    parameters = [literal for _, literal in values for _ in range(2)]
    texts = first_row(connection.execute(sql.SQL("select {}").format(query), parameters))
    assert None not in texts
    found = [text for text in texts if text is not None]
    return list(zip(found[::2], found[1::2], strict=True))


def first_row(cursor: psycopg.Cursor[Any]) -> list[str | None]:
    """Return the raw output of the types' output functions, before psycopg makes Python values of them."""
    result = cursor.pgresult
    assert result is not None
    raw = [result.get_value(0, column) for column in range(result.nfields)]
    return [None if value is None else value.decode() for value in raw]


def loads(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)
