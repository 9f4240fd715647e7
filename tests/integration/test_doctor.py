"""Doctor against real servers: break one thing, see its code, run the printed fix, and see it healthy."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner, Result

from tests.support.doctor import complaints, look, migrated, run, run_fix
from tests.support.postgres import MakeLogin, MakeServer, fresh_database, fresh_migrated_database
from tidewire.cli.main import app
from tidewire.model.errors import DatabaseUnreachable, UnknownTable
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.finding import Severity

ORDERS = (
    "create table public.orders (id bigint primary key, user_id uuid, note text, day date)",
    "alter table public.orders replica identity full",
    "alter table public.orders enable row level security",
    "create policy own on public.orders for select to authenticated using (user_id = auth.uid())",
    "grant select on public.orders to authenticated",
    "alter publication supabase_realtime add table public.orders",
)
WEIRD = """we"ird'; $$ \\ %s {} Name"""
"""A name that breaks out of any quoting that is not done properly."""


@pytest.fixture(scope="module")
def template(any_server: EmbeddedPostgres) -> Iterator[str]:
    """The name of a database to copy: migrated, with one table that is published as it should be."""
    with fresh_migrated_database(any_server) as dsn:
        run(dsn, *ORDERS)
        yield str(conninfo_to_dict(dsn)["dbname"])


@pytest.fixture
def healthy(any_server: EmbeddedPostgres, template: str) -> Iterator[str]:
    """A database in which doctor finds nothing to repair; to be broken by the test."""
    with fresh_database(any_server, template=template) as dsn:
        yield dsn


def test_a_healthy_database_gives_no_complaint(healthy: str) -> None:
    facts = look(healthy)

    assert complaints(facts) == {}
    assert facts.unseen == ()
    assert [table.display_name for table in facts.user_tables] == ["public.orders"]


