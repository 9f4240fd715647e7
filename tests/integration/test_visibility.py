"""Nobody sees of a change what the role may not read; what Postgres cannot decide in time is hidden and reported."""

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.support.log import execute
from tests.support.postgres import MakeLogin, MakeServer
from tests.support.proxy import BreakableProxy
from tests.support.tables import PUBLICATION, Eyes, ask, open_pool, open_visibility, role_of
from tidewire.match.sight import Sight
from tidewire.model.change import ABSENT, Row
from tidewire.model.errors import DatabaseUnreachable
from tidewire.model.relation import Relation
from tidewire.postgres.filter_answers import FilterAnswers
from tidewire.postgres.tables import PostgresTables
from tidewire.testing.rows import deleted, inserted, truncated, updated

ALL = Sight()
UNAUTHORIZED = Sight(errors=("Error 401: Unauthorized",))
NO_KEY = Sight(errors=("Error 400: Bad Request, no primary key",))
HEAVY = r"title=match.^(xx+)\1+$"
"""Takes Postgres seconds for a prime number of x: it tries every divisor."""
LONG = "x" * 99_991


@pytest.fixture
def role(any_database: str, make_login: MakeLogin) -> str:
    execute(
        any_database,
        "create table t (id int primary key, title text, secret text)",
        "create table keyless (id int, title text)",
        f"create publication {PUBLICATION} for table t, keyless",
    )
    return role_of(make_login(any_database))


async def only(tables: PostgresTables, table: str = "t") -> Relation:
    (relation,) = await tables.published("public", table)
    return relation


async def seen(dsn: str, role: str, *statements: str, table: str = "t") -> dict[str, Sight | None]:
    """Return what the role sees of each kind of change, once the statements have been run."""
    execute(dsn, *(statement.format(role=role) for statement in statements))
    async with open_visibility(dsn) as (tables, visibility):
        relation = await only(tables, table)
        width = len(relation.columns)
        whole = ("1", *["x"] * (width - 1))
        key: Row = tuple(
            value if column.identity else ABSENT for value, column in zip(whole, relation.columns, strict=True)
        )
        changes = [
            inserted(relation, whole),
            updated(relation, whole, key),
            deleted(relation, key),
            truncated(relation),
        ]
        answers = await visibility.visible([ask(role, change) for change in changes])
    return {change.operation: answer for change, answer in zip(changes, answers, strict=True)}


def of(*columns: str) -> Sight:
    return Sight(columns, old_columns=columns)


def each(rows: Sight | None, *, deletion: Sight | None, truncation: Sight | None) -> dict[str, Sight | None]:
    return {"INSERT": rows, "UPDATE": rows, "DELETE": deletion, "TRUNCATE": truncation}


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["grant select on t to {role}"], each(ALL, deletion=ALL, truncation=ALL)),
        (
            ["grant select (secret, id) on t to {role}"],
            each(of("id", "secret"), deletion=of("id", "secret"), truncation=ALL),
        ),
        (["grant select (title) on t to {role}"], each(UNAUTHORIZED, deletion=None, truncation=ALL)),
        (["grant insert on t to {role}"], each(UNAUTHORIZED, deletion=None, truncation=None)),
        (
            ["grant select on t to {role}", "alter table t enable row level security"],
            each(None, deletion=None, truncation=ALL),
        ),
        (["alter table t enable row level security"], each(None, deletion=None, truncation=None)),
        (
            ["alter table t owner to {role}", "alter table t enable row level security"],
            each(ALL, deletion=ALL, truncation=ALL),
        ),
        (
            [
                "alter table t owner to {role}",
                "alter table t enable row level security",
                "alter table t force row level security",
            ],
            each(None, deletion=None, truncation=ALL),
        ),
        (
            ["alter table t enable row level security", "alter role {role} bypassrls", "grant select on t to {role}"],
            each(ALL, deletion=ALL, truncation=ALL),
        ),
    ],
)
async def test_a_role_sees_what_it_may_read(
    any_database: str, role: str, statements: list[str], expected: dict[str, Sight | None]
) -> None:
    assert await seen(any_database, role, *statements) == expected


async def test_a_table_without_a_key(any_database: str, role: str) -> None:
    grants = ("grant select on keyless to {role}", "alter table keyless replica identity full")
    assert await seen(any_database, role, *grants, table="keyless") == each(NO_KEY, deletion=NO_KEY, truncation=ALL)
    policies = "alter table keyless enable row level security"
    assert await seen(any_database, role, policies, table="keyless") == each(None, deletion=None, truncation=ALL)


