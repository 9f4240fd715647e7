"""The data API over HTTP: what a client gets, and that a role gets there what it would get in psql and no more."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from tests.support.log import execute, fetch, run
from tests.support.postgres import MakeLogin, fresh_migrated_database
from tests.support.proxy import BreakableProxy
from tests.support.server import Answer, RealtimeServer, migrate, realtime, request, token
from tests.support.tables import role_of
from tests.support.tokens import OTHER_SECRET, sign
from tests.support.waiting import wait_until
from tidewire.postgres.embedded import EmbeddedPostgres

ADA = "00000000-0000-4000-8000-00000000ada0"
BOB = "00000000-0000-4000-8000-00000000b0b0"
ROLES = "anon, authenticated, service_role"

TABLES = (
    "create table notes (id int primary key, owner uuid default auth.uid(), body text)",
    "create table comments (id int primary key, note int references notes, text text)",
    f"grant all on notes, comments to {ROLES}",
    "create table secrets (id int primary key)",
    "create table own (id int primary key, owner uuid default auth.uid(), body text, check (length(body) < 20))",
    f"grant all on own to {ROLES}",
    "alter table own enable row level security",
    "create policy reading on own for select to authenticated using (owner = auth.uid() or body = 'open')",
    "create policy adding on own for insert to authenticated with check (owner = auth.uid())",
    "create policy changing on own for update to authenticated using (owner = auth.uid())",
    "create policy removing on own for delete to authenticated using (owner = auth.uid() and body <> 'kept')",
    "create table half (id int primary key, seen text, hidden text)",
    "grant select (id, seen), insert (id, seen), update (seen) on half to authenticated",
    "create function add_up(a int, b int default 1) returns int language sql immutable return a + b",
    """create function whoami() returns json language sql stable return json_build_object(
      'role', current_user, 'sub', auth.uid(), 'method', current_setting('request.method'),
      'headers', current_setting('request.headers')::json)""",
    "create function nap(seconds float) returns void language sql as 'select pg_sleep(seconds)'",
    """create function add_note(note_id int) returns int language sql
      as 'insert into notes (id) values (note_id) returning id'""",
    "create schema extra",
    "create table extra.things (id int primary key)",
    f"grant usage on schema extra to {ROLES}",
    f"grant all on extra.things to {ROLES}",
    "create schema hidden",
    "create table hidden.things (id int primary key)",
)
ROWS = (
    "truncate notes, comments, own, half, extra.things",
    f"insert into notes select n, '{ADA}', 'note ' || n from generate_series(1, 5) n",
    "insert into comments values (1, 1, 'first'), (2, 1, 'second')",
    f"insert into own values (1, '{ADA}', 'mine'), (2, '{ADA}', 'kept'), (3, '{BOB}', 'his'), (4, '{BOB}', 'open')",
    "insert into half values (1, 'a', 'x')",
)


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(made, *TABLES)
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    settings: Mapping[str, Any] = {
        "api_schemas": ("public", "extra"),
        "api_max_rows": 4,
        "api_timeout_s": 2.0,
        "message_limit_bytes": 20_000,
        "accounts": False,
    }
    with realtime(dsn, **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def rows(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        run(admin, *ROWS)


def call(served: RealtimeServer, method: str, path: str, body: object = None, **headers: str) -> Answer:
    """Ask as a client does that is signed in, unless the headers say otherwise."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"apikey": token("anon"), "authorization": bearer("authenticated", sub=ADA), **headers}
    if data is not None:
        given.setdefault("content_type", "application/json")
    return request(method, f"{served.url}/rest/v1/{path}", data, headers=given)


def bearer(role: str, **claims: Any) -> str:
    return f"Bearer {token(role, **claims)}"


def complaint(answer: Answer) -> tuple[int, str]:
    """Return status and code, of a body that has the shape that clients know."""
    assert answer.json.keys() == {"code", "message", "details", "hint"}, answer
    assert answer.headers["content-type"].startswith("application/json")
    return answer.status, answer.json["code"]


# --- what a client gets --------------------------------------------------------------------------------------


