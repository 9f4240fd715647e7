"""What the matcher looks up and what it evaluates are together the same as the filter itself."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.filter_cases import build_relation
from tidewire.filters.answer import UNDECIDED, Answer
from tidewire.filters.collation import NONDETERMINISTIC
from tidewire.filters.grammar import Condition, Operator, parse_filter
from tidewire.filters.predicate import compile_filter
from tidewire.match.row_filter import row_filter
from tidewire.match.subscription import CompiledFilter
from tidewire.model.change import ABSENT, Row
from tidewire.model.errors import ConfigurationError

TABLE = build_relation({"a": "int4", "b": "text", "c": "text", "d": "char(3)"})
LOCALES = {"b": "C", "c": NONDETERMINISTIC, "d": "C"}
KNOWN = {("public", "orders"): LOCALES}

values = st.sampled_from(["1", "2", "3"])
rows = st.tuples(*[st.one_of(values, values, st.none(), st.just(ABSENT))] * 4)


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    operators: list[Operator] = ["eq", "eq", "neq", "gt", "isdistinct", "in"]
    operator, column = draw(st.sampled_from(operators)), draw(st.sampled_from("abcd"))
    value: str | tuple[str, ...] = draw(values)
    if operator == "in":
        value = tuple(draw(st.lists(values, max_size=3)))
    return Condition(column, operator, value, draw(st.booleans()))


@given(st.lists(conditions(), min_size=1, max_size=3), rows)
def test_looking_up_and_evaluating_is_filtering(asked: list[Condition], row: Row) -> None:
    whole = compile_filter(asked, TABLE, locales=LOCALES, partial=True)(row)
    found = evaluate(row_filter(asked, KNOWN)(TABLE), row)
    assert (found is True) is (whole is True)
    if whole is UNDECIDED:  # a NULL that is looked up cannot be found, and settles it
        assert found is UNDECIDED or any(row[place] in {None, ABSENT} for place in looked_up(asked))
    else:
        assert found is not UNDECIDED


def evaluate(compiled: CompiledFilter, row: Row) -> Answer:
    if compiled.equality is not None:
        place, wanted = compiled.equality
        value = row[place]
        if not isinstance(value, str) or (compiled.canonical or str)(value) not in wanted:
            return False
    return True if compiled.residual is None else compiled.residual(row)


def looked_up(asked: Sequence[Condition]) -> list[int]:
    names = [column.name for column in TABLE.columns]
    return [names.index(condition.column) for condition in asked if condition.operator in {"eq", "in"}]


def test_the_shortest_list_is_looked_up() -> None:
    compiled = row_filter(parse_filter("a=in.(1,2,3),b=eq.x,a=in.(4,5)"), KNOWN)(TABLE)
    assert compiled.equality == (1, ("x",))
    assert compiled.canonical is None
    assert compiled.residual is not None


def test_a_form_that_rows_do_not_have_is_brought_about() -> None:
    compiled = row_filter(parse_filter("d=eq.a"), KNOWN)(TABLE)
    assert compiled.equality == (3, ("a",))
    assert compiled.canonical is not None
    assert compiled.canonical("a  ") == "a"


def test_texts_of_unknown_tables_are_left_open() -> None:
    compiled = row_filter(parse_filter("b=eq.x"), {})(TABLE)
    assert compiled.equality is None
    assert evaluate(compiled, ("1", "y", None, None)) is UNDECIDED
    assert row_filter(parse_filter("a=eq.1"), {})(TABLE).equality == (0, ("1",))


@pytest.mark.parametrize("text", ["e=eq.1", "a=eq.x", "a=in.(1,x)", "a=like.1", "b=is.true"])
def test_what_does_not_fit_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError):
        row_filter(parse_filter(text), KNOWN)(TABLE)