async def test_a_role_or_table_that_is_gone_sees_nothing(any_database: str, role: str) -> None:
    execute(any_database, f"alter role {role} superuser")
    async with open_visibility(any_database) as (tables, visibility):
        change = inserted(await only(tables), ("1", "a", "b"))
        assert await visibility.visible([ask("nobody_at_all", change), ask("none", change), ask(role, change)]) == [
            None,
            None,
            ALL,
        ]
        execute(any_database, "drop table t")
        assert await visibility.visible([ask(role, change)]) == [None]


async def test_what_changes_in_the_database_counts_from_then_on(any_database: str, role: str) -> None:
    execute(any_database, f"grant select on t to {role}")
    async with open_visibility(any_database) as (tables, visibility):
        asks = [ask(role, inserted(await only(tables), ("1", "a", "b")))]
        assert await visibility.visible(asks) == [ALL]
        execute(any_database, f"revoke select on t from {role}", f"grant select (id, title) on t to {role}")
        assert await visibility.visible(asks) == [of("id", "title")]
        execute(any_database, "alter table t enable row level security")
        assert await visibility.visible(asks) == [None]


# --- filters that only Postgres can decide -----------------------------------------------------------------


async def test_an_undecided_filter_is_decided_by_postgres(any_database: str, role: str) -> None:
    execute(any_database, f"grant select (id, title) on t to {role}")
    narrow = of("id", "title")
    async with open_visibility(any_database) as (tables, visibility):
        relation = await only(tables)
        words = ["abab", "aba", None, "ba", ABSENT]
        changes = [updated(relation, ("1", word, "s")) for word in words]  # type: ignore[arg-type]  # ABSENT is False
        asks = [ask(role, change, under="title=match.^(a|b){2}$,id=eq.1") for change in changes]
        assert await visibility.visible(asks) == [None, None, None, narrow, None]
        mixed = [asks[3], ask(role, changes[0]), asks[0], ask(role, changes[0], under="title=match.^(ab){2}$")]
        assert await visibility.visible(mixed) == [narrow, narrow, None, narrow]


async def test_more_rows_than_fit_into_one_question(any_database: str, role: str) -> None:
    execute(any_database, f"grant select on t to {role}")
    async with open_visibility(any_database) as (tables, visibility):
        relation = await only(tables)
        asks = [
            ask(role, inserted(relation, (str(number), "ab" if number % 3 else "c", None)), under="title=match.(a|b)")
            for number in range(250)
        ]
        assert await visibility.visible(asks) == [ALL if number % 3 else None for number in range(250)]


async def test_large_values_are_asked_about_one_by_one(any_database: str, role: str) -> None:
    execute(any_database, f"grant select on t to {role}")
    async with open_visibility(any_database) as (tables, visibility):
        relation = await only(tables)
        titles = ["x" * 700_000, "a", "b" * 700_000, "x" * 1_100_000 + "a"]
        asks = [ask(role, inserted(relation, ("1", title, None)), under="title=match.(a|b)") for title in titles]
        assert await visibility.visible(asks) == [None, ALL, ALL, ALL]


async def test_the_old_row_decides_about_a_deletion(any_database: str, role: str) -> None:
    execute(any_database, f"grant select on t to {role}", "alter table t replica identity full")
    async with open_visibility(any_database) as (tables, visibility):
        relation = await only(tables)
        asks = [
            ask(role, deleted(relation, ("1", title, None)), under="title=match.(a|b)") for title in ("a", "x", None)
        ]
        assert await visibility.visible(asks) == [ALL, None, None]


async def test_a_filter_on_a_column_that_may_not_be_read_any_more(any_database: str, role: str) -> None:
    execute(any_database, f"grant select (id, title) on t to {role}")
    async with open_visibility(any_database) as (tables, visibility):
        change = inserted(await only(tables), ("1", "a", "s"))
        assert await visibility.visible([ask(role, change, under="secret=match.(s|t)")]) == [None]
        execute(any_database, f"grant select (secret) on t to {role}")
        assert await visibility.visible([ask(role, change, under="secret=match.(s|t)")]) == [ALL]


async def test_an_error_is_not_decided_for_an_undecided_filter(any_database: str, role: str) -> None:
    """The same as for every other filter: only who is concerned hears of it."""
    execute(any_database, f"grant select (title) on t to {role}")
    async with open_visibility(any_database) as (tables, visibility):
        change = inserted(await only(tables), ("1", "a", "s"))
        asks = [ask(role, change, under="title=match.(a|b)"), ask(role, change, under="title=match.(x|y)")]
        assert await visibility.visible(asks) == [UNAUTHORIZED, None]


