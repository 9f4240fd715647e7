"""Rules come out of the catalog as Postgres applies them, of one moment, and never older than the log that asks."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import psycopg
import pytest
from structlog.testing import capture_logs

from tests.support.log import execute, fetch, run
from tests.support.postgres import MakeLogin, MakeServer
from tests.support.tables import PUBLICATION, open_pool, open_tables, role_of
from tests.support.waiting import wait_until
from tidewire.match.rule import Rule
from tidewire.model.errors import DatabaseUnreachable
from tidewire.model.relation import Relation
from tidewire.postgres import rules as module
from tidewire.postgres.rules import PostgresRules

TABLE = "create table t (id int primary key, owner text, team int, note text)"
WHOLE = {"id", "owner", "team", "note"}


@pytest.fixture
def role(any_database: str, make_login: MakeLogin) -> str:
    name = role_of(make_login(any_database))
    execute(
        any_database,
        TABLE,
        "alter table t enable row level security",
        f"grant select on t to {name}",
        "create table members (team int, owner text)",
        f"create publication {PUBLICATION} for all tables",
    )
    return name


@asynccontextmanager
async def open_rules(dsn: str, table: str = "t") -> AsyncIterator[tuple[PostgresRules, Relation]]:
    async with open_tables(dsn) as tables, open_pool(dsn) as pool:
        (relation,) = await tables.published("public", table)
        yield PostgresRules(pool), relation


async def read(dsn: str, role: str, *statements: str, table: str = "t") -> Rule:
    """Return the rule once the statements have been run."""
    execute(dsn, *(statement.format(role=role) for statement in statements))
    async with open_rules(dsn, table) as (rules, relation):
        rule = await rules.read(role, relation)
    assert rule is not None
    assert rule.role == role
    return rule


def expression(rule: Rule) -> str:
    assert rule.restriction is not None
    return rule.restriction.expression


def visible(dsn: str, role: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        connection.execute(f"set role {role}".encode())
        return [number for (number,) in connection.execute("select id from t order by id")]


def admitted(dsn: str, condition: str) -> list[int]:
    """Evaluate an expression on values instead of the table, as it is meant to be used."""
    with psycopg.connect(dsn) as connection:
        whole = 'select "t".id from unnest((select array_agg(t) from public.t)) as "t" where ({}) order by 1'
        return [number for (number,) in connection.execute(whole.format(condition).encode())]


def own_xid(connection: psycopg.Connection[tuple[int, ...]]) -> int:
    """Return the number that the open transaction has in the log."""
    row = connection.execute("select pg_current_xact_id()::xid::text::int8").fetchone()
    assert row is not None
    return row[0]


# --- who is bound at all -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "unrestricted", "columns"),
    [
        (["alter table t disable row level security"], True, WHOLE),
        (["alter role {role} bypassrls"], True, WHOLE),
        (["alter table t owner to {role}"], True, WHOLE),
        (["revoke select on t from {role}"], False, set()),
        (["revoke select on t from {role}", "alter table t disable row level security"], True, set()),
    ],
)
async def test_where_no_policy_binds_there_is_no_restriction(
    any_database: str, role: str, statements: list[str], columns: set[str], *, unrestricted: bool
) -> None:
    rule = await read(any_database, role, "create policy p on t using (team = 1)", *statements)
    assert (rule.access.unrestricted, set(rule.access.columns)) == (unrestricted, columns)
    assert (rule.restriction, rule.compiled, rule.left_to_postgres) == (None, None, "")


async def test_the_owner_is_bound_where_it_is_forced(any_database: str, role: str) -> None:
    rule = await read(any_database, role, "alter table t owner to {role}", "alter table t force row level security")
    assert expression(rule) == "false"


async def test_nobody_and_nothing_have_no_rule(any_database: str, role: str) -> None:
    async with open_rules(any_database) as (rules, relation):
        for name in ("nobody_at_all", "none", "", "a\0", "\ud800", "ä" * 40, "x'; drop table t; --"):
            assert await rules.read(name, relation) is None
        assert await rules.read(role, relation) is not None
        execute(any_database, "drop table t")
        assert await rules.read(role, relation) is None
        execute(any_database, f"alter role {role} superuser")
        assert await rules.read(role, relation) is None


async def test_columns_are_those_of_the_role(any_database: str, role: str) -> None:
    rule = await read(
        any_database,
        role,
        "revoke select on t from {role}",
        "grant select (id, note) on t to {role}",
        "create policy p on t using (team = 1)",
    )
    assert rule.access.columns == {"id", "note"}
    assert rule.restriction is not None
    assert rule.restriction.columns == {"team"}, "a policy reads what the role may not"


# --- the expression ------------------------------------------------------------------------------------------

POLICIES = [
    [],
    ["create policy a on t using (team = 1)"],
    ["create policy a on t using (team = 1)", "create policy b on t for select to {role} using (id = 4)"],
    ["create policy a on t using (team > 0)", "create policy r on t as restrictive using (id < 3)"],
    [
        "create policy a on t using (id = 1)",
        "create policy b on t using (id = 2 or id = 3)",
        "create policy r on t as restrictive using (team = 1)",
        "create policy s on t as restrictive for select using (id > 1)",
    ],
    ["create policy r on t as restrictive using (true)"],
    ["create policy a on t for insert with check (true)"],
    ["create policy a on t for update using (true)"],
    ["create policy a on t to pg_monitor using (true)", "create policy b on t using (id = 1)"],
    ["create policy a on t using (null)"],
    ["create policy a on t using (exists (select from members m where m.team = t.team))"],
    ["create policy a on t using (id = (select max(o.id) from t as o where o.id <= t.id and o.id < 3))"],
    ["create policy a on t using ((t.*)::text like '%ada%')"],
    ["create policy a on t using (t is not null)"],
    ["create policy \"Odd'Name\" on t using (note = 'it''s \"}}{{')"],
]


@pytest.mark.parametrize("policies", POLICIES)
async def test_an_expression_admits_what_postgres_shows(any_database: str, role: str, policies: list[str]) -> None:
    execute(
        any_database,
        "insert into t values (1, 'ada', 1, 'x'), (2, 'bob', 1, null), (4, null, null, '')",
        """insert into t values (3, 'ada', 2, 'it''s "}{')""",
        "insert into members values (1, 'ada')",
        f"grant select on members to {role}",
    )
    recursive = any("t as o " in policy for policy in policies)
    rule = await read(any_database, role, *policies)
    condition = expression(rule)
    if recursive:
        assert admitted(any_database, condition) == [1, 2]
    else:
        assert admitted(any_database, condition) == visible(any_database, role)
    if condition == "false":
        assert rule.compiled is not None, "nobody sees anything: that is known without asking"


@pytest.mark.parametrize(
    ("using", "columns"),
    [
        ("true", set()),
        ("team = 1", {"team"}),
        ("team = 1 and note = owner", {"team", "note", "owner"}),
        ("exists (select from members m where m.team = t.team)", {"team"}),
        ("exists (select from members m where m.owner = m.owner)", set()),
        ("team in (select m.team from members m where m.owner in (select note from members))", {"team", "note"}),
        (
            "exists (with x as (select t.team) select from x join lateral (select x.team = t.id) y on true)",
            {"team", "id"},
        ),
        ("exists (select from t as other where other.note = 'x')", set()),
        ("ctid is not null and team = 1", {"team"}),
        ("(t.*)::text like '%x%'", WHOLE),
        ("t is not null", WHOLE),
        ("exists (select t from members)", WHOLE),
        ("exists (select m from members m)", set()),
    ],
)
async def test_the_columns_are_those_that_an_expression_reads(
    any_database: str, role: str, using: str, columns: set[str]
) -> None:
    rule = await read(any_database, role, f"create policy p on t using ({using}) with check (id = 7)")
    assert rule.restriction is not None
    assert rule.restriction.columns == columns


async def test_columns_are_found_by_name_after_some_are_gone(any_database: str, role: str) -> None:
    rule = await read(
        any_database,
        role,
        "alter table t drop column owner",
        "create policy p on t using (length(note) > team)",
        "alter table t rename column note to body",
    )
    assert rule.restriction is not None
    assert rule.restriction.columns == {"body", "team"}
    assert expression(rule) == "(((length(body) > team)))"


async def test_names_in_an_expression_are_found_whatever_the_search_path(any_database: str, role: str) -> None:
    execute(any_database, f"alter role {role} set search_path = evil, public")
    with psycopg.connect(any_database, autocommit=True) as connection:
        run(
            connection,
            "create function allowed(t) returns bool language sql return true",
            "create operator === (leftarg = int, rightarg = int, function = int4eq)",
            "create policy p on t using (allowed(t) and id === 1 and exists (select from members))",
        )
    rule = await read(any_database, role)
    text = expression(rule)
    for name in ("public.allowed(", "OPERATOR(public.===)", "FROM public.members"):
        assert name in text


# --- the compiled form ---------------------------------------------------------------------------------------


async def test_what_can_be_proven_is_compiled_and_the_rest_is_left_to_postgres(any_database: str, role: str) -> None:
    rule = await read(any_database, role, "create policy p on t using (team = 1)")
    assert rule.compiled is not None
    assert rule.compiled.role == role
    assert rule.left_to_postgres == ""
    rule = await read(any_database, role, "create policy q on t using (exists (select from members))")
    assert rule.compiled is None
    assert rule.left_to_postgres.startswith("policy q is for Postgres to judge: a sub-select")
    assert expression(rule).startswith("(((EXISTS (")  # Postgres begins with the last name
    assert expression(rule).endswith(" or ((team = 1)))")


async def test_a_table_in_another_shape_than_the_log_is_left_to_postgres(any_database: str, role: str) -> None:
    execute(any_database, "create policy p on t using (team = 1)")
    async with open_rules(any_database) as (rules, relation):
        execute(any_database, "alter table t rename column team to crew")
        rule = await rules.read(role, relation)
    assert rule is not None
    assert rule.compiled is None
    assert "another shape" in rule.left_to_postgres
    assert rule.restriction is not None
    assert rule.restriction.columns == {"crew"}


async def test_a_defect_of_the_compiler_leaves_the_table_to_postgres(
    any_database: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(module, "compile_policies", fail)
    with capture_logs() as logs:
        rule = await read(any_database, role, "create policy p on t using (team = 1)")
    assert (rule.compiled, rule.left_to_postgres) == (None, "compiling failed (KeyError)")
    assert expression(rule) == "(((team = 1)))"
    assert [entry["event"] for entry in logs] == ["policy_not_compiled"]
    assert "secret" not in str(logs)


# --- partitions that are in the log by themselves ------------------------------------------------------------

PARTED = (
    "create table p (id int primary key, team int, note text) partition by range (id)",
    "create policy above on p using (team = 1)",
    "alter table p enable row level security",
)
LEAF = "create table leaf partition of p for values from (0) to (10)"
OTHERWISE = "create table leaf (note text, id int not null, gone int, team int)"
ATTACH = ("alter table leaf drop column gone", "alter table p attach partition leaf for values from (0) to (10)")


async def test_policies_of_the_parent_bind_who_reads_through_it(any_database: str, role: str) -> None:
    rule = await read(any_database, role, *PARTED, LEAF, "grant select (id, note) on p to {role}", table="leaf")
    assert rule.access.columns == {"id", "note"}
    assert not rule.access.unrestricted
    assert rule.restriction is not None
    assert expression(rule) == "(((team = 1)))"
    assert rule.restriction.columns == {"team"}
    assert rule.compiled is not None


async def test_an_expression_of_the_parent_names_the_partition_whose_rows_it_judges(
    any_database: str, role: str
) -> None:
    rule = await read(
        any_database,
        role,
        *PARTED,
        LEAF,
        "drop policy above on p",
        "create policy above on p using (exists (select from members m where m.team = p.team))",
        "grant select on p to {role}",
        table="leaf",
    )
    assert "(m.team = leaf.team)" in expression(rule)


async def test_the_nearest_way_counts_and_shows_only_its_own_columns(any_database: str, role: str) -> None:
    rule = await read(
        any_database,
        role,
        *PARTED,
        LEAF,
        "alter table leaf enable row level security",
        "create policy near on leaf using (note = 'x')",
        "grant select on p to {role}",
        "grant select (id) on leaf to {role}",
        table="leaf",
    )
    assert rule.access.columns == {"id"}
    assert expression(rule) == "(((note = 'x'::text)))"


async def test_a_partition_with_other_numbers_is_shown_to_nobody(any_database: str, role: str) -> None:
    execute(any_database, *PARTED, OTHERWISE, *ATTACH, f"grant select on p to {role}")
    with capture_logs() as logs:
        async with open_rules(any_database, "leaf") as (rules, relation):
            rule = await rules.read(role, relation)
            await rules.read(role, relation)
    assert rule is not None
    assert (expression(rule), rule.compiled) == ("false", None)
    assert "Postgres cannot be asked" in rule.left_to_postgres
    assert [(entry["event"], entry["table"]) for entry in logs] == [("changes_hidden", "public.leaf")]


async def test_a_policy_on_whole_rows_of_the_parent_admits_no_row_of_a_partition(any_database: str, role: str) -> None:
    rule = await read(
        any_database,
        role,
        *PARTED,
        LEAF,
        "create policy whole on p using ((p.*)::text like '%x%')",
        "grant select on p to {role}",
        table="leaf",
    )
    assert expression(rule) == "false"


# --- how new it is -------------------------------------------------------------------------------------------


async def test_what_a_transaction_changed_is_seen_by_who_names_it(any_database: str, role: str) -> None:
    async with open_rules(any_database) as (rules, relation):
        for number in range(20):
            with psycopg.connect(any_database) as writer:
                writer.execute("drop policy if exists p on t")
                writer.execute(f"create policy p on t using (team = {number})".encode())
                right = "grant" if number % 2 else "revoke"
                writer.execute(f"{right} select (note) on t {'to' if number % 2 else 'from'} {role}".encode())
                xid = own_xid(writer)
            rule = await rules.read(role, relation, after_xid=xid)
            assert rule is not None
            assert expression(rule) == f"(((team = {number})))"


async def test_one_that_has_not_ended_is_waited_for_and_not_for_ever(any_database: str, role: str) -> None:
    async with open_tables(any_database) as tables, open_pool(any_database) as pool:
        (relation,) = await tables.published("public", "t")
        with psycopg.connect(any_database) as writer:
            writer.execute("create policy p on t using (team = 1)")
            xid = own_xid(writer)
            with pytest.raises(
                DatabaseUnreachable, match=f"expected transaction {xid} to be visible within 0.1 s"
            ) as e:
                await PostgresRules(pool, patience_s=0.1).read(role, relation, after_xid=xid)
            assert e.value.retryable
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(PostgresRules(pool).read(role, relation, after_xid=xid))
                done, _ = await asyncio.wait([reading], timeout=0.1)
                assert not done
                writer.commit()
    rule = reading.result()
    assert rule is not None
    assert expression(rule) == "(((team = 1)))"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("version", ["embedded-18", "debian-15"])
async def test_a_commit_that_waits_for_a_standby_is_in_the_log_before_it_is_seen(
    make_server: MakeServer, version: str
) -> None:
    dsn = make_server(version, synchronous_standby_names="nobody", synchronous_commit="local").dsn()
    execute(
        dsn,
        TABLE,
        "alter table t enable row level security",
        "grant select on t to pg_monitor",
        f"create publication {PUBLICATION} for table t",
    )
    waiting = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
    async with open_rules(dsn) as (rules, relation), open_pool(dsn) as pool:
        with psycopg.connect(dsn) as writer:
            run(writer, "set synchronous_commit = on", "create policy p on t using (team = 1)")
            xid = own_xid(writer)
            commit = threading.Thread(target=writer.commit)
            commit.start()
            try:
                await asyncio.to_thread(wait_until, lambda: fetch(dsn, waiting) == 1)
                with pytest.raises(DatabaseUnreachable):
                    await PostgresRules(pool, patience_s=0.1).read("pg_monitor", relation, after_xid=xid)
                writer.cancel()  # it then commits without the standby
                rule = await rules.read("pg_monitor", relation, after_xid=xid)
            finally:
                writer.cancel()
                await asyncio.to_thread(commit.join)
    assert rule is not None
    assert expression(rule) == "(((team = 1)))"


async def test_a_table_that_is_locked_keeps_nobody_waiting_for_long(any_database: str, role: str) -> None:
    execute(any_database, "create policy p on t using (team = 1)")
    async with open_rules(any_database) as (rules, relation):
        with psycopg.connect(any_database) as owner:
            owner.execute("alter table t add column more int")
            with pytest.raises(DatabaseUnreachable, match="got a lock in the way"):
                await rules.read(role, relation)
        rule = await rules.read(role, relation)
    assert rule is not None
    assert expression(rule) == "(((team = 1)))"


async def test_a_database_that_is_away_is_said(any_database: str, role: str) -> None:
    async with open_rules(any_database) as (_, relation), open_pool(f"{any_database} dbname=not_there") as pool:
        with pytest.raises(DatabaseUnreachable):
            await PostgresRules(pool).read(role, relation)
        with pytest.raises(DatabaseUnreachable):
            await PostgresRules(pool).roles_fingerprint()


# --- roles ---------------------------------------------------------------------------------------------------


async def test_the_fingerprint_of_roles_changes_when_one_may_see_something_else(
    any_database: str, make_login: MakeLogin
) -> None:
    login, other = make_login(any_database), role_of(make_login(any_database))
    role = role_of(login)
    changes = [
        f"alter role {role} bypassrls",
        f"alter role {role} noinherit",
        f"alter role {role} superuser",
        f"alter role {role} nosuperuser nobypassrls inherit",
        f"grant {other} to {role}",
        f"revoke {other} from {role}",
        f"create role {role}_new",
        f"alter role {role}_new rename to {role}_newer",
        f"drop role {role}_newer",
    ]
    async with open_pool(login) as pool:
        rules = PostgresRules(pool)
        seen = [await rules.roles_fingerprint()]
        for statement in changes:
            execute(any_database, statement)
            seen.append(await rules.roles_fingerprint())
        execute(any_database, f"alter role {role} set work_mem = '5MB'", f"alter role {role} connection limit 9")
        assert await rules.roles_fingerprint() == seen[-1]
    assert all(one != two for one, two in pairwise(seen))
    assert seen[0] == seen[6] == seen[9]
