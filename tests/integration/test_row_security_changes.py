"""Changes of policies, privileges and tokens take effect where they were committed, between the rows around them.

Everything is written while the server can read nothing, so it cannot be right by being quick or slow.
"""

from collections.abc import Sequence

import pytest
from msgspec import Struct

from tests.support.postgres import MakeLogin
from tests.support.proxy import BreakableProxy
from tests.support.row_security import ADA, BOB, FULL, NOTES, Reader, Stage, inserted, note, staged, updated, wish
from tests.support.tables import role_of
from tests.support.waiting import wait_until

MINE = "create policy mine on notes for select using (owner = auth.uid())"
ALL = "create policy everyone on notes for select using (true)"
DRAFTS = "create policy drafts on notes as restrictive for select using (body is distinct from 'draft')"
GRANTED = "grant select on notes to authenticated"
REVOKED = "revoke select on notes from authenticated"


class Case(Struct, frozen=True):
    """What is prepared, what then changes it, and which rows each kind of writing shows before and after.

    Rows 1, 2 and 3 are written before, 11, 12 and 13 after: one of the reader, one of somebody else, a draft.
    """

    prepared: Sequence[str]
    changed: str
    before: Sequence[int]
    after: Sequence[int]


CASES = {
    "the first policy": Case([], MINE, [], [11, 13]),
    "a wider policy": Case([MINE], ALL, [1, 3], [11, 12, 13]),
    "a restrictive policy": Case([ALL], DRAFTS, [1, 2, 3], [11, 12]),
    "no restrictive policy": Case([ALL, DRAFTS], "drop policy drafts on notes", [1, 2], [11, 12, 13]),
    "no policy": Case([ALL], "drop policy everyone on notes", [1, 2, 3], []),
    "a narrower policy": Case([ALL], "alter policy everyone on notes using (owner = auth.uid())", [1, 2, 3], [11, 13]),
    "a looser policy": Case([MINE], "alter policy mine on notes using (body = 'draft')", [1, 3], [13]),
    "a policy for others": Case([ALL], "alter policy everyone on notes to anon", [1, 2, 3], []),
    "a policy that is asked about": Case(
        [ALL], "alter policy everyone on notes using (body like 'd%')", [1, 2, 3], [13]
    ),
    "a policy that was asked about": Case(
        ["create policy p on notes for select using (body like 'd%')"],
        "alter policy p on notes using (owner = auth.uid())",
        [3],
        [11, 13],
    ),
    "one that is asked about after another": Case(
        ["create policy p on notes for select using (owner::text like auth.uid()::text)"],
        "alter policy p on notes using (body like 'd%')",
        [1, 3],
        [13],
    ),
    "row-level security": Case(
        ["alter table notes disable row level security", MINE],
        "alter table notes enable row level security",
        [1, 2, 3],
        [11, 13],
    ),
    "no row-level security": Case([MINE], "alter table notes disable row level security", [1, 3], [11, 12, 13]),
    "a privilege": Case([MINE, REVOKED], GRANTED, [], [11, 13]),
    "no privilege": Case([MINE], REVOKED, [1, 3], []),
    "a privilege without policies": Case(
        ["alter table notes disable row level security", REVOKED], GRANTED, [], [11, 12, 13]
    ),
    "no privilege without policies": Case(["alter table notes disable row level security"], REVOKED, [1, 2, 3], []),
    "several at once": Case([MINE], f"begin; drop policy mine on notes; {ALL}; {DRAFTS}; commit", [1, 3], [11, 12]),
    "a policy that came back": Case(
        [ALL], f"begin; drop policy everyone on notes; {ALL}; commit", [1, 2, 3], [11, 12, 13]
    ),
    "nothing, after all": Case([MINE], f"begin; {ALL}; rollback", [1, 3], [11, 13]),
    "a function": Case(
        [
            "create function open() returns bool language sql stable return true",
            "create policy p on notes for select using (open())",
        ],
        "create or replace function open() returns bool language sql stable return false",
        [1, 2, 3],
        [],
    ),
}


@pytest.fixture
def database(migrated_database: str) -> str:
    """Return a migrated database; `breakable` stands in front of the same."""
    return migrated_database


@pytest.fixture
def any_database(any_migrated_database: str) -> str:
    return any_migrated_database


def write_three(stage: Stage, first: int) -> None:
    stage.insert(first, ADA)
    stage.insert(first + 1, BOB)
    stage.insert(first + 2, ADA, "draft")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_counts_from_where_it_was_committed(any_database: str, any_breakable: BreakableProxy, case: Case) -> None:
    with staged(any_database, *NOTES, *case.prepared, proxy=any_breakable) as stage:
        check_change(stage, stage.settled_reader(ADA), case)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_counts_from_there_if_no_row_was_judged_before(database: str, breakable: BreakableProxy, case: Case) -> None:
    with staged(database, *NOTES, *case.prepared, proxy=breakable) as stage:
        check_change(stage, stage.reader(ADA), case)