async def test_nondeterministic_collations(make_server: MakeServer) -> None:
    dsn = make_server("debian-15").dsn()  # the bundled version has no ICU
    execute(
        dsn,
        "create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "create table t (id int primary key, title text collate blind)",
        f"create publication {PUBLICATION} for table t",
    )
    async with open_visibility(dsn) as (tables, visibility):
        relation = await only(tables)
        asks = [
            ask("postgres", inserted(relation, ("1", title)), under="title=eq.Straße")
            for title in ("straße", "STRASSE", "strasse", "strabe")
        ]
        assert (await visibility.visible(asks))[0] == ALL
        assert (await visibility.visible(asks))[3] is None


async def test_times_without_a_zone_are_in_utc(any_database: str, make_login: MakeLogin) -> None:
    role = role_of(make_login(any_database))
    execute(
        any_database,
        "create table t (id int primary key, at timestamptz)",
        f"grant select on t to {role}",
        f"alter role {role} set timezone = 'Asia/Tokyo'",
        f"create publication {PUBLICATION} for table t",
    )
    async with open_visibility(any_database) as (tables, visibility):
        change = inserted(await only(tables), ("1", "2024-02-29 13:00:00+00"))
        asks = [ask(role, change, under=f"at=eq.2024-02-29 {clock}") for clock in ("13:00", "22:00")]
        assert await visibility.visible(asks) == [ALL, None]


async def test_a_filter_that_takes_too_long_is_hidden_reported_and_left_to_rest(any_database: str, role: str) -> None:
    execute(any_database, f"grant select on t to {role}")
    now_s = 0.0
    async with open_pool(any_database, size=1) as pool:
        tables = PostgresTables(pool, (PUBLICATION,))
        visibility = Eyes(pool, FilterAnswers(pool, timeout_s=0.1, rest_s=5, clock=lambda: now_s))
        relation = await only(tables)
        slow = ask(role, inserted(relation, ("1", LONG, "private")), under=HEAVY)
        quick = ask(role, inserted(relation, ("1", "short", "private")), under="title=match.(s|t)")
        with capture_logs() as logs:
            assert await visibility.visible([slow, quick]) == [None, ALL]
        assert [(entry["event"], entry["table"], entry["role"]) for entry in logs] == [
            ("filter_not_answered", "public.t", role)
        ]
        assert "private" not in str(logs)
        assert "xxx" not in str(logs)
        with capture_logs() as logs:
            assert await visibility.visible([slow]) == [None]
            assert logs == []
            now_s = 6.0
            assert await visibility.visible([slow]) == [None]
            assert len(logs) == 1


async def test_a_row_that_is_an_error_costs_the_others_nothing(any_database: str, role: str) -> None:
    """Where a text matches as far as its end, this pattern turns out to be none; elsewhere nobody notices."""
    execute(any_database, f"grant select on t to {role}")
    async with open_visibility(any_database) as (tables, visibility):
        relation = await only(tables)
        asks = [
            ask(role, inserted(relation, ("1", title, "private")), under="title=not.like.a\\")
            for title in ("b", "ab", "c")
        ]
        with capture_logs() as logs:
            assert await visibility.visible(asks) == [ALL, None, ALL]
        assert [(entry["event"], entry["sqlstate"]) for entry in logs] == [("filter_not_answered", "22025")]
        assert "private" not in str(logs)


async def test_a_filter_that_does_not_fit_any_more(any_database: str, role: str) -> None:
    execute(any_database, f"grant select on t to {role}")
    async with open_visibility(any_database) as (tables, visibility):
        change = inserted(await only(tables), ("1", "a", "s"))
        with capture_logs() as logs:
            assert await visibility.visible([ask(role, change, under="gone=match.(a|b)")]) == [None]
            execute(any_database, "alter table t rename column title to name")  # the log is behind the catalog
            assert await visibility.visible([ask(role, change, under="title=match.(a|b)")]) == [None]
        assert [entry["event"] for entry in logs] == ["filter_not_answered"]  # nobody may read the other one's column


