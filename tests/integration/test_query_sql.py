"""Requests run as the statements that they become, in a real Postgres, and find what plain SQL finds."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import psycopg
import pytest

from tests.support.data_tables import ODD, SCHEMA, STATEMENTS
from tidewire.query.answer import Answer, Row
from tidewire.query.errors import QueryError
from tidewire.query.limits import Limits
from tidewire.query.request import Request, plan

Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(any_database: str) -> Iterator[Connection]:
    """Return a connection to a database with the tables; what a test does is rolled back."""
    with psycopg.connect(any_database) as opened:
        for statement in STATEMENTS:
            opened.execute(statement.encode())
        yield opened
        opened.rollback()


def send(
    connection: Connection,
    method: str,
    url: str,
    body: Any = None,
    *,
    limits: Limits | None = None,
    **headers: Any,
) -> Answer:
    """Plan a request, run its statement, and return the answer."""
    path, _, query = url.partition("?")
    request = Request(
        method,
        tuple(path.split("/")),
        parse_qsl(query, keep_blank_values=True),
        {name.replace("_", "-"): value for name, value in headers.items()},
        b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode(),
    )
    planned = plan(request, SCHEMA, limits or Limits())
    rows = connection.execute(planned.statement.text.encode(), planned.statement.parameters).fetchall()
    found = Row(*rows[0])
    if planned.listing is not None:
        found = msgspec.structs.replace(found, body=planned.listing.whole(row[2] for row in rows))
    estimate = None
    if planned.estimate is not None:
        explained = connection.execute(planned.estimate.text.encode(), planned.estimate.parameters).fetchone()
        assert explained is not None
        estimate = explained[0][0]["Plan"]["Plan Rows"]
    return planned.reply.answer(found, estimate)


def read(connection: Connection, url: str, **headers: Any) -> Any:
    answer = send(connection, "GET", url, **headers)
    assert answer.body is not None
    return json.loads(answer.body)


def ids(connection: Connection, url: str) -> list[int]:
    return [row["id"] for row in read(connection, url)]


FILTERS = {
    "id=eq.1": "id = 1",
    "id=neq.1": "id <> 1",
    "id=gt.1&id=lte.3": "id > 1 and id <= 3",
    "id=gte.2": "id >= 2",
    "id=lt.2": "id < 2",
    "id=not.eq.1": "not id = 1",
    "id=in.(1,3)": "id in (1, 3)",
    "id=in.()": "false",
    "id=not.in.(1,3)": "id not in (1, 3)",
    "id=eq(any).{1,2}": "id in (1, 2)",
    "id=gt(all).{1,2}": "id > 2",
    "Long%20Name=eq.one": "\"Long Name\" = 'one'",
    "%22Long%20Name%22=like.*o*": "\"Long Name\" like '%o%'",
    "Long%20Name=ilike.%25O%25": "\"Long Name\" ilike '%O%'",
    "Long%20Name=like(any).{o*,t*}": "\"Long Name\" like any ('{o%,t%}')",
    "Long%20Name=ilike(all).{O*,*E}": "\"Long Name\" ilike all ('{O%,%E}')",
    "Long%20Name=match.^o": "\"Long Name\" ~ '^o'",
    "Long%20Name=imatch.^O": "\"Long Name\" ~* '^O'",
    "done=is.null": "done is null",
    "done=is.NULL": "done is null",
    "done=is.not_null": "done is not null",
    "done=not.is.null": "done is not null",
    "done=is.true": "done",
    "done=is.false": "done is false",
    "done=is.unknown": "done is unknown",
    "mood=eq.so%20happy": "mood = 'so happy'",
    "mood=in.(sad,%22so%20happy%22)": "mood in ('sad', 'so happy')",
    "code=eq.abcdef": "code = 'abcdef'",
    "price=eq.10.501": "price = 10.501",
    "code=isdistinct.abc": "code is distinct from 'abc'",
    "tags=cs.{a}": "tags @> '{a}'",
    "tags=cd.{a,x}": "tags <@ '{a,x}'",
    "tags=ov.{%22b,c%22}": "tags && '{\"b,c\"}'",
    "tags=eq.{a}": "tags = '{a}'",
    'doc=cs.{"n":5}': "doc @> '{\"n\":5}'",
    "span=cs.[2,3)": "span @> '[2,3)'::int4range",
    "span=cd.[0,6)": "span <@ '[0,6)'::int4range",
    "span=ov.[4,6)": "span && '[4,6)'::int4range",
    "span=sl.[5,9)": "span << '[5,9)'::int4range",
    "span=sr.[1,5)": "span >> '[1,5)'::int4range",
    "span=nxr.[1,5)": "span &< '[1,5)'::int4range",
    "span=nxl.[5,9)": "span &> '[5,9)'::int4range",
    "span=adj.[5,9)": "span -|- '[5,9)'::int4range",
    "words=fts.cat": "words @@ to_tsquery('cat')",
    "words=fts(english).run%20%26%20cat": "words @@ to_tsquery('english', 'run & cat')",
    "words=plfts(english).running%20cat": "words @@ plainto_tsquery('english', 'running cat')",
    "words=phfts(english).running%20cat": "words @@ phraseto_tsquery('english', 'running cat')",
    "words=not.wfts(english).cats%20or%20bird": "not words @@ websearch_to_tsquery('english', 'cats or bird')",
    "Long%20Name=fts(simple).one": "\"Long Name\" @@ to_tsquery('simple', 'one')",
    "doc->n=eq.5": "doc -> 'n' = '5'",
    "doc->>n=eq.5": "doc ->> 'n' = '5'",
    "doc->a->b->>1=eq.two": "doc #>> '{a,b,1}' = 'two'",
    "raw->>k=eq.v": "raw ->> 'k' = 'v'",
    "tags->>0=eq.a": "tags[1] = 'a'",
    "or=(id.eq.1,id.eq.3)": "id = 1 or id = 3",
    "not.or=(id.eq.1,id.eq.3)": "not (id = 1 or id = 3)",
    "and=(id.gt.1,or(done.is.false,done.is.null))": "id > 1 and (done is false or done is null)",
    "or=(id.in.(1,2),not.and(id.gte.2,id.lte.3))": "id in (1, 2) or not (id >= 2 and id <= 3)",
    "or=(Long%20Name.eq.%2250%25%20*off*%22,id.eq.2)": "\"Long Name\" = '50% *off*' or id = 2",
    "or=(id.eq.2,tags.cs.{a,%22b,c%22})": "id = 2 or tags @> '{a,\"b,c\"}'",
    "or=(id.not.lt.3,words.fts(english).cat)": "not id < 3 or words @@ to_tsquery('english', 'cat')",
    "made_at=gte.2026-02-01T00:00:00.000Z": "made_at >= '2026-02-01T00:00:00.000Z'",
}  # fmt: skip


def test_filters_find_what_plain_sql_finds(connection: Connection) -> None:
    found: Mapping[str, Any] = {url: ids(connection, f"projects?select=id&order=id&{url}") for url in FILTERS}
    plain = {
        url: [row[0] for row in connection.execute(f"select id from projects where {where} order by id".encode())]
        for url, where in FILTERS.items()
    }
    assert found == plain
    assert {tuple(rows) for rows in plain.values()} > {(), (1,), (2,), (3,)}


SELECTED: list[tuple[str, Any]] = [
        ("clients?select=id,called:name&id=eq.1", [{"id": 1, "called": "Ada"}]),
        ("projects?select=price::text,n:doc->n,doc->a->b->>1&id=eq.1", [{"price": "10.50", "n": 5, "b": "two"}]),
        ("projects?select=tags->0&id=eq.1", [{"tags": "a"}]),
        ("clients?select=*&id=eq.3", [{"id": 3, "name": "Eve", "city": ""}]),
        ("clients?id=eq.3", [{"id": 3, "name": "Eve", "city": ""}]),
        ("clients?select=&id=eq.3", [{}]),
        ("odd?select=*,%22a.b%25%22", [{"id": 1, "a.b%": "x", "x": 7, "sel,ect": {"y": 1}}]),
        ("odd?select=%22sel,ect%22->y&%22a.b%25%22=eq.x", [{"y": 1}]),
]  # fmt: skip


def test_selecting(connection: Connection) -> None:
    tables = {"odd": ODD}
    found = {url: read(connection, "?".join([tables.get(path, path), query]))
             for url, _ in SELECTED for path, query in [url.split("?")]}  # fmt: skip
    assert found == dict(SELECTED)


ORDERED: list[tuple[str, list[int]]] = [
    ("projects?select=id&order=id.desc", [4, 3, 2, 1]),
    ("projects?select=id&order=price", [1, 2, 3, 4]),
    ("projects?select=id&order=price.desc.nullslast,id.desc", [2, 1, 4, 3]),
    ("projects?select=id&order=done.nullsfirst,id", [3, 4, 2, 1]),
    ("projects?select=id&order=doc->n.desc.nullslast,id", [2, 1, 3, 4]),
    ("projects?select=id&order=id&limit=2", [1, 2]),
    ("projects?select=id&order=id&limit=2&offset=1", [2, 3]),
    ("projects?select=id&order=id&offset=3", [4]),
    ("projects?select=id&order=id&limit=0", []),
    ("projects?select=id,clients(name)&order=clients(name).desc.nullslast,id", [3, 1, 2, 4]),
    ("projects?select=id,c:clients()&order=c(city).nullsfirst,id", [3, 4, 1, 2]),
]


def test_order_and_limit(connection: Connection) -> None:
    assert {url: ids(connection, url) for url, _ in ORDERED} == dict(ORDERED)


EMBEDDED: list[tuple[str, Any]] = [
    ("projects?select=id,clients(name)&id=in.(1,4)&order=id",
     [{"id": 1, "clients": {"name": "Ada"}}, {"id": 4, "clients": None}]),
    ("projects?select=id,client:client_id(name)&id=eq.1", [{"id": 1, "client": {"name": "Ada"}}]),
    ("projects?select=id,client:projects_client_id_fkey(name)&id=eq.1", [{"id": 1, "client": {"name": "Ada"}}]),
    ("projects?select=id,...clients(owner:name)&id=eq.1", [{"id": 1, "owner": "Ada"}]),
    ("projects?select=id,...clients(name)&id=eq.4", [{"id": 4, "name": None}]),
    ("projects?select=id,clients!inner(name)&clients.name=eq.Ada&order=id",
     [{"id": 1, "clients": {"name": "Ada"}}, {"id": 2, "clients": {"name": "Ada"}}]),
    ("projects?select=id,clients(name)&clients.name=eq.Eve&id=eq.1", [{"id": 1, "clients": None}]),
    ("projects?select=id,clients()&clients=is.null", [{"id": 4}]),
    ("projects?select=id,clients()&clients.name=eq.Ada&clients=not.is.null&order=id", [{"id": 1}, {"id": 2}]),
    ("clients?select=id,projects(id)&order=id&projects.order=id.desc",
     [{"id": 1, "projects": [{"id": 2}, {"id": 1}]}, {"id": 2, "projects": [{"id": 3}]}, {"id": 3, "projects": []}]),
    ("clients?select=id,p:projects(id)&p.order=id.desc&p.limit=1&id=eq.1", [{"id": 1, "p": [{"id": 2}]}]),
    ("clients?select=id,p:projects(id)&p.order=id&p.offset=1&id=eq.1", [{"id": 1, "p": [{"id": 2}]}]),
    ("clients?select=id,projects!inner(id)&projects.or=(id.eq.3,id.eq.9)", [{"id": 2, "projects": [{"id": 3}]}]),
    ("clients?select=id,projects()&projects=is.null", [{"id": 3}]),
    ("clients?select=id,projects(count)&order=id",
     [{"id": 1, "projects": [{"count": 2}]}, {"id": 2, "projects": [{"count": 1}]},
      {"id": 3, "projects": [{"count": 0}]}]),
    ("clients?select=id,projects(total:count)&projects.id=eq.1&id=eq.1", [{"id": 1, "projects": [{"total": 1}]}]),
    ("clients?select=id,projects()&or=(projects.is.null,id.eq.1)&order=id", [{"id": 1}, {"id": 3}]),
    ("clients?select=id,...projects(numbers:id)&projects.order=id&order=id",
     [{"id": 1, "numbers": [1, 2]}, {"id": 2, "numbers": [3]}, {"id": 3, "numbers": []}]),
    ("projects?select=id,contracts(text)&id=in.(1,2)&order=id",
     [{"id": 1, "contracts": {"text": "signed"}}, {"id": 2, "contracts": None}]),
    ("contracts?select=text,projects(id,clients(name))",
     [{"text": "signed", "projects": {"id": 1, "clients": {"name": "Ada"}}}]),
    ("projects?select=id,people(name)&people.order=id&id=in.(1,3)&order=id",
     [{"id": 1, "people": [{"name": "Root"}, {"name": "Mid"}]}, {"id": 3, "people": []}]),
    ("people?select=name,projects!inner(id)&projects.id=eq.2", [{"name": "Mid", "projects": [{"id": 2}]}]),
    ("people?select=name,people!boss(name)&id=eq.1", [{"name": "Root", "people": [{"name": "Mid"}]}]),
    ("people?select=name,people!follows_follower_fkey(name)&people.order=id&id=eq.1",
     [{"name": "Root", "people": [{"name": "Mid"}, {"name": "Leaf"}]}]),
    ("people?select=name,people!follows_followed_fkey(name)&id=eq.2", [{"name": "Mid", "people": [{"name": "Root"}]}]),
    ("people?select=name,boss(name,boss(name))&id=eq.3",
     [{"name": "Leaf", "boss": {"name": "Mid", "boss": {"name": "Root"}}}]),
    ("trips?select=id,from:clients!trips_origin_fkey(name),to:clients!target(name)&id=eq.1",
     [{"id": 1, "from": {"name": "Ada"}, "to": {"name": 'Bob, "B"'}}]),
    ("clients?select=id,out:trips!origin(id)&id=eq.2", [{"id": 2, "out": [{"id": 2}]}]),
    ("members?select=role,projects(id),people(name)&order=project_id,person_id&limit=1",
     [{"role": "lead", "projects": {"id": 1}, "people": {"name": "Root"}}]),
    ("clients?select=id,projects(id,people(name,members(role)))&id=eq.1&projects.id=eq.2&projects.people.name=eq.Mid",
     [{"id": 1, "projects": [{"id": 2, "people": [{"name": "Mid", "members": [{"role": "dev"}, {"role": "lead"}]}]}]}]),
]  # fmt: skip


def test_embedding(connection: Connection) -> None:
    assert {url: read(connection, url) for url, _ in EMBEDDED} == dict(EMBEDDED)


COUNTED: list[tuple[str, str, str, int, str]] = [
    ("GET", "projects?select=id", "", 200, "0-3/*"),
    ("GET", "projects?select=id", "count=exact", 200, "0-3/4"),
    ("GET", "projects?select=id&limit=2", "count=exact", 206, "0-1/4"),
    ("GET", "projects?select=id&limit=2&offset=1", "count=exact", 206, "1-2/4"),
    ("GET", "projects?select=id&id=eq.9", "count=exact", 200, "*/0"),
    ("HEAD", "projects?select=id&done=is.true", "count=exact", 200, "0-0/1"),
    ("HEAD", "projects?select=id&limit=2&offset=3", "count=exact", 206, "3-3/4"),
    ("HEAD", "projects?select=id&limit=3", "", 200, "0-2/*"),
    ("GET", "projects?select=id,clients!inner(id)", "count=exact", 200, "0-2/3"),
    ("HEAD", "clients?select=id,projects()&projects=is.null", "count=exact", 200, "0-0/1"),
    ("GET", "projects?select=id&id=lt.3", "count=estimated", 200, "0-1/2"),
]


def test_counting(connection: Connection) -> None:
    for method, url, prefer, status, content_range in COUNTED:
        answer = send(connection, method, url, prefer=prefer)
        assert (url, answer.status, dict(answer.headers)["Content-Range"]) == (url, status, content_range)
        assert (answer.body is None) == (method == "HEAD")


def test_an_estimate_comes_from_the_planner(connection: Connection) -> None:
    connection.execute("insert into keyless select n::text from generate_series(1, 5000) n")
    connection.execute("analyze keyless")
    planned = send(connection, "GET", "keyless?value=not.is.null&limit=1", prefer="count=planned")
    assert dict(planned.headers)["Content-Range"] == "0-0/5002"
    few = send(connection, "HEAD", "keyless", prefer="count=estimated", limits=Limits(max_rows=10))
    assert dict(few.headers)["Content-Range"] == "0-9/5002"


def test_ranges(connection: Connection) -> None:
    answer = send(connection, "GET", "projects?select=id&order=id", range="1-2", prefer="count=exact")
    assert (json.loads(answer.body or ""), answer.status) == ([{"id": 2}, {"id": 3}], 206)
    with pytest.raises(QueryError) as refused:
        send(connection, "GET", "projects?select=id&offset=9", prefer="count=exact")
    assert (refused.value.status, refused.value.code) == (416, "PGRST103")
    assert len(json.loads(send(connection, "GET", "projects", limits=Limits(max_rows=2)).body or "")) == 2


def test_one_object(connection: Connection) -> None:
    accept = "application/vnd.pgrst.object+json"
    assert read(connection, "clients?id=eq.1&select=name", accept=accept) == {"name": "Ada"}
    assert read(connection, "clients?id=eq.2&select=id,city", accept=f"{accept};nulls=stripped") == {"id": 2}
    for url, details in (("clients?id=eq.9", "0 rows"), ("clients", "3 rows")):
        with pytest.raises(QueryError, match="single JSON object") as refused:
            send(connection, "GET", url, accept=accept)
        assert (refused.value.status, refused.value.code) == (406, "PGRST116")
        assert refused.value.details == f"The result contains {details}"


def test_csv(connection: Connection) -> None:
    answer = send(connection, "GET", "clients?select=id,name,city,id&order=id", accept="text/csv")
    assert answer.body == 'id,name,city,id\n1,Ada,Bogotá,1\n2,"Bob, ""B""",,2\n3,Eve,"",3'
    assert dict(answer.headers)["Content-Type"] == "text/csv; charset=utf-8"


