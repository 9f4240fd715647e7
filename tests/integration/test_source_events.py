"""What was committed comes out of the source: every kind of event, every replica identity, in commit order."""

import time

import psycopg
import pytest

from tests.support.log import (
    changes,
    execute,
    fetch,
    following,
    identities,
    make_source,
    prepare_database,
    run,
    shown,
)
from tests.support.postgres import MakeServer
from tidewire.model.change import ABSENT

THINGS = "create table things (id int primary key, label text)"
LONG_A, LONG_B = "repeat('a', 9000)", "repeat('b', 9000)"
"""Longer than a page, in columns that do not compress, so that they are stored out of line."""


async def test_every_kind_of_event_arrives_in_commit_order(any_database: str) -> None:
    prepare_database(any_database, THINGS, "create table others (id int primary key)")
    async with following(any_database) as log:
        began_us = time.time_ns() // 1000
        with psycopg.connect(any_database) as writer:
            run(writer, "insert into things values (1, 'a'), (2, null)", "update things set label = 'b' where id = 1")
            run(writer, "select pg_logical_emit_message(true, 'app', 'hello')", "delete from things where id = 2")
            row = writer.execute("select txid_current()").fetchone()
            writer.commit()
            run(writer, "truncate things, others")
        parts = await log.read()
        ended_us = time.time_ns() // 1000

    assert shown(parts) == [
        "INSERT things (1, a)",
        "INSERT things (2, NULL)",
        "UPDATE things (1, b) was (1, -)",
        "MESSAGE app hello",
        "DELETE things was (2, -)",
        "TRUNCATE things",
        "TRUNCATE others",
    ]
    assert [event.index for part in parts for event in part.events] == [0, 1, 2, 3, 4, 0, 1]
    assert row is not None
    assert parts[0].xid == row[0] % 2**32
    assert began_us - 1_000_000 <= parts[0].commit_time_us <= parts[1].commit_time_us <= ended_us + 1_000_000


