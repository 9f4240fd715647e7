"""Policies, claims and tables that are wrong, fail or take for ever: nothing is told unchecked, and others go on."""

from typing import Any

import psycopg
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
    note,
    policy,
    staged,
    updated,
    wish,
)
from tests.support.waiting import wait_until

EVERYTHING = {"role": "service_role"}
OTHER = (
    "create table other (id int primary key)",
    "alter publication supabase_realtime add table other",
    "grant select on other to authenticated, service_role",
)


@pytest.fixture
def database(migrated_database: str) -> str:
    """Return a migrated database; `breakable` stands in front of the same."""
    return migrated_database


@pytest.fixture(params=OWN)
def own(request: pytest.FixtureRequest) -> str:
    return policy(OWN[request.param])


# --- claims ------------------------------------------------------------------------------------------------

WRONG = [..., None, "", 5, "nobody", 1.5, True, [ADA], {"id": ADA}, ADA + "0", f" {ADA}'; --", "%", "_" * 36]
"""What may stand in a token where a user's id is expected."""


@pytest.mark.parametrize("sub", WRONG, ids=repr)
def test_claims_that_are_missing_or_of_the_wrong_type_see_nothing(database: str, own: str, sub: object) -> None:
    with staged(database, *NOTES, FULL, own) as stage:
        odd, ada = stage.reader(sub), stage.reader(ADA)
        row = stage.insert(1, ADA)
        stage.insert(2, None)
        stage.update(1, body="b")
        stage.delete(1)
        assert ada.told() == [inserted(row), updated(note(1, body="b"), row), deleted(1)]
        assert odd.told() == []


@pytest.mark.parametrize(
    ("using", "claims"),
    [
        ("body = auth.jwt() -> 'app' ->> 'tenant'", {"app": "acme"}),
        ("body = auth.jwt() -> 'app' ->> 'tenant'", {"app": ["acme"]}),
        ("body = auth.jwt() -> 'app' ->> 'tenant'", {}),
        ("coalesce((auth.jwt() ->> 'admin')::bool, false)", {"admin": "perhaps"}),
        ("coalesce((auth.jwt() ->> 'admin')::bool, false)", {"admin": {}}),
        ("id <= (auth.jwt() ->> 'level')::int", {"level": "9" * 30}),
        ("body = any (string_to_array(auth.jwt() ->> 'teams', ','))", {"teams": ["acme"]}),
        ("body in (select jsonb_array_elements_text(auth.jwt() -> 'teams'))", {"teams": "acme"}),
    ],
)
def test_other_claims_of_the_wrong_type(database: str, using: str, claims: dict[str, Any]) -> None:
    right: dict[str, Any] = {"app": {"tenant": "acme"}, "admin": True, "level": 3}
    right["teams"] = ["acme"] if "elements" in using else "acme,other"
    with staged(database, *NOTES, policy(using)) as stage:
        odd, fine = stage.reader(ADA, **claims), stage.reader(ADA, **right)
        stage.insert(1, BOB, "acme")
        assert fine.told_keys() == [1]
        assert odd.told_keys() == []


# --- tables that change under a subscription ---------------------------------------------------------------


def test_a_column_that_a_policy_reads_goes_with_the_policy(database: str, breakable: BreakableProxy, own: str) -> None:
    with staged(database, *NOTES, *OTHER, own, proxy=breakable) as stage:
        ada, all_of_it = stage.reader(ADA, wish(), wish(table="other")), stage.reader(**EVERYTHING)
        stage.insert(1, ADA)
        assert ada.told_keys() == [1]
        with stage.held():
            stage.insert(2, BOB)
            stage.run("alter table notes drop column owner cascade", "insert into notes values (3, 'a')")
            stage.run("insert into other values (100)")
        assert ada.told_keys() == [100]
        assert all_of_it.told_keys() == [1, 2, 3]
        stage.run("alter table notes add column owner uuid", own, f"insert into notes values (4, 'a', '{ADA}')")
        stage.run(f"insert into notes values (5, 'a', '{BOB}')")
        assert ada.told() == [inserted({"id": 4, "body": "a", "owner": ADA})]