NOT_GENERATED_FROM_18 = """
do $$ begin
  if current_setting('server_version_num')::int >= 180000 then
    alter publication supabase_realtime set (publish_generated_columns = none);
  end if;
end $$
"""
BREAKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "no publication": ("Publications", ("drop publication supabase_realtime",)),
    "no publication for messages": ("Publications", ("drop publication supabase_realtime_messages_publication",)),
    "inserts only": ("PublishedOperations", ("alter publication supabase_realtime set (publish = 'insert')",)),
    "partitions under their own names": (
        "PartitionRoot",
        (
            "create table public.log (id int primary key) partition by range (id)",
            "create table public.log_1 partition of public.log for values from (0) to (10)",
            "alter publication supabase_realtime add table public.log",
            "alter publication supabase_realtime set (publish_via_partition_root = false)",
        ),
    ),
    "a lone partition": (
        "LonePartitions",
        (
            "create table public.log (id int primary key) partition by range (id)",
            "create table public.log_1 partition of public.log for values from (0) to (10)",
            "alter publication supabase_realtime add table public.log_1",
        ),
    ),
    "nothing published": ("PublishedTables", ("alter publication supabase_realtime drop table public.orders",)),
    "an unlogged partition": (
        "Persistence",
        (
            "create table public.log (id int primary key) partition by range (id)",
            "create unlogged table public.log_1 partition of public.log for values from (0) to (10)",
            "alter publication supabase_realtime add table public.log",
        ),
    ),
    "no primary key": ("PrimaryKey", ("alter table public.orders drop constraint orders_pkey",)),
    "no primary key and no column for it": (
        "PrimaryKey",
        (
            "alter table public.orders drop column id",
            "alter table public.orders replica identity full",
        ),
    ),
    "identity of a missing key": (
        "ReplicaIdentity",
        (
            "alter table public.orders replica identity default",
            "alter table public.orders drop constraint orders_pkey",
        ),
    ),
    "identity nothing": ("ReplicaIdentity", ("alter table public.orders replica identity nothing",)),
    "identity of a missing index": (
        "ReplicaIdentity",
        (
            "alter table public.orders alter note set not null",
            "create unique index orders_note on public.orders (note)",
            "alter table public.orders replica identity using index orders_note",
            "drop index orders_note",
        ),
    ),
    "a partition without identity": (
        "ReplicaIdentity",
        (
            "create table public.log (id int) partition by range (id)",
            "create table public.log_1 partition of public.log for values from (0) to (10)",
            "alter publication supabase_realtime add table public.log",
        ),
    ),
    "old rows with the key only": ("OldRecord", ("alter table public.orders replica identity default",)),
    "a stored generated column": (
        "GeneratedColumns",
        (
            "alter table public.orders add column upper text generated always as (upper(note)) stored",
            NOT_GENERATED_FROM_18,
        ),
    ),
    "policies switched off": ("RowSecurity", ("alter table public.orders disable row level security",)),
    "no row-level security": (
        "RowSecurity",
        ("drop policy own on public.orders", "alter table public.orders disable row level security"),
    ),
    "no policy": ("ReadPolicies", ("drop policy own on public.orders",)),
    "a policy for writers only": (
        "ReadPolicies",
        ("drop policy own on public.orders", "create policy own on public.orders for insert with check (true)"),
    ),
    "a policy that only restricts": (
        "ReadPolicies",
        ("drop policy own on public.orders", "create policy own on public.orders as restrictive using (true)"),
    ),
    "no grant": ("ReadPrivilege", ("revoke select on public.orders from authenticated",)),
    "no way into the schema": (
        "ReadPrivilege",
        ("create schema shut", "alter table public.orders set schema shut"),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_fix_fixes_it(healthy: str, name: str) -> None:
    code, statements = BREAKS[name]
    run(healthy, *statements)

    for finding in complaints(look(healthy))[code]:
        run_fix(healthy, finding.fix)

    assert code not in complaints(look(healthy))


def test_a_stored_generated_column_is_judged_by_version(healthy: str) -> None:
    run(healthy, "alter table public.orders add column upper text generated always as (upper(note)) stored")
    facts = look(healthy)

    if facts.server.major >= 18:
        assert complaints(facts) == {}
    else:
        assert "before PostgreSQL 18" in complaints(facts)["GeneratedColumns"][0].message


def test_a_virtual_generated_column_becomes_a_stored_one(migrated_database: str) -> None:
    run(
        migrated_database,
        *ORDERS,
        "alter table public.orders add column twice bigint generated always as (id * 2) virtual",
    )

    (finding,) = complaints(look(migrated_database))["GeneratedColumns"]
    run(migrated_database, finding.fix)

    assert complaints(look(migrated_database)) == {}


def test_a_column_list_without_the_identity_is_an_error(healthy: str) -> None:
    run(healthy, "alter publication supabase_realtime set table public.orders (id, user_id)")
    (finding,) = complaints(look(healthy))["ColumnList"]

    assert finding.severity is Severity.ERROR
    with pytest.raises(psycopg.Error, match="replica identity"):
        run(healthy, "insert into public.orders (id) values (1)", "update public.orders set note = 'x'")
    run_fix(healthy, finding.fix)
    run(healthy, "update public.orders set note = 'x'")
    assert complaints(look(healthy)) == {}


def test_a_row_filter_is_named_and_removed(healthy: str) -> None:
    run(healthy, "alter publication supabase_realtime set table public.orders where (id > 5)")
    (finding,) = complaints(look(healthy))["RowFilter"]
    run_fix(healthy, finding.fix)

    assert complaints(look(healthy)) == {}


def test_a_row_filter_that_old_rows_cannot_answer_is_an_error(healthy: str) -> None:
    run(
        healthy,
        "alter table public.orders replica identity default",
        "alter publication supabase_realtime set table public.orders where (note is null)",
        "insert into public.orders (id) values (1)",
    )
    with pytest.raises(psycopg.Error, match="replica identity"):
        run(healthy, "update public.orders set note = 'x'")
    (finding,) = complaints(look(healthy))["RowFilter"]
    assert finding.severity is Severity.ERROR

    run_fix(healthy, finding.fix)

    run(healthy, "update public.orders set note = 'x'")
    assert [finding.severity for finding in complaints(look(healthy))["RowFilter"]] == [Severity.WARNING]


def test_identity_errors_are_what_postgres_says_too(healthy: str) -> None:
    run(healthy, "insert into public.orders (id) values (1)", *BREAKS["identity of a missing key"][1])
    assert "ReplicaIdentity" in complaints(look(healthy))

    with pytest.raises(psycopg.Error, match="replica identity"):
        run(healthy, "update public.orders set note = 'x'")


@pytest.mark.parametrize("partitioned", [False, True])
def test_fixes_hold_for_any_name(healthy: str, *, partitioned: bool) -> None:
    name = sql.Identifier(WEIRD)
    with psycopg.connect(healthy, autocommit=True) as connection:
        connection.execute(sql.SQL("create schema {}").format(name))
        create = (
            "create table {0}.{0} ({0} int) partition by range ({0})"
            if partitioned
            else "create table {0}.{0} ({0} int)"
        )
        connection.execute(sql.SQL(create).format(name))
        if partitioned:
            connection.execute(sql.SQL("create table {0}.part partition of {0}.{0} default").format(name))
        connection.execute(sql.SQL("alter publication supabase_realtime add table {0}.{0}").format(name))

    for _round in range(3):  # a fix may bring up the next thing: with the grant, row-level security matters
        for findings in complaints(look(healthy)).values():
            for finding in findings:
                run_fix(healthy, finding.fix)

    expected = {"PrimaryKey"} if partitioned else set()  # its key is the user's to choose
    assert set(complaints(look(healthy))) == expected


def test_tables_can_be_named_as_in_sql(healthy: str) -> None:
    run(healthy, 'create table public."Mixed Case" (id int primary key)')
    facts = look(healthy, 'public."Mixed Case"', "ORDERS")

    assert [table.name for table in facts.tables] == ["Mixed Case", "orders"]
    (finding,) = complaints(facts)["Membership"]
    assert finding.table == "public.Mixed Case"
    run(healthy, finding.fix)
    assert "Membership" not in complaints(look(healthy, 'public."Mixed Case"'))


def test_an_unlogged_table_must_be_logged_and_then_published(healthy: str) -> None:
    run(healthy, "create unlogged table public.scratch (id int primary key)")
    (finding,) = complaints(look(healthy, "scratch"))["Persistence"]
    run(healthy, finding.fix)
    (finding,) = complaints(look(healthy, "scratch"))["Membership"]
    run(healthy, finding.fix)

    assert complaints(look(healthy, "scratch")).keys() == {"ReadPrivilege"}


@pytest.mark.parametrize("name", ["nowhere", "public.nowhere", "a.b.c", "public.", 'x"', "public.orders_pkey", ""])
def test_what_is_not_a_table_is_refused_by_name(healthy: str, name: str) -> None:
    with pytest.raises(UnknownTable) as refused:
        look(healthy, name)

    assert refused.value.hint
    assert name in str(refused.value)


def test_an_ordinary_role_learns_what_it_cannot_see(any_migrated_database: str, make_login: MakeLogin) -> None:
    run(any_migrated_database, *ORDERS)
    dsn = make_login(any_migrated_database)
    facts = look(dsn)

    assert complaints(facts).keys() == {"ReplicationPrivilege"}
    assert [unseen.what for unseen in facts.unseen] == [
        "open transactions of other roles",
        "which migrations are applied",
    ]
    for fix in [*(unseen.fix for unseen in facts.unseen), complaints(facts)["ReplicationPrivilege"][0].fix]:
        run_fix(any_migrated_database, fix)
    assert look(dsn).unseen == ()
    assert complaints(look(dsn)) == {}


def test_a_role_with_replication_needs_no_more(any_database: str, make_login: MakeLogin) -> None:
    assert "ReplicationPrivilege" not in complaints(look(make_login(any_database, "REPLICATION")))


def test_an_empty_database_needs_migrations_first(any_database: str) -> None:
    found = complaints(look(any_database))
    assert found["Migrations"][0].fix == "tidewire migrate"
    assert {finding.fix for finding in found["Publications"]} == {"tidewire migrate"}

    migrated(any_database)

    found = complaints(look(any_database))
    assert found.keys() == {"PublishedTables"}
    assert found["PublishedTables"][0].fix.startswith("tidewire publish")


def test_a_changed_migration_is_not_up_to_date(any_migrated_database: str) -> None:
    run(any_migrated_database, "delete from realtime.tidewire_migrations where version = 1 and half = 'pre'")

    (finding,) = complaints(look(any_migrated_database))["Migrations"]
    assert "migration 0001_pre_" in finding.message


def test_clocks_that_disagree_are_noticed(any_database: str) -> None:
    assert "ClockSkew" not in complaints(look(any_database))

    (finding,) = complaints(look(any_database, now=lambda: time.time() - 5))["ClockSkew"]
    assert "5.0 s ahead" in finding.message


def test_a_database_without_encoding_is_noticed(any_server: EmbeddedPostgres) -> None:
    with psycopg.connect(any_server.dsn(), autocommit=True) as admin:
        admin.execute("create database t_ascii encoding 'SQL_ASCII' locale 'C' template template0")
        try:
            assert "Encoding" in complaints(look(any_server.dsn("t_ascii")))
        finally:
            admin.execute("drop database t_ascii with (force)")


def test_a_setting_of_the_database_is_changed_there(healthy: str) -> None:
    with psycopg.connect(healthy) as connection:
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("alter database {} set wal_sender_timeout = '1s'").format(database))
    (finding,) = complaints(look(healthy))["WalSenderTimeout"]
    run(healthy, finding.fix)

    assert complaints(look(healthy)) == {}


