"""What Postgres says about tables and roles comes out as it is meant, on every version."""

import asyncio

import pytest

from tests.support.log import changes, execute, following, prepare_database
from tests.support.postgres import MakeLogin, MakeServer
from tests.support.tables import PUBLICATION, open_pool, open_tables, role_of
from tidewire.filters.collation import NONDETERMINISTIC, UNKNOWN
from tidewire.filters.grammar import parse_filter
from tidewire.model.errors import DatabaseUnreachable, MissingPrivilege
from tidewire.model.relation import Relation
from tidewire.postgres.answers import Answers
from tidewire.postgres.tables import PostgresTables

ODD = 'o"d %s; drop table x--'


@pytest.fixture
def role(any_database: str, make_login: MakeLogin) -> str:
    return role_of(make_login(any_database))


def names(relations: object) -> list[str]:
    assert isinstance(relations, tuple)
    return [relation.qualified_name for relation in relations]


async def only(tables: PostgresTables, table: str, schema: str = "public") -> Relation:
    (relation,) = await tables.published(schema, table)
    return relation


# --- which tables the log reports --------------------------------------------------------------------------


async def test_only_published_tables_are_known(any_database: str) -> None:
    execute(
        any_database,
        "create schema app",
        "create table public.a (id int primary key)",
        "create table public.b (id int primary key)",
        "create table app.a (id int primary key)",
        "create table app.hidden (id int primary key)",
        f"create publication {PUBLICATION} for table public.a, app.a",
        "create publication second for table public.a, public.b",
        "create publication third for table app.hidden",
    )
    async with open_tables(any_database, PUBLICATION, "second", "is_not_there") as tables:
        assert names(await tables.published("public", "a")) == ["public.a"]
        assert names(await tables.published("*", "a")) == ["app.a", "public.a"]
        assert names(await tables.published("public", "*")) == ["public.a", "public.b"]
        assert names(await tables.published("*", "*")) == ["app.a", "public.a", "public.b"]
        for schema, table in (("app", "hidden"), ("public", "A"), ("nope", "*"), ("PUBLIC", "a"), ("", "")):
            assert await tables.published(schema, table) == ()


async def test_a_hostile_name_is_only_a_name(any_database: str) -> None:
    execute(
        any_database,
        "create table public.a (id int primary key)",
        f"create table public.{'x' * 63} (id int primary key)",
        f"create publication {PUBLICATION} for table a",
    )
    hostile = [ODD, "'; drop table a; --", "a\0", "\ud800", "%(schema)s", "x" * 70, "*a", "_", "%", "ä" * 40, "\n"]
    async with open_tables(any_database) as tables:
        for name in hostile:
            assert await tables.published("public", name) == ()
            assert await tables.published(name, "a") == ()
            assert await tables.access(name, await only(tables, "a")) is None
            assert not await tables.bypasses_policies(name)
        tables.forget()
        assert names(await tables.published("public", "a")) == ["public.a"]


async def test_odd_names_are_found(any_database: str) -> None:
    quoted = ODD.replace('"', '""')
    execute(
        any_database,
        f'create schema "{quoted}"',
        f'create table "{quoted}"."{quoted}" ("{quoted}" int primary key)',
        f"create publication {PUBLICATION} for all tables",
    )
    async with open_tables(any_database) as tables:
        relation = await only(tables, ODD, ODD)
    assert [column.name for column in relation.columns] == [ODD]


async def test_partitions_stand_for_their_parent_unless_the_parent_is_in_the_log(any_database: str) -> None:
    execute(
        any_database,
        "create schema parts",
        "create table public.m (id int, at int, primary key (id, at)) partition by range (at)",
        "create table parts.m1 partition of public.m for values from (0) to (10) partition by range (at)",
        "create table parts.m1a partition of parts.m1 for values from (0) to (5)",
        "create table parts.m2 partition of public.m for values from (10) to (20)",
        f"create publication {PUBLICATION} for table public.m",
        "create publication by_root for table public.m with (publish_via_partition_root = true)",
    )
    async with open_tables(any_database) as tables:
        assert names(await tables.published("public", "m")) == ["parts.m1a", "parts.m2"]
        assert names(await tables.published("*", "m")) == ["parts.m1a", "parts.m2"]
        assert names(await tables.published("parts", "m1")) == ["parts.m1a"]
        assert names(await tables.published("parts", "m2")) == ["parts.m2"]
        assert await tables.published("public", "*") == ()
    for publications in (("by_root",), ("by_root", PUBLICATION)):
        async with open_tables(any_database, *publications) as tables:
            assert names(await tables.published("public", "m")) == ["public.m"]
            assert names(await tables.published("*", "*")) == ["public.m"]
            assert await tables.published("parts", "m2") == ()