def test_rows_from_before_a_column_was_dropped_are_judged_as_they_were(
    database: str, breakable: BreakableProxy
) -> None:
    with staged(database, *NOTES, policy(OWN["compiled"]), proxy=breakable) as stage:
        ada = stage.settled_reader(ADA)
        with stage.held():
            stage.insert(1, ADA)
            stage.insert(2, BOB)
            stage.run("alter table notes drop column owner cascade", "insert into notes values (3, 'a')")
        assert ada.told_keys() == [1]


def test_a_renamed_column(database: str, breakable: BreakableProxy, own: str) -> None:
    with staged(database, *NOTES, own, proxy=breakable) as stage:
        ada, bob = stage.reader(ADA), stage.reader(BOB)
        with stage.held():
            stage.run("alter table notes rename column owner to author", f"insert into notes values (1, '{ADA}', 'a')")
        assert ada.told() == [inserted({"id": 1, "author": ADA, "body": "a"})]
        assert bob.told_keys() == []


def test_columns_that_trade_their_names(database: str, breakable: BreakableProxy, own: str) -> None:
    """A policy means a column, not a name: the one that was called so when the policy was written."""
    with staged(database, *NOTES, "alter table notes add column editor uuid", own, proxy=breakable) as stage:
        ada = stage.reader(ADA)
        stage.run(f"insert into notes values (1, '{ADA}', 'a', '{BOB}')")
        assert ada.told_keys() == [1]
        with stage.held():
            stage.run(f"insert into notes values (2, '{BOB}', 'b', '{ADA}')")
            stage.run(
                "begin; alter table notes rename owner to x; alter table notes rename editor to owner;"
                " alter table notes rename x to editor; commit"
            )
            stage.run(f"insert into notes values (3, '{ADA}', 'c', '{BOB}'), (4, '{BOB}', 'd', '{ADA}')")
        assert 4 not in ada.told_keys()
        stage.run(f"insert into notes values (5, '{ADA}', 'c', '{BOB}'), (6, '{BOB}', 'd', '{ADA}')")
        assert ada.told_keys() == [5]


def test_a_table_that_is_dropped_and_made_anew(database: str, own: str) -> None:
    with staged(database, *NOTES, own) as stage:
        ada = stage.reader(ADA)
        stage.insert(1, ADA)
        assert ada.told_keys() == [1]
        stage.run("drop table notes", *NOTES)
        stage.insert(2, ADA)
        assert ada.told_keys() == [], "the new table has no policy yet"
        stage.run(own)
        stage.insert(3, ADA)
        stage.insert(4, BOB)
        assert ada.told_keys() == [3]


# --- policies that fail or take long -----------------------------------------------------------------------


def test_policies_that_go_round_in_circles(database: str) -> None:
    circle = policy("exists (select from notes as others where others.owner = notes.owner)")
    with staged(database, *NOTES, *OTHER, FULL, circle) as stage:
        ada = stage.asking(ADA, wish(), wish(table="other"))
        ada.settle()
        all_of_it = stage.reader(**EVERYTHING)
        stage.insert(1, ADA)
        stage.run("insert into other values (100)")
        stage.update(1, body="b")
        assert ada.told_keys() == [100]
        assert all_of_it.told_keys() == [1, 1]
        stage.run("alter policy p on notes using (owner = auth.uid())")
        stage.insert(2, ADA)
        assert ada.told_keys() == [2]


def test_a_function_that_is_gone(database: str) -> None:
    """The body of this one is a text: nothing keeps the function that it calls from being dropped."""
    inner = "create function inner_one(uuid) returns bool language sql as 'select $1 = auth.uid()'"
    outer = "create function outer_one(uuid) returns bool language sql as 'select inner_one($1)'"
    with staged(database, *NOTES, *OTHER, inner, outer, policy("outer_one(owner)")) as stage:
        ada = stage.reader(ADA, wish(), wish(table="other"))
        stage.insert(1, ADA)
        assert ada.told_keys() == [1]
        stage.run("drop function inner_one")
        stage.insert(2, ADA)
        stage.run("insert into other values (100)")
        assert ada.told_keys() == [100]
        stage.run(inner)
        stage.insert(3, ADA)
        assert ada.told_keys() == [3]


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_one_policy_that_fails_where_another_admits(database: str, names: str) -> None:
    """Whether Postgres comes to the one that fails depends on which it tries first, and so must we."""
    fails, admits = tuple(names)
    policies = (
        f"create policy {fails} on notes for select using (10 / id > 0)",
        f"create policy {admits} on notes for select using (length(body) > 0)",
    )
    with staged(database, *NOTES, *policies) as stage:
        ada = stage.reader(ADA)
        stage.insert(0, body="zero")
        stage.admin.execute("set role authenticated")
        try:
            shown = [0] if stage.admin.execute("select from notes").fetchall() else []
        except psycopg.errors.DivisionByZero:
            shown = []
        stage.admin.execute("reset role")
        assert ada.told_keys() == shown


