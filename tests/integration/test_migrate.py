"""The migration runner and `tidewire migrate`: order, halves, repeats, races, crashes and what a plain role may do."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.postgres import VERSIONS, MakeServer
from tests.support.waiting import wait_until
from tidewire.model.errors import MigrationError, MissingPrivilege
from tidewire.postgres.connection import connect
from tidewire.postgres.migrate import apply, find_pending, keep_up, read_status
from tidewire.postgres.migration_files import read_migrations
from tidewire.postgres.privilege_gaps import find_gaps, refuse_gaps

Connection = psycopg.Connection[Any]
WriteFiles = Callable[..., Path]

PASSWORD = "only-for-this-test"
SHIPPED = [migration.label for migration in read_migrations()]
READERS = ("anon", "authenticated", "service_role")
every_version = pytest.mark.parametrize("version", list(VERSIONS))


def tidewire(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": dsn, "COLUMNS": "200"}
    command = [sys.executable, "-m", "tidewire", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=15)


def migrate(dsn: str) -> list[str]:
    """Do what the command does, and return what was applied."""
    with connect(dsn) as connection:
        pending = find_pending(connection, read_migrations())
        refuse_gaps(find_gaps(connection))
        applied = apply(connection, pending)
        keep_up(connection)
    return [migration.label for migration in applied]


def ask(dsn: str, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def run(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def write_files(tmp_path: Path) -> WriteFiles:
    """Write migrations of the test's own behind the shipped first one, which makes the record of applied ones."""

    def write(**files: str) -> Path:
        first = read_migrations()[0]
        (tmp_path / f"{first.label}.sql").write_text(first.sql)
        for name, text in files.items():
            (tmp_path / f"{name.removeprefix('_')}.sql").write_text(text)
        return tmp_path

    return write


class TestCommand:
    def test_the_first_run_applies_everything_and_the_second_nothing(self, any_database: str) -> None:
        first = tidewire(any_database, "migrate")
        assert first.returncode == 0
        assert first.stderr.splitlines() == [f"applied {label}" for label in SHIPPED]
        assert (
            first.stdout == f"{len(SHIPPED)} migrations applied, 5 partitions of realtime.messages made, 0 dropped.\n"
        )
        second = tidewire(any_database, "migrate")
        assert (second.returncode, second.stdout, second.stderr) == (0, "Nothing to do.\n", "")

    def test_json(self, database: str) -> None:
        first = tidewire(database, "migrate", "--json")
        assert json.loads(first.stdout) == {
            "ok": True,
            "applied": SHIPPED,
            "partitions": {"created": 5, "dropped": 0},
            "missing": [],
        }
        assert json.loads(tidewire(database, "migrate", "--json").stdout)["applied"] == []

    def test_a_dry_run_prints_sql_that_does_the_same(self, database: str) -> None:
        shown = tidewire(database, "migrate", "--dry-run")
        assert shown.returncode == 0
        assert ask(database, "select from pg_namespace where nspname = 'realtime'") == []
        run(database, shown.stdout)
        assert ask(database, "select count(*) from realtime.tidewire_migrations") == [(len(SHIPPED),)]
        assert migrate(database) == []
        assert tidewire(database, "migrate", "--dry-run").stdout == "-- nothing to do\n"

    def test_status(self, database: str) -> None:
        before = json.loads(tidewire(database, "migrate", "--status", "--json").stdout)
        assert {entry["state"] for entry in before["migrations"]} == {"pending"}
        migrate(database)
        after = json.loads(tidewire(database, "migrate", "--status", "--json").stdout)
        assert [(entry["state"], bool(entry["applied_at"])) for entry in after["migrations"]] == [
            ("applied", True)
        ] * len(SHIPPED)
        assert "roles_and_schemas" in tidewire(database, "migrate", "--status").stdout

    @pytest.mark.parametrize("flags", [("--pre", "--post"), ("--status", "--dry-run")])
    def test_flags_that_exclude_each_other(self, flags: tuple[str, str]) -> None:
        refused = tidewire("host=/nowhere", "migrate", *flags)
        assert refused.returncode == 1
        assert refused.stderr.startswith("error ConfigurationError: reading the command line")

    def test_an_unreachable_database_is_one_line_with_a_remedy(self) -> None:
        refused = tidewire("host=/nowhere", "migrate")
        assert refused.returncode == 1
        assert refused.stderr.startswith("error DatabaseUnreachable: ")
        assert "Traceback" not in refused.stderr
        as_json = tidewire("host=/nowhere", "migrate", "--status", "--json")
        assert as_json.returncode == 1
        error = json.loads(as_json.stdout)["error"]
        assert (error["code"], error["retryable"]) == ("DatabaseUnreachable", True)


