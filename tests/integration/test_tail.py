"""`tidewire tail` as a user sees it: lines, positions, filters, going on where it stopped, one clear line if not."""

import json
import signal
from pathlib import Path

import psycopg
import pytest

from tests.support.command import complaint, run, running
from tests.support.postgres import MakeLogin, MakeServer

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def shop(migrated_database: str) -> str:
    """A migrated database with a published table and a durable slot that stands at the beginning."""
    execute(
        migrated_database,
        "create table orders (id bigint primary key, note text, price numeric)",
        "create table stock (id bigint primary key)",
        "alter table orders replica identity full",
        "alter table stock replica identity full",
        "alter publication supabase_realtime add table orders, stock",
    )
    assert run("tail", "--durable", "--once", database_url=migrated_database).returncode == 0
    return migrated_database


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def lines(dsn: str, *options: str) -> list[dict[str, object]]:
    result = run("tail", "--once", "--json", *options, database_url=dsn)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_durable_tail_goes_on_where_it_stopped(shop: str) -> None:
    execute(shop, "insert into orders values (1, 'ça\n\"va\"', 1.50)", "update orders set price = 2 where id = 1")
    first, second = lines(shop, "--durable")
    assert first["type"] == "INSERT"
    assert first["record"] == {"id": 1, "note": 'ça\n"va"', "price": 1.50}
    assert "old_record" not in first
    assert second["old_record"] == {"id": 1, "note": 'ça\n"va"', "price": 1.50}
    assert (second["schema"], second["table"]) == ("public", "orders")
    assert str(second["commit_timestamp"]).endswith("Z")
    assert lines(shop, "--durable") == []
    execute(shop, "delete from orders")
    (third,) = lines(shop, "--durable")
    assert third["type"] == "DELETE"


def test_looking_on_reads_the_past_and_moves_nothing(shop: str) -> None:
    execute(shop, *(f"insert into orders values ({n})" for n in range(4)))
    everything = lines(shop, "--since", "earliest")
    assert [line["record"] for line in everything] == [{"id": n, "note": None, "price": None} for n in range(4)]
    rest = lines(shop, "--since", str(everything[1]["position"]))
    assert rest == everything[2:]
    assert lines(shop, "--since", "earliest") == everything


def test_only_the_wanted_tables_are_shown(shop: str) -> None:
    execute(shop, "insert into orders values (1)", "insert into stock values (2)")
    assert [line["table"] for line in lines(shop, "--since", "earliest", "--table", "stock")] == ["stock"]
    assert [line["table"] for line in lines(shop, "--since", "earliest", "--table", "public.orders")] == ["orders"]


def test_a_following_tail_shows_a_row_at_once_and_stops_on_ctrl_c(shop: str) -> None:
    with running("--log-level", "info", "tail", "--json", database_url=shop) as tail:
        assert tail.stderr is not None
        assert tail.stdout is not None
        assert "streaming" in tail.stderr.readline()  # what commits from here on must be seen
        execute(shop, "insert into orders values (7)")
        assert json.loads(tail.stdout.readline())["record"]["id"] == 7
        tail.send_signal(signal.SIGINT)
        _, rest = tail.communicate(timeout=10)
        assert tail.returncode == 130
        assert "Traceback" not in rest
    with psycopg.connect(shop) as connection:
        slots = connection.execute("select slot_name from pg_replication_slots where database = current_database()")
        assert slots.fetchall() == [("tidewire",)]


def test_a_reader_that_goes_away_ends_it_quietly(shop: str) -> None:
    execute(shop, "insert into orders select n from generate_series(1, 20000) n")
    with running("tail", "--since", "earliest", "--json", database_url=shop) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        tail.stdout.readline()
        tail.stdout.close()
        assert tail.wait(timeout=20) != 0
        assert tail.stderr.read() == ""


def test_a_lost_slot_is_announced(shop: str) -> None:
    execute(shop, "select pg_drop_replication_slot('tidewire')", "insert into orders values (1)")
    result = run("tail", "--durable", "--once", "--json", database_url=shop)
    assert result.returncode == 0
    assert "changes were missed" in result.stderr
    execute(shop, "insert into orders values (2)")
    assert [line["record"] for line in lines(shop, "--durable")] == [{"id": 2, "note": None, "price": None}]


def test_positions_of_another_history_are_refused(shop: str) -> None:
    result = run("tail", "--once", "--since", "abc.1.0", database_url=shop)
    assert "another history" in complaint(result)


def test_nothing_published_is_no_error_but_no_publication_is(database: str) -> None:
    result = run("tail", "--once", database_url=database)
    assert "ConfigurationError" in complaint(result)
    assert "tidewire migrate" in result.stderr


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://localhost:1/nowhere?connect_timeout=2", "DatabaseUnreachable"),
        ("host=/nowhere/at/all", "DatabaseUnreachable"),
        ("nonsense", "ConfigurationError"),
        ("postgresql://[::1", "ConfigurationError"),
    ],
)
@pytest.mark.parametrize("command", [["tail", "--once"], ["migrate"], ["publish", "t"]])
def test_a_wrong_url_is_one_clear_line(command: list[str], url: str, code: str) -> None:
    assert code in complaint(run(*command, database_url=url))


def test_a_missing_database_is_named(database: str) -> None:
    missing = psycopg.conninfo.make_conninfo(database, dbname="not_there")
    assert "not_there" in complaint(run("tail", "--once", database_url=missing))


def test_a_wrong_password_is_one_clear_line(shop: str, make_login: MakeLogin) -> None:
    wrong = psycopg.conninfo.make_conninfo(make_login(shop, "REPLICATION"), password="wrong-guess")
    result = run("tail", "--once", database_url=wrong)
    assert "AuthenticationFailed" in complaint(result)
    assert "wrong-guess" not in result.stderr


def test_a_role_without_replication_is_told_what_to_run(shop: str, make_login: MakeLogin) -> None:
    result = run("tail", "--once", database_url=make_login(shop))
    assert "MissingPrivilege" in complaint(result)
    assert "REPLICATION" in result.stderr


def test_wal_level_replica_is_told_what_to_run(make_server: MakeServer, tmp_path: Path) -> None:
    dsn = make_server(wal_level="replica").dsn()
    execute(dsn, "create publication supabase_realtime")
    result = run("tail", "--once", database_url=dsn, folder=tmp_path)
    assert "LogicalDecodingOff" in complaint(result)
    assert "ALTER SYSTEM SET wal_level = logical" in result.stderr


def test_since_and_durable_exclude_each_other() -> None:
    assert "--durable" in complaint(run("tail", "--durable", "--since", "earliest"))
