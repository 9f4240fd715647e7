"""A request of the data API becomes exactly this SQL with these parameters, or is refused with this code."""

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.support.data_tables import ODD, SCHEMA
from tidewire.query.errors import QueryError
from tidewire.query.limits import Limits
from tidewire.query.request import Planned, Request, plan

PLACE = (
    "case when not pg_catalog.pg_is_in_recovery() then pg_catalog.pg_current_snapshot()::text"
    " || '@' || pg_catalog.pg_current_wal_insert_lsn()::text end"
)
PLACED = f"select x.*, {PLACE} from ({{}}) as x"
JSON_PAGE = PLACED.format(
    "select null::bigint, pg_catalog.count(*)::bigint, (coalesce(pg_catalog.json_agg(x.*), '[]'))::text, null::text "
    "from ({}) as x"
)
JSON_ROWS = (
    "select t.total, pg_catalog.count(x.body) over (), x.body, null::text, t.place "
    f"from (select null::bigint as total, {PLACE} as place) as t "
    "left join (select (pg_catalog.row_to_json(x.*))::text as body from ({}) as x) as x on true"
)


def planned(method: str, url: str, body: Any = None, *, limits: Limits | None = None, **headers: Any) -> Planned:
    path, _, query = url.partition("?")
    request = Request(
        method,
        tuple(path.split("/")),
        parse_qsl(query, keep_blank_values=True),
        {name.replace("_", "-"): value for name, value in headers.items()},
        b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode(),
    )
    return plan(request, SCHEMA, limits or Limits())


@pytest.mark.parametrize(
    ("url", "text", "parameters"),
    [
        ("clients?select=id", 'select r0."id" as "id" from "public"."clients" as r0 limit %s::bigint', ("1000",)),
        (
            "clients?select=id&name=eq.x%25&order=id.desc&limit=5&offset=2",
            ('select r0."id" as "id" from "public"."clients" as r0 where r0."name" = %s order by r0."id" desc '
            "limit %s::bigint offset %s::bigint"),
            ("x%", "5", "2"),
        ),
        (
            "clients?select=a:id::text&or=(id.eq.1,not.and(name.is.null,city.in.(a,%22b,%5C%22c%22)))",
            ('select r0."id"::text as "a" from "public"."clients" as r0 where (r0."id" = %s or '
            'not (r0."name" is null and r0."city" = any (%s))) limit %s::bigint'),
            ("1", '{"a","b,\\"c"}', "1000"),
        ),
        (
            "projects?select=doc->a->>0&raw->>k=like.*%25",
            ('select (r0."doc" -> %s::text ->> %s::integer) as "a" from "public"."projects" as r0 '
            'where (r0."raw" ->> %s::text) like %s limit %s::bigint'),
            ("a", "0", "k", "%%", "1000"),
        ),
        (
            "odd?select=%22a.b%25%22",
            'select r0."a.b%%" as "a.b%%" from "public"."odd ""%%s {0} table" as r0 limit %s::bigint',
            ("1000",),
        ),
        (
            "projects?select=id,clients!inner(name)&clients.name=eq.x",
            ('select r0."id" as "id", e2.body as "clients" from "public"."projects" as r0 join lateral (select '
            '(select pg_catalog.row_to_json(x.*) from (select r1."name" as "name") as x) as "body" '
            'from "public"."clients" as r1 where r1."id" = r0."client_id" and r1."name" = %s) as e2 '
            "on e2.body is not null limit %s::bigint"),
            ("x", "1000"),
        ),
        (
            "clients?select=projects(id)&projects.limit=2",
            ('select coalesce(e2.body, \'[]\') as "projects" from "public"."clients" as r0 left join lateral (select '
            'pg_catalog.json_agg(x.*) as body from (select r1."id" as "id" from "public"."projects" as r1 '
            'where r1."client_id" = r0."id" limit %s::bigint) as x) as e2 on true limit %s::bigint'),
            ("2", "1000"),
        ),
    ],
)  # fmt: skip
def test_reading(url: str, text: str, parameters: tuple[str, ...]) -> None:
    path, _, query = url.partition("?")
    statement = planned("GET", f"{ODD if path == 'odd' else path}?{query}").statement
    assert statement.text in {JSON_PAGE.format(text), JSON_ROWS.format(text)}
    assert statement.parameters == parameters