def test_reading(served: RealtimeServer) -> None:
    answer = call(served, "GET", "notes?select=id,text:body&id=in.(2,3)&order=id.desc")
    assert (answer.status, answer.json) == (200, [{"id": 3, "text": "note 3"}, {"id": 2, "text": "note 2"}])
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["content-range"] == "0-1/*"
    answer = call(served, "GET", "notes?select=id,comments(text)&id=eq.1")
    assert answer.json == [{"id": 1, "comments": [{"text": "first"}, {"text": "second"}]}]


def test_no_more_rows_than_the_limit(served: RealtimeServer) -> None:
    for path in ("notes?select=id", "notes?select=id&limit=1000"):
        answer = call(served, "GET", path, prefer="count=exact")
        assert (answer.status, len(answer.json), answer.headers["content-range"]) == (206, 4, "0-3/5")
    answer = call(served, "GET", "notes?select=id&offset=4")
    assert (answer.json, answer.headers["content-range"]) == ([{"id": 5}], "4-4/*")


def test_counting_without_rows(served: RealtimeServer) -> None:
    answer = call(served, "HEAD", "notes?select=id&id=gt.3", prefer="count=exact")
    assert (answer.status, answer.body, answer.headers["content-range"]) == (200, b"", "0-1/2")
    for count in ("planned", "estimated"):
        answer = call(served, "HEAD", "notes?select=id", prefer=f"count={count}")
        assert int(answer.headers["content-range"].rpartition("/")[2]) >= 1, count


def test_one_row_or_none(served: RealtimeServer) -> None:
    single = "application/vnd.pgrst.object+json"
    answer = call(served, "GET", "notes?select=id&id=eq.1", accept=single)
    assert (answer.status, answer.json) == (200, {"id": 1})
    answer = call(served, "GET", "notes?select=id", accept=single)
    assert complaint(answer) == (406, "PGRST116")
    assert answer.json["details"] == "The result contains 4 rows"
    assert complaint(call(served, "GET", "notes?id=eq.99", accept=single)) == (406, "PGRST116")


def test_csv(served: RealtimeServer) -> None:
    answer = call(served, "GET", "notes?select=id,body&id=lt.3&order=id", accept="text/csv")
    assert answer.body.decode() == "id,body\n1,note 1\n2,note 2"
    assert answer.headers["content-type"].startswith("text/csv")


def test_writing(served: RealtimeServer, dsn: str) -> None:
    answer = call(served, "POST", "notes", {"id": 10, "body": "new"})
    assert (answer.status, answer.body) == (201, b"")
    assert fetch(dsn, "select owner::text from notes where id = 10") == ADA, "a default saw who was asking"
    answer = call(served, "POST", "notes?select=id", [{"id": 11}, {"id": 12}], prefer="return=representation")
    assert (answer.status, answer.json) == (201, [{"id": 11}, {"id": 12}])
    answer = call(served, "PATCH", "notes?id=gte.11", {"body": "x"}, prefer="return=representation,count=exact")
    assert (answer.status, len(answer.json), answer.headers["preference-applied"]) == (
        200,
        2,
        "count=exact, return=representation",
    )
    answer = call(served, "DELETE", "notes?id=eq.12")
    assert (answer.status, answer.body) == (204, b"")
    upsert = "resolution=merge-duplicates,return=representation"
    answer = call(served, "POST", "notes?on_conflict=id&select=id,body", {"id": 11, "body": "y"}, prefer=upsert)
    assert answer.json == [{"id": 11, "body": "y"}]
    assert fetch(dsn, "select count(*) from notes") == 7


def test_what_was_refused_is_not_kept(served: RealtimeServer, dsn: str) -> None:
    single = {"accept": "application/vnd.pgrst.object+json", "prefer": "return=representation"}
    assert complaint(call(served, "PATCH", "notes?id=lt.3", {"body": "x"}, **single)) == (406, "PGRST116")
    few = "handling=strict,max-affected=1"
    assert complaint(call(served, "DELETE", "notes?id=gt.3", prefer=few)) == (400, "PGRST124")
    answer = call(served, "POST", "notes", {"id": 77}, prefer="tx=rollback,return=representation")
    assert (answer.status, answer.json[0]["id"]) == (201, 77)
    assert complaint(call(served, "DELETE", "notes"))[0] == 400, "a delete without a filter was a mistake"
    assert fetch(dsn, "select count(*) filter (where body like 'note %') from notes") == 5
    assert fetch(dsn, "select count(*) from notes") == 5