SLOW = policy("owner = auth.uid() and (select pg_sleep(30)) is not null")


@pytest.mark.timeout(60)
def test_a_policy_that_sleeps_is_waited_for_by_nobody_else(database: str) -> None:
    """Each of the fifty rows would cost half a minute, or at least one time limit, if it were asked about."""
    with staged(database, *NOTES, *OTHER, SLOW) as stage:
        ada, other, all_of_it = stage.reader(ADA), stage.reader(ADA, wish(table="other")), stage.reader(**EVERYTHING)
        for key in range(50):
            stage.insert(key, ADA)
            stage.run(f"insert into other values ({key})")
        assert other.told_keys() == list(range(50))
        assert all_of_it.told_keys() == list(range(50))
        assert ada.told_keys() == []


@pytest.mark.timeout(60)
def test_a_policy_that_has_slept_is_asked_again(database: str) -> None:
    with staged(database, *NOTES, SLOW) as stage:
        ada = stage.reader(ADA)
        stage.insert(1, ADA)
        assert ada.told_keys() == []
        stage.run("alter policy p on notes using (owner = auth.uid() and (select pg_sleep(0)) is not null)")

        def awake() -> bool:
            key = 1000 + stage.mark()
            stage.insert(key, ADA)
            stage.insert(key + 100_000, BOB)
            told = ada.told_keys()
            assert set(told) <= {key}
            return told == [key]

        wait_until(awake, limit_s=20.0)


def test_a_policy_that_waits_for_a_lock_holds_nobody_up_and_shows_nothing(database: str) -> None:
    """The writer itself may hold what the policy wants to read."""
    locked = (
        "create table members (who uuid)",
        f"insert into members values ('{ADA}')",
        "grant select on members to authenticated",
    )
    asks = policy("owner in (select who from members where who = auth.uid())")
    with staged(database, *NOTES, *OTHER, *locked, asks) as stage:
        ada, other = stage.reader(ADA), stage.reader(ADA, wish(table="other"))
        stage.insert(1, ADA)
        assert ada.told_keys() == [1]
        with stage.transaction("lock table members in access exclusive mode"):
            stage.insert(2, None)
            stage.run("insert into other values (100)")
            assert other.told_keys() == [100]
        stage.insert(3, BOB)
        assert 3 not in ada.told_keys()


def test_a_policy_cannot_write(database: str) -> None:
    writes = (
        "create table visits (n int)",
        "grant insert on visits to authenticated",
        "create function visit() returns bool language sql volatile as 'insert into visits values (1) returning true'",
        policy("owner = auth.uid() and visit()"),
    )
    with staged(database, *NOTES, *writes) as stage:
        ada = stage.reader(ADA)
        stage.insert(1, ADA)
        assert ada.told_keys() == []
        assert stage.admin.execute("select count(*) from visits").fetchone() == (0,)


def test_a_policy_cannot_change_who_is_asking(database: str) -> None:
    """Those who come after a policy that sets the claims, or the role, are still judged by their own."""
    sets = (
        (
            "create function posing() returns bool language plpgsql as $$ begin"
            f" perform set_config('request.jwt.claims', '{{\"sub\": \"{ADA}\"}}', false); return false; end $$"
        ),
        policy("posing() or owner::text like auth.uid()::text"),
    )
    with staged(database, *NOTES, *sets) as stage:
        ada, bob = stage.reader(ADA), stage.reader(BOB)
        stage.run("alter policy p on notes using (owner::text like auth.uid()::text and not posing())")
        stage.insert(1, ADA)
        stage.insert(2, BOB)
        stage.insert(3, ADA)
        assert 1 not in bob.told_keys()
        assert set(ada.told_keys()) <= {1, 3}