def test_csv_of_what_is_embedded_and_of_functions(connection: Connection) -> None:
    embedded = send(connection, "GET", "projects?select=id,...clients(name),people(count)&id=in.(1,4)&order=id",
                    accept="text/csv")  # fmt: skip
    assert embedded.body == 'id,name,people\n1,Ada,"[{""count"":2}]"\n4,,"[{""count"":0}]"'
    assert send(connection, "GET", "clients?id=eq.9&select=id", accept="text/csv").body == "id\n"
    called = send(connection, "POST", "rpc/pairs?select=n,square", {"up_to": 2}, accept="text/csv")
    assert called.body == "n,square\n1,1\n2,4"
    with pytest.raises(QueryError, match="CSV"):
        send(connection, "POST", "rpc/pairs", {"up_to": 2}, accept="text/csv")


RETURN = "return=representation"


def test_inserting(connection: Connection) -> None:
    one = send(connection, "POST", "clients", {"id": 7, "name": "x'); drop table clients; --"})
    assert (one.status, one.body) == (201, None)
    both = send(connection, "POST", "clients?select=id,city", [{"id": 8, "name": "a", "city": "c"},
                {"id": 9, "name": "b", "city": None}], prefer=f"{RETURN},count=exact")  # fmt: skip
    assert json.loads(both.body or "") == [{"id": 8, "city": "c"}, {"id": 9, "city": None}]
    assert dict(both.headers)["Content-Range"] == "*/2"
    assert read(connection, "clients?id=gte.7&select=name&order=id") == [
        {"name": "x'); drop table clients; --"}, {"name": "a"}, {"name": "b"}
    ]  # fmt: skip
    nothing = send(connection, "POST", "clients", [], prefer=RETURN)
    assert (nothing.status, nothing.body) == (201, "[]")
    types = {"id": 9, "tags": ["a", "b,c"], "span": "[1,3)", "doc": {"a": [1]}, "mood": "so happy", "price": 1.5}
    made = send(connection, "POST", "projects?select=id,tags,span,doc,mood,price", types, prefer=RETURN)
    assert json.loads(made.body or "") == [types]