def test_counting_needs_no_second_scan() -> None:
    statement = planned("HEAD", "clients?select=id&city=is.null", prefer="count=exact").statement
    assert statement.text == PLACED.format(
        "select x.total::bigint, greatest(0, least(x.total - %s::bigint, %s::bigint))::bigint, null::text, null::text "
        'from (select pg_catalog.count(*) as total from (select from "public"."clients" as r0 '
        'where r0."city" is null) as x) as x'
    )
    assert statement.parameters == ("0", "1000")


@pytest.mark.parametrize(
    ("method", "url", "body", "prefer", "start", "parameters"),
    [
        (
            "POST", "clients", {"id": 1, "name": "x"}, "",
            ('with changed as (insert into "public"."clients" as r ("id", "name") select "id", "name" from '
            'pg_catalog.json_to_recordset(%s::json) as body("id" integer, "name" text) returning 1) select'),
            ('[{"id": 1, "name": "x"}]',),
        ),
        (
            "POST", "clients?on_conflict=id", [{"id": 1, "name": "x"}], "resolution=merge-duplicates",
            ('with changed as (insert into "public"."clients" as r ("id", "name") select "id", "name" from '
            'pg_catalog.json_to_recordset(%s::json) as body("id" integer, "name" text) '
            'on conflict ("id") do update set "name" = excluded."name" returning 1) select'),
            ('[{"id": 1, "name": "x"}]',),
        ),
        (
            "POST", "clients?on_conflict=id", [{"id": 1}], "resolution=ignore-duplicates,return=headers-only",
            ('with changed as (insert into "public"."clients" as r ("id") select "id" from '
            'pg_catalog.json_to_recordset(%s::json) as body("id" integer) '
            'on conflict ("id") do nothing returning r."id") select'),
            ('[{"id": 1}]', "id"),
        ),
        (
            "PATCH", "projects?id=eq.1&select=id", {"code": "x"}, "return=representation",
            ('with changed as (update "public"."projects" as r set "code" = body."code" from '
            'pg_catalog.json_to_recordset(%s::json) as body("code" character varying(3)) where r."id" = %s '
            'returning r."id") select'),
            ('[{"code": "x"}]', "1"),
        ),
        (
            "DELETE", "clients?name=eq.x", None, "",
            'with changed as (delete from "public"."clients" as r where r."name" = %s returning 1) select', ("x",),
        ),
    ],
)  # fmt: skip
def test_writing(method: str, url: str, body: Any, *, prefer: str, start: str, parameters: tuple[str, ...]) -> None:
    made = planned(method, url, body, prefer=prefer)
    assert made.statement.text.startswith(start)
    assert made.statement.parameters == parameters
    assert not made.read_only


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("GET", "nowhere", None, 404, "PGRST205"),
    ("GET", "clients/1", None, 404, "PGRST125"),
    ("PUT", "clients", {}, 405, "PGRST117"),
    ("DELETE", "rpc/add", None, 405, "PGRST117"),
    ("GET", "clients?nope=eq.1", None, 400, "42703"),
    ("GET", "clients?select=nope", None, 400, "42703"),
    ("GET", "clients?order=nope", None, 400, "42703"),
    ("GET", "clients?or=(nope.eq.1)", None, 400, "42703"),
    ("GET", "clients?id=1", None, 400, "PGRST100"),
    ("GET", "clients?id=equals.1", None, 400, "PGRST100"),
    ("GET", "clients?id=is.maybe", None, 400, "PGRST100"),
    ("GET", "clients?id=in.1", None, 400, "PGRST100"),
    ("GET", "clients?id=in.(1", None, 400, "PGRST100"),
    ("GET", "clients?id=in.(1)2", None, 400, "PGRST100"),
    ("GET", "clients?id=neq(any).1", None, 400, "PGRST100"),
    ("GET", "clients?id=eq(some).1", None, 400, "PGRST100"),
    ("GET", "clients?or=id.eq.1", None, 400, "PGRST100"),
    ("GET", "clients?or=()", None, 400, "PGRST100"),
    ("GET", "clients?or=(id.eq.1))", None, 400, "PGRST100"),
    ("GET", "clients?select=id,", None, 400, "PGRST100"),
    ("GET", "clients?select=id)", None, 400, "PGRST100"),
    ("GET", "clients?select=projects(id", None, 400, "PGRST100"),
    ("GET", "clients?select=id::regclass", None, 400, "42704"),
    ("GET", "clients?select=id.sum()", None, 400, "PGRST123"),
    ("GET", "clients?select=count()", None, 400, "PGRST123"),
    ("GET", "clients?order=id.up", None, 400, "PGRST100"),
    ("GET", "clients?order=", None, 400, "PGRST100"),
    ("GET", "clients?limit=x", None, 400, "PGRST100"),
    ("GET", "clients?limit=-1", None, 416, "PGRST103"),
    ("GET", "clients?name=eq.%00", None, 400, "PGRST100"),
    ("GET", "clients?projects.id=eq.1", None, 400, "PGRST108"),
    ("GET", "clients?order=projects(id)", None, 400, "PGRST108"),
    ("GET", "clients?select=projects(id)&order=projects(id)", None, 400, "PGRST118"),
    ("GET", "clients?select=contracts(text)", None, 400, "PGRST200"),
    ("GET", "projects?select=clients!nope(id)", None, 400, "PGRST200"),
    ("GET", "clients?select=trips(id)", None, 300, "PGRST201"),
    ("GET", "trips?select=clients(id)", None, 300, "PGRST201"),
    ("GET", "people?select=people(id)", None, 300, "PGRST201"),
    ("GET", "people?select=people!follows(id)", None, 300, "PGRST201"),
    ("POST", "clients", {"nope": 1}, 400, "PGRST204"),
    ("POST", "clients?columns=nope", {"id": 1}, 400, "PGRST204"),
    ("POST", "clients?on_conflict=id", [{"id": 1}, {"name": "x"}], 400, "PGRST102"),
    ("POST", "clients", b"{", 400, "PGRST102"),
    ("POST", "clients", b"[1]", 400, "PGRST102"),
    ("POST", "clients", b'"text"', 400, "PGRST102"),
    ("POST", "clients", b'{"name": "\xff"}', 400, "PGRST102"),
    ("POST", "clients?limit=1", {"id": 1}, 400, "PGRST100"),
    ("PATCH", "clients?id=eq.1", [{"id": 1}, {"id": 2}], 400, "PGRST102"),
    ("PATCH", "clients", {"id": 1}, 400, "21000"),
    ("DELETE", "clients", None, 400, "21000"),
    ("POST", "rpc/nope", {}, 404, "PGRST202"),
    ("POST", "rpc/add", {"a": 1, "b": 2, "c": 3}, 404, "PGRST202"),
    ("POST", "rpc/add", [1], 400, "PGRST102"),
    ("GET", "rpc/add?b=1", None, 404, "PGRST202"),
    ("POST", "rpc/numbers?select=id", {"up_to": 1}, 400, "PGRST100"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "url", "body", "status", "code"), REFUSED, ids=[f"{c[0]} {c[1]}" for c in REFUSED])
