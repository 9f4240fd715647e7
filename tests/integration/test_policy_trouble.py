"""Policies that fail, take long or would touch more than they may: what Postgres is asked stays apart and bounded."""

import asyncio
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import sql
from structlog.testing import capture_logs

from tests.support.log import execute, fetch
from tests.support.policy_asking import (
    ADA,
    BOB,
    SCHEMA,
    SESSIONS,
    claims,
    failures,
    nobody,
    open_case,
)
from tests.support.postgres import MakeLogin
from tests.support.server import migrate
from tests.support.tables import open_pool, role_of
from tidewire.match.rule import Restriction
from tidewire.model.change import Row, Value
from tidewire.model.errors import MigrationError, MissingPrivilege, PostgresError
from tidewire.postgres.policy_answers import PolicyAnswers, PolicyQuestion
from tidewire.postgres.pool import Pool


@pytest.fixture
def prepared(any_migrated_database: str) -> str:
    """Return a database with the tables, on each version in turn."""
    execute(any_migrated_database, *SCHEMA)
    return any_migrated_database


@pytest.fixture
def bundled(migrated_database: str) -> str:
    """Return the same on the bundled version, for what is decided outside of the database."""
    execute(migrated_database, *SCHEMA)
    return migrated_database


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