def test_inserting_with_embedding_and_location(connection: Connection) -> None:
    made = send(connection, "POST", "projects?select=id,clients(name)", {"id": 9, "client_id": 3}, prefer=RETURN)
    assert json.loads(made.body or "") == [{"id": 9, "clients": {"name": "Eve"}}]
    located = send(connection, "POST", "members", {"project_id": 3, "person_id": 1}, prefer="return=headers-only")
    assert dict(located.headers)["Location"] == "/members?project_id=eq.3&person_id=eq.1"


def test_defaults_of_missing_columns(connection: Connection) -> None:
    url = "trips?select=origin,miles&columns=origin,miles"
    mixed = [{"origin": 1, "miles": 3}, {"origin": 2, "ignored": 1}]
    made = send(connection, "POST", url, mixed, prefer=f"missing=default,{RETURN}")
    assert json.loads(made.body or "") == [{"origin": 1, "miles": 3}, {"origin": 2, "miles": 7}]
    same = send(connection, "POST", url, [{"origin": 1}, {"origin": 3}], prefer=f"missing=default,{RETURN}")
    assert json.loads(same.body or "") == [{"origin": 1, "miles": 7}, {"origin": 3, "miles": 7}]
    url = "projects?select=tags,doc&columns=id,tags,doc"
    rows: Any = [{"id": 8, "tags": ["x"], "doc": {"a": None}}, {"id": 9, "doc": "text"}]
    made = send(connection, "POST", url, rows, prefer=f"missing=default,{RETURN}")
    assert json.loads(made.body or "") == [{"tags": ["x"], "doc": {"a": None}}, {"tags": [], "doc": "text"}]
    empty = send(connection, "POST", "trips?select=miles", {}, prefer=RETURN)
    assert json.loads(empty.body or "") == [{"miles": 7}]
    several = send(connection, "POST", "trips?select=miles", [{}, {}], prefer=RETURN)
    assert json.loads(several.body or "") == [{"miles": 7}, {"miles": 7}]
    with pytest.raises(psycopg.errors.NotNullViolation):
        send(connection, "POST", "trips?columns=origin,miles", [{"origin": 1}])


