"""The document at the root of the data API: valid, the same each time, and of no more than the asking role may use."""

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.data_tables import STATEMENTS
from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import Answer, RealtimeServer, migrate, realtime, request, token
from tests.support.tables import open_pool
from tests.support.waiting import wait_until
from tidewire.model.claims import Claims
from tidewire.postgres.data_runner import DataRunner
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.schema_cache import SchemaCache
from tidewire.query import request as query
from tidewire.query.limits import Limits
from tidewire.server.data_document import Documents

ROLES = "anon, authenticated, service_role"
OPENAPI = "application/openapi+json"


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(
            made,
            *STATEMENTS,
            f"grant all on all tables in schema public to {ROLES}",
            "comment on schema public is E'Projects\\nand who works on them'",
            "comment on table clients is 'Who pays'",
            "comment on column clients.city is 'Where the client sits'",
            "comment on function add(int, int) is 'A sum'",
            "create table half (id int primary key, seen varchar(5), hidden text)",
            "grant select (id, seen), insert (id), update (seen) on half to authenticated",
            "create table secrets (id int)",
            "create view shown as select id, name from clients",
            "create view counted as select count(*) from clients",
            "grant all on shown, counted to authenticated",
            'create table reserved (id int primary key, "select" text, "limit" text, "and" text)',
            "grant select on reserved to authenticated",
            "create domain short as varchar(4) not null",
            "create type pair as (a int, b text)",
            """create table kinds (
              key uuid primary key default gen_random_uuid(), name short, moods mood[], pair pair, at timestamp,
              twice int generated always as (2) stored, number bigint generated always as identity
            )""",
            "grant all on kinds to authenticated",
            "create function hidden_function() returns int language sql as 'select 1'",
            "revoke execute on function hidden_function() from public",
            "create function unnamed(int) returns int language sql as 'select 1'",
            "create function window_of(\"limit\" int) returns int stable language sql as 'select 1'",
            "create schema extra",
            "create table extra.things (id int)",
            "grant usage on schema extra to authenticated",
            "grant select on extra.things to anon, authenticated",
        )
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, api_schemas=("public", "extra"), api_max_rows=50, accounts=False) as running:
        yield running


def ask(served: RealtimeServer, role: str = "authenticated", method: str = "GET", **headers: str) -> Answer:
    return request(method, f"{served.url}/rest/v1/", headers={"apikey": token(role), **headers})


def document(served: RealtimeServer, role: str = "authenticated", **headers: str) -> dict[str, Any]:
    answer = ask(served, role, **headers)
    assert answer.status == 200, answer
    read: dict[str, Any] = answer.json
    return read


def parameters(served_document: Mapping[str, Any], path: str, method: str) -> list[str]:
    """Return the parameters of an operation by the names that a client writes."""
    shared = served_document["components"]["parameters"]
    listed = served_document["paths"][path][method]["parameters"]
    return [each["name"] if "name" in each else shared[each["$ref"].rpartition("/")[2]]["name"] for each in listed]


