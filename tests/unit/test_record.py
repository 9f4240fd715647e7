import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.model.change import ABSENT, Row, Value
from tidewire.model.record import record_encoder
from tidewire.model.relation import Column, PgType, Relation

INT4 = PgType(23, "int4")
TEXT = PgType(25, "text")
JSONB = PgType(3802, "jsonb")

ROWS: list[tuple[Row, str]] = [
    (("1", "x", '{"a": 1.10}'), '{"id":1,"title":"x","extra":{"a": 1.10}}'),
    (("1", None, None), '{"id":1,"title":null,"extra":null}'),
    (("1", "", "null"), '{"id":1,"title":"","extra":null}'),
    (("1", "x", ABSENT), '{"id":1,"title":"x"}'),
    ((ABSENT, "x", None), '{"title":"x","extra":null}'),
    ((ABSENT, ABSENT, ABSENT), "{}"),
]


def relation(*columns: tuple[str, PgType]) -> Relation:
    return Relation(16384, "public", "todos", "full", tuple(Column(name, type_) for name, type_ in columns))


TODOS = relation(("id", INT4), ("title", TEXT), ("extra", JSONB))


@pytest.mark.parametrize(("row", "expected"), ROWS)
def test_a_row_becomes(row: Row, expected: str) -> None:
    assert record_encoder(TODOS)(row) == expected


def test_names_limit_the_columns_and_keep_their_order() -> None:
    row: Row = ("1", "x", None)
    assert record_encoder(TODOS, ("extra", "id"))(row) == '{"id":1,"extra":null}'
    assert record_encoder(TODOS, ("title", "gone"))(row) == '{"title":"x"}'
    assert record_encoder(TODOS, ())(row) == "{}"


def test_a_column_that_was_not_chosen_may_be_absent() -> None:
    assert record_encoder(TODOS, ("id",))(("1", ABSENT, None)) == '{"id":1}'
    assert record_encoder(TODOS, ("title",))(("1", ABSENT, None)) == "{}"


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        record_encoder(TODOS)(("1", "x"))


def test_a_relation_without_columns() -> None:
    assert record_encoder(relation())(()) == "{}"


@pytest.mark.parametrize("count", [1, 10, 1600])
def test_any_number_of_columns(count: int) -> None:
    wide = relation(*((f"c{place}", INT4) for place in range(count)))
    row: tuple[Value, ...] = tuple(map(str, range(count)))
    assert json.loads(record_encoder(wide)(row)) == {f"c{place}": place for place in range(count)}
    assert json.loads(record_encoder(wide)((ABSENT, *row[1:]))) == {f"c{place}": place for place in range(1, count)}


@given(st.lists(st.text(min_size=1), unique=True), st.data())
def test_no_column_name_can_become_code(names: list[str], data: st.DataObject) -> None:
    hostile = [*names, '{v0}" + str(__import__)', "'''", "\\", "{", "%s", "\n", "key_0", "encode"]
    columns = list(dict.fromkeys(hostile))
    row = data.draw(st.tuples(*(st.none() | st.text() for _ in columns)))
    encode = record_encoder(relation(*((name, TEXT) for name in columns)))
    assert json.loads(encode(row)) == dict(zip(columns, row, strict=True))


def test_a_relation_is_compiled_once() -> None:
    again = relation(("id", INT4), ("title", TEXT), ("extra", JSONB))
    assert record_encoder(again) is record_encoder(TODOS)
    assert record_encoder(TODOS, ("id",)) is not record_encoder(TODOS)