def test_upserting(connection: Connection) -> None:
    rows = [{"id": 1, "name": "changed"}, {"id": 5, "name": "new"}]
    merged = send(connection, "POST", "clients?select=id,name,city", rows,
                  prefer=f"resolution=merge-duplicates,{RETURN}")  # fmt: skip
    assert json.loads(merged.body or "") == [
        {"id": 1, "name": "changed", "city": "Bogotá"}, {"id": 5, "name": "new", "city": None}
    ]  # fmt: skip
    ignored = send(connection, "POST", "clients?on_conflict=id&select=id", [{"id": 1, "name": "no"}],
                   prefer=f"resolution=ignore-duplicates,{RETURN}")  # fmt: skip
    assert ignored.body == "[]"


def test_updating(connection: Connection) -> None:
    changed = send(connection, "PATCH", "projects?id=in.(1,2)&select=id,mood,doc&order=id.desc",
                   {"mood": "so happy", "doc": {"x": 1}}, prefer=f"{RETURN},count=exact")  # fmt: skip
    assert json.loads(changed.body or "") == [
        {"id": 2, "mood": "so happy", "doc": {"x": 1}}, {"id": 1, "mood": "so happy", "doc": {"x": 1}}
    ]  # fmt: skip
    assert dict(changed.headers)["Content-Range"] == "0-1/2"
    quiet = send(connection, "PATCH", "trips?or=(id.eq.1,miles.gt.100)&columns=origin,miles", {"origin": 3},
                 prefer="missing=default")  # fmt: skip
    assert (quiet.status, quiet.body) == (204, None)
    assert connection.execute("select count(*) from trips where origin = 3 and miles = 7").fetchone() == (1,)