def test_functions(served: RealtimeServer, dsn: str) -> None:
    assert call(served, "POST", "rpc/add_up", {"a": 1, "b": 2}).json == 3
    assert call(served, "GET", "rpc/add_up?a=1").json == 2
    found = call(served, "GET", "rpc/whoami", x_mine="yes").json
    assert (found["role"], found["sub"], found["method"]) == ("authenticated", ADA, "GET")
    assert found["headers"]["x-mine"] == "yes"
    assert not {"authorization", "apikey", "cookie"} & found["headers"].keys()
    assert call(served, "POST", "rpc/add_note", {"note_id": 50}).json == 50
    assert complaint(call(served, "GET", "rpc/add_note?note_id=51")) == (405, "25006"), "GET changes nothing"
    assert fetch(dsn, "select count(*) from notes where id >= 50") == 1
    assert call(served, "POST", "rpc/nap", {"seconds": 0}).status == 204


def test_schemas(served: RealtimeServer) -> None:
    assert call(served, "POST", "things", {"id": 1}, content_profile="extra").status == 201
    assert call(served, "GET", "things", accept_profile="extra").json == [{"id": 1}]
    assert complaint(call(served, "GET", "things")) == (404, "PGRST205")
    assert complaint(call(served, "GET", "things", accept_profile="hidden")) == (406, "PGRST106")
    assert complaint(call(served, "GET", "pg_class", accept_profile="pg_catalog")) == (406, "PGRST106")


# --- what goes wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "notes?nothing=eq.1", None, (400, "42703")),
        ("GET", "nowhere", None, (404, "PGRST205")),
        ("GET", "notes/1", None, (404, "PGRST125")),
        ("GET", "rpc/nothing", None, (404, "PGRST202")),
        ("GET", "notes?id=eq.x", None, (400, "22P02")),
        ("GET", "notes?id=like.x", None, (404, "42883")),
        ("GET", "notes?id=what.1", None, (400, "PGRST100")),
        ("GET", "notes?body=eq.%00", None, (400, "PGRST100")),
        ("GET", "notes?body=eq.%ff", None, (400, "PGRST100")),
        ("GET", "%ff", None, (400, "PGRST125")),
        ("GET", "no%0Awhere%0A", None, (404, "PGRST205")),
        ("GET", "notes?" + "&".join(["id=eq.1"] * 1001), None, (400, "PGRST100")),
        ("GET", "notes?select=nowhere(*)", None, (400, "PGRST200")),
        ("GET", "secrets", None, (403, "42501")),
        ("POST", "notes", {"id": 1}, (409, "23505")),
        ("POST", "comments", {"id": 9, "note": 99}, (409, "23503")),
        ("POST", "own", {"id": 9, "owner": BOB}, (403, "42501")),
        ("POST", "own", {"id": 9, "body": "x" * 30}, (400, "23514")),
        ("POST", "notes", {"nothing": 1}, (400, "PGRST204")),
        ("POST", "notes", {"id": "\0"}, (400, "22P05")),
        ("POST", "notes", b"{", (400, "PGRST102")),
        ("POST", "notes", b'{"id": "\xff"}', (400, "PGRST102")),
        ("POST", "notes", b'{"body": "\\ud800"}', (400, "PGRST102")),
        ("POST", "notes", b"[" * 5000, (400, "PGRST102")),
        ("POST", "notes", b"x" * 20_001, (413, "PGRST102")),
        ("PUT", "notes?id=eq.1", {"id": 1}, (405, "PGRST117")),
    ],
    ids=lambda each: str(each)[:40],
)
def test_complaints(served: RealtimeServer, method: str, path: str, body: object, expected: tuple[int, str]) -> None:
    answer = call(served, method, path, body)
    assert complaint(answer) == expected, answer.body
    assert "Traceback" not in answer.body.decode()


