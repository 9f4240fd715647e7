"""Who is told of which change where policies bind, by the row that the log carries: over real sockets, end to end.

The first half shows what a server that looks the row up afterwards gets wrong.
"""

from collections.abc import Iterator

import pytest

from tests.support.postgres import MakeLogin
from tests.support.proxy import BreakableProxy
from tests.support.row_security import (
    ADA,
    BOB,
    FULL,
    NOTES,
    OWN,
    Stage,
    deleted,
    inserted,
    note,
    policy,
    staged,
    updated,
    wish,
)
from tests.support.tables import role_of


@pytest.fixture
def database(migrated_database: str) -> str:
    """Return a migrated database; `breakable` stands in front of the same."""
    return migrated_database


@pytest.fixture(params=OWN)
def own(request: pytest.FixtureRequest) -> str:
    """Return the statement for a policy by which everybody sees their own rows, compiled or asked about."""
    return policy(OWN[request.param])


# --- the row in the log, not the row of today --------------------------------------------------------------


def test_a_row_that_is_deleted_at_once_was_still_inserted(database: str, breakable: BreakableProxy, own: str) -> None:
    with staged(database, *NOTES, FULL, own, proxy=breakable) as stage:
        ada, bob = stage.reader(ADA), stage.reader(BOB)
        with stage.held():
            row = stage.insert(1)
            stage.delete(1)
        assert ada.told() == [inserted(row), deleted(1)]
        assert bob.told() == []


def test_a_row_that_changes_hands_at_once_is_told_to_each_as_it_was_theirs(
    database: str, breakable: BreakableProxy, own: str
) -> None:
    with staged(database, *NOTES, FULL, own, proxy=breakable) as stage:
        ada, bob = stage.reader(ADA), stage.reader(BOB)
        with stage.held():
            row = stage.insert(1, ADA, "of ada")
            stage.update(1, owner=BOB, body="of bob")
        assert ada.told() == [inserted(row)]
        assert bob.told() == [updated(note(1, BOB, "of bob"), {"id": 1})]


@pytest.mark.parametrize("using", ["body <> 'secret'", "body not like 'secret'"])
def test_an_update_that_shows_a_row_does_not_show_what_it_was(database: str, using: str) -> None:
    with staged(database, *NOTES, FULL, policy(using)) as stage:
        ada = stage.reader(ADA)
        stage.insert(1, body="secret")
        stage.update(1, body="shown")
        stage.update(1, body="again")
        stage.update(1, body="secret")
        assert ada.told() == [
            updated(note(1, body="shown"), {"id": 1}),
            updated(note(1, body="again"), note(1, body="shown")),
        ]


def test_a_delete_is_told_to_those_who_saw_the_row(database: str, own: str) -> None:
    with staged(database, *NOTES, FULL, own) as stage:
        ada, bob, all_of_it = stage.reader(ADA), stage.reader(BOB), stage.reader(role="service_role")
        row = stage.insert(1, ADA, "a")
        stage.delete(1)
        assert ada.told() == [inserted(row), deleted(1)]
        assert bob.told() == []
        first, last = all_of_it.told()
        assert (first, last.event, last.key) == (inserted(row), "DELETE", 1)


def test_a_delete_whose_row_is_not_in_the_log_is_told_to_all_without_it(database: str, own: str) -> None:
    with staged(database, *NOTES, own) as stage:
        ada, bob = stage.reader(ADA), stage.reader(BOB)
        row = stage.insert(1, ADA, "a")
        stage.delete(1)
        assert ada.told() == [inserted(row), deleted(1)]
        assert bob.told() == [deleted(1)]


@pytest.mark.parametrize("using", ["id < 10", "(id + 0) < 10"])
def test_a_delete_is_judged_where_the_key_is_all_that_policies_read(database: str, using: str) -> None:
    with staged(database, *NOTES, policy(using)) as stage:
        reader = stage.reader(ADA)
        stage.run("insert into notes values (1), (20)", "delete from notes")
        assert reader.told() == [inserted(note(1, None)), deleted(1)]


def test_deletes_as_upstream_tells_them(database: str, own: str) -> None:
    with staged(database, *NOTES, FULL, own, delete_visibility="upstream") as stage:
        ada, bob = stage.reader(ADA), stage.reader(BOB)
        row = stage.insert(1, ADA, "a")
        stage.delete(1)
        assert ada.told() == [inserted(row), deleted(1)]
        assert bob.told() == [deleted(1)]


@pytest.mark.parametrize(
    "using", ["(auth.jwt() ->> 'level')::int > 0", "10 / (auth.jwt() ->> 'level')::int > 0 and length('' || id) > 0"]
)
def test_a_policy_that_raises_hides_from_those_only_for_whom_it_does(database: str, using: str) -> None:
    with staged(database, *NOTES, FULL, policy(using)) as stage:
        fine, fails, fine_too = (stage.reader(ADA, level=level) for level in (1, "high", 2))
        row = stage.insert(1)
        stage.update(1, body="b")
        stage.delete(1)
        for reader in (fine, fine_too):
            assert reader.told() == [inserted(row), updated(note(1, body="b"), row), deleted(1)]
        assert fails.told() == []


