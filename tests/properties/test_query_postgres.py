"""Whatever is planned, Postgres can read: it refuses values and types, never the form of a statement."""

import json
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.data_tables import SCHEMA, STATEMENTS
from tidewire.query.answer import Row
from tidewire.query.errors import QueryError
from tidewire.query.limits import Limits
from tidewire.query.request import Request, plan

WAYS: dict[str, list[str]] = {
    "clients": ["projects", "projects!inner", "trips!trips_origin_fkey"],
    "projects": ["clients", "clients!inner", "contracts", "people", "members", "people!inner"],
    "people": ["boss", "people!boss", "people!follows_followed_fkey", "projects", "members"],
    "members": ["projects", "people!inner"],
    "contracts": ["projects"],
    "trips": ["to:clients!target", "origin"],
}
TARGETS = {"boss": "people", "origin": "clients", "to:clients": "clients"}
STEPS = ["->a", "->>0", "->a->-1->>b", '->"q\'%s"']
CALLS = {"projects_of": ("who", "projects"), "first_client": (None, "clients"), "add": ("a", None),
         "numbers": ("up_to", None), "pairs": ("up_to", None), "nothing": (None, None)}  # fmt: skip
VALUES = ["1", "x", "{a,b}", '{"a":1}', "[1,5)", "null", "", "'", "%s", "\\", '"', "2026-01-01", "true", "é", "a b"]
OPERATORS = ["eq", "neq", "gt", "lte", "like", "ilike", "match", "cs", "cd", "ov", "sl", "nxr", "adj", "isdistinct",
             "fts", "wfts(english)", "eq(any)", "like(all)", "not.eq", "not.phfts"]  # fmt: skip
PREFERENCES = ["count=exact", "count=planned", "count=estimated", "return=representation", "return=headers-only",
               "missing=default", "resolution=merge-duplicates", "resolution=ignore-duplicates"]  # fmt: skip
# What values and types that do not go together can cause; a statement of the wrong form is not among them.
ALLOWED = (
    psycopg.errors.DataError,
    psycopg.errors.IntegrityError,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedObject,
    psycopg.errors.DatatypeMismatch,
    psycopg.errors.IndeterminateDatatype,
    psycopg.errors.CannotCoerce,
    psycopg.errors.WrongObjectType,
    psycopg.errors.GeneratedAlways,
    psycopg.errors.GroupingError,
    psycopg.errors.AmbiguousFunction,
)

terms = st.builds("{0}.{1}".format, st.sampled_from(OPERATORS), st.sampled_from(VALUES)) | st.sampled_from(
    ["is.null", "not.is.true", "in.(1,2)", 'in.("a,b",c)', "in.()"]
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "accept": st.sampled_from(["text/csv", "application/vnd.pgrst.object+json;nulls=stripped"]),
        "prefer": st.lists(
            st.sampled_from(PREFERENCES),
            max_size=3,
        ).map(",".join),
    },
)


def columns_of(table: str) -> list[str]:
    """Return the table's columns as a URL writes them."""
    return [f'"{column.name}"' for column in SCHEMA.tables["public", table].columns]


@st.composite
def selects(draw: st.DrawFn, table: str, depth: int = 2) -> str:
    """Return a select list of the table, with what can be embedded."""
    items = draw(st.lists(st.sampled_from([*columns_of(table), "*", "count"]), max_size=3))
    items += [f"y:{column}{step}" for column, step in draw(st.lists(steps(table), max_size=1))]
    for way in draw(st.lists(st.sampled_from(WAYS[table]), max_size=2)) if depth and table in WAYS else []:
        target = way.split("!")[0]
        inner = draw(selects(TARGETS.get(target, target), depth - 1))
        items.append(f"{draw(st.sampled_from(['', '...']))}{way}({inner})")
    return ",".join(items)


def steps(table: str) -> st.SearchStrategy[tuple[str, str]]:
    return st.tuples(st.sampled_from(columns_of(table)), st.sampled_from(STEPS))


@st.composite
def pairs(draw: st.DrawFn, table: str) -> list[tuple[str, str]]:
    """Return filters, order and limits for the table."""
    columns = st.sampled_from(columns_of(table)) | steps(table).map("".join)
    logic = st.lists(st.builds("{0}.{1}".format, columns, terms), min_size=1, max_size=3)
    orders = st.builds("{0}{1}".format, columns, st.sampled_from(["", ".desc", ".asc.nullslast", ".nullsfirst"]))
    return draw(
        st.lists(
            st.tuples(columns, terms)
            | st.tuples(st.sampled_from(["or", "and", "not.or"]), logic.map(lambda all_: f"({','.join(all_)})"))
            | st.tuples(st.just("order"), orders)
            | st.tuples(st.sampled_from(["limit", "offset"]), st.sampled_from(["0", "1", "7"])),
            max_size=3,
        )
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Return a request that fits the tables, with values that need not fit their types."""
    if draw(st.booleans()) and draw(st.booleans()):
        function = draw(st.sampled_from(sorted(CALLS)))
        argument, returned = CALLS[function]
        shape = [("select", draw(selects(returned))), *draw(pairs(returned))] if returned else []
        given_ = [] if argument is None else [(argument, draw(st.sampled_from(["1", "3", "x"])))]
        return Request("GET", ("rpc", function), [*shape, *given_], draw(headers))
    table = draw(st.sampled_from(sorted(name for _, name in SCHEMA.tables)))
    names = [column.name for column in SCHEMA.tables["public", table].columns]
    values = st.none() | st.integers(0, 9) | st.sampled_from(VALUES) | st.just(["a"])
    rows = st.dictionaries(st.sampled_from(names), values, max_size=3)
    body = json.dumps(draw(rows | st.lists(rows, max_size=3))).encode()
    listed = [("columns", ",".join(draw(st.lists(st.sampled_from(columns_of(table)), min_size=1))))]
    query = [("select", draw(selects(table))), *draw(pairs(table)), *(listed if draw(st.booleans()) else [])]
    method = draw(st.sampled_from(["GET", "GET", "HEAD", "POST", "PATCH", "DELETE"]))
    return Request(method, (table,), query, draw(headers), body)


@pytest.mark.timeout(60)
def test_postgres_can_read_whatever_is_planned(database: str) -> None:
    ran = 0

    with psycopg.connect(database) as connection:
        for statement in STATEMENTS:
            connection.execute(statement.encode())

        @settings(max_examples=150)
        @given(requests())
        def check(request: Request) -> None:
            nonlocal ran
            try:
                planned = plan(request, SCHEMA, Limits(max_rows=20))
            except QueryError:
                return
            for statement in filter(None, (planned.estimate, planned.statement)):
                row = _run(connection, statement.text, statement.parameters)
                if row is not None and statement is planned.statement:
                    ran += 1
                    assert Row(*row).page >= 0

        check()
    assert ran > 20


def _run(connection: psycopg.Connection[Any], text: str, parameters: tuple[str | None, ...]) -> Any:
    try:
        with connection.transaction(force_rollback=True):
            return connection.execute(text.encode(), parameters).fetchone()
    except ALLOWED:
        return None
    except psycopg.errors.SyntaxError as error:
        if "in tsquery" not in str(error):  # the one kind of value whose errors have this class
            raise
        return None