def test_a_body_is_not_read_beyond_its_limit(served: RealtimeServer) -> None:
    head = f"POST /rest/v1/notes HTTP/1.1\r\nhost: x\r\nauthorization: {bearer('anon')}\r\n"
    for announcement, chunk in (
        ("content-length: 900000000\r\n\r\n", b""),
        ("transfer-encoding: chunked\r\n\r\n", b"2000\r\n" + b"x" * 0x2000 + b"\r\n"),
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
            client.sendall((head + announcement).encode() + chunk * 3)
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_who_is_asking(served: RealtimeServer) -> None:
    whoami = f"{served.url}/rest/v1/rpc/whoami"

    def role(**headers: str) -> Any:
        answer = request("GET", whoami, headers=headers)
        return answer.json["role"] if answer.status == 200 else complaint(answer)

    assert role() == (401, "PGRST302")
    assert role(apikey=token("anon")) == "anon"
    assert role(apikey=token("anon"), authorization=bearer("service_role")) == "service_role"
    assert role(apikey=token("service_role"), authorization="Bearer x") == (401, "PGRST301")
    assert role(authorization="Bearer") == (401, "PGRST302")
    assert role(apikey=sign(signer=OTHER_SECRET, exp=4e9)) == (401, "PGRST301")
    assert role(apikey=sign(role=..., exp=4e9)) == (401, "PGRST303")
    assert role(apikey=token("nobody_at_all")) == (401, "22023")
    expired = request("GET", whoami, headers={"apikey": token(exp=1)})
    assert (expired.status, expired.json["message"]) == (401, "JWT expired")
    assert expired.headers["www-authenticate"] == "Bearer"


def test_a_statement_that_takes_too_long(served: RealtimeServer) -> None:
    assert complaint(call(served, "POST", "rpc/nap", {"seconds": 30})) == (500, "57014")
    assert call(served, "GET", "notes?id=eq.1").status == 200


def test_a_database_that_is_away(breakable: BreakableProxy) -> None:
    migrate(breakable.dsn)
    execute(breakable.dsn, "create table things (id int)", "grant select on things to anon")

    with realtime(breakable.dsn, slot="away", accounts=False, api_pool=1) as served:

        def ask() -> Answer:
            return request("GET", f"{served.url}/rest/v1/things", headers={"apikey": token("anon")})

        assert ask().status == 200
        breakable.refuse()
        breakable.cut()
        answer = ask()
        assert complaint(answer) == (503, "PGRST001")
        assert answer.headers["retry-after"] == "1"
        assert ".s.PGSQL" not in answer.body.decode(), "where the database is, is nobody's business"
        breakable.accept()
        wait_until(lambda: ask().status == 200)


def test_browsers_may_call_it(served: RealtimeServer) -> None:
    asked = {
        "origin": "https://app.example",
        "access-control-request-method": "PATCH",
        "access-control-request-headers": "apikey,authorization,prefer,x-client-info,content-profile,accept-profile",
    }
    answer = request("OPTIONS", f"{served.url}/rest/v1/notes", headers=asked)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "*")
    assert "prefer" in answer.headers["access-control-allow-headers"]
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    answer = call(served, "GET", "notes", origin="https://app.example")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Content-Range" in answer.headers["access-control-expose-headers"]
    answer = request("OPTIONS", f"{served.url}/rest/v1/notes")
    assert (answer.status, "PATCH" in answer.headers["allow"]) == (204, True)


def test_it_can_be_switched_off(dsn: str) -> None:
    with realtime(dsn, slot="without", data_api=False, accounts=False) as served:
        assert call(served, "GET", "notes").status == 404


# --- what a role may do --------------------------------------------------------------------------------------

CALLERS = {
    "nobody": ("anon", None),
    "ada": ("authenticated", ADA),
    "bob": ("authenticated", BOB),
    "service": ("service_role", None),
}
VERBS: Mapping[str, tuple[str, str, object, str]] = {
    "select": ("GET", "own?select=id,body&order=id", None, "select id, body from own order by id"),
    "insert": ("POST", "own?select=id,body", {"id": 9}, "insert into own (id) values (9) returning id, body"),
    "insert for another": (
        "POST",
        "own?select=id,body",
        {"id": 9, "owner": ADA},
        f"insert into own (id, owner) values (9, '{ADA}') returning id, body",
    ),
    "upsert": (
        "POST",
        "own?on_conflict=id&select=id,body",
        {"id": 1, "body": "new"},
        """insert into own (id, body) values (1, 'new') on conflict (id) do update set body = excluded.body
          returning id, body""",
    ),
    "update": ("PATCH", "own?id=gt.0&select=id,body", {"body": "x"}, "update own set body = 'x' returning id, body"),
    "give away": (
        "PATCH",
        "own?id=gt.0&select=id,body",
        {"owner": BOB},
        f"update own set owner = '{BOB}' returning id, body",
    ),
    "delete": ("DELETE", "own?id=gt.0&select=id,body", None, "delete from own returning id, body"),
    "columns that are granted": ("GET", "half?select=id,seen", None, "select id, seen from half"),
    "columns that are not": ("GET", "half?select=id,hidden", None, "select id, hidden from half"),
    "filter by a hidden column": ("GET", "half?select=id&hidden=eq.x", None, "select id from half where hidden = 'x'"),
    "all columns": ("GET", "half", None, "select * from half"),
    "update of a hidden column": ("PATCH", "half?id=eq.1&select=id", {"hidden": "y"},
                                  "update half set hidden = 'y' where id = 1 returning id"),
    "a table without grants": ("GET", "secrets?select=id", None, "select id from secrets"),
}  # fmt: skip