def test_deleting(connection: Connection) -> None:
    gone = send(connection, "DELETE", "members?project_id=eq.1&select=person_id,people(name)&order=person_id",
                prefer=RETURN)  # fmt: skip
    assert json.loads(gone.body or "") == [
        {"person_id": 1, "people": {"name": "Root"}}, {"person_id": 2, "people": {"name": "Mid"}}
    ]  # fmt: skip
    assert send(connection, "DELETE", "keyless?value=eq.a").status == 204
    assert connection.execute("select array_agg(value) from keyless").fetchone() == (["b"],)


def test_a_change_of_too_many_rows_is_refused(connection: Connection) -> None:
    prefer = "handling=strict,max-affected=1"
    with pytest.raises(QueryError, match="max-affected") as refused:
        send(connection, "PATCH", "trips?id=gt.0", {"miles": 1}, prefer=prefer)
    assert (refused.value.status, refused.value.code) == (400, "PGRST124")
    with pytest.raises(QueryError, match="max-affected"):  # whatever part of the rows is shown
        send(connection, "PATCH", "trips?id=gt.0&limit=1", {"miles": 1}, prefer=f"{prefer},{RETURN}")
    gone = send(connection, "DELETE", "trips?id=eq.1", prefer=prefer)
    assert (gone.status, dict(gone.headers)["Content-Range"]) == (204, "*/*")


