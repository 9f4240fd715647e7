"""`tidewire publish`: which tables get in, which are refused, and what the log then carries."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from tests.support.postgres import MakeLogin
from tidewire.model.errors import ConfigurationError, MigrationError, MissingPrivilege, PostgresError, UnknownTable
from tidewire.postgres.connection import connect
from tidewire.postgres.publish import Outcome, publish, withdraw
from tidewire.postgres.table_names import find_tables, parse_tables

Connection = psycopg.Connection[Any]

TABLES: LiteralString = """
    create table todos (id int primary key, title text);
    create table "My Table" (id int primary key);
    create table loose (id int);
    create schema app;
    create table app.orders (id int primary key);
    create table events (id int, day date, primary key (id, day)) partition by range (day);
    create table events_old partition of events for values from (minvalue) to ('2030-01-01');
    create table events_new partition of events for values from ('2030-01-01') to (maxvalue);
    create view todo_view as select * from todos;
    create unlogged table scratch (id int primary key);
"""


@pytest.fixture
def migrated(migrated_database: str) -> Iterator[Connection]:
    with prepared(migrated_database) as connection:
        yield connection


@pytest.fixture
def any_migrated(any_migrated_database: str) -> Iterator[Connection]:
    with prepared(any_migrated_database) as connection:
        yield connection


@contextmanager
def prepared(dsn: str) -> Iterator[Connection]:
    with connect(dsn) as connection:
        connection.execute(TABLES)
        yield connection


def add(connection: Connection, *names: str, full: bool = False, schema: str = "public") -> tuple[Outcome, ...]:
    return publish(connection, parse_tables(connection, names, schema=schema), full=full)


def remove(connection: Connection, *names: str) -> list[str]:
    return [outcome.action for outcome in withdraw(connection, parse_tables(connection, names))]


def published(connection: Connection) -> list[str]:
    found = connection.execute(
        "select schemaname || '.' || tablename from pg_publication_tables"
        " where pubname = 'supabase_realtime' order by 1"
    )
    return [name for (name,) in found]


def identities(connection: Connection, pattern: str) -> dict[str, str]:
    found = connection.execute(
        "select relname, relreplident::text from pg_class where relname like %s and relkind in ('r', 'p')", [pattern]
    )
    return dict(found.fetchall())


class TestNames:
    def test_they_read_as_in_sql(self, migrated: Connection) -> None:
        add(migrated, "ToDos", '"My Table"', "app.orders", "public.todos")
        assert published(migrated) == ["app.orders", "public.My Table", "public.todos"]

    def test_a_schema_for_names_without_one(self, migrated: Connection) -> None:
        add(migrated, "orders", "public.todos", schema="app")
        assert published(migrated) == ["app.orders", "public.todos"]

    @pytest.mark.parametrize("name", ["a.b.c", "my table", "", 'x"', "todos; drop table todos", "."])
    def test_what_is_no_name_is_refused(self, migrated: Connection, name: str) -> None:
        with pytest.raises(ConfigurationError, match=r"expected TABLE or SCHEMA\.TABLE, got"):
            add(migrated, name)

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("todo", "public.todos"),
            ("My_Table", 'public."My Table"'),
            ("orders", "app.orders"),
            ("ordrs", "app.orders"),
        ],
    )
    def test_a_wrong_name_meets_the_nearest_ones(self, migrated: Connection, name: str, meant: str) -> None:
        with pytest.raises(UnknownTable, match=f"got no public.{name.lower()}") as caught:
            add(migrated, "loose", name)
        assert caught.value.hint.startswith(f"did you mean {meant}")
        assert published(migrated) == []

    def test_all_unknown_names_are_told_at_once(self, migrated: Connection) -> None:
        with pytest.raises(UnknownTable, match=r"got no public\.xxxxx, nowhere\.yyyyy") as caught:
            add(migrated, "xxxxx", "todos", "nowhere.yyyyy")
        assert caught.value.hint == "check the names and --schema"

    @pytest.mark.parametrize("name", ["todo_view", "scratch", "pg_catalog.pg_class"])
    def test_what_writes_no_rows_to_the_log_is_refused(self, migrated: Connection, name: str) -> None:
        with pytest.raises(UnknownTable, match=rf"expected ordinary or partitioned tables, got (public\.)?{name}"):
            add(migrated, "todos", name)
        assert published(migrated) == []

    def test_a_name_that_is_sql_stays_a_name(self, migrated: Connection) -> None:
        migrated.execute('create table "x""; drop table todos; --" (id int)')
        add(migrated, '"x""; drop table todos; --"', full=True)
        assert published(migrated) == ['public.x"; drop table todos; --']
        assert identities(migrated, "todos") == {"todos": "d"}


class TestPublish:
    def test_twice_is_once(self, any_migrated: Connection) -> None:
        assert [outcome.action for outcome in add(any_migrated, "todos")] == ["added"]
        assert [outcome.action for outcome in add(any_migrated, "todos", "loose")] == ["kept", "added"]
        assert published(any_migrated) == ["public.loose", "public.todos"]

    def test_a_partitioned_table_counts_as_one(self, any_migrated: Connection) -> None:
        assert add(any_migrated, "events") == (Outcome("public.events", "added", "key"),)
        assert published(any_migrated) == ["public.events"]

    def test_full_reaches_every_partition(self, any_migrated: Connection) -> None:
        assert add(any_migrated, "events", full=True) == (Outcome("public.events", "added", "full"),)
        assert identities(any_migrated, "events%") == {"events": "f", "events_old": "f", "events_new": "f"}

    def test_full_of_a_published_table(self, any_migrated: Connection) -> None:
        add(any_migrated, "loose")
        assert add(any_migrated, "loose", full=True) == (Outcome("public.loose", "kept", "full"),)
        any_migrated.execute("insert into loose values (1); update loose set id = 2; delete from loose")

    def test_the_warning_is_true(self, any_migrated: Connection) -> None:
        (outcome,) = add(any_migrated, "loose")
        assert outcome.identity == "none"
        assert outcome.warning is not None
        assert outcome.warning.startswith("UPDATE and DELETE on public.loose fail while it is published")
        any_migrated.execute("insert into loose values (1)")
        for statement in ("update loose set id = 2", "delete from loose"):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
                any_migrated.execute(statement.encode())
        (outcome,) = add(any_migrated, "todos")
        assert (outcome.identity, outcome.warning) == ("key", None)
        any_migrated.execute("insert into todos values (1); update todos set id = 2; delete from todos")

    def test_a_single_partition_without_identity_is_told(self, any_migrated: Connection) -> None:
        any_migrated.execute("alter table events_new replica identity nothing")
        (outcome,) = add(any_migrated, "events")
        assert outcome.identity == "none"
        assert outcome.warning is not None

    def test_old_rows_are_complete_in_the_log(self, any_migrated: Connection) -> None:
        add(any_migrated, "todos", full=True)
        any_migrated.execute("insert into todos values (1, 'before')")
        any_migrated.execute("select pg_create_logical_replication_slot('todos', 'pgoutput', true)")
        any_migrated.execute("delete from todos")
        records = any_migrated.execute(
            "select data from pg_logical_slot_get_binary_changes('todos', null, null, 'proto_version', '1',"
            " 'publication_names', 'supabase_realtime')"
        )
        deletes = [bytes(data) for (data,) in records if bytes(data)[:1] == b"D"]
        assert [(data[5:6], b"before" in data) for data in deletes] == [(b"O", True)]

    def test_every_table_of_a_schema(self, any_migrated: Connection) -> None:
        publish(any_migrated, find_tables(any_migrated, schema="public"))
        assert published(any_migrated) == ["public.My Table", "public.events", "public.loose", "public.todos"]
        with pytest.raises(UnknownTable, match="tables of schema nowhere: expected at least one"):
            find_tables(any_migrated, schema="nowhere")

    def test_a_publication_for_all_tables_needs_nothing_added(self, any_migrated: Connection) -> None:
        any_migrated.execute("drop publication supabase_realtime; create publication supabase_realtime for all tables")
        assert [outcome.action for outcome in add(any_migrated, "todos", full=True)] == ["kept"]
        with pytest.raises(ConfigurationError, match=r"got public\.todos, published with the whole schema or database"):
            remove(any_migrated, "todos")

    def test_before_migration(self, database: str) -> None:
        with connect(database) as connection:
            connection.execute("create table todos (id int primary key)")
            with pytest.raises(MigrationError) as caught:
                add(connection, "todos")
        assert caught.value.hint == "run `tidewire migrate` first"

    def test_a_table_in_use_changes_nothing(self, migrated: Connection, migrated_database: str) -> None:
        with connect(migrated_database) as reader, reader.transaction():
            reader.execute("select * from todos")
            with pytest.raises(PostgresError, match="publishing tables: canceling statement due to lock") as caught:
                add(migrated, "loose", "todos", full=True)
        assert "try again when it has ended" in caught.value.hint
        assert published(migrated) == []
        assert identities(migrated, "loose") == {"loose": "d"}


class TestPrivileges:
    def test_the_publication_of_someone_else(
        self, migrated: Connection, migrated_database: str, make_login: MakeLogin
    ) -> None:
        with (
            connect(make_login(migrated_database)) as stranger,
            pytest.raises(MissingPrivilege, match="owner postgres"),
        ):
            add(stranger, "todos")
        assert published(migrated) == []

    def test_tables_of_someone_else_are_all_named(
        self, migrated: Connection, migrated_database: str, make_login: MakeLogin
    ) -> None:
        with connect(make_login(migrated_database)) as owner:
            migrated.execute(
                sql.SQL("grant create on database {} to {}").format(
                    sql.Identifier(owner.info.dbname), sql.Identifier(owner.info.user)
                )
            )
            migrated.execute(
                sql.SQL("alter publication supabase_realtime owner to {0}; alter table loose owner to {0}").format(
                    sql.Identifier(owner.info.user)
                )
            )
            with pytest.raises(MissingPrivilege, match=r"todos \(owner postgres\), public\.events \(owner postgres\)"):
                add(owner, "loose", "todos", "events")
            assert published(migrated) == []
            add(owner, "loose", full=True)
        assert published(migrated) == ["public.loose"]


class TestRemove:
    def test_twice_is_once_and_the_identity_stays(self, migrated: Connection) -> None:
        add(migrated, "todos", "loose", full=True)
        assert remove(migrated, "todos") == ["removed"]
        assert remove(migrated, "todos", "loose") == ["absent", "removed"]
        assert published(migrated) == []
        assert identities(migrated, "todos") == {"todos": "f"}

    def test_one_unknown_name_keeps_all(self, migrated: Connection) -> None:
        add(migrated, "todos")
        with pytest.raises(UnknownTable):
            remove(migrated, "todos", "tods")
        assert published(migrated) == ["public.todos"]


class TestCommand:
    @staticmethod
    def run(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DATABASE_URL": dsn}
        command = [sys.executable, "-m", "tidewire", "publish", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=15)

    def test_sentences_and_warnings(self, migrated: Connection, migrated_database: str) -> None:
        done = self.run(migrated_database, "todos", "loose")
        assert done.returncode == 0
        assert done.stdout.splitlines() == [
            "public.todos is published now (old rows: key columns)",
            "public.loose is published now (old rows: nothing)",
        ]
        assert done.stderr.startswith("warning UPDATE and DELETE on public.loose fail")
        again = self.run(migrated_database, "--all", "--full")
        assert again.returncode == 0
        assert "public.todos was published already (old rows complete)" in again.stdout
        assert again.stderr == ""
        assert published(migrated) == ["public.My Table", "public.events", "public.loose", "public.todos"]

    def test_json(self, migrated: Connection, migrated_database: str) -> None:
        done = self.run(migrated_database, "todos", "--json")
        assert json.loads(done.stdout) == {
            "ok": True,
            "publication": "supabase_realtime",
            "tables": [{"table": "public.todos", "action": "added", "identity": "key", "warning": None}],
        }
        removed = json.loads(self.run(migrated_database, "todos", "--remove", "--json").stdout)
        assert removed["tables"][0]["action"] == "removed"
        assert published(migrated) == []

    def test_an_error_is_json_too(self, migrated: Connection, migrated_database: str) -> None:
        refused = self.run(migrated_database, "todo", "--json")
        assert refused.returncode == 1
        report = json.loads(refused.stdout)
        assert (report["ok"], report["tables"]) == (False, [])
        assert (report["error"]["code"], report["error"]["hint"]) == ("UnknownTable", "did you mean public.todos?")
        assert published(migrated) == []

    @pytest.mark.parametrize("arguments", [(), ("todos", "--all"), ("todos", "--remove", "--full")])
    def test_contradictions(self, arguments: tuple[str, ...]) -> None:
        refused = self.run("host=/nowhere", *arguments)
        assert refused.returncode == 1
        assert refused.stderr.startswith("error ConfigurationError: reading the command line: expected")

    def test_an_unknown_table(self, migrated: Connection, migrated_database: str) -> None:
        refused = self.run(migrated_database, "todo")
        assert refused.returncode == 1
        assert refused.stderr.splitlines() == [
            "error UnknownTable: looking for tables: expected them in this database, got no public.todo",
            "fix   did you mean public.todos?",
        ]
        assert published(migrated) == []
