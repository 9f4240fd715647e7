"""What is remembered of a shape is what planning says, for every value and every header."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.data_tables import SCHEMA
from tidewire.query.errors import QueryError
from tidewire.query.limits import Limits
from tidewire.query.plans import MOST_SHAPES, Plans
from tidewire.query.request import Planned, Request, plan

LIMITS = Limits(max_conditions=4)

VALUES = st.text(max_size=5) | st.sampled_from(["1", "null", "(1,2)", "\0", "\0000", "%s", "%%", "*", '"a,b"', "{1}"])
OPERATORS = st.sampled_from(["eq", "neq", "gt", "not.eq", "like", "in", "is", "eq(any)", "cs", "fts", "select", "nope"])
KEYS = st.sampled_from(
    [
        "id",
        "name",
        "city",
        "and",
        "or",
        "order",
        "limit",
        "offset",
        "select",
        "projects.id",
        "projects.order",
        "none",
        "",
    ]
)
PAIRS = st.lists(st.tuples(KEYS, st.builds("{}.{}".format, OPERATORS, VALUES) | VALUES), max_size=4)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "accept": st.sampled_from(["text/csv", "application/vnd.pgrst.object+json", "nothing/at-all"]),
        "prefer": st.sampled_from(["count=exact", "count=estimated", "handling=strict, what=ever"]),
        "range": st.sampled_from(["0-4", "x"]),
        "accept-profile": st.sampled_from(["public", "hidden"]),
        "x-other": st.just("1"),
    },
)


def outcome(made: Planned | QueryError) -> object:
    return made if isinstance(made, Planned) else (made.status, made.body())


def asked(method: str, query: list[tuple[str, str]], headers: Mapping[str, str]) -> Request:
    return Request(method, ("clients",), query, headers)


def planned(request: Request) -> object:
    try:
        return outcome(plan(request, SCHEMA, LIMITS))
    except QueryError as refused:
        return outcome(refused)


def remembered(plans: Plans, request: Request) -> object:
    try:
        return outcome(plans.plan(request, SCHEMA))
    except QueryError as refused:
        return outcome(refused)


@given(st.lists(st.tuples(st.sampled_from(["GET", "HEAD", "DELETE"]), PAIRS, HEADERS), min_size=1, max_size=6))
def test_it_is_what_planning_says(requests: list[tuple[str, list[tuple[str, str]], dict[str, str]]]) -> None:
    plans = Plans(LIMITS)
    for _ in range(2):
        for each in requests:
            request = asked(*each)
            assert remembered(plans, request) == planned(request)


def test_values_share_a_shape_and_nothing_else_does() -> None:
    plans = Plans(LIMITS)
    for number in range(10):
        made = plans.plan(asked("GET", [("id", f"eq.{number}"), ("name", "neq.x")], {}), SCHEMA)
        assert {str(number), "x"} <= set(made.statement.parameters)
    assert len(plans) == 1
    for query in ([("id", "eq.1")], [("id", "gt.1"), ("name", "neq.x")], [("name", "neq.x"), ("id", "eq.1")]):
        plans.plan(asked("GET", query, {}), SCHEMA)
    assert len(plans) == 4
    plans.plan(asked("GET", [("id", "eq.1")], {"prefer": "count=exact"}), SCHEMA)
    assert len(plans) == 5


def test_another_schema_makes_it_forget() -> None:
    plans = Plans(LIMITS)
    request = asked("GET", [("id", "eq.1")], {})
    plans.plan(request, SCHEMA)
    empty = type(SCHEMA)(tables={}, references=(), functions={}, version=SCHEMA.version)
    with pytest.raises(QueryError, match="Could not find the table"):
        plans.plan(request, empty)


def test_what_is_remembered_is_bounded() -> None:
    plans = Plans(LIMITS)
    for limit in range(MOST_SHAPES + 50):
        plans.plan(asked("GET", [("limit", str(limit))], {}), SCHEMA)
    assert len(plans) == MOST_SHAPES
    plans.plan(asked("GET", [("name", f"in.({'x' * 10_000})")], {}), SCHEMA)
    assert len(plans) == MOST_SHAPES