TABLES = {
    "plain": ["create table plain (id int primary key, title varchar(9), made timestamptz)"],
    "complete": [
        "create table complete (id int primary key, title text)",
        "alter table complete replica identity full",
    ],
    "keyless": ["create table keyless (a int, b text)"],
    "indexed": [
        "create table indexed (a int not null, b text, c int primary key)",
        "create unique index by_a on indexed (a)",
        "alter table indexed replica identity using index by_a",
    ],
    "nothing": ["create table nothing (id int primary key)", "alter table nothing replica identity nothing"],
    "generated": ["create table generated (id int primary key, n int generated always as (id * 2) stored, z int)"],
    "dropped": ["create table dropped (a int, b int, id int primary key)", "alter table dropped drop column a"],
    "typed": [
        "create type mood as enum ('sad', 'ok')",
        "create type pair as (x int, y mood)",
        "create domain positive as int check (value > 0)",
        "create table typed (id positive, feeling mood, b pair[], n numeric(9, 3), primary key (id, feeling))",
    ],
    "rooted": [
        "create table rooted (id int primary key, t text) partition by hash (id)",
        "create table rooted_0 partition of rooted for values with (modulus 1, remainder 0)",
    ],
}
INSERTS = [
    "insert into plain values (1, 'a', now())",
    "insert into complete values (1, 'a')",
    "insert into keyless values (1, 'a')",
    "insert into indexed values (1, 'a', 2)",
    "insert into nothing values (1)",
    "insert into generated (id, z) values (1, 3)",
    "insert into dropped values (1, 2)",
    "insert into typed values (1, 'sad', '{}', 1.5)",
    "insert into rooted values (1, 'a')",
]


async def test_a_table_looks_as_it_does_in_the_log(any_database: str) -> None:
    prepare_database(any_database, *(statement for table in TABLES.values() for statement in table))
    async with following(any_database) as follower:
        execute(any_database, *INSERTS)
        seen = {change.relation.name: change.relation for change in changes(await follower.read())}
    assert seen.keys() == TABLES.keys()
    async with open_tables(any_database, "followed") as tables:
        for name, relation in seen.items():
            assert await only(tables, name) == relation


async def test_a_column_list_limits_what_is_known(any_database: str) -> None:
    execute(any_database, "create table public.a (id int primary key, shown text, hidden text)")
    execute(any_database, f"create publication {PUBLICATION} for table public.a (id, shown)")
    async with open_tables(any_database) as tables:
        relation = await only(tables, "a")
    assert [column.name for column in relation.columns] == ["id", "shown"]


# --- what a role may see -----------------------------------------------------------------------------------


async def look(dsn: str, role: str, *statements: str, table: str = "t") -> tuple[set[str], bool, bool, bool]:
    execute(
        dsn,
        "create table public.t (id int primary key, title text, secret text)",
        f"create publication {PUBLICATION} for all tables with (publish_via_partition_root = false)",
        *(statement.format(role=role) for statement in statements),
    )
    async with open_tables(dsn) as tables:
        access = await tables.access(role, await only(tables, table))
    assert access is not None
    return set(access.columns), access.has_key, access.sees_key, access.unrestricted


ALL = {"id", "title", "secret"}


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([], (set(), True, False, True)),
        (["grant select on t to {role}"], (ALL, True, True, True)),
        (["grant select on t to public"], (ALL, True, True, True)),
        (["grant select (id, title) on t to {role}"], ({"id", "title"}, True, True, True)),
        (["grant select (title) on t to {role}"], ({"title"}, True, False, True)),
        (["grant insert, update, delete on t to {role}"], (set(), True, False, True)),
        (["alter table t drop constraint t_pkey", "grant select on t to {role}"], (ALL, False, True, True)),
        (["alter table t owner to {role}"], (ALL, True, True, True)),
        (["grant select on t to {role}", "alter table t enable row level security"], (ALL, True, True, False)),
        (["alter table t owner to {role}", "alter table t enable row level security"], (ALL, True, True, True)),
        (
            [
                "alter table t owner to {role}",
                "alter table t enable row level security",
                "alter table t force row level security",
            ],
            (ALL, True, True, False),
        ),
        (["grant select on t to {role}", "alter table t force row level security"], (ALL, True, True, True)),
        (
            ["grant select on t to {role}", "alter table t enable row level security", "alter role {role} bypassrls"],
            (ALL, True, True, True),
        ),
        (["alter table t enable row level security", "alter role {role} superuser"], (ALL, True, True, True)),
        (
            ["grant select on t to {role}", "revoke usage on schema public from public"],
            (set(), True, False, True),
        ),
    ],
)
async def test_privileges_are_those_of_the_role(
    any_database: str, role: str, statements: list[str], expected: tuple[set[str], bool, bool, bool]
) -> None:
    assert await look(any_database, role, *statements) == expected


