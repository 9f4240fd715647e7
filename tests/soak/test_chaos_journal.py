"""What the chaos compares with: each kind of fault is found, and only what a killed server forgot is let pass."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.support.chaos_history import Gap, History, Journal, Places
from tests.support.chaos_tables import Reader, user
from tidewire.model.position import parse_position

ADA = Reader(1)
OWNER, OTHER = user(1), user(2)
ROWS = [
    ("own_rows", "INSERT", 7, 1, None, OWNER, "f"),
    ("own_rows", "UPDATE", 7, 2, OWNER, OWNER, "f"),
    ("own_rows", "INSERT", 8, 3, None, OTHER, "f"),
    ("own_rows", "DELETE", 7, 4, OWNER, None, "f"),
]


def change(kind: str, version: int, lsn: int, *, id_: int = 7, owner: str = OWNER) -> Mapping[str, Any]:
    row = {"id": id_, "version": version, "owner": owner}
    shown = {"old_record": {"id": id_}} if kind == "DELETE" else {"record": row}
    return {"table": "own_rows", "type": kind, "position": f"e.{lsn:x}.0", **shown}


INSERT, UPDATE, DELETE = change("INSERT", 1, 1), change("UPDATE", 2, 2), change("DELETE", 4, 4)


def found(*told: Mapping[str, Any], reader: Reader = ADA) -> Counter[str]:
    journal = Journal(reader, {})
    for each in told:
        journal.note(each)
    return +journal.found(History(ROWS).owed(reader, ["own_rows"]))


def test_nothing_is_found_where_all_is_told() -> None:
    assert found(INSERT, UPDATE, DELETE) == {"told": 3}


def test_what_is_missing_is_lost() -> None:
    assert found(INSERT, DELETE) == {"told": 2, "lost": 1}


def test_what_is_told_again_is_repeated() -> None:
    assert found(INSERT, UPDATE, UPDATE, DELETE)["repeated"] == 1


def test_what_is_told_too_late_is_out_of_order() -> None:
    assert found(UPDATE, INSERT, DELETE)["out_of_order"] > 0


def test_the_rows_of_others_are_leaked_and_so_are_their_columns() -> None:
    assert found(INSERT, UPDATE, change("INSERT", 3, 3, id_=8, owner=OTHER), DELETE)["leaked"] == 2
    assert found({**INSERT, "record": {**INSERT["record"], "secret": "x"}}, UPDATE, DELETE) == {"told": 3, "leaked": 1}
    assert found(INSERT, {**UPDATE, "old_record": {"id": 7, "owner": OTHER}}, DELETE)["leaked"] == 1
    assert found(change("INSERT", 1, 1), reader=Reader(1, "anon"))["leaked"] == 2


def test_what_lies_elsewhere_for_somebody_else_is_misplaced() -> None:
    places: Places = {}
    for lsn in (1, 2):
        journal = Journal(ADA, places)
        journal.note(change("INSERT", 1, lsn))
    assert journal.tally["misplaced"] == 1


def test_only_within_a_gap_may_something_be_missed() -> None:
    places: Places = {}
    Journal(ADA, places).note(INSERT)
    witness, journal = Journal(ADA, places), Journal(ADA, places, hears_twice=True)
    for each in (UPDATE, DELETE):
        witness.note(each)
    journal.note(DELETE)
    journal.note(UPDATE)  # is not beyond what it has
    journal.gaps.append(Gap("own_rows", parse_position("e.1.0"), parse_position("e.2.0")))
    assert +journal.found(History(ROWS).owed(ADA, ["own_rows"])) == {
        "told": 1,
        "out_of_order": 1,
        "repeats_dropped": 1,
        "lost": 1,
        "missed": 1,
    }
