"""Rows of the log are judged by policies as Postgres judges rows of the table: the same question is put both ways."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs

from tests.support.log import execute
from tests.support.policy_asking import (
    BOB,
    POLICIES,
    SCHEMA,
    SESSIONS,
    Case,
    Settings,
    claims,
    failures,
    nobody,
    open_case,
)
from tidewire.match.rule import Restriction
from tidewire.model.change import ABSENT, Row
from tidewire.postgres.policy_answers import PolicyAnswers
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