def check_change(stage: Stage, ada: Reader, case: Case) -> None:
    with stage.held():
        write_three(stage, 1)
        stage.run(case.changed)
        write_three(stage, 11)
    assert ada.told_keys() == [*case.before, *case.after]
    stage.insert(20, None)
    ada.told_keys()
    write_three(stage, 21)
    assert ada.told_keys() == [key + 10 for key in case.after], "and so it stays"


def test_rows_of_the_transaction_that_changes_a_policy(database: str, breakable: BreakableProxy) -> None:
    """What a transaction writes is seen by others when all of it is committed: by the new rules, wherever it stands."""
    with staged(database, *NOTES, MINE, proxy=breakable) as stage:
        ada = stage.settled_reader(ADA)
        with stage.held():
            stage.insert(1, BOB)
            stage.run(
                f"begin; insert into notes values (2, '{ADA}'); drop policy mine on notes;"
                f" create policy theirs on notes for select using (owner = '{BOB}');"
                f" insert into notes values (3, '{ADA}'), (4, '{BOB}'); commit"
            )
            stage.insert(5, BOB)
            stage.insert(6, ADA)
        assert [key for key in ada.told_keys() if key != 2] == [4, 5]


@pytest.mark.parametrize("is_quiet", [False, True])
def test_a_transaction_may_alter_a_table_between_its_rows(
    database: str, breakable: BreakableProxy, *, is_quiet: bool
) -> None:
    """Its rows come in two shapes at once, and whatever comes behind it is told as well."""
    with staged(database, *NOTES, MINE, proxy=breakable) as stage:
        ada = stage.reader(ADA) if is_quiet else stage.settled_reader(ADA)
        with stage.held():
            stage.run(
                f"begin; insert into notes values (1, '{ADA}'), (2, '{BOB}'); alter table notes add column extra int;"
                f" insert into notes values (3, '{ADA}'), (4, '{BOB}'); commit"
            )
            stage.insert(5, ADA)
        assert ada.told_keys() == [1, 3, 5]


def test_rows_of_one_table_know_nothing_of_policies_of_another(database: str, breakable: BreakableProxy) -> None:
    other = ("create table other (id int primary key)", "alter publication supabase_realtime add table other")
    with staged(
        database, *NOTES, MINE, *other, "grant select on other to authenticated, service_role", proxy=breakable
    ) as stage:
        ada = stage.settled_reader(ADA, wish(), wish(table="other"))
        with stage.held():
            stage.insert(1, ADA)
            stage.run("insert into other values (100)", "alter table other enable row level security")
            stage.run("insert into other values (101)")
            stage.insert(2, ADA)
        assert ada.told_keys() == [1, 100, 2]


def test_columns_are_shown_from_where_they_were_granted(database: str, breakable: BreakableProxy) -> None:
    few = (REVOKED, "grant select (id, body) on notes to authenticated")
    with staged(database, *NOTES, FULL, MINE, *few, proxy=breakable) as stage:
        ada = stage.settled_reader(ADA)
        with stage.held():
            stage.insert(1, ADA, "a")
            stage.run("grant select (owner) on notes to authenticated")
            stage.update(1, body="b")
            stage.run("revoke select (body) on notes from authenticated")
            stage.insert(2, ADA, "c")
        told = ada.told()
    assert [each.key for each in told] == [1, 1, 2]
    assert told[0] == inserted({"id": 1, "body": "a"}), "granted later"
    assert told[2] == inserted({"id": 2, "owner": ADA}), "revoked before"


def test_a_role_that_changes_counts_from_where_that_is_said(
    database: str, breakable: BreakableProxy, make_login: MakeLogin
) -> None:
    """Roles belong to the whole server and are not in the log, so whoever changes one may say so there."""
    role = role_of(make_login(database))
    grant = f"grant select on notes to {role}"
    with staged(database, *NOTES, MINE, grant, proxy=breakable) as stage:
        reader = stage.settled_reader(ADA, role=role)
        with stage.held():
            stage.insert(1, BOB)
            stage.run(f"begin; alter role {role} bypassrls; select realtime.rules_changed(); commit")
            stage.insert(2, BOB)
        assert reader.told_keys() == [2]
        with stage.held():
            stage.insert(3, BOB)
            stage.run(f"begin; alter role {role} nobypassrls; select realtime.rules_changed(); commit")
            stage.insert(4, BOB)
            stage.insert(5, ADA)
        assert reader.told_keys() == [3, 5]


