"""Whatever text stands in whatever place of a request, Postgres is sent the same statements as without it.

That is read in Postgres's own log: every statement consists of our words and of names that the schema knows, and what
clients send stands beside it as parameters.
"""

import asyncio
import http.client
import json
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import tidewire
from tests.support.injection_corpus import CORPUS, FOREIGN, MARK, Hostile
from tests.support.injection_places import OWN_COLUMNS, PLACES, Sending, in_url
from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime, token
from tests.support.statement_log import OwnWords, Sent, StatementLog
from tests.support.tables import open_pool
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.schema_cache import SchemaCache
from tidewire.query.schema import Schema

ADA: Final = "00000000-0000-4000-8000-00000000ada0"
BOB: Final = "00000000-0000-4000-8000-00000000b0b0"
LOGIN: Final = "api_login"
ROLES: Final = "anon, authenticated, service_role"
LIMIT_S: Final = 10.0
SHARE: Final = 10
"""Without the long form, each text is tried in one of so many places, and each place with as much of the corpus."""

TABLES: Final = (
    "create type mood as enum ('sad', 'ok')",
    """create table notes (
      id int primary key, owner uuid default auth.uid(), body text, doc jsonb, tags text[], span int4range,
      words tsvector, at timestamptz, mood mood
    )""",
    "create table comments (id int primary key, note int references notes, text text, owner uuid default auth.uid())",
    "create table labels (name text primary key)",
    "create table own (id int primary key, body text, owner uuid)",
    f"grant all on notes, comments, labels, own to {ROLES}",
    "create table secrets (id int, body text)",
    *(f"alter table {table} enable row level security" for table in ("notes", "comments", "own")),
    *(
        f"create policy mine on {table} to authenticated using (owner = auth.uid()) with check (owner = auth.uid())"
        for table in ("notes", "comments", "own")
    ),
    "create function echo(given text) returns text language sql stable as 'select given'",
    "create function anything(json) returns json language sql stable as 'select $1'",
    "create function joined(variadic parts text[]) returns text language sql stable as 'select parts[1]'",
    "create function add_up(a int, b int default 1) returns int language sql immutable as 'select a + b'",
    """create function notes_like(given text) returns setof notes language sql stable as
      $$select * from notes where body like given || '%'$$""",
    """create function pairs(up_to int) returns table (n int, square int) language sql stable as
      'select n, n * n from generate_series(1, up_to) n'""",
    "create schema hidden",
    "create table hidden.things (id int)",
    f"insert into notes (id, owner, body, doc) values (1, '{ADA}', 'note', '{{}}'), (2, '{BOB}', '{FOREIGN}', '{{}}')",
    f"insert into comments values (1, 1, 'mine', '{ADA}'), (2, 2, '{FOREIGN}', '{BOB}'), (3, 1, '{FOREIGN}', '{BOB}')",
    f"insert into own values (1, '{FOREIGN}', '{BOB}')",
    f"insert into secrets values (1, '{FOREIGN}')",
)


@pytest.fixture(scope="module")
def dsn(logging_server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(logging_server) as made:
        execute(made, *TABLES)
        execute(made, f"create role {LOGIN} login password 'x' noinherit", f"grant {ROLES} to {LOGIN}")
        yield made
    execute(logging_server.dsn(), f"drop role {LOGIN}")


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    login = make_conninfo(dsn, user=LOGIN, password="x")
    often: dict[str, Any] = {"requests_per_s_per_address": 1e6, "requests_per_s_per_token": 1e6}
    with realtime(dsn, api_database_url=login, api_timeout_s=2.0, accounts=False, **often) as running:
        yield running


@pytest.fixture(scope="module")
def log(dsn: str) -> Iterator[StatementLog]:
    with closing(StatementLog(dsn, LOGIN)) as opened:
        yield opened


@pytest.fixture(scope="module")
def own_words(dsn: str) -> OwnWords:
    source = Path(tidewire.__file__).parent
    statements = [*(source / "query").glob("*.py"), *(source / "filters").glob("*.py")]
    statements += [source / "postgres" / "data_runner.py", source / "postgres" / "pool.py"]
    queries = [
        source / "postgres" / "queries" / f"{name}.sql" for name in ("data_enter", "pool_session", "schema_usable")
    ]
    return OwnWords([*statements, *queries], asyncio.run(_schema(dsn)))


async def _schema(dsn: str) -> Schema:
    async with open_pool(dsn) as pool:
        return await SchemaCache(pool, ["public"]).get()


class Client:
    """One connection to the API of somebody who is signed in; every answer is looked at."""

    def __init__(self, served: RealtimeServer) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=LIMIT_S)
        self._headers = {
            "apikey": token("anon"),
            "authorization": f"Bearer {token('authenticated', sub=ADA)}",
            "content-type": "application/json",
        }

    def close(self) -> None:
        self._connection.close()

    def send(self, sending: Sending) -> tuple[int, Any]:
        """Return status and body. Fails the test for an answer that nobody should get."""
        self._connection.request(
            sending.method, f"/rest/v1/{sending.path}", sending.body, {**self._headers, **sending.headers}
        )
        with self._connection.getresponse() as response:
            status, body = response.status, response.read()
        assert status < 500, (sending, status, body)
        assert FOREIGN.encode() not in body, (sending, body)
        if status < 300 or status == 304 or sending.method == "HEAD":
            return status, body
        refusal = json.loads(body)
        assert refusal.keys() == {"code", "message", "details", "hint"}, (sending, body)
        assert "Traceback" not in refusal["message"]
        broken = refusal["code"] == "42601" and "at or near" in refusal["message"]  # and not a value, such as a tsquery
        assert not broken, (sending, refusal)
        return status, refusal


