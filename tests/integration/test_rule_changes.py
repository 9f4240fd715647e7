"""What may change who sees what is told by the log, at the place of its commit: by new descriptions and by messages."""

import psycopg
import pytest

from tests.support.log import PUBLICATION, Follower, changes, execute, fetch, following, prepare_database, run, shown
from tests.support.postgres import MakeLogin
from tests.support.tables import role_of
from tidewire.postgres.connection import connect
from tidewire.postgres.doctor import gather
from tidewire.postgres.finding import Finding, Severity
from tidewire.postgres.findings import examine
from tidewire.postgres.migrate import apply, find_pending
from tidewire.postgres.migration_files import read_migrations
from tidewire.postgres.privilege_gaps import find_gaps
from tidewire.settings import Settings

RULES = "MESSAGE tidewire.rules "
SCHEMA = "MESSAGE tidewire.schema "
"""What the data API listens to; many commands change both."""
FOLLOWED = f"create publication {PUBLICATION} for tables in schema public with (publish_via_partition_root = true)"

# --- descriptions: every table that has rows of its own ------------------------------------------------------

PLAIN = ("create table t (id serial primary key, a int)",)
PARTED = (
    "create table t (id serial primary key, a int) partition by range (id)",
    "create table leaf partition of t for values from (0) to (1000)",
)
DDL = [
    "create policy p on {} using (true)",
    "alter policy p on {} using (id > 0)",
    "alter policy p on {} rename to q",
    "drop policy q on {}",
    "alter table {} enable row level security",
    "alter table {} force row level security",
    "alter table {} disable row level security",
    "grant select on {} to {role}",
    "revoke select on {} from {role}",
    "grant select (a) on {} to {role}",
    "revoke select (a) on {} from {role}",
    "alter table {} owner to {role}",
    "analyze {}",
]
ADD = "insert into t (a) values (0)"


async def renewals(log: Follower) -> list[set[str]]:
    """Return the names of the tables that each part up to now describes anew."""
    parts = await log.read()
    names = {change.relation.oid: change.relation.name for change in changes(log.parts)}
    return [{names.get(oid, "another") for oid in part.renewed} for part in parts]


@pytest.mark.parametrize(("tables", "target", "renewed"), [(PLAIN, "t", {"t"}), (PARTED, "leaf", {"t", "another"})])
async def test_a_table_is_described_anew_before_its_next_change(
    any_database: str, make_login: MakeLogin, tables: tuple[str, ...], target: str, renewed: set[str]
) -> None:
    """Once too often is possible. Of the parent of partitions, whose rows are all theirs, nothing need be said."""
    role = role_of(make_login(any_database))
    prepare_database(any_database, *tables)
    async with following(any_database) as log:
        execute(any_database, ADD)
        assert await renewals(log) == [renewed]
        for statement in DDL:
            execute(any_database, statement.format(target, role=role), ADD)
            assert await renewals(log) == [renewed], statement
        execute(any_database, *[ADD] * 10)
        assert (await renewals(log)).count(set()) > 5


async def test_within_a_transaction_nothing_moves(any_database: str) -> None:
    prepare_database(any_database, *PLAIN, "create table other (id int primary key)")
    async with following(any_database) as log:
        execute(any_database, ADD)
        await log.read()
        with psycopg.connect(any_database) as writer:
            run(writer, ADD, "create policy p on t using (true)", ADD, ADD, "insert into other values (1)")
        execute(any_database, ADD, ADD)
        one, two, three = await log.read()
    assert [(change.relation.name, change.index) for change in one.changes] == [
        ("t", 0),
        ("t", 1),
        ("t", 2),
        ("other", 3),
    ]
    assert one.renewed == (one.changes[0].relation.oid, one.changes[3].relation.oid)
    assert two.renewed == (one.changes[0].relation.oid,), "Postgres forgets it once more when the transaction is over"
    assert three.renewed == ()


# --- messages: everything else, by event triggers ------------------------------------------------------------


@pytest.fixture
def migrated(any_migrated_database: str) -> str:
    execute(any_migrated_database, *PARTED, "create type mood as enum ('sad')", FOLLOWED)
    return any_migrated_database


TOLD = [
    "create policy p on t using (true)",
    "alter policy p on t using (id > 0)",
    "drop policy p on t",
    "alter table t enable row level security",
    "alter table t rename column a to b",
    "grant select on t to anon",
    "grant select (b) on t to anon",
    "revoke select on t from anon",
    "grant usage on schema public to anon",
    "create function may() returns bool language sql return true",
    "create or replace function may() returns bool language sql return false",
    "revoke execute on function may() from public",
    "alter function may() rename to may_not",
    "alter routine may_not() rename to may",
    "drop function may()",
    "alter type mood rename value 'sad' to 'glad'",
    "alter type mood rename to temper",
    "create table part partition of t for values from (1000) to (2000); alter table t detach partition part",
    "create view seen as select 1 as one; alter view seen rename to looked_at",
    "create schema attic; alter schema attic rename to cellar",
    # what a policy names takes it along
    "create policy p on t using (exists (select from looked_at))",
    "drop view looked_at cascade",
    "create policy p on t using (exists (select from part))",
    "drop table part cascade",
    "create table gone (id int); create policy p on gone using (true)",
    "drop table gone",
    "create policy p on t using (exists (select 'glad'::temper))",
    "drop type temper cascade",
    "drop owned by anon",
    "select realtime.rules_changed()",
    "set session_replication_role = replica; alter table t disable row level security",
]
NOT_TOLD = [
    "create table more (id int primary key)",
    "create index on more (id)",
    "comment on table more is 'x'",
    "analyze more",
    "drop table more",
    "alter default privileges grant select on tables to anon",
    "create temp table x (id int); alter table x add column y int; drop table x",
    "create function pg_temp.f() returns bool language sql return true; drop function pg_temp.f()",
    "create policy p on t using (true); rollback",
    "create role {role}_2; alter role {role}_2 bypassrls; grant anon to {role}_2; drop role {role}_2",
]