def test_an_open_transaction_is_ended_by_its_fix(healthy: str) -> None:
    with closing(psycopg.connect(healthy)) as writer:
        writer.execute("insert into public.orders (id) values (1)")
        mine = [transaction for transaction in look(healthy).transactions if transaction.pid == writer.info.backend_pid]
        old = tuple(replace(transaction, age_s=transaction.age_s + 600) for transaction in mine)
        (finding,) = complaints(replace(look(healthy), transactions=old))["LongTransactions"]
        run(healthy, finding.fix)

        with pytest.raises(psycopg.OperationalError):
            writer.execute("select 1")


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands read tidewire.toml of the working directory and the environment; neither is the test's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("TIDEWIRE_SLOT", "tidewire_test")


def test_exit_code_2_for_errors(database: str) -> None:
    answer = cli("--database-url", database)

    assert answer.exit_code == 2
    assert "tidewire migrate" in answer.stdout
    assert answer.stdout.rstrip().endswith("run the fixes from the top, then tidewire doctor again.")


@pytest.mark.timeout(60)
def test_exit_codes_1_and_0_and_the_whole_way_there(make_server: MakeServer) -> None:
    dsn = make_server(fsync="on").dsn()
    migrated(dsn)
    warned = cli("--database-url", dsn)
    run(dsn, *ORDERS)
    healthy_now = cli("--database-url", dsn, "--verbose")

    assert warned.exit_code == 1
    assert healthy_now.exit_code == 0, healthy_now.stdout
    assert "WalLevel  wal_level is logical" in healthy_now.stdout
    assert healthy_now.stdout.rstrip().endswith("Healthy. Watch changes arrive: tidewire tail")


