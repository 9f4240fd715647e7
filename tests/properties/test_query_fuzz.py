"""Whatever text stands in whatever place of a request: it is refused, or the statement's text holds none of it."""

import json
import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.data_tables import SCHEMA
from tidewire.query.errors import QueryError
from tidewire.query.limits import Limits
from tidewire.query.request import Planned, Request, plan

MARK = "zq9'\";--%s{}"
MARKS = re.compile("zq9")
PIECES = [
    "id", "name", "clients", "projects", "doc", "->", "->>", "0", "(", ")", ",", ".", ":", "::", "!", "inner", "...",
    "*", "eq", "in", "is", "null", "not", "and", "or", "any", "all", "fts", "cs", "like", "{", "}", '"', "\\", "=",
    "text", "order", "limit", "asc", "nullsfirst", " ", "%s", "%", "{0}", "'", ";", "--", "é", "\0", "\ud800", "1", "-",
    "%(x)s", "$1", "select", "public", "count()", "people", "boss", "\n", "\U0001f600",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=30)
keys = st.sampled_from(["select", "order", "limit", "offset", "and", "or", "not.and", "columns", "on_conflict", "id",
                        "doc->a", "projects.order", "projects.id", "a", "b"]) | texts  # fmt: skip
headers = st.dictionaries(
    st.sampled_from(["prefer", "accept", "range", "accept-profile", "content-profile", "content-type"]),
    texts | st.sampled_from(["return=representation", "count=exact", "missing=default", "text/csv", "public",
                             "resolution=merge-duplicates", "application/vnd.pgrst.object+json", "0-3"]),
    max_size=3,
)  # fmt: skip
paths = st.sampled_from([("clients",), ("projects",), ("rpc", "add"), ("rpc", "pairs"), ("rpc", "projects_of")]) | (
    st.lists(texts, max_size=3).map(tuple)
)
sound_texts = texts.map(lambda text: text.replace("\ud800", ""))  # a body with half a character is refused
values = st.recursive(
    st.none() | st.booleans() | st.integers() | sound_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(sound_texts, inner, max_size=3),
    max_leaves=6,
)
bodies = st.binary(max_size=40) | (values | st.dictionaries(keys, texts)).map(lambda value: json.dumps(value).encode())
requests = st.builds(
    Request,
    st.sampled_from(["GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"]),
    paths,
    st.lists(st.tuples(keys, texts), max_size=5),
    headers,
    bodies,
)


def attempt(request: Request) -> Planned | None:
    """Return the plan, or None when the request is refused as it should be; anything else fails the test."""
    try:
        return plan(request, SCHEMA, Limits(max_depth=5, max_conditions=20))
    except QueryError as error:
        refused = error
    assert 300 <= refused.status < 500
    assert len(json.dumps(refused.body())) < 4000
    return None


@given(requests)
@example(Request("GET", ("clients",), [("select", "id,a:name::text,projects!inner(id)")], {}))
@example(Request("POST", ("clients",), [("columns", "id,name")], {"prefer": "missing=default"}, b'[{"id":1},{}]'))
def test_any_request_is_planned_or_refused(request: Request) -> None:
    planned = attempt(request)
    if planned is not None:
        check_placeholders(planned)


def check_placeholders(planned: Planned) -> None:
    """Every percent sign of the text is a place for a parameter or stands for itself."""
    for statement in filter(None, (planned.statement, planned.estimate)):
        signs = re.findall(r"%.", statement.text, re.DOTALL)
        assert set(signs) <= {"%s", "%%"}
        assert signs.count("%s") == len(statement.parameters)
        assert not statement.text.endswith("%") or statement.text.endswith("%%")


VALUE_PLACES: list[tuple[str, str, str]] = [
    ("GET", "name", "eq.{}"),
    ("GET", "name", "in.({},x)"),
    ("GET", "name", 'in.("{}")'),
    ("GET", "name", "like(any).{}"),
    ("GET", "name", "not.ilike.{}"),
    ("GET", "name", "fts(english).{}"),
    ("GET", "name", "fts({}).x"),
    ("GET", "name", "isdistinct.{}"),
    ("GET", "name", "cs.{}"),
    ("GET", "or", "(name.eq.{},id.eq.1)"),
    ("GET", "or", '(name.eq."{}",id.eq.1)'),
    ("GET", "and", "(name.in.({}),or(id.eq.1,city.like.{}))"),
    ("GET", "city->>{}", "eq.x"),
    ("GET", "limit", "{}"),
    ("GET", "offset", "{}"),
    ("DELETE", "name", "eq.{}"),
    ("PATCH", "name", "eq.{}"),
]


@given(st.sampled_from(VALUE_PLACES), texts)
def test_no_value_reaches_the_text(place: tuple[str, str, str], text: str) -> None:
    method, key, form = place
    value = "zq9" + text
    pair = (key.replace("{}", value), form.replace("{}", value))
    planned = attempt(Request(method, ("clients",), [("select", "id"), pair], {}, b'{"city": "x"}'))
    if planned is not None:
        assert not MARKS.search(planned.statement.text)
        check_placeholders(planned)


@given(st.sampled_from(["POST", "PATCH"]), values, st.sampled_from(["", "missing=default", "return=representation"]))
def test_no_value_of_a_body_reaches_the_text(method: str, value: Any, prefer: str) -> None:
    rows: Any = {"city": [MARK, value]} if method == "PATCH" else [{"city": [MARK, value]}, {"city": 1, "id": MARK}]
    pairs = [("id", "eq.1"), ("columns", "id,city")]
    planned = attempt(Request(method, ("clients",), pairs, {"prefer": prefer}, json.dumps(rows).encode()))
    assert planned is not None
    assert not MARKS.search(planned.statement.text)
    check_placeholders(planned)


@given(st.sampled_from(["add", "projects_of", "total", "echo"]), texts, values)
def test_no_argument_reaches_the_text(name: str, text: str, value: Any) -> None:
    arguments = {"add": ("a", "c"), "projects_of": ("who",), "total": ("parts",), "echo": ("x",)}[name]
    by_body = attempt(
        Request("POST", ("rpc", name), [], {}, json.dumps({key: ["zq9", value] for key in arguments}).encode())
    )
    assert by_body is not None
    by_url = attempt(Request("GET", ("rpc", name), [(each, "zq9" + text) for each in arguments], {}))
    for planned in filter(None, (by_body, by_url)):
        assert not MARKS.search(planned.statement.text)
        check_placeholders(planned)


NAME_PLACES = ["{}", "a:{}", "{}(id)", "projects!{}(id)", "...{}(id)", "id,doc->{}", "id::{}", '"{}"', '"{}":id']


@given(st.sampled_from(NAME_PLACES), texts)
def test_names_are_quoted(form: str, text: str) -> None:
    """What a client names itself stands between double quotes, with those inside it doubled."""
    planned = attempt(Request("GET", ("projects",), [("select", form.replace("{}", "zq9" + text))], {}))
    if planned is not None:
        assert not MARKS.search(re.sub(r'"(?:[^"]|"")*"', "", planned.statement.text))
        check_placeholders(planned)