@pytest.fixture
def client(served: RealtimeServer) -> Iterator[Client]:
    with closing(Client(served)) as opened:
        yield opened
        assert opened.send(Sending("GET", "notes?select=id")) == (200, b'[{"id":1}]'), (
            "it is there, and nothing changed"
        )


def check_place(name: str, client: Client, log: StatementLog, own_words: OwnWords, corpus: list[Hostile]) -> list[Sent]:
    with log.watched() as sent:
        for hostile in corpus:
            client.send(PLACES[name](hostile))
    for text in {each.text for each in sent}:
        strangers = own_words.strangers(text, own_columns=name in OWN_COLUMNS)
        assert not strangers, (strangers, text)
    return sent


@pytest.mark.parametrize("name", PLACES)
def test_a_text_stays_a_text(client: Client, log: StatementLog, own_words: OwnWords, name: str) -> None:
    number = list(PLACES).index(name)
    check_place(name, client, log, own_words, list(CORPUS[number % SHARE :: SHARE]))


@pytest.mark.soak
@pytest.mark.parametrize("name", PLACES)
def test_every_text_in_every_place(client: Client, log: StatementLog, own_words: OwnWords, name: str) -> None:
    check_place(name, client, log, own_words, list(CORPUS))


# --- the log shows what there is to see ----------------------------------------------------------------------

PARAMETERS: Final = (
    "eq value", "in list", "or quoted value", "limit", "filter JSON step", "argument", "fts configuration",
    "body value", "body value in JSON", "body value of an upsert", "body argument", "update filter", "delete filter",
)  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_is_sent_stands_beside_the_statement(
    client: Client, log: StatementLog, own_words: OwnWords, name: str
) -> None:
    text = "7" if name == "limit" else MARK
    sent = check_place(name, client, log, own_words, [Hostile(text.encode(), text)])
    asking = [each for each in sent if '"notes"' in each.text or '"echo"' in each.text]
    assert asking
    assert all(MARK not in each.text for each in sent)
    assert any(text in each.parameters for each in asking)


def test_statements_that_postgres_keeps_are_in_the_log_too(client: Client, log: StatementLog) -> None:
    with log.watched() as sent:
        for number in range(60):  # whichever connection answers, each has it often enough
            assert client.send(Sending("GET", f"notes?select=id&body=eq.{MARK}{number}"))[0] == 200
    kept = [each for each in sent if each.plan not in {"", "<unnamed>"} and '"notes"' in each.text]
    assert len({each.text for each in kept}) == 1
    assert len([each for each in kept if MARK in each.parameters]) > 10


@pytest.mark.parametrize(
    "statement",
    [
        f"select '{MARK}'",
        f"select 1 as {MARK}",
        f'select "{MARK}" from notes',
        "select id from notes where id = 17",
        "select id from notes; select 1",
        "select id from notes -- and no more",
        "select $$x$$",
        "select id from notes union select 1",
        "drop table notes",
    ],
)
def test_a_statement_that_holds_anything_else_would_be_found(
    dsn: str, log: StatementLog, own_words: OwnWords, statement: str
) -> None:
    login = make_conninfo(dsn, user=LOGIN, password="x")
    with log.watched() as sent, psycopg.connect(login) as connection, suppress(psycopg.Error):
        connection.execute(statement.encode())
    assert own_words.strangers(next(each.text for each in sent if statement in each.text))


def test_names_that_a_client_chooses_stand_between_quotes(client: Client, log: StatementLog) -> None:
    with log.watched() as sent:
        status, body = client.send(in_url('notes?select="@":id')(Hostile(b'x\\"y', None)))
    assert (status, json.loads(body)) == (200, [{'x"y': 1}])
    assert any('as "x""y"' in each.text for each in sent)


# --- more than anybody needs ---------------------------------------------------------------------------------

DEEP_LOGIC: Final = "and(or(" * 500 + "id.eq.1" + "))" * 500
DEEP_EMBEDDING: Final = "comments(notes(" * 100 + "id" + "))" * 100
DEEP_JSON: Final = b"[" * 10_000 + b"]" * 10_000
DEEP_OBJECT: Final = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
LONG: Final = b"x" * 1_000_000
HUGE: Final = "9" * 400