def test_refusing(method: str, url: str, body: Any, status: int, code: str) -> None:
    with pytest.raises(QueryError) as refused:
        planned(method, url, body)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert set(refused.value.body()) == {"code", "message", "details", "hint"}


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"accept_profile": "secret"}, 406, "PGRST106"),
        ({"accept": "application/geo+json"}, 406, "PGRST107"),
        ({"prefer": "handling=strict,future=1"}, 400, "PGRST122"),
        ({"range": "9-0"}, 416, "PGRST103"),
        ({"range": "a-b"}, 400, "PGRST100"),
    ],
)
def test_refusing_headers(headers: dict[str, Any], status: int, code: str) -> None:
    with pytest.raises(QueryError) as refused:
        planned("GET", "clients", **headers)
    assert (refused.value.status, refused.value.code) == (status, code)


def test_several_ways_are_shown() -> None:
    with pytest.raises(QueryError) as refused:
        planned("GET", "trips?select=clients(id)")
    assert refused.value.hint.startswith(
        "Try changing 'clients' to one of the following: 'clients!trips_origin_fkey', 'clients!trips_target_fkey'."
    )
    assert refused.value.details == [
        {
            "cardinality": "many-to-one",
            "embedding": "trips with clients",
            "relationship": f"trips_{column}_fkey using trips({column}) and clients(id)",
        }
        for column in ("origin", "target")
    ]