def test_only_what_is_read_is_returned(connection: Connection) -> None:
    """A role that may not read a column can still change the rows."""
    connection.execute("create role writer")
    connection.execute("grant insert, update, select (id) on clients to writer")
    connection.execute("grant usage on schema public to writer")
    connection.execute("set local role writer")
    made = send(connection, "POST", "clients?select=id", {"id": 7, "name": "x"}, prefer=RETURN)
    assert made.body == '[{"id":7}]'
    assert send(connection, "POST", "clients", {"id": 8, "name": "x"}).status == 201
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        send(connection, "POST", "clients?select=name", {"id": 9, "name": "x"}, prefer=RETURN)


CALLS: list[tuple[str, str, Any, Any]] = [
    ("GET", "rpc/add?a=1", None, 11),
    ("GET", "rpc/add?a=1&b=2", None, 3),
    ("POST", "rpc/add", {"a": 1, "b": 5}, 6),
    ("POST", "rpc/add", {"a": 1, "c": "x"}, "1x"),
    ("POST", "rpc/projects_of?select=id&order=id.desc", {"who": 1}, [{"id": 2}, {"id": 1}]),
    ("POST", "rpc/projects_of?select=id,clients(name)&id=eq.1", {"who": 1}, [{"id": 1, "clients": {"name": "Ada"}}]),
    ("GET", "rpc/projects_of?who=1&select=id&order=id&limit=1&offset=1", None, [{"id": 2}]),
    ("GET", "rpc/projects_of?who=1&select=id&id=gt.1", None, [{"id": 2}]),
    ("POST", "rpc/first_client?select=name", {}, {"name": "Ada"}),
    ("POST", "rpc/first_client", None, {"id": 1, "name": "Ada", "city": "Bogotá"}),
    ("POST", "rpc/pairs", {"up_to": 2}, [{"n": 1, "square": 1}, {"n": 2, "square": 4}]),
    ("POST", "rpc/pairs?select=square&n=eq.2", {"up_to": 3}, [{"square": 4}]),
    ("POST", "rpc/numbers?limit=2&offset=1", {"up_to": 9}, [2, 3]),
    ("POST", "rpc/total", {"parts": [1, 2, 3]}, 6),
    ("GET", "rpc/total?parts=1&parts=2", None, 3),
    ("GET", "rpc/total?parts={4,5}", None, 9),
    ("POST", "rpc/echo", [1, {"a": None}], [1, {"a": None}]),
]