def test_a_membership_counts_from_where_that_is_said(
    database: str, breakable: BreakableProxy, make_login: MakeLogin
) -> None:
    role, group = role_of(make_login(database)), role_of(make_login(database))
    for_group = f"create policy theirs on notes for select to {group} using (true)"
    with staged(database, *NOTES, MINE, for_group, f"grant select on notes to {role}", proxy=breakable) as stage:
        reader = stage.settled_reader(ADA, role=role)
        with stage.held():
            stage.insert(1, BOB)
            stage.run(f"begin; grant {group} to {role}; select realtime.rules_changed(); commit")
            stage.insert(2, BOB)
        assert reader.told_keys() == [2]
        with stage.held():
            stage.insert(3, BOB)
            stage.run(f"begin; revoke {group} from {role}; select realtime.rules_changed(); commit")
            stage.insert(4, BOB)
        assert reader.told_keys() == [3]


def test_a_role_that_changes_is_noticed_by_itself(database: str, make_login: MakeLogin) -> None:
    role = role_of(make_login(database))
    with staged(database, *NOTES, MINE, f"grant select on notes to {role}") as stage:
        reader = stage.reader(ADA, role=role)
        stage.insert(1, BOB)
        assert reader.told_keys() == []
        stage.run(f"alter role {role} bypassrls")
        wait_until(lambda: _sees(stage, reader, BOB))
        stage.run(f"alter role {role} nobypassrls")
        wait_until(lambda: not _sees(stage, reader, BOB))
        assert _sees(stage, reader, ADA)


def _sees(stage: Stage, reader: Reader, owner: str) -> bool:
    key = 1000 + stage.mark()
    stage.insert(key, owner)
    return key in reader.told_keys()


# --- tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("using", ["owner = auth.uid()", "owner::text like auth.uid()::text"])
def test_a_new_token_changes_what_is_seen_from_then_on(database: str, using: str) -> None:
    with staged(database, *NOTES, FULL, f"create policy p on notes for select using ({using})") as stage:
        reader, other = stage.reader(ADA), stage.reader(ADA)
        stage.insert(1, ADA)
        stage.insert(2, BOB)
        assert reader.told_keys() == [1]
        reader.renew(sub=BOB)
        stage.update(1, body="x")
        stage.update(2, body="x")
        stage.insert(3, ADA)
        stage.insert(4, BOB)
        assert reader.told() == [updated(note(2, BOB, "x"), note(2, BOB)), inserted(note(4, BOB))]
        assert other.told_keys() == [1, 1, 3]


SLOWLY = "owner = auth.uid() and (select pg_sleep(0.1)) is not null"
"""Takes long enough for something to come in between, and not as long as the limit."""


@pytest.mark.parametrize("using", ["owner = auth.uid()", SLOWLY])
def test_a_renewed_token_of_the_same_user_loses_nothing(database: str, using: str) -> None:
    """Also of what waits for an answer of Postgres while the token changes."""
    with staged(database, *NOTES, f"create policy p on notes for select using ({using})") as stage:
        reader = stage.settled_reader(ADA, level=0)
        for key in range(1, 6):
            stage.insert(key, ADA)
            reader.renew(sub=ADA, level=key)
        assert reader.told_keys() == list(range(1, 6))


def test_a_new_token_shows_nothing_of_another_user_that_waits(database: str) -> None:
    with staged(database, *NOTES, f"create policy p on notes for select using ({SLOWLY})") as stage:
        reader = stage.settled_reader(ADA)
        for key in range(10, 15):
            stage.insert(key, BOB)
            reader.renew(sub=BOB)
            stage.insert(key + 10, BOB)
            assert set(reader.told_keys()) >= {key + 10}
            reader.renew(sub=ADA)
            stage.insert(key + 20, BOB)
        assert not {key + 20 for key in range(10, 15)} & set(reader.told_keys())


def test_a_new_token_may_have_another_role_or_none_of_the_claims(database: str) -> None:
    with staged(database, *NOTES, MINE, "create policy o on notes for select to anon using (body = 'o')") as stage:
        reader = stage.reader(ADA)
        stage.insert(1, ADA)
        assert reader.told_keys() == [1]
        reader.renew()
        stage.insert(2, ADA)
        assert reader.told_keys() == []
        reader.renew("anon")
        stage.insert(3, ADA)
        stage.insert(4, BOB, "o")
        assert reader.told_keys() == [4]
        reader.renew("service_role")
        stage.insert(5, BOB)
        assert reader.told_keys() == [5]


def test_a_claim_that_no_policy_read_until_now(database: str, breakable: BreakableProxy) -> None:
    """Who was one audience before is several after."""
    with staged(database, *NOTES, ALL, proxy=breakable) as stage:
        ada, bob, third = (stage.settled_reader(user, team=team) for user, team in ((ADA, "a"), (BOB, "b"), (..., "b")))
        with stage.held():
            stage.insert(1, ADA, "b")
            stage.run("alter policy everyone on notes using (body = auth.jwt() ->> 'team')")
            stage.insert(2, ADA, "b")
        assert [reader.told_keys() for reader in (ada, bob, third)] == [[1], [1, 2], [1, 2]]