def test_a_policy_that_raises_for_a_row_hides_that_row_only(database: str) -> None:
    with staged(database, *NOTES, policy("10 / (id - 2) is not null")) as stage:
        reader = stage.reader(ADA)
        stage.run("insert into notes values (1), (2), (3)")
        stage.run("insert into notes values (4)")
        assert reader.told_keys() == [1, 3, 4]


# --- whom policies concern ---------------------------------------------------------------------------------


def test_everyone_is_one_audience_under_true(database: str) -> None:
    with staged(database, *NOTES, policy("true"), FULL) as stage:
        readers = [stage.reader(ADA), stage.reader(BOB), stage.reader(), stage.reader(role="anon")]
        row = stage.insert(1)
        stage.update(1, body="b")
        stage.delete(1)
        for reader in readers:
            assert reader.told() == [inserted(row), updated(note(1, body="b"), row), deleted(1)]


def test_without_a_policy_nobody_is_told_anything(database: str) -> None:
    with staged(database, *NOTES) as stage:
        ada, anyone = stage.reader(ADA), stage.reader(role="anon")
        stage.insert(1)
        stage.update(1, body="b")
        stage.delete(1)
        assert (ada.told_keys(), anyone.told_keys()) == ([], [])


def test_policies_are_for_roles(database: str) -> None:
    statements = (policy("owner = auth.uid()", name="mine", to="authenticated"), policy("body = 'public'", to="anon"))
    with staged(database, *NOTES, *statements) as stage:
        ada, anyone = stage.reader(ADA), stage.reader(ADA, role="anon")
        stage.insert(1, ADA, "mine")
        stage.insert(2, BOB, "public")
        assert (ada.told_keys(), anyone.told_keys()) == ([1], [2])


def test_policies_for_writing_admit_no_reader(database: str) -> None:
    writing = "create policy w on notes for update using (true)"
    everything = "create policy a on notes for all using (owner = auth.uid())"
    with staged(database, *NOTES, writing, everything) as stage:
        ada = stage.reader(ADA)
        stage.insert(1, ADA)
        stage.insert(2, BOB)
        assert ada.told_keys() == [1]


@pytest.mark.parametrize("using", OWN.values(), ids=OWN)
def test_restrictive_policies_take_away(database: str, using: str) -> None:
    statements = (
        policy(using, name="mine"),
        policy("body = 'public'", name="shared"),
        policy("body is distinct from 'draft'", name="restricted", kind="restrictive"),
    )
    with staged(database, *NOTES, *statements) as stage:
        ada = stage.reader(ADA)
        stage.insert(1, ADA, "mine")
        stage.insert(2, BOB, "public")
        stage.insert(3, ADA, "draft")
        stage.insert(4, BOB, "theirs")
        assert ada.told_keys() == [1, 2]


def test_restrictive_policies_alone_admit_nobody(database: str) -> None:
    with staged(database, *NOTES, policy("true", kind="restrictive")) as stage:
        ada = stage.reader(ADA)
        stage.insert(1)
        assert ada.told_keys() == []


def test_who_is_not_bound_sees_everything(database: str, own: str, make_login: MakeLogin) -> None:
    bypasses, owns = (role_of(make_login(database, attributes)) for attributes in ("bypassrls", ""))
    with staged(database, *NOTES, own, f"grant select on notes to {bypasses}, {owns}") as stage:
        stage.run(f"alter table notes owner to {owns}")
        readers = [stage.reader(role=role) for role in ("service_role", bypasses, owns)]
        stage.insert(1, ADA)
        stage.insert(2, BOB)
        assert [reader.told_keys() for reader in readers] == [[1, 2]] * 3


def test_an_owner_is_bound_where_row_level_security_is_forced(database: str, own: str, make_login: MakeLogin) -> None:
    owns = role_of(make_login(database))
    forced = (f"alter table notes owner to {owns}", "alter table notes force row level security")
    with staged(database, *NOTES, own, *forced) as stage:
        owner = stage.reader(BOB, role=owns)
        stage.insert(1, ADA)
        stage.insert(2, BOB)
        assert owner.told_keys() == [2]


# --- together with privileges, filters and partitions ------------------------------------------------------


def test_only_readable_columns_are_shown_whatever_policies_read(database: str, own: str) -> None:
    few = ("revoke select on notes from authenticated", "grant select (id, body) on notes to authenticated")
    with staged(database, *NOTES, FULL, own, *few) as stage:
        ada, bob = stage.reader(ADA), stage.reader(BOB)
        stage.insert(1, ADA, "a")
        stage.update(1, body="b")
        assert ada.told() == [inserted({"id": 1, "body": "a"}), updated({"id": 1, "body": "b"}, {"id": 1, "body": "a"})]
        assert bob.told() == []


def test_selected_columns(database: str, own: str) -> None:
    with staged(database, *NOTES, FULL, own) as stage:
        ada, bob = (stage.reader(user, wish(select=["body"])) for user in (ADA, BOB))
        stage.insert(1, ADA, "a")
        stage.update(1, owner=BOB)
        assert ada.told() == [inserted({"id": 1, "body": "a"})]
        assert bob.told() == [updated({"id": 1, "body": "a"}, {"id": 1})]