async def test_hostile_filters_do_nothing(any_database: str, role: str) -> None:
    execute(any_database, f"grant select on t to {role}")
    hostile = [
        "'; drop table t; --",
        '"; reset role; drop table t; --',
        "%s",
        "$1",
        "\\",
        "(select 1)",
        "\n",
        "\N{EURO SIGN}",
    ]
    async with open_visibility(any_database) as (tables, visibility):
        relation = await only(tables)
        for text in hostile:
            change = inserted(relation, ("1", text, None))
            for under in (f'title=gte."{text}"', f'title=match."{text}"', f"{text}=eq.1", f"title={text}.1", text):
                assert await visibility.visible([ask(role, change, under=under)]) in ([None], [ALL]), under
            equal = text.replace("\\", "\\\\").replace('"', '\\"')
            assert await visibility.visible([ask(role, change, under=f'title=lte."{equal}"')]) == [ALL]
        tables.forget()
        assert await visibility.visible([ask(role, inserted(relation, ("1", "a", None)))]) == [ALL]


async def test_filters_are_decided_with_the_rights_of_the_reader(any_database: str, role: str) -> None:
    """Reading a constant of this type runs a function, which shows who runs it."""
    execute(
        any_database,
        "create function is_me(text) returns bool language sql as 'select current_user = $1'",
        "create domain my_name as text check (is_me(value))",
        "create table d (id int primary key, who my_name)",
        f"alter publication {PUBLICATION} add table d",
        f"grant select on d to {role}",
    )
    async with open_visibility(any_database) as (tables, visibility):
        change = inserted(await only(tables, "d"), ("1", role))
        assert await visibility.visible([ask(role, change, under=f"who=gte.{role}")]) == [ALL]


async def test_who_may_not_act_as_the_reader_hides_and_reports(
    any_database: str, role: str, make_login: MakeLogin
) -> None:
    login = make_login(any_database)
    execute(any_database, f"grant select on t to {role}")
    async with open_visibility(login) as (tables, visibility):
        change = inserted(await only(tables), ("1", "a", "s"))
        with capture_logs() as logs:
            answers = await visibility.visible([ask(role, change), ask(role, change, under="title=match.(a|b)")])
        assert answers == [ALL, None]
        assert [entry["event"] for entry in logs] == ["changes_hidden"]
        assert f"allowed to act as role {role}" in logs[0]["reason"]
        execute(any_database, f"grant {role} to {role_of(login)}")
        assert await visibility.visible([ask(role, change, under="title=match.(a|b)")]) == [ALL]


async def test_a_damaged_row_is_hidden(any_database: str, role: str) -> None:
    execute(any_database, f"grant select on t to {role}")
    async with open_visibility(any_database) as (tables, visibility):
        whole = inserted(await only(tables), ("1", "a", "s"))
        damaged = msgspec.structs.replace(whole, data=whole.data[:-1])
        assert await visibility.visible([ask(role, damaged, under="title=match.(a|b)")]) == [None]


# --- a database that is away -------------------------------------------------------------------------------


async def test_changes_wait_for_a_database_that_comes_back(
    breakable: BreakableProxy, database: str, make_login: MakeLogin
) -> None:
    role = prepared(database, make_login)
    async with open_visibility(breakable.dsn) as (tables, visibility):
        change = inserted(await only(tables), ("1", "a"))
        breakable.refuse()
        breakable.cut()
        with pytest.raises(DatabaseUnreachable):  # after which the pool holds back for a while
            await tables.access(role, change.relation)
        breakable.accept()
        with capture_logs() as logs:
            answers = await visibility.visible([ask(role, change), ask(role, change, under="title=match.(a|b)")])
        assert answers == [ALL, ALL]
        assert logs == []


async def test_patience_ends_and_what_was_not_decided_stays_hidden(
    breakable: BreakableProxy, database: str, make_login: MakeLogin
) -> None:
    role = prepared(database, make_login)
    async with open_visibility(breakable.dsn, patience_s=0.2, keeps_rules=True) as (tables, visibility):
        relation = await only(tables)
        known = ask(role, inserted(relation, ("1", "a")))
        assert await visibility.visible([known]) == [ALL]
        breakable.refuse()
        breakable.cut()
        with capture_logs() as logs:
            answers = await visibility.visible(
                [known, ask(role, known.change, under="title=match.(a|b)"), ask("postgres", known.change)]
            )
        assert answers == [ALL, None, None]
        assert [entry["event"] for entry in logs] == ["changes_hidden"] * 2


def prepared(dsn: str, make_login: MakeLogin) -> str:
    role = role_of(make_login(dsn))
    execute(
        dsn,
        "create table t (id int primary key, title text)",
        f"create publication {PUBLICATION} for table t",
        f"grant select on t to {role}",
    )
    return role