async def test_privileges_and_ownership_are_inherited_but_bypassing_is_not(
    any_database: str, make_login: MakeLogin, role: str
) -> None:
    group = role_of(make_login(any_database))
    seen = await look(any_database, role, f"grant {group} to {{role}}", f"grant select on t to {group}")
    assert seen == (ALL, True, True, True)
    execute(any_database, "alter table t enable row level security", f"alter role {group} bypassrls")
    async with open_tables(any_database) as tables:
        access = await tables.access(role, await only(tables, "t"))
        assert access is not None
        assert not access.unrestricted
        assert not await tables.bypasses_policies(role)
        assert await tables.bypasses_policies(group)
    execute(any_database, f"alter table t owner to {group}")
    async with open_tables(any_database) as tables:
        access = await tables.access(role, await only(tables, "t"))
        assert access is not None
        assert access.unrestricted


async def test_a_role_that_does_not_inherit_has_not_what_its_group_has(
    any_database: str, make_login: MakeLogin
) -> None:
    group = role_of(make_login(any_database))
    role = role_of(make_login(any_database, "noinherit"))
    seen = await look(any_database, role, f"grant {group} to {{role}}", f"grant select on t to {group}")
    assert seen[0] == set()


PARTED = (
    "create table p (id int primary key, title text, secret text) partition by range (id)",
    "create table leaf partition of p for values from (0) to (10)",
)


@pytest.mark.parametrize(
    ("statements", "columns", "unrestricted"),
    [
        (["grant select on p to {role}"], ALL, True),
        (["grant select on leaf to {role}"], ALL, True),
        (["grant select (id) on p to {role}", "grant select (id, title) on leaf to {role}"], {"id", "title"}, True),
        # A policy on one way is no obstacle where the other way is open, and an unused way opens nothing.
        (["grant select on p, leaf to {role}", "alter table p enable row level security"], ALL, True),
        (["grant select on p, leaf to {role}", "alter table leaf enable row level security"], ALL, True),
        (["grant select on p to {role}", "alter table leaf enable row level security"], ALL, True),
        (["grant select on p to {role}", "alter table p enable row level security"], ALL, False),
        (["grant select on leaf to {role}", "alter table leaf enable row level security"], ALL, False),
        (
            [
                "grant select on p to {role}",
                "grant select (id) on leaf to {role}",
                "alter table p enable row level security",
            ],
            {"id"},
            True,
        ),
    ],
)
async def test_a_partition_can_be_read_through_its_parent(
    any_database: str, role: str, statements: list[str], columns: set[str], *, unrestricted: bool
) -> None:
    seen = await look(any_database, role, *PARTED, *statements, table="leaf")
    assert (seen[0], seen[3]) == (columns, unrestricted)


async def test_a_missing_role_and_a_table_that_is_gone(any_database: str, role: str) -> None:
    execute(any_database, "create table t (id int primary key)", f"create publication {PUBLICATION} for table t")
    async with open_tables(any_database) as tables:
        relation = await only(tables, "t")
        assert await tables.access("nobody_at_all", relation) is None
        assert await tables.access("none", relation) is None  # to Postgres the word means whoever logged in
        execute(any_database, "drop table t", f"alter role {role} superuser")
        access = await tables.access(role, relation)
        assert access is not None
        assert not access.unrestricted


async def test_roles_are_seen_without_being_superuser(any_database: str, make_login: MakeLogin, role: str) -> None:
    login = make_login(any_database)
    execute(
        any_database,
        "create table t (id int primary key)",
        f"grant select on t to {role}",
        f"create publication {PUBLICATION} for table t",
    )
    async with open_tables(login) as tables:
        relation = await only(tables, "t")
        access = await tables.access(role, relation)
        assert access is not None
        assert access.sees_key
        with pytest.raises(MissingPrivilege, match=f"allowed to act as role {role}"):
            await tables.probe(role, relation, parse_filter("id=eq.1"))
        execute(any_database, f"grant {role} to {role_of(login)}")
        assert await tables.probe(role, relation, parse_filter("id=eq.1")) is None


# --- collations --------------------------------------------------------------------------------------------


async def test_locales_of_collations(any_database: str) -> None:
    execute(
        any_database,
        'create domain word as text collate "C"',
        'create table t (id int primary key, a text, b text collate "C", c word, d name, e text collate "POSIX")',
        f"create publication {PUBLICATION} for table t",
    )
    async with open_tables(any_database) as tables:
        locales = await tables.locales(await only(tables, "t"))
    default = locales["a"]
    assert default not in {UNKNOWN, NONDETERMINISTIC}
    assert locales == {"a": default, "b": "C", "c": "C", "d": "C", "e": "POSIX"}


