"""With `moves`, a row that enters what a reader sees is told as an insert, and one that leaves as a delete."""

from typing import Any

import pytest

from tests.support.proxy import BreakableProxy
from tests.support.row_security import (
    ADA,
    BOB,
    FULL,
    NOTES,
    OWN,
    deleted,
    inserted,
    moved_in,
    moved_out,
    note,
    staged,
    updated,
    wish,
)

OPEN = "alter table notes disable row level security"


@pytest.fixture
def database(migrated_database: str) -> str:
    """Return a migrated database; `breakable` stands in front of the same."""
    return migrated_database


@pytest.fixture(params=OWN)
def own(request: pytest.FixtureRequest) -> str:
    return f"create policy own on notes for select using ({OWN[request.param]})"


@pytest.mark.parametrize("text", ["body=eq.yes", "body=match.^y.s$"])
def test_in_and_out_of_a_filter(database: str, text: str) -> None:
    with staged(database, *NOTES, FULL, OPEN) as stage:
        reader, plain = stage.reader(ADA, wish(filter=text, moves=True)), stage.reader(ADA, wish(filter=text))
        stage.insert(1, ADA, "no")
        stage.update(1, body="yes")
        stage.update(1, owner=BOB)
        stage.update(1, body="no")
        stage.update(1, owner=ADA)
        assert reader.told() == [
            moved_in(note(1, ADA, "yes")),
            updated(note(1, BOB, "yes"), note(1, ADA, "yes")),
            moved_out(1),
        ]
        assert plain.told() == [
            updated(note(1, ADA, "yes"), note(1, ADA, "no")),
            updated(note(1, BOB, "yes"), note(1, ADA, "yes")),
        ], "nobody else is told of moves"


def test_in_and_out_of_a_policy(database: str, breakable: BreakableProxy, own: str) -> None:
    with staged(database, *NOTES, FULL, own, proxy=breakable) as stage:
        ada, bob = (stage.reader(user, wish(moves=True)) for user in (ADA, BOB))
        with stage.held():
            row = stage.insert(1, ADA, "a")
            stage.update(1, body="b")
            stage.update(1, owner=BOB)
            stage.update(1, body="c")
            stage.update(1, owner=None)
            stage.update(1, owner=ADA)
            stage.delete(1)
        assert ada.told() == [
            inserted(row),
            updated(note(1, ADA, "b"), row),
            moved_out(1),
            moved_in(note(1, ADA, "c")),
            deleted(1),
        ]
        assert bob.told() == [
            moved_in(note(1, BOB, "b")),
            updated(note(1, BOB, "c"), note(1, BOB, "b")),
            moved_out(1),
        ]


def test_in_and_out_of_both(database: str, own: str) -> None:
    with staged(database, *NOTES, FULL, own) as stage:
        ada = stage.reader(ADA, wish(filter="body=eq.yes", moves=True))
        stage.insert(1, BOB, "no")
        stage.update(1, body="yes")
        stage.update(1, owner=ADA)
        stage.update(1, body="no")
        stage.update(1, owner=BOB)
        stage.update(1, owner=ADA, body="yes")
        stage.update(1, owner=BOB, body="no")
        assert ada.told() == [
            moved_in(note(1, ADA, "yes")),
            moved_out(1),
            moved_in(note(1, ADA, "yes")),
            moved_out(1),
        ]


def test_a_row_that_never_was_theirs_is_no_move(database: str, own: str) -> None:
    with staged(database, *NOTES, FULL, own) as stage:
        ada = stage.reader(ADA, wish(moves=True))
        stage.insert(1, BOB)
        stage.update(1, body="b")
        stage.update(1, owner=None)
        stage.delete(1)
        assert ada.told() == []


NARROWED: tuple[dict[str, Any], ...] = ({}, {"select": ["id"]})


def test_only_the_wished_columns_of_moves(database: str, own: str) -> None:
    few = ("revoke select on notes from authenticated", "grant select (id, body) on notes to authenticated")
    with staged(database, *NOTES, FULL, own, *few) as stage:
        ada, bare = (stage.reader(ADA, wish(moves=True, **more)) for more in NARROWED)
        stage.insert(1, BOB, "b")
        stage.update(1, owner=ADA)
        stage.update(1, owner=BOB)
        assert ada.told() == [moved_in({"id": 1, "body": "b"}), moved_out(1)]
        assert bare.told() == [moved_in({"id": 1}), moved_out(1)]


def test_moves_are_of_the_event_that_they_arrive_as(database: str, own: str) -> None:
    with staged(database, *NOTES, FULL, own) as stage:
        inserts, updates, deletes = (stage.reader(ADA, wish(event, moves=True)) for event in EVENTS)
        row = stage.insert(1, ADA)
        stage.update(1, owner=BOB)
        stage.update(1, owner=ADA)
        stage.update(1, body="b")
        stage.delete(1)
        assert inserts.told() == [inserted(row), moved_in(row)]
        assert updates.told() == [updated(note(1, ADA, "b"), row)]
        assert deletes.told() == [moved_out(1), deleted(1)]


EVENTS = ("INSERT", "UPDATE", "DELETE")


def test_a_changed_key_leaves_and_enters_by_the_key_of_its_time(database: str, own: str) -> None:
    with staged(database, *NOTES, FULL, own) as stage:
        ada, bob = (stage.reader(user, wish(moves=True)) for user in (ADA, BOB))
        row = stage.insert(1, ADA)
        stage.update(1, id=2, owner=BOB)
        stage.update(2, id=3)
        assert ada.told() == [inserted(row), moved_out(1)]
        assert bob.told() == [moved_in(note(2, BOB)), updated(note(3, BOB), note(2, BOB))]


@pytest.mark.parametrize("identity", ["default", "nothing"])
def test_moves_are_refused_where_the_log_has_no_old_rows(database: str, own: str, identity: str) -> None:
    with staged(database, *NOTES, own, f"alter table notes replica identity {identity}") as stage:
        status, text = stage.asking(ADA, wish(moves=True)).system()
        assert status == "error"
        assert "REPLICA IDENTITY FULL" in text.upper(), text


def test_moves_when_the_log_has_no_old_rows_any_more(database: str, own: str) -> None:
    """Nothing is made up: an update is told as such to those who may see the row, and nobody is told of others."""
    with staged(database, *NOTES, FULL, own) as stage:
        ada = stage.reader(ADA, wish(moves=True))
        stage.insert(1, ADA, "a")
        assert ada.told_keys() == [1]
        stage.run("alter table notes replica identity default")
        stage.update(1, owner=BOB, body="of bob")
        assert "of bob" not in str(ada.told())
