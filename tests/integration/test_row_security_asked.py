"""Policies that only Postgres can judge: it does so on the row in the log, for each reader by their own claims."""

import pytest

from tests.support.proxy import BreakableProxy
from tests.support.row_security import ADA, BOB, FULL, NOTES, deleted, inserted, note, policy, staged, updated

TEAMS = (
    "create table members (team text, who uuid)",
    f"insert into members values ('a', '{ADA}'), ('b', '{BOB}'), ('c', '{ADA}'), ('c', '{BOB}')",
)
ONLY_POSTGRES = {
    "a sub-select": (
        "grant select on members to authenticated",
        policy("exists (select from members where members.team = notes.body and members.who = auth.uid())"),
    ),
    "a list from a table": (
        "grant select on members to authenticated",
        policy("body in (select team from members where who = (select auth.uid()))"),
    ),
    "a table with policies of its own": (
        "grant select on members to authenticated",
        "alter table members enable row level security",
        policy("who = auth.uid()", name="own", table="members"),
        policy("body in (select team from members)"),
    ),
    "a function with the rights of its owner": (
        (
            "create function belongs(text) returns bool language sql stable security definer set search_path = public"
            " as 'select exists (select from members where team = $1 and who = auth.uid())'"
        ),
        policy("belongs(body)"),
    ),
    "a function in another language": (
        "grant select on members to authenticated",
        (
            "create function belongs(text) returns bool language plpgsql stable"
            " as 'begin return exists (select from members where team = $1 and who = auth.uid()); end'"
        ),
        policy("(select auth.uid()) is not null and public.belongs(body)"),
    ),
    "the whole row": (
        "grant select on members to authenticated",
        (
            "create function belongs(notes) returns bool language sql stable"
            " as 'select exists (select from members where team = $1.body and who = auth.uid())'"
        ),
        policy("belongs(notes)"),
    ),
}


@pytest.fixture
def database(migrated_database: str) -> str:
    """Return a migrated database; `breakable` stands in front of the same."""
    return migrated_database


@pytest.mark.parametrize("statements", ONLY_POSTGRES.values(), ids=ONLY_POSTGRES)
def test_what_only_postgres_can_judge_is_judged_on_the_row_in_the_log(
    database: str, breakable: BreakableProxy, statements: tuple[str, ...]
) -> None:
    with staged(database, *NOTES, FULL, *TEAMS, *statements, proxy=breakable) as stage:
        ada, bob = stage.reader(ADA), stage.reader(BOB)
        with stage.held():
            of_ada = stage.insert(1, None, "a")
            of_both = stage.insert(2, None, "c")
            stage.insert(3, None, "nobody")
            stage.update(1, body="b")
            stage.delete(2)
            stage.delete(1)
        assert ada.told() == [inserted(of_ada), inserted(of_both), deleted(2)]
        assert bob.told() == [inserted(of_both), updated(note(1, None, "b"), {"id": 1}), deleted(2), deleted(1)]