async def test_locales_of_icu(make_server: MakeServer) -> None:
    with_icu = make_server("debian-15").dsn()  # the bundled version has none
    execute(
        with_icu,
        "create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "create collation icu_c (provider = icu, locale = 'C')",
        'create table t (id int primary key, a text collate "de-AT-x-icu", b text collate blind, c text collate icu_c)',
        f"create publication {PUBLICATION} for table t",
    )
    async with open_tables(with_icu) as tables:
        locales = await tables.locales(await only(tables, "t"))
    assert locales == {"a": "de-AT", "b": NONDETERMINISTIC, "c": UNKNOWN}


# --- how long it is believed -------------------------------------------------------------------------------


async def test_what_changed_is_noticed_after_a_while_or_at_once_when_told(any_database: str, role: str) -> None:
    execute(any_database, "create table t (id int primary key)", f"create publication {PUBLICATION} for table t")
    async with open_tables(any_database) as tables:
        relation = await only(tables, "t")
        before = await tables.access(role, relation)
        execute(any_database, f"grant select on t to {role}")
        assert await tables.access(role, relation) is before
        tables.forget()
        after = await tables.access(role, relation)
        assert after is not None
        assert after.sees_key
    async with open_tables(any_database, ttl_s=1e-9) as tables:
        assert (await tables.access(role, relation)) == after
        execute(any_database, f"revoke select on t from {role}")
        assert (await tables.access(role, relation)) == before


async def test_a_database_that_is_away_is_an_error_and_is_not_remembered(any_database: str) -> None:
    async with open_pool(f"{any_database} dbname=not_there") as pool:
        tables = PostgresTables(pool, (PUBLICATION,))
        with pytest.raises(DatabaseUnreachable):
            await tables.published("public", "t")


class Oracle:
    """Answers with a number that grows, when it is allowed to."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = asyncio.Event()

    async def ask(self, key: str) -> str:
        self.asked += 1
        number = self.asked
        await self.open.wait()
        if key == "bad":
            raise DatabaseUnreachable(f"{number}")
        return f"{key}{number}"


async def test_many_who_ask_at_once_cause_one_question() -> None:
    oracle = Oracle()
    answers = Answers(oracle.ask, ttl_s=60)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(answers.get("a")) for _ in range(10)]
        await asyncio.sleep(0)
        oracle.open.set()
    assert {task.result() for task in waiting} == {"a1"}
    assert await answers.get("a") == "a1"


async def test_when_who_asks_is_cancelled_another_asks() -> None:
    oracle = Oracle()
    answers = Answers(oracle.ask, ttl_s=60)
    async with asyncio.TaskGroup() as group:
        first, *others = [group.create_task(answers.get("a")) for _ in range(5)]
        await asyncio.sleep(0)
        first.cancel()
        oracle.open.set()
    assert {task.result() for task in others} == {"a2"}


async def test_a_failure_is_told_to_all_who_wait_and_is_not_kept() -> None:
    oracle = Oracle()
    oracle.open.set()
    answers = Answers(oracle.ask, ttl_s=60)
    found = await asyncio.gather(*(answers.get("bad") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(error, DatabaseUnreachable) for error in found)
    with pytest.raises(DatabaseUnreachable, match=str(oracle.asked + 1)):
        await answers.get("bad")


async def test_an_answer_to_an_earlier_question_does_not_outlive_forgetting() -> None:
    oracle = Oracle()
    answers = Answers(oracle.ask, ttl_s=60)
    async with asyncio.TaskGroup() as group:
        early = group.create_task(answers.get("a"))
        await asyncio.sleep(0)
        answers.forget()
        oracle.open.set()
    assert early.result() == "a1"
    assert await answers.get("a") == "a2"


async def test_who_asks_after_forgetting_does_not_get_the_answer_to_an_earlier_question() -> None:
    oracle = Oracle()
    answers = Answers(oracle.ask, ttl_s=60)
    async with asyncio.TaskGroup() as group:
        early = group.create_task(answers.get("a"))
        await asyncio.sleep(0)
        answers.forget()
        late = group.create_task(answers.get("a"))
        await asyncio.sleep(0)
        oracle.open.set()
    assert (early.result(), late.result()) == ("a1", "a2")
    assert await answers.get("a") == "a2"


async def test_answers_are_bounded_and_the_oldest_goes() -> None:
    oracle = Oracle()
    oracle.open.set()
    now_s = 0.0
    answers = Answers(oracle.ask, ttl_s=10, most=2, clock=lambda: now_s)
    for key in "abc":
        await answers.get(key)
    assert (await answers.get("c"), await answers.get("b")) == ("c3", "b2")
    assert await answers.get("a") == "a4"
    now_s = 10.0
    assert await answers.get("a") == "a5"