@pytest.mark.parametrize("text", ["body=eq.yes", "body=match.^y.s$"])
def test_filters_and_policies_must_both_hold(database: str, own: str, text: str) -> None:
    with staged(database, *NOTES, FULL, own) as stage:
        ada, bob = (stage.reader(user, wish(filter=text)) for user in (ADA, BOB))
        stage.insert(1, ADA, "yes")
        stage.insert(2, ADA, "no")
        stage.insert(3, BOB, "yes")
        stage.update(2, body="yes")
        stage.update(1, body="no")
        stage.delete(3)
        stage.delete(1)
        assert ada.told() == [
            inserted(note(1, ADA, "yes")),
            updated(note(2, ADA, "yes"), note(2, ADA, "no")),
        ]
        assert bob.told() == [inserted(note(3, BOB, "yes")), deleted(3)]


def test_several_wishes_of_a_channel_under_one_policy(database: str, own: str) -> None:
    with staged(database, *NOTES, own) as stage:
        ada = stage.reader(ADA, wish("INSERT", filter="body=eq.a"), wish("INSERT"), wish("UPDATE"))
        stage.insert(1, ADA, "a")
        stage.insert(2, ADA, "b")
        stage.insert(3, BOB, "a")
        stage.update(3, owner=ADA)
        assert [(each.event, each.key) for each in ada.told()] == [("INSERT", 1), ("INSERT", 2), ("UPDATE", 3)]


LARGE = "".join(chr(0x4E00 + (n * 7919) % 20000) for n in range(20_000))  # does not compress below a page


@pytest.mark.parametrize("using", ["body <> 'secret'", "body not like 'secret'"])
def test_a_large_value_that_the_log_leaves_out_hides_where_a_policy_reads_it(database: str, using: str) -> None:
    with staged(database, *NOTES, policy(using)) as stage:
        ada = stage.reader(ADA)
        stage.insert(1, body=LARGE)
        stage.update(1, owner=BOB)
        assert ada.told_keys() == [1]
        stage.run(FULL)
        stage.update(1, owner=ADA)
        assert ada.told_keys() == [1]


@pytest.fixture(params=["root", "leaf"])
def days(request: pytest.FixtureRequest, database: str) -> Iterator[Stage]:
    """Return a stage with a partitioned table, whose changes are in the log under its own name or its partitions'."""
    through_root = str(request.param == "root").lower()
    with staged(
        database,
        *NOTES,
        f"alter publication supabase_realtime set (publish_via_partition_root = {through_root})",
        "create table days (id int, day int, owner uuid, body text, primary key (id, day)) partition by list (day)",
        "create table monday partition of days for values in (1)",
        "create table tuesday partition of days for values in (2)",
        "alter publication supabase_realtime add table days",
        "alter table days enable row level security",
        "grant select on days to authenticated, service_role",
    ) as stage:
        if request.param == "leaf":
            stage.partitions["days"] = ("monday", "tuesday")
        for day, table in ((1, "days"), (1, "monday"), (2, "tuesday")):
            stage.last_rows[table] = f"insert into {table} (id, day) values ({{key}}, {day})"
        yield stage


@pytest.mark.parametrize("using", OWN.values(), ids=OWN)
def test_partitions_are_seen_by_the_policies_of_what_they_are_read_through(days: Stage, using: str) -> None:
    days.run(policy(using, table="days"))
    ada = days.reader(ADA, wish(table="days"))
    days.run(
        f"insert into days values (1, 1, '{ADA}'), (2, 2, '{BOB}'), (3, 2, '{ADA}')",
        "update days set body = 'b' where id = 1",
    )
    told = sorted(ada.told(), key=lambda each: each.key)
    assert [(each.event, each.key) for each in told] == [("INSERT", 1), ("UPDATE", 1), ("INSERT", 3)]


def test_a_partition_that_is_open_by_itself_is_open(days: Stage) -> None:
    """Postgres would show its rows as well, to whoever selects from the partition."""
    days.run(policy(OWN["compiled"], table="days"), "grant select on tuesday to authenticated")
    ada = days.reader(ADA, wish(table="days"))
    days.run(f"insert into days values (1, 1, '{BOB}'), (2, 2, '{BOB}')")
    told = ada.told_keys()
    assert told == [2] or (told == [] and "days" not in days.partitions), "under the parent's name it cannot be told"


def test_a_large_transaction_is_judged_row_by_row(database: str, own: str) -> None:
    with staged(database, *NOTES, own) as stage:
        ada, bob = stage.reader(ADA), stage.reader(BOB)
        stage.run(
            "insert into notes select n, case n % 3 when 0 then"
            f" '{ADA}'::uuid when 1 then '{BOB}'::uuid end from generate_series(1, 300) n"
        )
        assert ada.told_keys() == [n for n in range(1, 301) if n % 3 == 0]
        assert bob.told_keys() == [n for n in range(1, 301) if n % 3 == 1]