def in_psql(dsn: str, role: str, subject: str | None, statement: str) -> tuple[Any, Any]:
    """Return rows or the error's code, and what the table holds then, of a statement that is taken back."""
    with psycopg.connect(dsn) as connection:
        claims = json.dumps({"role": role, "sub": subject})
        connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        connection.execute("select set_config('role', %s, true)", [role])
        try:
            cursor = connection.execute(statement.encode())
        except psycopg.Error as error:
            return error.sqlstate, None
        names = [column.name for column in cursor.description or ()]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        connection.execute("reset role")
        kept = connection.execute("select to_json(o) from own o order by id").fetchall()
        connection.rollback()
    return found, kept


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("who", CALLERS)
def test_a_role_gets_what_it_gets_in_psql(served: RealtimeServer, dsn: str, who: str, verb: str) -> None:
    role, subject = CALLERS[who]
    method, path, body, statement = VERBS[verb]
    expected, kept = in_psql(dsn, role, subject, statement)
    answer = call(
        served,
        method,
        path,
        body,
        authorization=bearer(role, **({} if subject is None else {"sub": subject})),
        prefer="return=representation,resolution=merge-duplicates" if verb == "upsert" else "return=representation",
    )
    if kept is None:
        assert complaint(answer) == (401 if role == "anon" else 403, expected)
        return
    assert answer.status in {200, 201}, answer
    assert sorted(answer.json, key=lambda row: row["id"]) == sorted(expected, key=lambda row: row["id"])
    with psycopg.connect(dsn) as admin:
        assert admin.execute("select to_json(o) from own o order by id").fetchall() == kept


def test_a_user_of_its_own_leaves_nothing_to_gain(dsn: str, make_login: MakeLogin) -> None:
    """A function that gives up its caller's role, as SQL that is injected into it might, has no more rights then."""
    login = make_login(dsn, "noinherit")
    execute(
        dsn,
        f"grant {ROLES} to {role_of(login)}",
        "create or replace function escape() returns bool language plpgsql"
        " as 'begin reset role; return (select rolsuper from pg_roles where rolname = current_user); end'",
    )
    with realtime(dsn, slot="login", accounts=False) as served:
        assert call(served, "POST", "rpc/escape", {}).json is True, "the danger is real"
    with realtime(dsn, slot="login", accounts=False, api_database_url=login) as served:
        assert call(served, "GET", "own?select=id&order=id").json == [{"id": 1}, {"id": 2}, {"id": 4}]
        assert call(served, "POST", "rpc/escape", {}).json is False


def test_policies_that_fail_show_no_row_of_others(served: RealtimeServer, dsn: str) -> None:
    """A constraint that a row of somebody else breaks is told without that row."""
    execute(dsn, "create unique index if not exists own_body on own (body)")
    try:
        answer = call(served, "POST", "own", {"id": 20, "body": "his"})
    finally:
        execute(dsn, "drop index own_body")
    assert complaint(answer) == (409, "23505")
    assert answer.json["details"] is None, "Postgres says nothing of the key to whom a policy binds"


# --- much at once, and what changes meanwhile ----------------------------------------------------------------


@pytest.mark.timeout(60)
def test_many_at_once_never_see_each_other(served: RealtimeServer) -> None:
    """More callers than connections, each with its own claims, some of whom are refused."""

    def ask(number: int) -> bool:
        subject = f"{ADA[:-4]}{number:04x}"
        headers = {"authorization": bearer("authenticated", sub=subject)}
        if number % 5 == 0:
            return call(served, "GET", "secrets", **headers).status == 403
        return bool(call(served, "GET", "rpc/whoami", **headers).json["sub"] == subject)

    with ThreadPoolExecutor(24) as pool:
        assert all(pool.map(ask, range(300)))