class TestRunner:
    def test_pre_halves_first_then_post(self, database: str, write_files: WriteFiles) -> None:
        files = read_migrations(
            write_files(_0002_post_b="select 1", _0002_pre_b="select 1", _0003_pre_c="select 1", notes="no migration")
        )
        labels = ["0001_pre_roles_and_schemas", "0002_pre_b", "0003_pre_c", "0002_post_b"]
        assert [file.label for file in files] == labels
        with connect(database) as connection:
            with pytest.raises(MigrationError, match="expected every pre half applied, got 0001_pre"):
                find_pending(connection, files, "post")
            pre = apply(connection, find_pending(connection, files, "pre"))
            assert [file.label for file in pre] == labels[:3]
            assert [file.label for file in find_pending(connection, files)] == labels[3:]
            post = apply(connection, find_pending(connection, files, "post"))
            assert [file.label for file in post] == labels[3:]
            assert find_pending(connection, files) == ()

    def test_a_failing_file_leaves_nothing_and_those_before_it_stay(
        self, any_database: str, write_files: WriteFiles
    ) -> None:
        folder = write_files(
            _0002_pre_good="create table public.good (id int)",
            _0003_pre_bad="create table public.half (id int); select 1 / 0; create table public.rest (id int)",
            _0004_pre_later="create table public.later (id int)",
        )
        with connect(any_database) as connection:
            with pytest.raises(MigrationError, match="applying 0003_pre_bad: division by zero") as caught:
                apply(connection, find_pending(connection, read_migrations(folder)))
            assert "nothing of this file was kept" in caught.value.hint
            assert ask(any_database, "select tablename from pg_tables where schemaname = 'public'") == [("good",)]
            states = [standing.state for standing in read_status(connection, read_migrations(folder))]
            assert states == ["applied", "applied", "pending", "pending"]
            write_files(_0003_pre_bad="create table public.half (id int)")
            apply(connection, find_pending(connection, read_migrations(folder)))
        assert len(ask(any_database, "select from pg_tables where schemaname = 'public'")) == 3

    def test_a_changed_file_is_refused_by_name(self, database: str, write_files: WriteFiles) -> None:
        folder = write_files(_0002_pre_tables="create table public.a (id int)")
        with connect(database) as connection:
            apply(connection, find_pending(connection, read_migrations(folder)))
            write_files(_0002_pre_tables="create table public.b (id int)", _0003_pre_more="select 1")
            changed = read_migrations(folder)
            with pytest.raises(
                MigrationError, match="reading 0002_pre_tables: expected the file that was applied"
            ) as e:
                find_pending(connection, changed)
            assert "a change belongs into a new file" in e.value.hint
            assert [standing.state for standing in read_status(connection, changed)] == [
                "applied",
                "changed",
                "pending",
            ]

    def test_an_older_program_finds_nothing_to_do(self, database: str, write_files: WriteFiles) -> None:
        newer = read_migrations(write_files(_0002_pre_tables="select 1"))
        older = newer[:1]
        with connect(database) as connection:
            apply(connection, find_pending(connection, newer))
            assert find_pending(connection, older) == ()
            assert [standing.state for standing in read_status(connection, older)] == ["applied", "newer"]

    def test_runners_side_by_side_apply_each_file_once(self, any_database: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            applied = [label for labels in pool.map(migrate, [any_database] * 4) for label in labels]
        assert sorted(applied) == SHIPPED
        assert ask(any_database, "select count(*) from realtime.tidewire_migrations") == [(len(SHIPPED),)]

    @pytest.mark.parametrize("victim", ["client", "backend"])
    def test_kill_in_mid_migration_leaves_nothing_half_made(
        self, any_database: str, write_files: WriteFiles, victim: str
    ) -> None:
        folder = write_files(_0002_pre_slow="create table public.half (id int); select pg_sleep(60)")
        program = (
            "import sys, pathlib; from tidewire.postgres.connection import connect;"
            "from tidewire.postgres.migrate import apply, find_pending;"
            "from tidewire.postgres.migration_files import read_migrations;"
            "c = connect(sys.argv[1]); apply(c, find_pending(c, read_migrations(pathlib.Path(sys.argv[2]))))"
        )
        sleeping = "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
        stop = "select pg_terminate_backend(pid, 5000) from (" + sleeping + ") s"
        process = subprocess.Popen([sys.executable, "-c", program, any_database, folder], stderr=subprocess.PIPE)
        try:
            wait_until(lambda: bool(ask(any_database, sleeping)))
            if victim == "client":
                process.send_signal(signal.SIGKILL)
                process.wait()
            # A server that sleeps notices a dead client only when it wakes, so wake it.
            assert ask(any_database, stop) == [(True,)]
            _, complaint = process.communicate(timeout=10)
        finally:
            process.kill()
        assert (b"DatabaseUnreachable: applying 0002_pre_slow" in complaint) == (victim == "backend")
        assert ask(any_database, "select to_regclass('public.half') is null") == [(True,)]
        write_files(_0002_pre_slow="create table public.half (id int)")
        with connect(any_database) as connection:
            again = apply(connection, find_pending(connection, read_migrations(folder)))
        assert [migration.label for migration in again] == ["0002_pre_slow"]

    def test_a_busy_table_ends_the_wait_with_a_remedy(self, database: str, write_files: WriteFiles) -> None:
        run(database, "create table public.busy (id int)")
        files = read_migrations(write_files(_0002_pre_alter="alter table public.busy add column more int"))
        with connect(database) as connection, connect(database) as reader, reader.transaction():
            reader.execute("select * from public.busy")
            with pytest.raises(MigrationError, match="applying 0002_pre_alter: canceling statement due to lock") as e:
                apply(connection, find_pending(connection, files))
        assert "another transaction holds a lock" in e.value.hint

    def test_a_server_that_only_reads(self, database: str) -> None:
        read_only = make_conninfo(database, options="-c default_transaction_read_only=on")
        with pytest.raises(MigrationError) as caught:
            migrate(read_only)
        assert caught.value.hint == "connect to the primary server, not to a standby"

    def test_a_strict_default_isolation_changes_nothing(self, database: str) -> None:
        strict = make_conninfo(database, options="-c default_transaction_isolation=serializable")
        with ThreadPoolExecutor(3) as pool:
            applied = [label for labels in pool.map(migrate, [strict] * 3) for label in labels]
        assert sorted(applied) == SHIPPED


class TestFreshCluster:
    """Servers of their own: roles belong to a whole cluster, and here they must not exist yet."""

    @every_version
    def test_two_databases_at_once_make_the_roles_from_nothing(self, make_server: MakeServer, version: str) -> None:
        server = make_server(version)
        run(server.dsn(), "create database one", "create database two")
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(migrate, [server.dsn("one"), server.dsn("two")])) == [SHIPPED, SHIPPED]
        for name in ("one", "two"):
            run(server.dsn(name), "set role authenticated; select auth.uid()")

    @every_version
    def test_a_role_without_rights_learns_every_statement(self, make_server: MakeServer, version: str) -> None:
        server = make_server(version)
        run(server.dsn(), f"create role plain login password '{PASSWORD}'", "create database app")
        plain = make_conninfo(server.dsn("app"), user="plain", password=PASSWORD)

        refused = tidewire(plain, "migrate", "--json")
        assert refused.returncode == 1
        report = json.loads(refused.stdout)
        assert (report["ok"], report["applied"], report["error"]["code"]) == (False, [], "MigrationError")
        statements = [gap["sql"] for gap in report["missing"]]
        assert statements == [
            "create role anon nologin noinherit;",
            "create role authenticated nologin noinherit;",
            "create role service_role nologin noinherit bypassrls;",
            "create role authenticator nologin noinherit;",
            "grant anon to plain with admin option;",
            "grant authenticated to plain with admin option;",
            "grant service_role to plain with admin option;",
            "grant create on database app to plain;",
        ]
        assert all(gap["required"] for gap in report["missing"])
        assert report["error"]["hint"].splitlines()[1:] == statements
        nothing = "select from pg_namespace where nspname in ('auth', 'realtime')"
        assert ask(server.dsn("app"), nothing) == []

        run(server.dsn("app"), *statements)
        assert migrate(plain) == SHIPPED
        assert_works_for(plain)
        assert ask(plain, "select distinct tableowner from pg_tables where schemaname = 'realtime'") == [("plain",)]

    @every_version
    def test_createrole_lacks_what_postgres_keeps_from_it(self, make_server: MakeServer, version: str) -> None:
        server = make_server(version)
        run(
            server.dsn(),
            f"create role maker login createrole replication password '{PASSWORD}'",
            "create database app owner maker",
        )
        maker = make_conninfo(server.dsn("app"), user="maker", password=PASSWORD)
        with connect(maker) as connection:
            gaps = find_gaps(connection)
        expected = ["create role service_role nologin noinherit bypassrls;"]
        if version != "debian-15":
            expected.append("grant service_role to maker with admin option;")
        assert [gap.sql for gap in gaps] == expected
        with pytest.raises(MigrationError, match="role service_role does not exist and maker may not create it"):
            refuse_gaps(gaps)

        run(server.dsn("app"), *expected)
        assert migrate(maker) == SHIPPED
        assert_works_for(maker)
        assert ask(maker, "select distinct tableowner from pg_tables where schemaname = 'realtime'") == [
            ("supabase_realtime_admin",)
        ]

    def test_from_version_16_createrole_and_bypassrls_are_enough(self, make_server: MakeServer) -> None:
        server = make_server("embedded-18")
        run(
            server.dsn(),
            f"create role maker login createrole bypassrls password '{PASSWORD}'",
            "create database app owner maker",
        )
        maker = make_conninfo(server.dsn("app"), user="maker", password=PASSWORD)
        assert migrate(maker) == SHIPPED
        assert_works_for(maker)

    @every_version
    def test_schemas_and_publications_of_a_hosting_company(self, make_server: MakeServer, version: str) -> None:
        server = make_server(version)
        app = server.dsn("app")
        run(server.dsn(), f"create role tenant login password '{PASSWORD}'", "create database app")
        migrate(server.dsn())  # the company has the roles
        run(
            app,
            "create schema auth; create schema realtime; create publication supabase_realtime",
            "create publication supabase_realtime_messages_publication",
            "alter role service_role nobypassrls",
        )
        tenant = make_conninfo(app, user="tenant", password=PASSWORD)
        with connect(tenant) as connection:
            gaps = find_gaps(connection)
        required = [gap.sql for gap in gaps if gap.required]
        assert required == [
            "grant usage, create on schema auth to tenant;",
            "grant usage, create on schema realtime to tenant;",
            "grant usage on schema auth to anon, authenticated, service_role;",
            "grant usage on schema realtime to anon, authenticated, service_role;",
        ]
        advised = [gap.sql for gap in gaps if not gap.required]
        assert advised[:4] == [
            *(f"grant {reader} to tenant;" for reader in READERS),
            "alter role service_role bypassrls;",
        ]
        assert "alter publication supabase_realtime set (publish_via_partition_root = true);" in advised

        run(app, *required)
        assert migrate(tenant) == SHIPPED
        run(app, *advised)
        with connect(tenant) as connection:
            left = find_gaps(connection)
        assert [gap.sql for gap in left] == [
            "alter publication supabase_realtime_messages_publication add table realtime.messages;"
        ]
        run(app, left[0].sql)
        assert_works_for(tenant)

    def test_messages_of_a_hosting_company_are_left_alone(self, make_server: MakeServer) -> None:
        server = make_server("embedded-18")
        app = server.dsn("app")
        run(server.dsn(), f"create role tenant login password '{PASSWORD}'", "create database app")
        migrate(server.dsn())
        run(
            app,
            "create schema realtime; grant usage on schema realtime to anon, authenticated, service_role",
            "grant usage, create on schema realtime to tenant",
            "create table realtime.messages (topic text, inserted_at timestamp) partition by range (inserted_at)",
            "create function realtime.topic() returns text language sql return 'theirs'",
            "grant create on database app to tenant",
        )
        tenant = make_conninfo(app, user="tenant", password=PASSWORD)
        with connect(tenant) as connection:
            required = [gap.sql for gap in find_gaps(connection) if gap.required]
        publication = "supabase_realtime_messages_publication"
        options = "publish_via_partition_root = true"
        assert required == [f"create publication {publication} for table realtime.messages with ({options});"]
        run(app, *required)
        assert migrate(tenant) == SHIPPED
        assert ask(app, "select count(*) from pg_inherits where inhparent = 'realtime.messages'::regclass") == [(0,)]
        assert ask(app, "select realtime.topic(), tableowner from pg_tables where tablename = 'messages'") == [
            ("theirs", "postgres")
        ]

    def test_another_role_is_told_whose_turn_it_is(self, make_server: MakeServer) -> None:
        server = make_server("embedded-18")
        migrate(server.dsn())
        run(server.dsn(), f"create role stranger login password '{PASSWORD}'")
        stranger = make_conninfo(server.dsn(), user="stranger", password=PASSWORD)
        with pytest.raises(MissingPrivilege, match="may act as supabase_realtime_admin") as caught:
            migrate(stranger)
        remedy = caught.value.hint.partition("run: ")[2]
        run(server.dsn(), remedy)
        assert migrate(stranger) == []


def assert_works_for(dsn: str) -> None:
    """Use the objects as the role that migrated and, through it, as a reader: send, read, drop and make partitions."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "create policy rooms on realtime.messages to authenticated using (true) with check (topic = 'room')"
        )
        connection.execute("select realtime.tidewire_maintain_messages('2100-01-01')")  # today's partition goes
        connection.execute("set role authenticated")
        connection.execute('set request.jwt.claims = \'{"sub": "5f3c7d52-3d3f-4c7b-9f5e-0a8a2c1d9b10"}\'')
        connection.execute("select realtime.send(jsonb_build_object('who', auth.uid()), 'e', 'room')")
        connection.execute("select realtime.send('{}', 'e', 'attic')")
        found = connection.execute("select topic, payload ->> 'who' from realtime.messages").fetchall()
        assert found == [("room", "5f3c7d52-3d3f-4c7b-9f5e-0a8a2c1d9b10")]
        connection.execute("reset role")
        published = connection.execute(
            "select tablename, pubviaroot from pg_publication_tables join pg_publication using (pubname)"
            " where pubname = 'supabase_realtime_messages_publication'"
        ).fetchall()
        assert published == [("messages", True)]
        connection.execute("select * from realtime.tidewire_slots")
