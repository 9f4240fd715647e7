"""Doctor against servers and slots that are set up badly: each printed fix mends what it is printed for."""

import secrets
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace
from psycopg.conninfo import make_conninfo

from tests.support.doctor import complaints, look, migrated, run, run_fix
from tests.support.postgres import VERSIONS, MakeServer
from tidewire.postgres.finding import Severity
from tidewire.postgres.findings import examine

EVERY_VERSION = pytest.mark.parametrize("version", list(VERSIONS))


@pytest.fixture
def tidewire_slot() -> str:
    """A name that no other test uses; the database's fixture drops the slot."""
    return f"tidewire_{secrets.token_hex(4)}"


BAD_SETTINGS = {
    "wal_level": "replica",
    "max_replication_slots": "1",
    "max_wal_senders": "1",
    "max_slot_wal_keep_size": "-1",
    "wal_sender_timeout": "0",
    "logical_decoding_work_mem": "1MB",
    "synchronous_commit": "off",
    "fsync": "off",
}
CODES_OF_BAD_SETTINGS = {
    "WalLevel",
    "ReplicationSlots",
    "WalSenders",
    "WalKeepLimit",
    "WalSenderTimeout",
    "DecodingMemory",
    "SynchronousCommit",
    "Fsync",
}


@pytest.mark.timeout(60)
@EVERY_VERSION
def test_every_bad_setting_is_repaired_by_its_fix(make_server: MakeServer, version: str) -> None:
    newest = {"idle_replication_slot_timeout": "1h"} if version == "embedded-18" else {}
    server = make_server(version, **BAD_SETTINGS, **newest)
    run(server.dsn(), "select pg_create_physical_replication_slot('taken')")
    with psycopg.connect(make_conninfo(server.dsn(), replication="true"), autocommit=True):
        found = {finding.code: finding.fix for finding in examine(look(server.dsn())) if finding.severity != "ok"}
    assert found.keys() - {"Migrations", "Publications", "PublishedTables"} == CODES_OF_BAD_SETTINGS | (
        {"IdleSlotTimeout"} if newest else set()
    )

    for code in found.keys() & (CODES_OF_BAD_SETTINGS | {"IdleSlotTimeout"}):
        run_fix(server.dsn(), found[code])
    server.stop()
    server.start()

    left = {finding.code for finding in examine(look(server.dsn())) if finding.severity != "ok"}
    assert left == {"Migrations", "Publications", "PublishedTables"}


