"""What the exposed schemas hold is read as Postgres has it, kept, and read again exactly when the log says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from tests.support.log import PUBLICATION, execute, fetch, following, shown
from tests.support.postgres import MakeLogin
from tests.support.tables import open_pool, role_of
from tidewire.model.change import LogicalMessage, Resync, Transaction
from tidewire.model.errors import PostgresError
from tidewire.model.position import Lsn
from tidewire.postgres.connection import connect
from tidewire.postgres.migrate import apply, find_pending
from tidewire.postgres.migration_files import read_migrations
from tidewire.postgres.schema_cache import SCHEMA_PREFIX, SchemaCache
from tidewire.query.schema import Argument, Column, Function, Reference, Schema

SCHEMA = f"MESSAGE {SCHEMA_PREFIX} "
NEVER_S = 3600.0


@asynccontextmanager
async def open_cache(dsn: str, *schemas: str, **limits: Any) -> AsyncIterator[SchemaCache]:
    async with open_pool(dsn) as pool:
        yield SchemaCache(pool, schemas or ("public",), **limits)


async def read(dsn: str, *statements: str, schemas: tuple[str, ...] = ("public",)) -> Schema:
    """Return what is read once the statements have been run."""
    execute(dsn, *statements)
    async with open_cache(dsn, *schemas) as cache:
        return await cache.get()


def columns(schema: Schema, table: str) -> dict[str, Column]:
    return {column.name: column for column in schema.tables["public", table].columns}


# --- what is read --------------------------------------------------------------------------------------------


async def test_columns_have_types_that_a_value_can_be_cast_to(any_database: str) -> None:
    schema = await read(
        any_database,
        "create schema kinds",
        "create type kinds.mood as enum ('sad')",
        "create domain kinds.name as text not null default 'nobody'",
        "create table t (id int generated always as identity primary key, short varchar(3) not null, fixed char(2)[],"
        " money numeric(10, 2) default 0, mood kinds.mood, name kinds.name, gone int,"
        " twice int generated always as (1 + 1) stored)",
        "alter table t drop column gone",
    )
    assert schema.tables["public", "t"].columns == (
        Column("id", "integer", nullable=False, has_default=True, generated=False, primary=True),
        Column("short", "character varying", nullable=False, has_default=False, generated=False, primary=False),
        Column("fixed", "bpchar[]", nullable=True, has_default=False, generated=False, primary=False),
        Column("money", "numeric", nullable=True, has_default=True, generated=False, primary=False),
        Column("mood", "kinds.mood", nullable=True, has_default=False, generated=False, primary=False),
        Column("name", "kinds.name", nullable=False, has_default=True, generated=False, primary=False),
        Column("twice", "integer", nullable=True, has_default=False, generated=True, primary=False),
    )
    assert schema.version == fetch(any_database, "select current_setting('server_version_num')::int")


async def test_only_tables_and_views_of_the_exposed_schemas_are_read(any_database: str) -> None:
    schema = await read(
        any_database,
        "create schema api",
        "create schema hidden",
        "create table api.t (id int)",
        "create table hidden.t (id int)",
        "create table parted (id int) partition by list (id)",
        "create table part partition of parted for values in (1)",
        "create view seen as select 1 as one",
        "create materialized view kept as select 1 as one",
        "create sequence numbers",
        "create type pair as (a int, b int)",
        schemas=("public", "api"),
    )
    assert sorted(schema.tables) == [("api", "t"), ("public", "kept"), ("public", "parted"), ("public", "seen")]


async def test_what_may_be_done_with_a_view(any_database: str) -> None:
    schema = await read(
        any_database,
        "create table t (id int primary key)",
        "create view simple as select * from t",
        "create view counted as select count(*) from t",
        "create view tricked as select count(*) from t",
        "create function trick() returns trigger language plpgsql as 'begin return new; end'",
        "create trigger trick instead of insert on tricked for each row execute function trick()",
        "create materialized view kept as select * from t",
    )
    assert {
        name: (table.is_view, table.insertable, table.updatable, table.deletable)
        for (_, name), table in schema.tables.items()
    } == {
        "t": (False, True, True, True),
        "simple": (True, True, True, True),
        "counted": (True, False, False, False),
        "tricked": (True, True, False, False),
        "kept": (True, False, False, False),
    }


async def test_references_keep_the_order_of_their_columns(any_database: str) -> None:
    schema = await read(
        any_database,
        "create schema api",
        "create table a (x int, y text, primary key (y, x))",
        "create table b (id int primary key, ay text, ax int, constraint to_a foreign key (ay, ax) references a)",
        "create table api.c (id int primary key references b, note text)",
        "create table parted (id int, b int references b) partition by list (id)",
        "create table part partition of parted for values in (1)",
        "create table d (b int references b, other int, unique (b, other), deep int unique references b)",
        schemas=("public", "api"),
    )
    assert set(schema.references) == {
        Reference("to_a", "public", "b", ("ay", "ax"), "public", "a", ("y", "x"), unique=False),
        Reference("c_id_fkey", "api", "c", ("id",), "public", "b", ("id",), unique=True),
        Reference("parted_b_fkey", "public", "parted", ("b",), "public", "b", ("id",), unique=False),
        Reference("d_b_fkey", "public", "d", ("b",), "public", "b", ("id",), unique=False),
        Reference("d_deep_fkey", "public", "d", ("deep",), "public", "b", ("id",), unique=True),
    }


async def test_a_reference_out_of_the_exposed_schemas_is_nobodys_business(any_database: str) -> None:
    schema = await read(
        any_database,
        "create schema auth",
        "create table auth.users (id int primary key)",
        "create table t (id int references auth.users)",
    )
    assert schema.references == ()


async def test_functions_with_their_inputs(any_database: str) -> None:
    schema = await read(
        any_database,
        "create table t (id int)",
        "create function f(a int, b text default '') returns setof t stable language sql as 'select 1'",
        "create function f(a text) returns void language sql as ''",
        "create function g(int, variadic v int[]) returns int immutable language sql as 'select 1'",
        "create function h(a int, out x int, inout y int, out z int) language sql as 'select 1, 2, 3'",
        "create function rows(a int) returns table (x int, y text) language sql as $$ select 1, '' $$",
        "create function trig() returns trigger language plpgsql as 'begin return new; end'",
        "create procedure proc() language sql as ''",
        "create aggregate agg(int) (sfunc = int4pl, stype = int)",
    )
    assert sorted(name for _, name in schema.functions) == ["f", "g", "h", "rows"]

    def argument(name: str, type_: str, *, default: bool = False, variadic: bool = False) -> Argument:
        return Argument(name, type_, has_default=default, variadic=variadic)

    of = {name: found for (_, name), found in schema.functions.items()}
    assert of["f"] == (
        Function(
            "public",
            "f",
            (argument("a", "integer"), argument("b", "text", default=True)),
            "public.t",
            returns_set=True,
            returns_table=("public", "t"),
            volatility="stable",
            is_void=False,
        ),
        Function("public", "f", (argument("a", "text"),), "void", False, None, "volatile", is_void=True),
    )
    assert of["g"][0].arguments == (argument("", "integer"), argument("v", "integer[]", variadic=True))
    assert (of["g"][0].volatility, of["g"][0].returns) == ("immutable", "integer")
    assert of["h"][0].arguments == (argument("a", "integer"), argument("y", "integer"))
    assert (of["h"][0].returns, of["h"][0].returns_table) == ("record", None)
    assert (of["rows"][0].arguments, of["rows"][0].returns_set) == ((argument("a", "integer"),), True)


# --- when it is read -----------------------------------------------------------------------------------------


def told(*prefixes: str, xid: int = 3, renewed: tuple[int, ...] = ()) -> Transaction:
    """Return a transaction as the log has it; 3 is a number that is always visible."""
    events = tuple(LogicalMessage(Lsn(1), index, prefix, b"") for index, prefix in enumerate(prefixes))
    return Transaction(xid, Lsn(1), 0, events, Lsn(1), renewed)


async def test_it_is_kept_until_the_log_tells(any_database: str) -> None:
    async with open_cache(any_database, retry_s=NEVER_S) as cache:
        first = await cache.get()
        execute(any_database, "create table t (id int)")
        cache.observe(told("tidewire.rules", "elsewhere"))
        assert await cache.get() is first
        cache.observe(told(SCHEMA_PREFIX))
        second = await cache.get()
        assert list(second.tables) == [("public", "t")]
        cache.observe(Resync("epoch", "lost"))
        assert await cache.get() is second, "the same object where nothing is different"


async def test_without_event_triggers_new_descriptions_count(any_database: str) -> None:
    async with open_cache(any_database) as cache:
        await cache.get()
        execute(any_database, "create table t (id int)")
        cache.observe(told(renewed=(1,)))
        assert list((await cache.get()).tables) == [("public", "t")]


async def test_with_event_triggers_they_do_not(migrated: str) -> None:
    async with open_cache(migrated) as cache:
        first = await cache.get()
        execute(migrated, "create table another (id int)")
        cache.observe(told(renewed=(1,)))
        assert await cache.get() is first


async def test_who_misses_something_has_it_looked_for_once_in_a_while(any_database: str) -> None:
    async with open_cache(any_database, retry_s=NEVER_S) as cache:
        first = await cache.get()
        execute(any_database, "create table t (id int)")
        second = await cache.after_miss(first)
        assert second is not None
        assert list(second.tables) == [("public", "t")]
        execute(any_database, "create table u (id int)")
        assert await cache.after_miss(first) is second, "who still has the old one gets the newest"
        assert await cache.after_miss(second) is None
        assert await cache.get() is second


async def test_an_older_value_serves_while_a_newer_one_cannot_be_read(any_database: str) -> None:
    execute(any_database, "create table t (id int)", "create view seen as select * from t")
    async with open_cache(any_database, patience_s=0.0, retry_s=0.0) as cache:
        first = await cache.get()
        with connect(any_database, autocommit=False) as writer:
            writer.execute("alter view seen rename to looked_at")
            cache.observe(told(SCHEMA_PREFIX, xid=_xid(writer)))
            writer.execute("select 1")
            assert await cache.after_miss(first) is None, "it is not visible yet"
            writer.commit()
        assert ("public", "looked_at") in (await cache.get()).tables


def _xid(writer: Any) -> int:
    return int(writer.execute("select pg_current_xact_id()::xid::text::bigint").fetchone()[0])


async def test_without_any_value_the_failure_is_told(any_database: str) -> None:
    async with open_pool(any_database) as pool:
        cache = SchemaCache(pool, ["public"])
        await pool.close()
        with pytest.raises(PostgresError):
            await cache.get()


# --- what the log tells --------------------------------------------------------------------------------------


@pytest.fixture
def migrated(any_migrated_database: str) -> str:
    execute(
        any_migrated_database,
        "create table t (id int primary key)",
        "create type mood as enum ('sad')",
        f"create publication {PUBLICATION} for table t",
    )
    return any_migrated_database


TOLD = [
    "create table more (id int primary key, t int)",
    "alter table more add foreign key (t) references t",
    "alter table more drop constraint more_t_fkey",
    "create unique index own on more (t)",
    "drop index own",
    "alter table more rename to less",
    "create view seen as select * from less",
    "create rule nothing as on insert to seen do instead nothing",
    "drop rule nothing on seen",
    "create or replace view seen as select *, 1 as one from less",
    "alter view seen rename to looked_at",
    "drop view looked_at",
    "create materialized view kept as select 1 as one",
    "drop materialized view kept",
    "create table copied as select 1 as one",
    "select 1 as one into copied_too",
    "create function f(a int) returns int language sql return 1",
    "alter function f(int) stable",
    "drop function f(int)",
    "alter type mood rename to temper",
    "create schema attic",
    "alter table less set schema attic",
    "drop schema attic cascade",
    "drop table copied",
    "select realtime.schema_changed()",
]
NOT_TOLD = [
    "comment on table t is 'x'",
    "analyze t",
    "grant select on t to anon",
    "create policy p on t using (true); drop policy p on t",
    "create temp table x (id int); alter table x add column y int; drop table x",
    "create table never (id int); rollback",
]


async def test_the_log_tells_of_every_change(migrated: str) -> None:
    found = {}
    async with following(migrated) as log:
        for statement in [*TOLD, *NOT_TOLD]:
            execute(migrated, ("begin; " if "rollback" in statement else "") + statement)
            found[statement] = SCHEMA in shown(await log.read())
    assert found == {text: text in TOLD for text in found}


async def test_what_the_log_tells_is_enough(migrated: str) -> None:
    """After every change, and what the log told of it, the value is what a new reader would read."""
    async with following(migrated) as log, open_cache(migrated, retry_s=NEVER_S) as cache:
        seen = [await cache.get()]
        for statement in TOLD:
            execute(migrated, statement)
            for part in await log.read():
                cache.observe(part)
            async with open_cache(migrated) as fresh:
                assert await cache.get() == await fresh.get(), statement
            seen.append(await cache.get())
    assert sum(one != two for one, two in pairwise(seen)) > len(TOLD) / 2


async def test_making_the_triggers_takes_rights_and_the_rest_does_not(any_database: str, make_login: MakeLogin) -> None:
    """Only whoever migrates may announce a change by hand."""
    login = make_login(any_database)
    with connect(any_database) as connection:
        apply(connection, find_pending(connection, read_migrations()))
    execute(any_database, f"grant create on schema public to {role_of(login)}")
    execute(login, "create table own (id int)")
    with connect(login) as connection, pytest.raises(Exception, match="permission denied for schema realtime"):
        connection.execute("select realtime.schema_changed()")