@pytest.mark.parametrize(
    ("limits", "url", "status"),
    [
        (Limits(max_depth=2), "clients?or=(and(or(id.eq.1)))", 400),
        (Limits(max_depth=1), "clients?select=projects(people(id))", 400),
        (Limits(max_depth=2), "projects?select=doc->a->b->c", 400),
        (Limits(max_depth=1), "clients?a.b.c=eq.1", 400),
        (Limits(max_conditions=2), "clients?id=eq.1&or=(id.eq.1,id.eq.2)", 400),
        (Limits(max_conditions=2), "clients?or=(id.eq.1,id.eq.2,id.eq.3)", 400),
        (Limits(max_conditions=1), "clients?order=id,name", 400),
        (Limits(max_conditions=1), "rpc/add?a=1&b=2", 400),
        (Limits(max_list=2), "clients?id=in.(1,2,3)", 400),
        (Limits(max_fields=2), "clients?select=id,id,id", 400),
        (Limits(max_fields=8), "clients?select=*,*,*", 400),
        (Limits(max_resources=1), "clients?select=a:projects(id),b:projects(id)", 400),
        (Limits(max_query_chars=20), "clients?name=eq.aaaaaaaaaaaaaaaaaaaaaaa", 414),
        (Limits(), f"clients?select={'a' * 64}", 400),
        (Limits(), f"clients?select={'a' * 33}:{'é' * 32}", 400),
    ],
)
def test_bounds(limits: Limits, url: str, status: int) -> None:
    with pytest.raises(QueryError, match="expected at most") as refused:
        planned("GET", url, limits=limits)
    assert refused.value.status == status


def test_bounds_of_bodies() -> None:
    with pytest.raises(QueryError) as refused:
        planned("POST", "clients", {"id": 1}, limits=Limits(max_body_bytes=5))
    assert refused.value.status == 413
    with pytest.raises(QueryError) as refused:
        planned("POST", "clients", b'{"id":' + b"[" * 100_000)
    assert refused.value.status == 400
    rows = [{"id": number} if number % 2 else {"name": "x"} for number in range(100)]
    with pytest.raises(QueryError, match="differ in their keys"):
        planned("POST", "clients?columns=id,name", rows, prefer="missing=default", limits=Limits(max_default_cells=99))


def test_what_the_runner_must_know() -> None:
    assert planned("GET", "clients").read_only
    assert planned("POST", "rpc/add", {"a": 1}).read_only
    assert not planned("POST", "rpc/touch", {"who": 1}).read_only
    assert planned("GET", "rpc/touch?who=1").read_only
    single = "application/vnd.pgrst.object+json"
    assert planned("POST", "clients", {"id": 1}, prefer="return=representation", accept=single).conditional
    assert planned("DELETE", "clients?id=eq.1", prefer="handling=strict,max-affected=1").conditional
    assert not planned("DELETE", "clients?id=eq.1", prefer="max-affected=1").conditional
    assert planned("POST", "clients", {"id": 1}, prefer="tx=rollback").rollback
    assert planned("GET", "clients", prefer="count=planned").estimate is not None
    assert planned("GET", "clients", prefer="count=exact").estimate is None


def test_preferences_are_confirmed() -> None:
    made = planned("POST", "clients", {"id": 1}, prefer="return=minimal, count=exact,tx=rollback,unknown")
    assert made.reply.preferences.applied("count", "return", "tx") == (
        ("Preference-Applied", "count=exact, return=minimal, tx=rollback"),
    )
