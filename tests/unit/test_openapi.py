"""The document of a schema as a value: names that cannot clash, the same bytes each time, and never too long."""

import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.data_tables import SCHEMA, column, function, table
from tidewire.query.conditions import OPERATORS, parse_condition
from tidewire.query.cursor import Cursor, as_name
from tidewire.query.errors import QueryError
from tidewire.query.fields import Field
from tidewire.query.limits import Limits
from tidewire.query.openapi import Asked, describe
from tidewire.query.openapi_parts import filter_schema
from tidewire.query.openapi_tables import component
from tidewire.query.openapi_types import type_schema
from tidewire.query.schema import Schema
from tidewire.query.usable import Usable, UsableColumn, UsableFunction, UsableTable

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=15)


def all_of(schema: Schema) -> Usable:
    """Return the rights of somebody who may do everything."""
    return Usable(
        None,
        {
            name: UsableTable(
                None,
                deletable=True,
                columns=tuple(
                    UsableColumn(each.name, each.type, each.type, "b", is_array=False, labels=None, length=None,
                                 comment=None, readable=True, insertable=True, updatable=True)
                    for each in found.columns
                ),
            )
            for (_, name), found in schema.tables.items()
        },
        {
            name: tuple(UsableFunction(callable=True, comment=None) for _ in found)
            for (_, name), found in schema.functions.items()
        },
    )  # fmt: skip


def described(schema: Schema, usable: Usable | None = None, **options: int) -> bytes:
    asked = Asked(schema, "public", usable or all_of(schema), Limits(), "/rest/v1", "1", **options)
    return msgspec.json.encode(describe(asked))


def test_the_order_in_which_the_catalog_tells_does_not_matter() -> None:
    usable = all_of(SCHEMA)
    turned = Usable(None, dict(reversed(usable.tables.items())), dict(reversed(usable.functions.items())))
    assert described(SCHEMA, turned) == described(SCHEMA, usable)


def test_what_only_one_of_both_readings_knows_waits() -> None:
    usable = all_of(SCHEMA)
    gone = Usable(None, {**usable.tables, "new": usable.tables["clients"]}, {**usable.functions, "add": ()})
    paths = msgspec.json.decode(described(SCHEMA, gone))["paths"]
    assert "/new" not in paths
    assert "/rpc/add" not in paths
    assert "/clients" in paths


def test_what_would_be_too_long_is_left_out_and_told() -> None:
    wide = {
        ("public", f"t{number}"): table(f"t{number}", column("a", "text"), column("b", "text")) for number in range(9)
    }
    calls = {("public", "f"): (function("f", returns="text"),)}
    found = msgspec.json.decode(
        described(Schema(tables=wide, references=(), functions=calls, version=180000), most_members=12)
    )
    assert list(found["paths"]) == ["/", *(f"/t{number}" for number in range(6))]
    assert found["info"]["description"] == "4 tables and functions are left out, because this would be too long."


@given(names, names)
def test_parts_of_different_names_have_different_names(first: str, second: str) -> None:
    allowed = set(string.ascii_letters + string.digits + "._-")
    assert set(component(first)) <= allowed
    assert (component(first) == component(second)) == (first == second)
    assert not component(first).startswith("api.")


@given(names)
def test_a_name_is_written_so_that_it_is_read(name: str) -> None:
    if len(name.encode()) <= 63:
        for quoted in (False, True):
            cursor = Cursor(as_name(name, quoted=quoted), "a name", Limits())
            assert (cursor.name(), cursor.at_end) == (name, True)


@given(st.from_regex(filter_schema()["pattern"], fullmatch=True))
def test_what_the_pattern_of_a_filter_allows_is_a_filter(text: str) -> None:
    try:
        parse_condition(Field("id"), text, Limits())
    except QueryError as error:
        assert "expected at most" in error.message, error.details  # noqa: PT017 - most texts are read


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_the_pattern_of_a_filter_knows_every_operator(operator: str) -> None:
    assert f"{operator}" in filter_schema()["pattern"]


def test_types_of_which_only_the_name_is_known() -> None:
    assert type_schema("integer[]")["items"]["type"] == ["integer", "null"]
    assert type_schema("timestamp with time zone")["format"] == "date-time"
    assert type_schema("bigint")["type"] == ["integer", "null"], "a function may return NULL"
    assert type_schema("public.mood") == {"x-postgres-type": "public.mood"}
    assert type_schema("inet")["type"] == ["string", "null"]