async def test_a_confirmed_transaction_is_not_sent_again(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        execute(any_database, "insert into things values (1, 'a')")
        assert shown(await log.read()) == ["INSERT things (1, a)"]
    async with following(any_database, make_source(any_database)) as log:
        execute(any_database, "insert into things values (2, 'b')")
        assert shown(await log.read()) == ["INSERT things (2, b)"]


async def test_an_unconfirmed_transaction_is_sent_again_under_the_same_identity(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        execute(any_database, "insert into things values (1, 'a'), (2, 'b')")
        first = await log.read(confirm=False)
    async with following(any_database, make_source(any_database)) as log:
        again = [await log.next()]
    assert identities(again) == identities(first)
    assert shown(again) == shown(first) == ["INSERT things (1, a)", "INSERT things (2, b)"]


async def test_old_rows_hold_what_the_replica_identity_gives(any_database: str) -> None:
    for name in ("by_key", "by_all", "by_index", "by_none"):
        prepare = [f"create table {name} (id int primary key, code text not null unique, label text)"]
        prepare.append(f"insert into {name} values (1, 'x', 'a')")
        if name == "by_key":
            prepare_database(any_database, *prepare)
        else:
            execute(any_database, *prepare)
    execute(
        any_database,
        "alter table by_all replica identity full",
        "alter table by_index replica identity using index by_index_code_key",
        "alter table by_none replica identity nothing",
    )
    async with following(any_database) as log:
        for name in ("by_key", "by_all", "by_index"):
            execute(any_database, f"update {name} set label = 'b'", f"update {name} set id = 2, code = 'y'")
            execute(any_database, f"delete from {name}")
        execute(any_database, "insert into by_none values (2, 'y', 'c')")
        parts = await log.read()

    assert shown(parts) == [
        "UPDATE by_key (1, x, b) was (1, -, -)",
        "UPDATE by_key (2, y, b) was (1, -, -)",
        "DELETE by_key was (2, -, -)",
        "UPDATE by_all (1, x, b) was (1, x, a)",
        "UPDATE by_all (2, y, b) was (1, x, b)",
        "DELETE by_all was (2, y, b)",
        "UPDATE by_index (1, x, b) was (-, x, -)",
        "UPDATE by_index (2, y, b) was (-, x, -)",
        "DELETE by_index was (-, y, -)",
        "INSERT by_none (2, y, c)",
    ]
    identity = {change.relation.name: change.relation.identity for change in changes(parts)}
    assert identity == {"by_key": "default", "by_all": "full", "by_index": "index", "by_none": "nothing"}
    assert all(change.relation.columns[0].primary for change in changes(parts))


async def test_a_table_without_identity_still_sends_its_inserts(any_database: str) -> None:
    """Postgres itself refuses to update a published table whose rows it could not name."""
    prepare_database(any_database, "create table plain (id int, label text)")
    async with following(any_database) as log:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            execute(any_database, "insert into plain values (1, 'a')", "update plain set label = 'b'")
        execute(any_database, "insert into plain values (2, 'c')")
        assert shown(await log.read()) == ["INSERT plain (1, a)", "INSERT plain (2, c)"]


async def test_an_unchanged_long_value_is_absent_or_taken_from_the_old_row(any_database: str) -> None:
    prepare_database(
        any_database,
        "create table short (id int primary key, label text, body text)",
        "create table full_ (id int primary key, label text, body text)",
        "alter table short alter body set storage external",
        "alter table full_ alter body set storage external",
        "alter table full_ replica identity full",
        *(f"insert into {name} values (1, 'a', {LONG_A})" for name in ("short", "full_")),
    )
    async with following(any_database) as log:
        for name in ("short", "full_"):
            execute(any_database, f"update {name} set label = 'b'")
            execute(any_database, f"update {name} set body = {LONG_B}")
            execute(any_database, f"update {name} set body = null")
        found = changes(await log.read())
    before, after = "a" * 9000, "b" * 9000

    assert [change.new for change in found[:3]] == [("1", "b", ABSENT), ("1", "b", after), ("1", "b", None)]
    assert [change.old for change in found[:3]] == [("1", ABSENT, ABSENT)] * 3
    assert [change.new for change in found[3:]] == [("1", "b", before), ("1", "b", after), ("1", "b", None)]
    assert [change.old for change in found[3:]] == [("1", "a", before), ("1", "b", before), ("1", "b", after)]


async def test_only_what_was_committed_arrives(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        with psycopg.connect(any_database) as writer:
            run(writer, "insert into things values (1, 'undone')")
            writer.rollback()
            run(
                writer,
                "insert into things values (2, 'kept')",
                "savepoint s",
                "insert into things values (3, 'undone')",
            )
            run(writer, "rollback to s", "insert into things values (4, 'kept')", "savepoint t")
            run(writer, "insert into things values (5, 'kept')", "release t")
            writer.commit()
        parts = await log.read()
    assert shown(parts) == ["INSERT things (2, kept)", "INSERT things (4, kept)", "INSERT things (5, kept)"]
    assert len(parts) == 1
    assert [index for _, index in identities(parts)] == [0, 1, 2]


async def test_interleaved_transactions_arrive_whole_and_in_the_order_of_their_commits(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        with psycopg.connect(any_database) as one, psycopg.connect(any_database) as two:
            run(one, "insert into things values (1, 'one')")
            run(two, "insert into things values (2, 'two')")
            run(one, "insert into things values (3, 'one')")
            two.commit()
            one.commit()
        parts = await log.read()
    assert [shown([part]) for part in parts] == [
        ["INSERT things (2, two)"],
        ["INSERT things (1, one)", "INSERT things (3, one)"],
    ]


async def test_tables_outside_the_publication_stay_out(any_database: str) -> None:
    prepare_database(any_database, THINGS, "create schema private", "create table private.secrets (id int primary key)")
    async with following(any_database) as log:
        with psycopg.connect(any_database) as writer:
            run(writer, "insert into private.secrets values (1)", "insert into things values (1, 'a')")
            writer.commit()
            run(writer, "insert into private.secrets values (2)")
        assert shown(await log.read()) == ["INSERT things (1, a)"]


async def test_a_message_outside_transactions_has_no_place_in_the_order(any_database: str) -> None:
    prepare_database(any_database)
    async with following(any_database) as log:
        execute(any_database, "select pg_logical_emit_message(false, 'app', 'nowhere')")
        execute(any_database, "select pg_logical_emit_message(true, 'app', repeat('x', 2000000))")
        (part,) = await log.read()
        (event,) = part.events
    assert event.index == 0
    assert shown([part]) == ["MESSAGE app " + "x" * 2_000_000]


async def test_transactions_from_another_origin_pass(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    origin = "tidewire_test_origin"
    async with following(any_database) as log:
        with psycopg.connect(any_database, autocommit=True) as writer:
            run(writer, f"select pg_replication_origin_create('{origin}')")
            try:
                run(writer, f"select pg_replication_origin_session_setup('{origin}')")
                run(writer, "begin", "insert into things values (1, 'a')")
                run(writer, "select pg_replication_origin_xact_setup('0/1234', now())", "commit")
                run(writer, "select pg_replication_origin_session_reset()")
            finally:
                run(writer, f"select pg_replication_origin_drop('{origin}')")
        assert shown(await log.read()) == ["INSERT things (1, a)"]


async def test_texts_do_not_depend_on_the_settings_of_the_database(any_database: str) -> None:
    name = fetch(any_database, "select current_database()")
    prepare_database(
        any_database,
        f"alter database {name} set datestyle = 'German'",
        f"alter database {name} set timezone = 'Asia/Tokyo'",
        f"alter database {name} set bytea_output = 'escape'",
        f"alter database {name} set intervalstyle = 'iso_8601'",
        f"alter database {name} set extra_float_digits = -10",
        "create table facts (id int primary key, at timestamptz, day date, raw bytea, span interval, size float8)",
    )
    async with following(any_database) as log:
        execute(
            any_database,
            "insert into facts values"
            " (1, '2024-02-29 12:00+00', '2024-02-29', '\\x00ff', '1 day 02:03:04', 0.1::float8 + 0.2)",
        )
        assert shown(await log.read()) == [
            r"INSERT facts (1, 2024-02-29 12:00:00+00, 2024-02-29, \x00ff, 1 day 02:03:04, 0.30000000000000004)"
        ]


@pytest.mark.parametrize("version", ["embedded-18", "debian-15"])
async def test_a_prepared_transaction_arrives_once_at_its_commit(make_server: MakeServer, version: str) -> None:
    dsn = make_server(version, max_prepared_transactions="5").dsn()
    prepare_database(dsn, THINGS)
    async with following(dsn) as log:
        with psycopg.connect(dsn, autocommit=True) as writer:
            run(writer, "begin", "insert into things values (1, 'kept')", "prepare transaction 'kept'")
            run(writer, "begin", "insert into things values (2, 'undone')", "prepare transaction 'undone'")
            run(writer, "insert into things values (3, 'between')")
            assert shown(await log.read()) == ["INSERT things (3, between)"]
            run(writer, "rollback prepared 'undone'", "commit prepared 'kept'")
        assert shown(await log.read()) == ["INSERT things (1, kept)"]