async def test_messages_tell_what_the_log_leaves_out(migrated: str, make_login: MakeLogin) -> None:
    role = role_of(make_login(migrated))
    told = {}
    async with following(migrated) as log:
        for statement in [*TOLD, *NOT_TOLD]:
            begin = "begin; " if "rollback" in statement else ""
            execute(migrated, begin + statement.format(role=role))
            told[statement] = [each for each in shown(await log.read()) if each != SCHEMA]
    assert told == {text: [RULES] if text in TOLD else [] for text in told}


async def test_a_message_belongs_to_the_transaction_of_its_command(migrated: str) -> None:
    async with following(migrated) as log:
        execute(migrated, ADD)
        with psycopg.connect(migrated) as writer:
            run(writer, ADD, "create policy p on t using (true)", ADD)
        execute(migrated, ADD)
        parts = await log.read()
    # Within it, the message may come one row late: Postgres gives it the place of what follows.
    assert [RULES in shown([part]) for part in parts] == [False, True, False]
    assert [len(part.changes) for part in parts] == [1, 2, 1]


async def test_it_takes_no_special_rights(migrated: str, make_login: MakeLogin) -> None:
    login = make_login(migrated)
    execute(migrated, f"grant create on schema public to {role_of(login)}")
    execute(login, "create table own (id int primary key)")
    async with following(migrated) as log:
        execute(login, "create policy p on own using (true)")
        assert shown(await log.read()) == [RULES]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(login, "select realtime.rules_changed()")


async def test_a_command_never_fails_because_it_cannot_be_told(migrated: str, make_login: MakeLogin) -> None:
    login = make_login(migrated)
    execute(migrated, f"grant create on schema public to {role_of(login)}")
    emit = fetch(migrated, "select oid::regprocedure::text from pg_proc where prosrc = 'pg_logical_emit_message_text'")
    execute(migrated, f"revoke execute on function {emit} from public")
    heard: list[str] = []
    with psycopg.connect(login, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: heard.append(notice.message_hint or ""))
        run(connection, "create table own (id int primary key)", "create policy p on own using (true)")
    assert heard == ["call realtime.schema_changed()", "call realtime.rules_changed()"]
    assert fetch(migrated, "select count(*) from pg_policy") == 1


def test_who_could_change_the_function_could_already_do_anything(migrated: str) -> None:
    """It runs with the rights of superusers, so it may not belong to somebody who is none."""
    owners = "select bool_and(r.rolsuper) from pg_proc p join pg_roles r on r.oid = p.proowner where p.proname = "
    assert fetch(migrated, f"{owners} 'tidewire_rules'") is True
    assert fetch(migrated, f"{owners} 'rules_changed'") is False


# --- where event triggers cannot be made ---------------------------------------------------------------------


def complaints(dsn: str) -> list[Finding]:
    facts = gather(dsn, slot="tidewire", publications=Settings().publications)
    return [each for each in examine(facts) if each.code == "RuleChanges" and each.severity is not Severity.OK]


@pytest.fixture
def unprivileged(any_database: str, make_login: MakeLogin) -> str:
    """A database that was migrated by a role that may not make event triggers."""
    login = make_login(any_database, "createrole replication")
    with connect(any_database) as admin:  # the roles are there: another database of this server has been migrated
        apply(admin, read_migrations()[:1])
        admin.execute("drop schema realtime cascade; drop schema auth cascade")
        run(admin, f"grant create on database {admin.info.dbname} to {role_of(login)}")
    with connect(login) as connection:
        gaps = find_gaps(connection)
    execute(any_database, *(gap.sql for gap in gaps))
    with connect(login) as connection:
        apply(connection, find_pending(connection, read_migrations()))
    return any_database


def test_without_the_right_to_it_the_rest_is_made_and_doctor_says_how(unprivileged: str) -> None:
    assert fetch(unprivileged, "select count(*) from pg_event_trigger") == 0
    assert fetch(unprivileged, "select to_regprocedure('realtime.rules_changed()') is not null")
    assert fetch(unprivileged, "select to_regprocedure('realtime.tidewire_rules()') is null")
    (finding,) = complaints(unprivileged)
    assert finding.severity is Severity.WARNING
    remedy, _comment = finding.fix.split("\n")
    execute(unprivileged, remedy)
    with connect(unprivileged) as superuser:
        (again,) = apply(superuser, find_pending(superuser, read_migrations()))
    assert again.label == "0008_pre_rules"
    assert complaints(unprivileged) == []


def test_doctor_sees_a_trigger_that_was_switched_off(migrated: str) -> None:
    assert complaints(migrated) == []
    for statement in ("disable", "enable replica", "enable"):
        execute(migrated, f"alter event trigger tidewire_rules {statement}")
        (finding,) = complaints(migrated)
        execute(migrated, finding.fix)
        assert complaints(migrated) == []