def test_a_new_table_is_served_at_once(served: RealtimeServer, dsn: str) -> None:
    names = [f"fresh_{number}" for number in range(5)]
    for name in names:
        execute(dsn, f"create table {name} (id int)", f"grant all on {name} to authenticated")

        def is_served(name: str = name) -> bool:
            return call(served, "POST", name, {"id": 1}).status == 201

        wait_until(is_served)
        execute(dsn, f"alter table {name} add column more int default 7")
        wait_until(lambda name=name: call(served, "GET", f"{name}?select=more").status == 200)  # type: ignore[misc]
        execute(dsn, f"drop table {name}")
        wait_until(lambda name=name: call(served, "GET", name).status == 404)  # type: ignore[misc]


def test_a_change_of_a_policy_counts_for_the_next_request(served: RealtimeServer, dsn: str) -> None:
    asked = "own?select=id&order=id"
    for _ in range(4):
        assert call(served, "GET", asked).json == [{"id": 1}, {"id": 2}, {"id": 4}]
    execute(dsn, "create policy narrow on own as restrictive for select to authenticated using (id < 2)")
    try:
        assert call(served, "GET", asked).json == [{"id": 1}]
    finally:
        execute(dsn, "drop policy narrow on own")


def test_values_in_any_place_stay_values(served: RealtimeServer, dsn: str) -> None:
    """No text of a client becomes part of a statement: neither an error of syntax nor an effect comes of it."""
    hostile = [
        "'; drop table notes; --",
        '"; drop table notes; --',
        "1) or (1=1",
        "$1",
        "%s",
        "\\",
        "é\u202e",
        "{}",
        "a,b)",
    ]
    for text in hostile:
        escaped = quote(text, safe="")
        for path in (
            f"notes?body=eq.{escaped}",
            f"notes?{escaped}=eq.1",
            f"notes?select={escaped}",
            f"notes?order={escaped}",
            f"notes?or=(body.eq.{escaped})",
            f"notes?limit={escaped}",
            f"{escaped}",
            f"rpc/{escaped}",
            f"rpc/add_up?a={escaped}",
        ):
            answer = call(served, "GET", path)
            assert answer.status < 500, (path, answer)
            assert answer.status == 200 or answer.json["code"] != "42601", (path, answer)
        for body in ({"id": 60, "body": text}, {text: 1}):
            answer = call(served, "POST", "notes", body, prefer="return=representation,tx=rollback")
            assert answer.status in {201, 400}, (body, answer)
        answer = call(
            served,
            "GET",
            "notes",
            accept=text.encode("ascii", "ignore").decode(),
            prefer=text.encode("ascii", "ignore").decode(),
        )
        assert answer.status in {200, 406}, answer
    assert fetch(dsn, "select count(*) from notes") == 5


def test_a_client_that_goes_away_leaves_no_transaction(served: RealtimeServer, dsn: str) -> None:
    body = b'{"seconds": 0.3}'
    head = (
        f"POST /rest/v1/rpc/nap HTTP/1.1\r\nhost: x\r\nauthorization: {bearer('anon')}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
    opened = "select count(*) from pg_stat_activity where state like 'idle in transaction%'"
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        client.sendall(head.encode() + body)
        wait_until(lambda: fetch(dsn, sleeping) > 0)
    wait_until(lambda: fetch(dsn, sleeping) == 0)
    wait_until(lambda: fetch(dsn, opened) == 0)


def test_realtime_is_not_kept_waiting(dsn: str) -> None:
    """However many statements of the data API wait, a join is answered: their connections are apart."""
    with realtime(dsn, slot="apart", accounts=False, api_pool=2, database_pool=1, api_timeout_s=10.0) as served:
        threads = [threading.Thread(target=call, args=(served, "POST", "rpc/nap", {"seconds": 1.5})) for _ in range(6)]
        for thread in threads:
            thread.start()
        wait_until(lambda: fetch(dsn, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == 2)
        with served.connect(apikey=token("service_role")) as client:
            client.join("realtime:room", private=True)
        assert fetch(dsn, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") >= 1
        for thread in threads:
            thread.join()