def schema_of(found: Mapping[str, Any], name: str) -> Any:
    return found["components"]["schemas"][name]


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
@pytest.mark.parametrize("schema", ["public", "extra"])
def test_it_is_valid(served: RealtimeServer, role: str, schema: str) -> None:
    found = document(served, role, accept_profile=schema)
    assert found["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(found).iter_errors()] == []


def test_a_table_with_everything_about_its_columns(served: RealtimeServer) -> None:
    found = document(served)
    assert found["info"]["title"] == "Projects"
    assert found["info"]["description"] == "and who works on them"
    assert found["servers"] == [{"url": "/rest/v1"}]
    clients = schema_of(found, "clients")
    assert clients["description"] == "Who pays"
    assert clients["properties"]["id"]["description"] == "Note:\nThis is a Primary Key.<pk/>"
    assert clients["properties"]["city"] == {
        "type": ["string", "null"], "x-postgres-type": "text", "description": "Where the client sits",
    }  # fmt: skip
    assert schema_of(found, "projects")["properties"]["client_id"]["description"] == (
        "Note:\nThis is a Foreign Key to `clients.id`.<fk table='clients' column='id'/>"
    )
    assert schema_of(found, "clients.insert")["required"] == ["id", "name"]
    assert "required" not in schema_of(found, "clients.update")
    assert set(found["paths"]["/clients"]) == {"get", "post", "patch", "delete"}
    assert parameters(found, "/clients", "get") == [
        "select", "id", "name", "city", "and", "or", "order", "limit", "offset", "Range", "Prefer", "Accept-Profile",
    ]  # fmt: skip
    assert parameters(found, "/clients", "post") == ["select", "columns", "on_conflict", "Prefer", "Content-Profile"]


def test_types(served: RealtimeServer) -> None:
    found = document(served)
    kinds = schema_of(found, "kinds")["properties"]
    assert kinds["key"]["format"] == "uuid"
    assert (kinds["name"]["type"], kinds["name"]["maxLength"]) == ("string", 4)
    assert kinds["moods"]["items"]["enum"] == ["sad", "ok", "so happy", None]
    assert kinds["pair"]["type"] == ["object", "null"]
    assert "format" not in kinds["at"], "without a zone it is no date-time of the standard"
    assert schema_of(found, "projects")["properties"]["made_at"]["format"] == "date-time"
    assert "type" not in schema_of(found, "projects")["properties"]["doc"], "JSON is anything"
    insert = schema_of(found, "kinds.insert")
    assert "twice" not in insert["properties"]
    assert insert["required"] == ["name"]


def test_odd_names_are_written_as_clients_have_to(served: RealtimeServer) -> None:
    found = document(served)
    assert "/odd%20%22%25s%20%7B0%7D%20table" in found["paths"]
    names = parameters(found, "/odd%20%22%25s%20%7B0%7D%20table", "get")
    assert {'"a.b%"', '"sel,ect"'} <= set(names)
    assert parameters(found, "/reserved", "get")[1:3] == ["id", '"select"'], "and not those that cannot be filtered by"


def test_functions(served: RealtimeServer) -> None:
    found = document(served)
    assert set(found["paths"]["/rpc/add"]) == {"get", "post"}
    assert found["paths"]["/rpc/add"]["get"]["description"] == "A sum"
    given = {
        each["name"]: each["required"] for each in found["paths"]["/rpc/add"]["get"]["parameters"] if "name" in each
    }
    assert given == {"a": True, "b": False, "c": False}
    bodies = found["paths"]["/rpc/add"]["post"]["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert [body["required"] for body in bodies] == [["a"], ["a", "c"]]
    assert set(found["paths"]["/rpc/touch"]) == {"post"}, "GET changes nothing"
    assert set(found["paths"]["/rpc/window_of"]) == {"post"}, "a URL cannot give it its argument"
    assert parameters(found, "/rpc/pairs", "get")[:2] == ["up_to", "select"]
    assert not {"/rpc/hidden_function", "/rpc/unnamed"} & set(found["paths"])


def test_nothing_is_shown_that_the_role_may_not_use(served: RealtimeServer) -> None:
    found = document(served)
    assert set(schema_of(found, "half")["properties"]) == {"id", "seen"}
    assert set(schema_of(found, "half.insert")["properties"]) == {"id"}
    assert set(schema_of(found, "half.update")["properties"]) == {"seen"}
    assert set(found["paths"]["/half"]) == {"get", "post", "patch"}
    assert "/secrets" not in found["paths"]
    assert set(found["paths"]["/counted"]) == {"get"}, "a view that cannot be written"
    assert "hidden" not in json.dumps(found)
    for_anon = document(served, "anon")
    assert "/half" not in for_anon["paths"]
    assert "/clients" in for_anon["paths"]
    assert list(document(served, "authenticated", accept_profile="extra")["paths"]) == ["/", "/things"]
    assert list(document(served, "anon", accept_profile="extra")["paths"]) == ["/"], "no right to look into the schema"


def test_a_schema_that_is_not_the_first_has_to_be_named(served: RealtimeServer) -> None:
    shared = document(served, accept_profile="extra")["components"]["parameters"]
    assert shared["Accept-Profile"]["required"] is True
    assert shared["Content-Profile"]["schema"] == {"type": "string", "enum": ["extra"]}
    assert document(served)["components"]["parameters"]["Accept-Profile"]["required"] is False


def test_what_a_client_accepts(served: RealtimeServer) -> None:
    for accept, expected in (("*/*", OPENAPI), (OPENAPI, OPENAPI), ("application/json", "application/json")):
        answer = ask(served, accept=accept)
        assert answer.headers["content-type"] == f"{expected}; charset=utf-8"
    refused = ask(served, accept="text/csv")
    assert (refused.status, refused.json["code"]) == (406, "PGRST107")
    refused = ask(served, accept_profile="pg_catalog")
    assert (refused.status, refused.json["code"]) == (406, "PGRST106")
    refused = ask(served, "nobody_at_all")
    assert (refused.status, refused.json["code"]) == (401, "22023")
    assert request("GET", f"{served.url}/rest/v1/").status == 401
    assert request("GET", f"{served.url}/rest/v1", headers={"apikey": token("anon")}).status == 200
    assert ask(served, method="DELETE").status == 404


def test_it_is_sent_once(served: RealtimeServer) -> None:
    first, second = ask(served), ask(served)
    assert first.body == second.body
    tag = first.headers["etag"]
    assert second.headers["etag"] == tag
    for named in (tag, f'"x", W/{tag}', "*"):
        answer = ask(served, if_none_match=named)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    assert ask(served, if_none_match='"x"').status == 200
    assert ask(served, "anon").headers["etag"] != tag
    head = ask(served, method="HEAD")
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", tag)
    assert {"authorization", "apikey"} <= {each.strip().lower() for each in first.headers["vary"].split(",")}


def test_it_changes_with_the_schema(served: RealtimeServer, dsn: str) -> None:
    before = ask(served).headers["etag"]
    execute(dsn, "create table fresh (id int primary key)", "grant select on fresh to authenticated")
    wait_until(lambda: "/fresh" in document(served)["paths"])
    assert ask(served).headers["etag"] != before
    execute(dsn, "drop table fresh")
    wait_until(lambda: ask(served).headers["etag"] == before)


async def test_rights_and_comments_are_looked_at_again_after_a_while(any_database: str) -> None:
    """On every version of Postgres, and with nothing but them changed."""
    execute(any_database, *STATEMENTS)
    migrate(any_database)
    asked = query.Request("GET", (), (), {})
    claims = Claims("authenticated", None, math.inf, {})
    async with open_pool(any_database) as pool:
        schema = await SchemaCache(pool, ["public"]).get()
        runner = DataRunner(pool, timeout_s=5.0)
        eager, patient = Documents(runner, Limits(), fresh_s=0.0), Documents(runner, Limits(), fresh_s=1e9)

        async def found(documents: Documents) -> Any:
            return json.loads(bytes((await documents.answer(asked, claims, schema, base="/rest/v1")).body))

        assert "/clients" not in (await found(eager))["paths"]
        assert "/clients" not in (await found(patient))["paths"]
        execute(any_database, "grant select on clients to authenticated", "comment on table clients is 'They pay'")
        assert schema_of(await found(eager), "clients")["description"] == "They pay"
        assert "/clients" not in (await found(patient))["paths"]


async def test_whoever_asks_meanwhile_gets_the_same(database: str) -> None:
    execute(database, *STATEMENTS)
    migrate(database)
    claims = Claims("anon", None, math.inf, {})
    async with open_pool(database) as pool:
        schema = await SchemaCache(pool, ["public"]).get()
        documents = Documents(DataRunner(pool, timeout_s=5.0), Limits())
        asked = query.Request("GET", (), (), {})
        answers = await asyncio.gather(*(documents.answer(asked, claims, schema, base="/") for _ in range(20)))
    assert len({id(answer.body) for answer in answers}) == 1, "it was built once"