def write_log(dsn: str, segments: int) -> None:
    """Move the log on by whole segments; each needs a byte in it before it can be switched."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(segments):
            connection.execute("select pg_logical_emit_message(false, 'test', 'x')")
            connection.execute("select pg_switch_wal()")


@pytest.mark.timeout(60)
@EVERY_VERSION
def test_a_slot_in_danger_is_saved_and_a_lost_one_replaced(make_server: MakeServer, version: str) -> None:
    server = make_server(version, max_slot_wal_keep_size="16MB")
    dsn = server.dsn()
    run(dsn, "select pg_create_logical_replication_slot('tidewire_test', 'pgoutput')")
    write_log(dsn, 4)
    (danger,) = complaints(look(dsn))["SlotRetention"]
    assert danger.severity is Severity.ERROR

    run_fix(dsn, danger.fix)
    until(lambda: "SlotRetention" not in complaints(look(dsn)))
    assert "SlotLost" not in complaints(look(dsn))

    run(dsn, "alter system set max_slot_wal_keep_size = '16MB'", "select pg_reload_conf()")
    until(lambda: "SlotRetention" in complaints(look(dsn)))
    run(dsn, "checkpoint")
    (lost,) = complaints(look(dsn))["SlotLost"]
    run_fix(dsn, lost.fix)
    assert "SlotLost" not in complaints(look(dsn))


def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Ask again until it holds; each question is a query, so this does not spin."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition never held"


@pytest.mark.timeout(60)
@EVERY_VERSION
def test_a_forgotten_slot_is_dropped_by_its_fix(make_server: MakeServer, version: str) -> None:
    dsn = make_server(version).dsn()
    run(dsn, "select pg_create_physical_replication_slot('forgotten', true)")
    assert "OtherSlots" not in complaints(look(dsn))
    write_log(dsn, 5)

    (finding,) = complaints(look(dsn))["OtherSlots"]
    run_fix(dsn, finding.fix)

    assert "OtherSlots" not in complaints(look(dsn))


def test_an_idle_slot_is_judged_by_its_age(any_database: str, tidewire_slot: str) -> None:
    run(any_database, f"select pg_create_logical_replication_slot('{tidewire_slot}', 'pgoutput')")
    facts = look(any_database, slot=tidewire_slot)
    assert facts.slot is not None
    assert not {"SlotIdle", "SlotOwner"} & complaints(facts).keys()
    assert (facts.slot.inactive_s is not None) == (facts.server.major >= 17)

    later = replace(facts.slot, inactive_s=(facts.slot.inactive_s or 0) + 601)
    (finding,) = complaints(replace(facts, slots=(later,)))["SlotIdle"]
    run_fix(any_database, finding.fix)

    assert look(any_database, slot=tidewire_slot).slot is None


def test_a_slot_that_is_read_shows_its_reader(any_database: str, tidewire_slot: str) -> None:
    run(any_database, f"select pg_create_logical_replication_slot('{tidewire_slot}', 'pgoutput')")
    with closing(psycopg.connect(make_conninfo(any_database, replication="database"), autocommit=True)) as reader:
        start = f"START_REPLICATION SLOT {tidewire_slot} LOGICAL 0/0 (proto_version '1', publication_names 'none')"
        assert reader.pgconn.exec_(start.encode()).status == psycopg.pq.ExecStatus.COPY_BOTH
        slot = look(any_database, slot=tidewire_slot).slot

        assert slot is not None
        assert slot.active
        assert slot.active_pid == reader.info.backend_pid
        assert slot.lag_bytes is not None


@pytest.mark.parametrize("statement", ["pg_create_physical_replication_slot(%s)"])
def test_a_foreign_slot_is_left_alone(any_database: str, tidewire_slot: str, statement: str) -> None:
    with psycopg.connect(any_database, autocommit=True) as connection:
        connection.execute(f"select {statement}".encode(), [tidewire_slot])
        try:
            (finding,) = complaints(look(any_database, slot=tidewire_slot))["SlotOwner"]
        finally:
            connection.execute("select pg_drop_replication_slot(%s)", [tidewire_slot])

    assert "physical" in finding.message
    proposed = finding.fix.partition("=")[2]
    assert "SlotOwner" not in complaints(look(any_database, slot=proposed))


@EVERY_VERSION
def test_a_prepared_transaction_is_ended_by_its_fix(make_server: MakeServer, version: str) -> None:
    dsn = make_server(version, max_prepared_transactions="2").dsn()
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in ("begin", "create table t (id int)", "prepare transaction 'it''s'"):
            connection.execute(statement)
    facts = look(dsn)
    old = tuple(replace(transaction, age_s=transaction.age_s + 600) for transaction in facts.transactions)
    (finding,) = complaints(replace(facts, transactions=old))["PreparedTransactions"]
    run(dsn, finding.fix)

    assert look(dsn).transactions == ()


@EVERY_VERSION
def test_a_standby_is_examined_without_writing(make_server: MakeServer, version: str) -> None:
    server = make_server(version)
    folder = server_folder(server.dsn())
    server.stop()
    (folder / "standby.signal").touch()
    server.start()

    assert "Primary" in complaints(look(server.dsn()))


def server_folder(dsn: str) -> Path:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("show data_directory").fetchone()
    assert row is not None
    return Path(row[0])


def test_roles_that_a_restored_database_lacks_are_made(make_server: MakeServer) -> None:
    dsn = make_server().dsn()
    migrated(dsn)
    run(dsn, *(f"drop owned by {role}" for role in ("anon", "service_role")), "drop role anon, service_role")

    (finding,) = complaints(look(dsn))["Migrations"]
    run_fix(dsn, finding.fix)

    assert "Migrations" not in complaints(look(dsn))