@pytest.mark.parametrize(
    ("sending", "expected"),
    [
        (Sending("GET", f"notes?and=({DEEP_LOGIC})"), 400),
        (Sending("GET", f"notes?select={DEEP_EMBEDDING}"), 400),
        (Sending("GET", "notes?select=doc" + "->a" * 1000), 400),
        (Sending("GET", "comments?" + "notes." * 500 + "id=eq.1"), 400),
        (Sending("GET", "notes?select=" + "(" * 5000), 400),
        (Sending("GET", "notes?body=in.(" + "(" * 5000), 400),
        (Sending("POST", "notes", {"prefer": "tx=rollback"}, b'{"id":50,"doc":' + DEEP_JSON + b"}"), 400),
        (Sending("POST", "notes", {"prefer": "tx=rollback"}, b'{"id":50,"doc":' + DEEP_OBJECT + b"}"), 400),
        (Sending("POST", "notes", {"prefer": "tx=rollback"}, DEEP_JSON), 400),
        (Sending("POST", "rpc/anything", {}, DEEP_OBJECT), 200),
        (Sending("POST", "rpc/echo", {}, b'{"given":' + DEEP_JSON + b"}"), 400),
        (Sending("POST", "notes", {"prefer": "tx=rollback"}, b'{"id":50,"body":"' + LONG + b'"}'), 201),
        (Sending("POST", "notes", {"prefer": "tx=rollback"}, b'{"' + LONG + b'":1}'), 400),
        (Sending("POST", "rpc/echo", {}, b'{"given":"' + LONG + b'"}'), 200),
        (Sending("POST", "rpc/echo", {}, b'{"' + LONG + b'":1}'), 404),
        (Sending("PATCH", "notes?id=eq.1", {"prefer": "tx=rollback"}, b'{"tags":["' + LONG + b'"]}'), 204),
        (Sending("POST", "notes", {"prefer": "tx=rollback"}, b"[" + b'{"id":1},' * 9999 + b'{"id":1}]'), 409),
        (Sending("POST", "notes", {}, b"[" + b"{}," * 9999 + b'{"id":1}]'), 400),
        (Sending("POST", "notes", {}, b"{" + b",".join(b'"k%d":1' % n for n in range(9999)) + b"}"), 400),
        (Sending("GET", "notes?" + "&".join(f"id=neq.{n}" for n in range(2000))), 400),
        (Sending("GET", "notes?" + "&".join(f"k{n}=eq.1" for n in range(900))), 400),
        (Sending("GET", "rpc/echo?" + "&".join(f"k{n}=1" for n in range(900))), 400),
        (Sending("GET", "notes?select=" + ",".join(f"a{n}:id" for n in range(3000))), 400),
        (Sending("GET", "notes?order=" + ",".join(["id"] * 3000)), 400),
        (Sending("GET", "notes?id=in.(" + ",".join(["1"] * 6000) + ")"), 400),
        (Sending("GET", "notes?body=eq." + "x" * 40_000), 414),
        (Sending("GET", f"notes?limit={HUGE}"), 400),
        (Sending("GET", "notes?limit=999999999999999999&offset=999999999999999999"), 200),
        (Sending("GET", f"notes?offset=-{HUGE}"), 400),
        (Sending("GET", f"notes?id=eq.{HUGE}"), 400),
        (Sending("GET", f"notes?select=doc->{HUGE}"), 400),
        (Sending("GET", "notes?select=doc->-999999999&id=eq.1"), 200),
        (Sending("GET", "notes", {"range": f"0-{HUGE}"}), 400),
        (Sending("GET", "notes", {"range": "999999999999999999-999999999999999999"}), 200),
        (Sending("POST", "notes", {}, f'{{"id":{HUGE}}}'.encode()), 400),
        (Sending("POST", "notes", {"prefer": "tx=rollback"}, b'{"id":50,"doc":1e400}'), 201),
        (Sending("POST", "notes", {}, b'{"id":1e400}'), 400),
        (Sending("POST", "rpc/add_up", {}, b'{"a":2147483647,"b":1}'), 400),
        (Sending("GET", "notes?body=match." + "(a*)*" * 50 + "%24"), 200),
        (Sending("GET", "notes?body=like." + "%25_" * 5000), 200),
        (Sending("GET", "notes?select="), 200),
        (Sending("GET", "notes?="), 400),
        (Sending("GET", "notes?id="), 400),
        (Sending("GET", "notes?order="), 400),
        (Sending("GET", "notes?limit="), 400),
        (Sending("GET", "notes?and=()"), 400),
        (Sending("GET", "notes?id=in.()"), 200),
        (Sending("GET", "rpc/"), 404),
        (Sending("GET", "notes", {"prefer": "", "accept": "", "range-unit": ""}), 200),
        (Sending("GET", "notes", {"range": ""}), 400),
        (Sending("GET", "notes", {"accept-profile": ""}), 406),
        (Sending("POST", "notes", {"prefer": "tx=rollback"}, b""), 400),
        (Sending("POST", "notes", {"prefer": "tx=rollback"}, b"[]"), 201),
        (Sending("POST", "rpc/echo", {}, b""), 404),
    ],
    ids=lambda each: (
        f"{each.method} {each.path[:30]} {str(each.body)[:30]}" if isinstance(each, Sending) else str(each)
    ),
)
def test_it_is_refused_or_answered_in_time(client: Client, sending: Sending, expected: int) -> None:
    status, body = client.send(sending)
    assert status == expected, body
