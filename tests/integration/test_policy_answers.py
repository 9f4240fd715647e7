"""Rows of the log are judged by policies as Postgres judges rows of the table: the same question is put both ways."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from psycopg import sql
from structlog.testing import capture_logs

from tests.support.log import execute, fetch
from tests.support.policy_cases import SESSION
from tests.support.postgres import MakeLogin
from tests.support.server import migrate
from tests.support.tables import open_pool, role_of
from tests.support.type_catalog import read_relation
from tidewire.match.rule import Restriction
from tidewire.model.change import ABSENT, Row, Value
from tidewire.model.errors import MigrationError, MissingPrivilege, PostgresError
from tidewire.model.relation import Relation
from tidewire.postgres.policy_answers import PolicyAnswers, PolicyQuestion
from tidewire.postgres.pool import Pool
from tidewire.postgres.rules import PostgresRules

Settings = Mapping[str, str]

ADA, BOB, EVE = (f"0000000{n}-0000-4000-8000-00000000000a" for n in range(3))


def claims(**values: Any) -> Settings:
    return {"request.jwt.claims": json.dumps(values)}


SESSIONS: list[Settings] = [
    claims(sub=ADA, role="authenticated", plan="pro", level=2),
    claims(sub=BOB, role="authenticated", plan="free", teams=[1, 3]),
    claims(sub=EVE, role="authenticated", name="\"Eve\\ {x},'$1' %s é"),
    {"request.jwt.claim.sub": ADA, "request.jwt.claims": ""},
    {},
]

SCHEMA = (
    "create type mood as enum ('sad', 'ok', 'so happy')",
    'create type address as (street text, "Zip Code" varchar(5))',
    "create domain rating as int4 not null check (value >= 0)",
    "create domain email as text check (value ~ '@')",
    "create table teams (id int primary key, plan text)",
    "create table members (team int, who uuid, primary key (team, who))",
    """create table posts (
      id int primary key, owner uuid, team int, gone text, title text, code varchar(3), padded char(4),
      price numeric(6, 2), tags text[], home address, homes address[], doc jsonb, raw json, bytes bytea, feeling mood,
      stars rating, contact email, "Odd ""Name" text, at timestamptz, span int4range, "order" int
    )""",
    "alter table posts drop column gone",
    "create schema private",
    """create function private.in_team(which int) returns boolean language sql stable security definer
       set search_path = '' return exists (select from public.members m where m.team = which and m.who = auth.uid())""",
    "create function cheap(post posts) returns boolean language sql stable as $$ select post.price < 2 $$",
    """create function strict_uid() returns uuid language plpgsql stable as $$ begin
         if auth.uid() is null then raise exception 'who are you?'; end if; return auth.uid(); end $$""",
    """create function remembered() returns text language plpgsql as $$ begin
         if coalesce(current_setting('app.who', true), '') = '' then
           perform set_config('app.who', auth.uid()::text, true);
         end if;
         return current_setting('app.who'); end $$""",
    "insert into teams values (1, 'pro'), (2, 'free'), (3, 'pro')",
    f"insert into members values (1, '{ADA}'), (2, '{BOB}'), (3, '{BOB}'), (3, '{EVE}')",
    f"""insert into posts values
      (1, '{ADA}', 1, 'plain', 'abc', 'ab', 1.50, '{{a,"b c"}}', '("Main St, 1",12345)', '{{"(a,1)","(,)"}}',
        '{{"to": ["{BOB}"], "n": 1}}', '{{"a":  "b"}}', '\\x00ff', 'so happy', 1, 'a@b', 'x''y', '2024-01-01 10:00+02',
        '[1,5)', 1),
      (2, '{BOB}', 2, E'it''s \\\\ "x"\\n', '', '', -1, '{{}}', '(,)', '{{}}', '[]', '[]', '', 'sad', 0, null, '',
        'infinity', 'empty', 2),
      (3, null, 3, null, null, null, null, null, null, null, null, null, null, null, 3, null, null, null, null, null),
      (4, '{EVE}', null, '%s {{}} $1 é', 'é', 'abcd', 9999.99, '{{NULL,"NULL"}}', '("\\"q\\"",)', null, 'null', 'null',
        '\\x5c', 'ok', 5, 'eve@x', '"', '0044-03-15 BC', '(,)', 0)""",
    "alter table posts enable row level security",
    "alter table members enable row level security",
    "create policy own on members using (who = auth.uid())",
    "grant usage on schema public to authenticated",
    "grant select on posts, teams, members to authenticated",
)

POLICIES = (
    "true",
    "owner = auth.uid()",
    "owner = (select auth.uid())",
    "exists (select from members m where m.team = posts.team and m.who = auth.uid())",
    "team in (select m.team from members m)",
    "team not in (select m.team from members m where m.who = (select auth.uid()))",
    "exists (select from members m join teams t on t.id = m.team where m.team = posts.team and t.plan = 'pro')",
    "(select plan from teams where teams.id = posts.team) = 'pro' and auth.uid() is not null",
    "private.in_team(team)",
    "cheap(posts)",
    "posts is not null or (posts.*)::text like '%eve@x%'",
    "lower(title) = 'plain' or title like '%x%'",
    "code || 'x' = 'abcx' or padded = 'ab' or length(padded) = 4",
    "price % 1 = 0.5 or price < 0",
    "'b c' = any (tags) or tags[1] is null and cardinality(tags) = 2",
    "(home).street like 'Main%' or (homes[1]).\"Zip Code\" = '1'",
    "doc @> jsonb_build_object('to', jsonb_build_array(auth.uid())) or raw ->> 'a' = 'b'",
    "encode(bytes, 'hex') = '00ff' or encode(bytes, 'escape') = '\\\\\\\\'",
    "feeling > 'sad' and stars + 1 > 1",
    "contact like 'eve%' or upper(contact) = 'A@B'",
    '"Odd ""Name" = \'"\' or "order" + 1 = 2',
    "extract(hour from at) = 8 or at > now()",
    "span @> 3",
    "case when title ~ '^[0-9]+$' then title::int > 5 else id = 3 end",
    "auth.jwt() ->> 'name' like '%Eve\\\\%'",
    "current_setting('request.jwt.claim.sub', true) = owner::text",
    "remembered() = owner::text",
    "current_user = 'authenticated' and id > 1 + 1",
    "(auth.jwt() -> 'teams') @> to_jsonb(team)",
    # The statement is parsed again as the reader, who has no way into the schema of the function.
    "exists (select from members m where m.team = posts.team) and private.in_team(team)",
    "team in (select m.team from members m) and private.in_team(team) and cheap(posts)",
    "exists (select from members) and private.in_team((select max(id) from teams where plan = 'free'))",
)


class Case:
    """A database with tables, and both ways to find out who sees what."""

    def __init__(self, dsn: str, pool: Pool, answers: PolicyAnswers) -> None:
        self.dsn = dsn
        self.pool = pool
        self.answers = answers
        self.connection: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
        self.connection.execute(SESSION)

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.connection.execute(statement.encode())

    def policy(self, using: str, table: str = "posts") -> None:
        self.run(f"drop policy if exists p on {table}", f"create policy p on {table} for select using ({using})")

    def relation(self, table: str = "posts") -> Relation:
        return read_relation(self.connection, table)

    def rows(self, table: str = "posts", columns: str = "*") -> list[Row]:
        """Return the rows as the log would have them, in the order of the first column."""
        result = self.connection.execute(f"select {columns} from {table} order by 1".encode()).pgresult
        assert result is not None
        return [
            tuple(None if (raw := result.get_value(row, at)) is None else raw.decode() for at in range(result.nfields))
            for row in range(result.ntuples)
        ]

    async def question(
        self, table: str = "posts", sessions: Sequence[Settings] = SESSIONS, role: str = "authenticated"
    ) -> PolicyQuestion:
        relation = self.relation(table)
        rule = await PostgresRules(self.pool).read(role, relation)
        assert rule is not None
        assert rule.restriction is not None
        return PolicyQuestion(role, relation, rule.restriction, self.rows(table), sessions)

    async def ask(self, table: str = "posts", sessions: Sequence[Settings] = SESSIONS) -> list[list[bool]]:
        return await self.answers.answer(await self.question(table, sessions))

    def shown(self, table: str = "posts", sessions: Sequence[Settings] = SESSIONS) -> list[list[bool]]:
        """Ask the table itself, by its first column. It must not fail."""
        key = sql.Identifier(self.relation(table).columns[0].name).as_string(None)
        keys = self.rows(table, key)
        seen = [self._select(table, key, session) for session in sessions]
        return [[row in each for row in keys] for each in seen]

    def _select(self, table: str, key: str, session: Settings) -> list[Row]:
        with self.connection.transaction(force_rollback=True):
            self.connection.execute("set local role authenticated")
            for name in ("request.jwt.claims", "request.jwt.claim.sub"):
                self.connection.execute("select set_config(%s, %s, true)", [name, session.get(name, "")])
            return self.rows(table, key)


@asynccontextmanager
async def open_case(dsn: str, *, size: int = 4, **limits: Any) -> AsyncIterator[Case]:
    async with open_pool(dsn, size=size) as pool:
        case = Case(dsn, pool, PolicyAnswers(pool, **{"timeout_s": 5.0, "most_s": 30.0, **limits}))
        with case.connection:
            yield case


@pytest.fixture
def prepared(any_database: str) -> str:
    """Return a database with the tables, on each version in turn."""
    migrate(any_database)
    execute(any_database, *SCHEMA)
    return any_database


@pytest.fixture
def bundled(database: str) -> str:
    """Return the same on the bundled version, for what is decided outside of the database."""
    migrate(database)
    execute(database, *SCHEMA)
    return database


def failures(logs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    return [(log["table"], log["sqlstate"], log["sessions"]) for log in logs if log["event"] == "policy_failed"]


def nobody(question: PolicyQuestion) -> list[list[bool]]:
    return [[False] * len(question.rows) for _ in question.sessions]


# --- the same answers as from the table --------------------------------------------------------------------


@pytest.mark.timeout(60)
async def test_rows_of_the_log_are_judged_as_those_of_the_table(prepared: str) -> None:
    async with open_case(prepared) as case:
        with capture_logs() as logs:
            for using in POLICIES:
                case.policy(using)
                answers = await case.ask()
                assert answers == case.shown(), using
                # A policy that shows all or nothing would be met by an answer that has nothing to do with it.
                assert using == "true" or len({seen for each in answers for seen in each}) == 2, using
        assert logs == []


async def test_what_the_table_holds_by_now_does_not_count(bundled: str) -> None:
    async with open_case(bundled) as case:
        case.policy("owner = auth.uid() and exists (select from teams where teams.id = posts.team)")
        question = await case.question()
        before = await case.answers.answer(question)
        assert before == case.shown()
        case.run(f"update posts set owner = '{BOB}'", "delete from posts where id = 1")
        assert await case.answers.answer(question) == before
        case.run("delete from teams")
        assert await case.answers.answer(question) == nobody(question)


async def test_several_policies_and_none(bundled: str) -> None:
    async with open_case(bundled) as case:
        assert await case.ask() == case.shown() == nobody(await case.question())
        case.run(
            "create policy a on posts using (id = 1 or id % 2 = 0)",
            "create policy b on posts using (owner = auth.uid() and lower(title) is not null)",
            "create policy c on posts as restrictive using (id + 1 < 5)",
        )
        answers = await case.ask()
        assert answers == case.shown()
        assert [True, True, False, False] in answers


async def test_odd_names(prepared: str) -> None:
    odd = '"Order ""Lines"" $1 %s {}"'
    async with open_case(prepared) as case:
        case.run(
            'create schema "My \'Shop"',
            'grant usage on schema "My \'Shop" to authenticated',
            f'create table "My \'Shop".{odd} ("the ""key" int, "select" text, "place in the lo" text)',
            f"insert into \"My 'Shop\".{odd} values (1, 'a', 'b'), (2, '%s', '$1'), (3, null, '')",
            f'grant select on "My \'Shop".{odd} to authenticated',
            f'alter table "My \'Shop".{odd} enable row level security',
        )
        table = f'"My \'Shop".{odd}'
        for using in (
            'lower("select") in (\'a\', \'%s\') and "the ""key" + 1 > 2',
            f'exists (select from teams where teams.id + 1 = {odd}."the ""key")',
            f"{odd} is not null and {odd}.\"place in the lo\" <> 'b'",
        ):
            case.policy(using, table)
            answers = await case.ask(table)
            assert answers == case.shown(table), using
            assert len(set(answers[0])) == 2


async def test_each_of_a_thousand_sessions_gets_its_own_answer(prepared: str) -> None:
    people = [f"00000000-0000-4000-8000-{number:012d}" for number in range(1000)]
    async with open_case(prepared) as case:
        case.run(
            "create table notes (id int primary key, owner uuid, team int)",
            "alter table notes enable row level security",
            "grant select on notes to authenticated",
        )
        with case.connection.cursor() as cursor:
            cursor.executemany(
                "insert into notes values (%s, %s, %s)", [(n, people[n * 7 % 1000], n % 50) for n in range(300)]
            )
            cursor.executemany("insert into members values (%s, %s)", [(n % 60 + 10, people[n]) for n in range(1000)])
        case.policy("(select auth.uid()) = owner or team in (select m.team from members m)", "notes")
        answers = await case.ask("notes", [claims(sub=person) for person in people])
        for n, answer in enumerate(answers):
            mine = {at for at in range(300) if at * 7 % 1000 == n or at % 50 == n % 60 + 10}
            assert {at for at, seen in enumerate(answer) if seen} == mine


CONDITIONS = st.sampled_from([using for using in POLICIES if "remembered" not in using])
COMBINED = st.recursive(
    CONDITIONS,
    lambda inner: (
        st.builds("(({}) and ({}))".format, inner, inner)
        | st.builds("(({}) or ({}))".format, inner, inner)
        | st.builds("not coalesce(({}), false)".format, inner)
    ),
    max_leaves=4,
)


@pytest.mark.timeout(60)
def test_any_combination_is_judged_as_postgres_does(prepared: str) -> None:
    @settings(max_examples=40)
    @given(COMBINED, st.lists(st.sampled_from(SESSIONS), min_size=1, unique_by=str), st.integers(0, 15))
    def check(using: str, sessions: list[Settings], without: int) -> None:
        case.policy(using)
        question = runner.run(case.question(sessions=sessions))
        kept = [at for at in range(len(question.rows)) if not without >> at & 1]
        shown = [[each[at] for at in kept] for each in case.shown(sessions=sessions)]
        question = replace(question, rows=[question.rows[at] for at in kept])
        assert runner.run(case.answers.answer(question)) == shown

    pool = Pool(prepared)
    case = Case(prepared, pool, PolicyAnswers(pool, timeout_s=5.0))
    with asyncio.Runner() as runner, case.connection:
        check()
        runner.run(pool.close())


# --- what the log does not have ----------------------------------------------------------------------------


async def test_rows_without_a_value_that_is_read_are_not_visible(prepared: str) -> None:
    async with open_case(prepared) as case:
        case.policy("lower(title) is null or id = 1")
        question = await case.question()
        names = [column.name for column in question.relation.columns]

        def without(*gone: str) -> list[Row]:
            return [
                tuple(ABSENT if name in gone else value for name, value in zip(names, row, strict=True))
                for row in question.rows
            ]

        whole = [True, False, True, False]
        assert await case.answers.answer(question) == [whole] * 5
        # Among those that are not read is a column whose domain knows no NULL.
        unread: tuple[str, ...] = tuple(name for name in names if name not in {"id", "title"})
        assert await case.answers.answer(replace(question, rows=without(*unread))) == [whole] * 5
        assert await case.answers.answer(replace(question, rows=without("title"))) == nobody(question)
        mixed = [*without("title")[:1], *question.rows]
        assert await case.answers.answer(replace(question, rows=mixed)) == [[False, *whole]] * 5


async def test_a_table_that_has_changed_since(prepared: str) -> None:
    async with open_case(prepared) as case:
        case.policy("lower(title) = 'plain'")
        before = await case.question()
        expected = [[True, False, False, False]] * 5
        assert await case.answers.answer(before) == expected
        case.run("alter table posts add column first int not null default 1, drop column tags")
        assert await case.answers.answer(before) == expected
        case.policy("lower(title) = 'plain' and first + 1 = 2")
        now = await case.question()
        assert await case.answers.answer(replace(before, restriction=now.restriction)) == nobody(before)
        assert await case.answers.answer(now) == expected
        case.run("alter table posts rename column title to heading")
        later = await case.question()
        assert await case.answers.answer(replace(before, restriction=later.restriction)) == nobody(before)
        with capture_logs() as logs:
            assert await case.answers.answer(before) == nobody(before)
        assert failures(logs) == [("public.posts", "42703", 5)]


async def test_a_table_that_is_gone(bundled: str) -> None:
    async with open_case(bundled) as case:
        case.policy("lower(title) = 'plain'")
        question = await case.question()
        case.run("drop table posts cascade")
        assert await case.answers.answer(question) == nobody(question)


async def test_nothing_to_ask(bundled: str) -> None:
    async with open_case(bundled) as case:
        case.policy("lower(title) = 'plain'")
        question = await case.question()
        assert await case.answers.answer(replace(question, rows=[])) == [[]] * 5
        assert await case.answers.answer(replace(question, sessions=[])) == []


async def test_a_column_that_is_read_without_notice_is_an_error(prepared: str) -> None:
    async with open_case(prepared) as case:
        case.policy("lower(title) = 'plain'")
        question = await case.question()
        question = replace(question, restriction=Restriction(question.restriction.expression, frozenset({"id"})))
        with capture_logs() as logs:
            assert await case.answers.answer(question) == nobody(question)
        assert failures(logs) == [("public.posts", "42703", 5)]


# --- policies that fail ------------------------------------------------------------------------------------


async def test_a_policy_that_fails_for_one_session_hides_from_that_one_only(prepared: str) -> None:
    async with open_case(prepared) as case:
        case.policy("strict_uid() = owner or id = 4")
        with capture_logs() as logs:
            answers = await case.ask()
        assert answers[:4] == case.shown(sessions=SESSIONS[:4])
        assert answers[4] == [False, False, False, False]
        assert failures(logs) == [("public.posts", "P0001", 1)]
        assert ADA not in str(logs)
        with capture_logs() as logs:
            assert await case.ask() == answers
        assert logs == []


async def test_a_row_that_fails_costs_the_others_nothing(bundled: str) -> None:
    async with open_case(bundled) as case:
        case.policy("10 / id >= 1")
        question = await case.question()
        numbers = range(-100, 300)
        rest: list[Value] = [None] * (len(question.relation.columns) - 1)
        rows: list[Row] = [(str(number), *rest) for number in numbers]
        with capture_logs() as logs:
            answers = await case.answers.answer(replace(question, rows=rows))
        assert answers == [[1 <= number <= 10 for number in numbers]] * 5
        assert failures(logs) == [("public.posts", "22012", 5)]


async def test_one_bad_row_is_found_for_many_sessions(bundled: str) -> None:
    people = [claims(sub=f"00000000-0000-4000-8000-{number:012d}") for number in range(200)]
    async with open_case(bundled) as case:
        case.policy("10 / id >= 1 and auth.uid() is not null")
        question = await case.question(sessions=people)
        rest: list[Value] = [None] * (len(question.relation.columns) - 1)
        rows: list[Row] = [(str(number), *rest) for number in range(-100, 100)]
        with capture_logs() as logs:
            answers = await case.answers.answer(replace(question, rows=rows))
        assert answers == [[1 <= number <= 10 for number in range(-100, 100)]] * 200
        assert failures(logs) == [("public.posts", "22012", 200)]


async def test_sessions_that_always_fail_cost_the_others_nothing(bundled: str) -> None:
    people = [claims(sub=f"00000000-0000-4000-8000-{number:012d}") if number % 2 else {} for number in range(300)]
    async with open_case(bundled) as case:
        # What stands in CASE is computed for rows, and not when a plan is made.
        case.policy("(case when id >= 0 then strict_uid() end) is not null and id < 50 + 0")
        question = await case.question(sessions=people)
        rest: list[Value] = [None] * (len(question.relation.columns) - 1)
        question = replace(question, rows=[(str(number), *rest) for number in range(100)])
        expected = [[number < 50 for number in range(100)] if who % 2 else [False] * 100 for who in range(300)]
        with capture_logs() as logs:
            assert await case.answers.answer(question) == expected
        assert failures(logs) == [("public.posts", "P0001", 150)]
        assert [log["sessions"] for log in logs if log["event"] == "policy_rests"] == [150]
        with capture_logs() as logs:
            assert await case.answers.answer(question) == expected
        assert logs == [], "those that fail are not asked again for a while"


async def test_a_policy_that_always_fails_is_left_to_rest(bundled: str) -> None:
    now_s = 0.0
    async with open_case(bundled, clock=lambda: now_s) as case:
        case.run("create table notes (id int)", "alter table notes enable row level security")
        case.run("grant select on notes to authenticated")
        case.policy("1 / (id - id) = 1", "notes")
        question = await case.question("notes", SESSIONS * 30)
        rows: list[Row] = [(str(number),) for number in range(256)]
        question = replace(question, rows=rows)
        with capture_logs() as logs:
            assert await case.answers.answer(question) == nobody(question)
        assert failures(logs) == [("public.notes", "22012", 150)]
        assert [log["sessions"] for log in logs if log["event"] == "policy_rests"] == [150]
        case.policy("true", "notes")
        question = replace(question, restriction=(await case.question("notes")).restriction)
        assert await case.answers.answer(question) == nobody(question)
        now_s = 6.0
        assert await case.answers.answer(question) == [[True] * 256] * 150


async def test_policies_that_no_session_can_be_asked_about(prepared: str) -> None:
    async with open_case(prepared) as case:
        case.run("create table secrets (id int)", "create function mine() returns int language sql return 1")
        case.run("revoke execute on function mine() from public")
        for using, sqlstate in (
            ("id in (select p.id from posts p)", "42P17"),  # infinite recursion
            ("id in (select s.id from secrets s)", "42501"),
            ("id = mine()", "42501"),
            ("xmin::text <> ''", "42703"),
        ):
            async with open_case(prepared) as fresh:
                case.policy(using)
                with capture_logs() as logs:
                    question = await fresh.question()
                    assert await fresh.answers.answer(question) == nobody(question), using
                assert failures(logs) == [("public.posts", sqlstate, 5)], using


async def test_what_failed_is_asked_again_once_rules_are_read_again(prepared: str) -> None:
    async with open_case(prepared) as case:
        case.run("create table secrets (id int)", "insert into secrets values (2)")
        case.policy("id in (select s.id from secrets s)")
        with capture_logs():
            assert await case.ask() == nobody(await case.question())
        case.run("grant select on secrets to authenticated")
        assert await case.ask() == case.shown() == [[False, True, False, False]] * 5


APART = "exists (select from members m where m.team = posts.team) and private.in_team(team)"


async def test_a_function_made_for_a_question_is_gone_after_it(prepared: str) -> None:
    async with open_case(prepared, size=1) as case:
        case.policy(APART)
        question = await case.question()
        for _ in range(2):
            assert await case.answers.answer(question) == case.shown()
            assert await left_behind(case.pool) == [(None, True, "off")]
            made = "select count(*) from pg_proc where proname = 'tidewire_rule'"
            assert await case.pool.fetch("looking", made, {}) == [(0,)]
        case.run("drop policy p on posts", "drop function private.in_team(int)")


async def test_without_the_right_to_make_a_function_nobody_sees_the_row(prepared: str, make_login: MakeLogin) -> None:
    async with open_case(prepared) as admin:
        admin.policy(APART)
        question = await admin.question()
        dsn = make_login(prepared)
        user, name = (sql.Identifier(each).as_string(None) for each in (role_of(dsn), admin.connection.info.dbname))
        admin.run(f"grant authenticated, supabase_realtime_admin to {user}", f"grant usage on schema private to {user}")
        admin.run(f"revoke temporary on database {name} from public")
        async with open_pool(dsn) as pool:
            with capture_logs() as logs:
                assert await PolicyAnswers(pool).answer(question) == nobody(question)
            assert failures(logs) == [("public.posts", "42501", 5)]
            admin.run(f"grant temporary on database {name} to {user}")
            assert await PolicyAnswers(pool).answer(question) == admin.shown()


async def test_a_policy_cannot_write(prepared: str) -> None:
    async with open_case(prepared) as case:
        case.run(
            """create function spy() returns boolean language plpgsql security definer as $$ begin
                 insert into teams values (99, 'spy'); return true; end $$"""
        )
        case.policy("spy()")
        with capture_logs() as logs:
            assert await case.ask() == nobody(await case.question())
        assert failures(logs) == [("public.posts", "25006", 5)]


async def test_what_one_session_sets_no_other_one_finds(prepared: str) -> None:
    async with open_case(prepared) as case:
        case.run(
            """create function become() returns boolean language plpgsql as $$ begin
                 if auth.uid() is null then return current_user = 'authenticated'; end if;
                 perform set_config('role', 'none', true); return false; end $$"""
        )
        case.policy("become()")
        assert await case.ask() == [[False] * 4, [False] * 4, [False] * 4, [False] * 4, [True] * 4]


# --- policies that take long -------------------------------------------------------------------------------

SLEEPY = "create function doze(sleepy boolean) returns boolean language plpgsql as $$ begin"
SLEEPY += " if sleepy then perform pg_sleep(60); end if; return true; end $$"


async def test_a_session_that_takes_too_long_rests_by_itself(prepared: str) -> None:
    now_s = 0.0
    async with open_case(prepared, timeout_s=0.3, clock=lambda: now_s) as case:
        case.run(SLEEPY)
        case.policy(f"doze(auth.uid() is not distinct from '{BOB}' and id > 0)")
        everyone_else = [[True] * 4, [False] * 4, *[[True] * 4] * 3]
        with capture_logs() as logs:
            assert await case.ask() == everyone_else
        assert failures(logs) == [("public.posts", "57014", 1)]
        with capture_logs() as logs:
            assert await case.ask() == everyone_else
        assert logs == [], "not asked again"
        case.run("create or replace function doze(sleepy boolean) returns boolean language sql return true")
        assert await case.ask() == everyone_else
        now_s = 6.0
        assert await case.ask() == [[True] * 4] * 5


async def test_a_table_that_takes_too_long_rests_and_others_do_not_wait(prepared: str) -> None:
    now_s = 0.0
    async with open_case(prepared, timeout_s=0.3, clock=lambda: now_s) as case:
        case.run(SLEEPY, "create table notes (id int)", "insert into notes values (1)")
        case.run("alter table notes enable row level security", "grant select on notes to authenticated")
        case.policy("doze(true)")
        case.policy("id + 1 = 2", "notes")
        slow, quick = await case.question(), await case.question("notes")
        with capture_logs() as logs:
            waiting = asyncio.ensure_future(case.answers.answer(slow))  # noqa: TID251 - awaited below
            for _ in range(3):
                assert await case.answers.answer(quick) == [[True]] * 5
            assert not waiting.done()
            assert await waiting == nobody(slow)
        assert failures(logs) == [("public.posts", "57014", 3)]
        assert [log["rest_s"] for log in logs if log["event"] == "policy_rests"] == [5.0]
        case.policy("id > 0 + 0")
        awake = await case.question()
        assert await case.answers.answer(awake) == nobody(slow)
        now_s = 6.0
        assert await case.answers.answer(awake) == [[True] * 4] * 5


async def test_all_sessions_together_have_a_limit(bundled: str) -> None:
    now_s = 0.0

    def clock() -> float:
        nonlocal now_s
        now_s += 0.2
        return now_s

    async with open_case(bundled, most_s=4.0, rest_s=1e6, clock=clock) as case:
        case.policy("id > 0 + 0")
        question = await case.question(sessions=SESSIONS * 100)
        with capture_logs() as logs:
            answers = await case.answers.answer(question)
        assert answers[0] == [True] * 4
        assert answers[-1] == [False] * 4
        assert [log["event"] for log in logs] == ["policy_rests"]


async def test_a_table_that_is_locked_counts_as_slow(prepared: str) -> None:
    async with open_case(prepared, timeout_s=0.2) as case:
        case.policy("team in (select id from teams)")
        question = await case.question()
        with psycopg.connect(prepared) as other:
            other.execute("lock table teams")
            with capture_logs() as logs:
                assert await case.answers.answer(question) == nobody(question)
        assert failures(logs) == [("public.posts", "57014", 5)]


# --- nothing stays, and nothing is given away --------------------------------------------------------------


async def left_behind(pool: Pool) -> list[tuple[Any, ...]]:
    return await pool.fetch(
        "looking",
        "select name, current_user = session_user, current_setting('transaction_read_only')"
        " from pg_prepared_statements right join (values (1)) as always on true",
        {},
    )


async def test_nothing_stays_in_the_connection(prepared: str) -> None:
    clean = [(None, True, "off")]
    async with open_case(prepared, size=1, timeout_s=0.2) as case:
        case.run(SLEEPY)
        for using in ("owner = auth.uid()", "strict_uid() = owner", "nothing.at_all()", "doze(true)"):
            question = await case.question()
            restriction = Restriction(using, frozenset({"owner", "id"}))
            await case.answers.answer(replace(question, restriction=restriction))
            assert await left_behind(case.pool) == clean, using


async def test_a_statement_that_was_left_behind_does_no_harm(prepared: str) -> None:
    async with open_case(prepared, size=1) as case:
        case.policy("owner = (select auth.uid())")
        async with case.pool.connection("preparing") as connection:
            await connection.execute("prepare tidewire_judge as select '0,1,2,3'")
        assert await case.ask() == case.shown()
        assert await left_behind(case.pool) == [(None, True, "off")]


async def test_many_questions_at_once(bundled: str) -> None:
    async with open_case(bundled) as case:
        case.run("grant select on posts to anon")
        case.policy("lower(title) = 'plain' or current_user = 'anon' and id % 2 = 0")
        known, unknown = await case.question(), await case.question(role="anon")
        found = await asyncio.gather(*[case.answers.answer(each) for each in [known, unknown] * 20])
        assert found == [[[True, False, False, False]] * 5, [[True, True, False, True]] * 5] * 20


async def test_settings_that_postgres_cannot_hold_see_nothing(bundled: str) -> None:
    async with open_case(bundled) as case:
        case.policy("id + 0 > 0")
        odd = [{"request.jwt.claim.sub": "a\0b"}, {"request.jwt.claim.sub": "\ud800"}, {"request.jwt.claim.sub": "a"}]
        assert await case.ask(sessions=odd) == [[False] * 4, [False] * 4, [True] * 4]


async def test_no_session_may_set_what_postgres_goes_by(bundled: str) -> None:
    async with open_case(bundled) as case:
        case.policy("true")
        with pytest.raises(ValueError, match="got role"):
            await case.ask(sessions=[{"role": "postgres"}])


async def test_a_role_that_is_gone_or_is_no_role(bundled: str) -> None:
    async with open_case(bundled) as case:
        case.policy("true")
        question = await case.question()
        for role in ("nobody_at_all", "none"):
            with pytest.raises(PostgresError, match=role):
                await case.answers.answer(replace(question, role=role))
            assert await left_behind(case.pool) == [(None, True, "off")]


async def test_without_the_migration(any_database: str) -> None:
    execute(any_database, "create table posts (id int)", "insert into posts values (1)")
    async with open_case(any_database) as case:
        question = PolicyQuestion("postgres", case.relation(), Restriction("true", frozenset()), case.rows(), [{}])
        with pytest.raises(MigrationError) as missing:
            await case.answers.answer(question)
        assert missing.value.hint == "run tidewire migrate"
        migrate(any_database)
        assert await case.answers.answer(question) == [[True]]


async def test_a_user_without_rights(bundled: str, make_login: MakeLogin) -> None:
    async with open_case(bundled) as case:
        case.policy("true")
        question = await case.question()
    dsn = make_login(bundled)
    async with open_case(bundled) as admin, open_pool(dsn) as pool:
        answers = PolicyAnswers(pool)
        user = sql.Identifier(role_of(dsn)).as_string(None)
        with pytest.raises(MissingPrivilege):
            await answers.answer(question)
        admin.run(f"grant supabase_realtime_admin to {user}")
        with pytest.raises(MissingPrivilege, match="act as role authenticated"):
            await answers.answer(question)
        admin.run(f"grant authenticated to {user}")
        assert await answers.answer(question) == [[True] * 4] * 5


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_readers_may_not_call_it(bundled: str, role: str) -> None:
    judge = "realtime.tidewire_judge(text, text, text[], text[], text[], integer)"
    assert fetch(bundled, f"select has_function_privilege('{role}', '{judge}', 'EXECUTE')") is False


async def test_what_fails_when_a_plan_is_made_fails_here_too(prepared: str) -> None:
    """Postgres computes the reader's id to guess how many rows there are, though in the end no row needs it."""
    broken = claims(sub="nobody")
    async with open_case(prepared) as case:
        case.run("create policy z on posts for select using (id > 0 or cheap(posts))")
        case.run("create policy a on posts for select using (owner = auth.uid())")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            case.shown(sessions=[broken])
        with capture_logs() as logs:
            answers = await case.ask(sessions=[SESSIONS[0], broken, SESSIONS[1]])
            assert answers == [[True] * 4, [False] * 4, [True] * 4]
        assert failures(logs) == [("public.posts", "22P02", 1)]