def test_json_holds_every_finding(healthy: str) -> None:
    answer = cli("--database-url", healthy, "--json", "--table", "orders")
    report = json.loads(answer.stdout)

    assert answer.exit_code == 1
    assert report["ok"] is False
    assert report["server"].keys() == {"version", "database", "role"}
    assert [f["code"] for f in report["findings"] if f["severity"] == "warning"] == ["Fsync"]
    assert {"code": "WalLevel", "severity": "ok", "message": "wal_level is logical"} in report["findings"]
    assert {"code": "Membership", "severity": "ok", "message": "is published", "table": "public.orders"} in report[
        "findings"
    ]


@pytest.mark.parametrize("json_wanted", [False, True])
def test_no_connection_is_one_line_with_a_remedy(*, json_wanted: bool) -> None:
    answer = cli("--database-url", "host=/nonexistent user=tide password=hush", *["--json"] * json_wanted)

    assert answer.exit_code == 2
    assert "hush" not in answer.output
    assert DatabaseUnreachable.default_hint in answer.output
    if json_wanted:
        (finding,) = json.loads(answer.stdout)["findings"]
        assert (finding["code"], finding["severity"]) == ("DatabaseUnreachable", "error")


def test_many_tables_with_one_lack_do_not_flood_the_terminal(healthy: str) -> None:
    run(healthy, *(f"create table public.t{number} (id int)" for number in range(15)))
    run(healthy, *(f"alter publication supabase_realtime add table public.t{number}" for number in range(15)))
    shown = cli("--database-url", healthy).stdout
    report = json.loads(cli("--database-url", healthy, "--json").stdout)

    assert shown.count("PrimaryKey  public.t") == 10
    assert "PrimaryKey  and 5 more" in shown
    assert sum(f["code"] == "PrimaryKey" and f["severity"] == "warning" for f in report["findings"]) == 15


def test_output_fits_80_columns_except_for_fixes(database: str) -> None:
    answer = cli("--database-url", database, "-v")
    prose = [line for line in answer.stdout.splitlines() if not line.startswith("    ")]

    assert max(map(len, prose)) <= 80


def test_an_escape_sequence_in_a_name_does_not_reach_the_terminal(healthy: str) -> None:
    run(
        healthy,
        'create table public."\x1b[31mred" (id int)',
        'alter publication supabase_realtime add table public."\x1b[31mred"',
    )
    answer = cli("--database-url", healthy)

    assert "red" in answer.stdout
    assert "\x1b" not in answer.stdout
