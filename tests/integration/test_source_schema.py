"""Tables that change shape while they are followed: every row is read with the columns it was written with."""

import psycopg
import pytest

from tests.support.log import (
    PUBLICATION,
    Follower,
    changes,
    execute,
    fetch,
    following,
    prepare_database,
    run,
    shown,
)
from tidewire.model.change import Change
from tidewire.model.relation import PgType

THINGS = "create table things (id int primary key, label text)"
MEASURES = "create table measures (id int, at date, size int, primary key (id, at)) partition by range (at)"
JANUARY = "create table january partition of measures for values from ('2024-01-01') to ('2024-02-01')"
FEBRUARY = "create table february (id int, at date not null, size int, primary key (id, at))"
ATTACH_FEBRUARY = "alter table measures attach partition february for values from ('2024-02-01') to ('2024-03-01')"


async def _read_columns(log: Follower) -> list[tuple[str, ...]]:
    """Return the names of the columns of each change up to now."""
    return [tuple(column.name for column in change.relation.columns) for change in changes(await log.read())]


def _types(change: Change) -> dict[str, PgType]:
    return {column.name: column.type for column in change.relation.columns}


async def test_columns_come_go_and_change_their_name_between_transactions(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        execute(any_database, "insert into things values (1, 'a')", "alter table things add column size int default 7")
        execute(any_database, "insert into things values (2, 'b')", "alter table things drop column label")
        execute(any_database, "insert into things values (3, 9)", "alter table things rename column size to weight")
        execute(any_database, "update things set weight = 10 where id = 3")
        parts = await log.read()
    assert shown(parts) == [
        "INSERT things (1, a)",
        "INSERT things (2, b, 7)",
        "INSERT things (3, 9)",
        "UPDATE things (3, 10) was (3, -)",
    ]
    assert [tuple(column.name for column in change.relation.columns) for change in changes(parts)] == [
        ("id", "label"),
        ("id", "label", "size"),
        ("id", "size"),
        ("id", "weight"),
    ]


async def test_columns_come_go_and_change_their_name_within_one_transaction(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        with psycopg.connect(any_database) as writer:
            run(writer, "insert into things values (1, 'a')", "alter table things add column size int")
            run(writer, "insert into things values (2, 'b', 7)", "alter table things rename column label to title")
            run(writer, "insert into things values (3, 'c', 8)", "alter table things drop column title")
            run(writer, "insert into things values (4, 9)")
        assert await _read_columns(log) == [
            ("id", "label"),
            ("id", "label", "size"),
            ("id", "title", "size"),
            ("id", "size"),
        ]


async def test_a_column_changes_its_type(any_database: str) -> None:
    prepare_database(any_database, "create table things (id int primary key, size int)")
    async with following(any_database) as log:
        execute(any_database, "insert into things values (1, 2)", "alter table things alter column size type text")
        execute(any_database, "insert into things values (2, 'two')")
        before, after = changes(await log.read())
    assert (_types(before)["size"].name, before.new) == ("int4", ("1", "2"))
    assert (_types(after)["size"].name, after.new) == ("text", ("2", "two"))


async def test_a_table_is_renamed_or_moved(any_database: str) -> None:
    prepare_database(any_database, THINGS, "create schema attic", publish="for tables in schema public, attic")
    async with following(any_database) as log:
        execute(any_database, "insert into things values (1, 'a')", "alter table things rename to stuff")
        execute(any_database, "insert into stuff values (2, 'b')", "alter table stuff set schema attic")
        execute(any_database, "insert into attic.stuff values (3, 'c')")
        found = changes(await log.read())
    assert [change.relation.qualified_name for change in found] == ["public.things", "public.stuff", "attic.stuff"]
    assert len({change.relation.oid for change in found}) == 1


async def test_a_new_table_joins_and_a_dropped_one_is_forgotten(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        execute(any_database, "insert into things values (1, 'a')", "drop table things")
        execute(any_database, "create table things (code text primary key)", "insert into things values ('x')")
        assert shown(await log.read()) == ["INSERT things (1, a)", "INSERT things (x)"]


async def test_a_table_added_to_the_publication_is_followed_from_there_on(any_database: str) -> None:
    prepare_database(any_database, THINGS, "create table others (id int primary key)", publish="for table things")
    async with following(any_database) as log:
        execute(any_database, "insert into others values (1)", f"alter publication {PUBLICATION} add table others")
        execute(any_database, "insert into others values (2)", f"alter publication {PUBLICATION} drop table others")
        execute(any_database, "insert into others values (3)")
        assert shown(await log.read()) == ["INSERT others (2)"]


async def test_rows_of_partitions_appear_under_the_name_of_the_parent(any_database: str) -> None:
    prepare_database(any_database, MEASURES, JANUARY, FEBRUARY, publish="for table measures")
    async with following(any_database) as log:
        execute(any_database, "insert into measures values (1, '2024-01-05', 10)", ATTACH_FEBRUARY)
        execute(any_database, "insert into measures values (2, '2024-02-05', 20)")
        execute(any_database, "insert into february values (3, '2024-02-06', 30)")
        execute(any_database, "update measures set size = 11 where id = 1")
        execute(any_database, "update measures set at = '2024-02-07' where id = 1")
        execute(any_database, "delete from measures where id = 2", "truncate measures")
        parts = await log.read()
    assert shown(parts) == [
        "INSERT measures (1, 2024-01-05, 10)",
        "INSERT measures (2, 2024-02-05, 20)",
        "INSERT measures (3, 2024-02-06, 30)",
        "UPDATE measures (1, 2024-01-05, 11) was (1, 2024-01-05, -)",
        "DELETE measures was (1, 2024-01-05, -)",
        "INSERT measures (1, 2024-02-07, 11)",
        "DELETE measures was (2, 2024-02-05, -)",
        "TRUNCATE measures",
    ]
    moved = parts[4]
    assert [event.index for event in moved.events] == [0, 1], "a row that moves between partitions moves at once"
    assert [column.primary for column in changes(parts)[0].relation.columns] == [True, True, False]


async def test_a_partition_with_its_columns_in_another_order_reads_like_its_parent(any_database: str) -> None:
    prepare_database(any_database, MEASURES, JANUARY, publish="for table measures")
    async with following(any_database) as log:
        execute(any_database, "create table february (junk int, size int, at date not null, id int not null)")
        execute(any_database, "alter table february drop column junk", ATTACH_FEBRUARY)
        execute(any_database, "insert into february (id, at, size) values (2, '2024-02-05', 20)")
        execute(any_database, "insert into january values (1, '2024-01-05', 10)")
        assert shown(await log.read()) == ["INSERT measures (2, 2024-02-05, 20)", "INSERT measures (1, 2024-01-05, 10)"]


async def test_generated_columns_are_there_where_postgres_can_publish_them(any_database: str) -> None:
    prepare_database(
        any_database,
        "create table boxes (id int primary key, a int, b int, area int generated always as (a * b) stored)",
    )
    version = fetch(any_database, "select current_setting('server_version_num')::int")
    if version >= 180000:
        execute(any_database, f"alter publication {PUBLICATION} set (publish_generated_columns = stored)")
    async with following(any_database) as log:
        execute(any_database, "insert into boxes values (1, 2, 3)", "update boxes set a = 5")
        found = shown(await log.read())
    if version >= 180000:
        assert found == ["INSERT boxes (1, 2, 3, 6)", "UPDATE boxes (1, 5, 3, 15) was (1, -, -, -)"]
    else:
        assert found == ["INSERT boxes (1, 2, 3)", "UPDATE boxes (1, 5, 3) was (1, -, -)"]


async def test_a_column_list_keeps_the_other_columns_out(any_database: str) -> None:
    prepare_database(
        any_database,
        "create table people (id int primary key, name text, secret text)",
        publish="for table people (id, name)",
    )
    async with following(any_database) as log:
        execute(any_database, "insert into people values (1, 'Ann', 'hidden')", "update people set secret = 'gone'")
        assert shown(await log.read()) == ["INSERT people (1, Ann)", "UPDATE people (1, Ann) was (1, -)"]


async def test_the_catalog_says_what_types_are_made_of(any_database: str) -> None:
    prepare_database(
        any_database,
        "create type mood as enum ('calm', 'wild')",
        "create domain percent as int check (value between 0 and 100)",
        "create type spot as (x int, feelings mood[])",
        "create domain spots as spot[]",
        "create table every (id int primary key, mood mood, share percent, here spot, path spots, grid int[][],"
        " name varchar(7), period int4range, areas box[])",
    )
    async with following(any_database) as log:
        execute(any_database, "insert into every values (1)")
        (change,) = changes(await log.read())
    types = _types(change)
    assert (types["mood"].kind, types["mood"].name) == ("enum", "mood")
    assert (types["share"].kind, types["share"].base) == ("domain", PgType(23, "int4"))
    assert (types["grid"].kind, types["grid"].element) == ("array", PgType(23, "int4"))
    assert types["period"].kind == "range"
    assert (types["areas"].kind, types["areas"].delimiter) == ("array", ";")
    here, path = types["here"], types["path"]
    assert here.kind == "composite"
    assert [(name, part.kind, part.name) for name, part in here.attributes] == [
        ("x", "base", "int4"),
        ("feelings", "array", "_mood"),
    ]
    assert here.attributes[1][1].element == types["mood"]
    assert path.kind == "domain"
    assert path.base is not None
    assert (path.base.kind, path.base.element) == ("array", here)
    columns = {column.name: column for column in change.relation.columns}
    assert columns["name"].typmod == 7 + 4
    assert columns["id"].primary
    assert not columns["name"].primary


@pytest.mark.parametrize("gone", [False, True], ids=["kept", "dropped-before-it-was-read"])
async def test_a_type_made_in_mid_stream(any_database: str, *, gone: bool) -> None:
    prepare_database(any_database, THINGS)
    async with following(any_database) as log:
        execute(any_database, "insert into things values (1, 'a')")
        await log.read()
        execute(any_database, "create type mood as enum ('calm')", "alter table things add column mood mood")
        execute(any_database, "insert into things values (2, 'b', 'calm')")
        if gone:
            execute(any_database, "alter table things drop column mood", "drop type mood")
        (change,) = changes(await log.read())
    assert change.new == ("2", "b", "calm")
    assert (_types(change)["mood"].name, _types(change)["mood"].kind) == (
        ("unknown", "base") if gone else ("mood", "enum")
    )