def test_calling(connection: Connection) -> None:
    for method, url, body, result in CALLS:
        answer = send(connection, method, url, body)
        assert (url, answer.status, json.loads(answer.body or "")) == (url, 200, result)


def test_calling_for_the_effect(connection: Connection) -> None:
    assert send(connection, "POST", "rpc/nothing") == Answer(204, (), None)
    assert send(connection, "POST", "rpc/touch", {"who": 1}).status == 204
    assert connection.execute("select city from clients where id = 1").fetchone() == ("touched",)


def test_counting_the_rows_of_a_function(connection: Connection) -> None:
    answer = send(connection, "POST", "rpc/pairs?limit=2", {"up_to": 5}, prefer="count=exact")
    assert (answer.status, dict(answer.headers)["Content-Range"]) == (206, "0-1/5")
    head = send(connection, "HEAD", "rpc/pairs?up_to=5&n=gt.2", prefer="count=exact")
    assert (head.status, dict(head.headers)["Content-Range"], head.body) == (200, "0-2/3", None)


def test_wide_requests(connection: Connection) -> None:
    """Deep and wide requests stay within what Postgres takes."""
    listed = ",".join(f'"{number}"' for number in range(4000))
    assert ids(connection, f"projects?select=id&order=id&id=in.({listed})") == [1, 2, 3, 4]
    rows = [{"id": 100 + number, "name": f"n{number}"} for number in range(2000)]
    assert send(connection, "POST", "clients", rows).status == 201
    columns = ",".join(f"c{number}:name" for number in range(300))
    assert len(read(connection, f"clients?select={columns}&id=eq.1")[0]) == 300
