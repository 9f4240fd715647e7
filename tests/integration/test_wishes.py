"""Every wish that clients can utter is granted or refused as a real Postgres has it, in the words that clients know."""

import math
from collections.abc import AsyncIterator

import pytest

from tests.support.log import execute
from tests.support.postgres import MakeLogin, MakeServer
from tests.support.tables import PUBLICATION, binding, open_pool, open_tables, role_of
from tidewire.filters.answer import UNDECIDED
from tidewire.hub.wishes import MAX_CONDITIONS, MAX_FILTER_CHARS, Wish, judge
from tidewire.match.subscription import CompiledFilter
from tidewire.model.change import Row
from tidewire.model.claims import Claims
from tidewire.model.errors import DatabaseUnreachable
from tidewire.model.reasons import SELECT_NOT_A_LIST, SELECT_WITH_WILDCARD
from tidewire.postgres.tables import PostgresTables
from tidewire.wire.binding import Binding, legacy_bindings, parse_binding

SCHEMA = (
    "create type mood as enum ('sad', 'ok')",
    (
        "create table todos (id int primary key, title text, done bool, small int2, feeling mood, draft json, at date,"
        ' secret text, "o""d %s" text)'
    ),
    "create table policed (id int primary key, title text)",
    "alter table policed enable row level security",
    "create table unpublished (id int primary key)",
    "create schema app",
    "create table app.todos (id int primary key, title text)",
    f"create publication {PUBLICATION} for table todos, policed, app.todos",
)
GRANTS = 'id, title, done, small, feeling, draft, at, "o""d %s"'


@pytest.fixture
def role(any_database: str, make_login: MakeLogin) -> str:
    role = role_of(make_login(any_database))
    execute(any_database, *SCHEMA, f"grant usage on schema app to {role}", f"grant select on app.todos to {role}")
    execute(any_database, f"grant select ({GRANTS}) on todos to {role}", f"grant select on policed to {role}")
    return role


@pytest.fixture
async def tables(any_database: str) -> AsyncIterator[PostgresTables]:
    async with open_tables(any_database) as tables:
        yield tables


def bearer(role: str, **values: object) -> Claims:
    return Claims(role, None, math.inf, {"role": role, **values})


async def granted(wish: Binding, role: str, tables: PostgresTables) -> Wish:
    answer = await judge(wish, bearer(role), tables)
    assert isinstance(answer, Wish), answer
    return answer


def refused(shown: str, exception: str) -> str:
    return (
        "Unable to subscribe to changes with given parameters. An exception happened so please check your connect"
        f" parameters: {shown}. Exception: ERROR {exception}"
    )


# --- before any table is looked at -------------------------------------------------------------------------


MALFORMED: list[tuple[dict[str, object], str]] = [
    (
        {"event": "*"},
        (
            "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to:"
            ' %{"event" => "*"}'
        ),
    ),
    (
        {"table": "", "x": [1, None, True, 1.5, 'a"b#{c}'], "event": "INSERT"},
        (
            "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to:"
            ' %{"event" => "INSERT", "table" => "", "x" => [1, nil, true, 1.5, "a\\"b\\#{c}"]}'
        ),
    ),
    ({"table": "todos", "filter": "id=foo.hey"}, 'Error parsing `filter` params: ["foo", "hey"]'),
    ({"table": "todos", "filter": "id"}, 'Error parsing `filter` params: ["id"]'),
    (
        {"table": "todos", "filter": "id=eq.1,"},
        "Error parsing `filter` params: filter must not contain empty segments (check for extra commas)",
    ),
    (
        {"table": "todos", "filter": "id=in.1"},
        "Error parsing `filter` params: `in` filter value must be wrapped by parentheses",
    ),
    (
        {"table": "todos", "filter": "id=in.(1,)"},
        'Error parsing `filter` params: malformed array literal: "{1,}"',
    ),
    ({"table": "todos", "filter": {"id": 1}}, 'Error parsing `filter` params: ["{\\"id\\":1}"]'),
    ({"table": "todos", "schema": "public", "select": "id"}, SELECT_NOT_A_LIST),
    ({"table": "todos", "schema": "public", "select": ["id", 1]}, SELECT_NOT_A_LIST),
    ({"table": "*", "schema": "public", "select": ["id"]}, SELECT_WITH_WILDCARD),
    ({"table": "todos", "schema": "*", "select": ["id"]}, SELECT_WITH_WILDCARD),
    ({"schema": "public", "select": ["id"]}, SELECT_WITH_WILDCARD),
]


async def test_malformed_wishes(tables: PostgresTables, role: str) -> None:
    for params, text in MALFORMED:
        assert await judge(binding(**params), bearer(role), tables) == text


async def test_what_is_not_published_is_refused(tables: PostgresTables, role: str) -> None:
    start = (
        "Unable to subscribe to changes with given parameters."
        " Please check Realtime is enabled for the given connect parameters: "
    )
    for params, shown in (
        ({"schema": "public", "table": "x"}, "[event: *, schema: public, table: x, filters: [], select: nil]"),
        ({"table": "unpublished"}, "[event: *, schema: public, table: unpublished, filters: [], select: nil]"),
        ({"table": "TODOS"}, "[event: *, schema: public, table: TODOS, filters: [], select: nil]"),
        ({"schema": "nope"}, "[event: *, schema: nope, table: *, filters: [], select: nil]"),
        (
            {"table": "x", "event": "update", "filter": 'id=not.in.(1,"a b"),b=is.null', "select": ["id", 'a"b']},
            (
                '[event: UPDATE, schema: public, table: x, filters: [{"id", "in", "{1,\\"a b\\"}", true},'
                ' {"b", "is", "null", false}], select: ["id", "a\\"b"]]'
            ),
        ),
    ):
        assert await judge(binding(**params), bearer(role), tables) == start + shown


# --- the filter --------------------------------------------------------------------------------------------


REFUSED = [
    ("nope=eq.1", '{"nope", "eq", "1", false}', "P0001 (raise_exception) invalid column for filter nope"),
    ("secret=eq.1", '{"secret", "eq", "1", false}', "P0001 (raise_exception) invalid column for filter secret"),
    ("ID=eq.1", '{"ID", "eq", "1", false}', "P0001 (raise_exception) invalid column for filter ID"),
    ("=eq.1", '{"", "eq", "1", false}', "P0001 (raise_exception) invalid column for filter "),
    (
        "id=is.maybe",
        '{"id", "is", "maybe", false}',
        "P0001 (raise_exception) invalid value for is filter: must be null, true, false, or unknown",
    ),
    (
        "id=not.is.true",
        '{"id", "is", "true", true}',
        "P0001 (raise_exception) is true filter requires a boolean column, got integer",
    ),
    (
        "id=like.1%",
        '{"id", "like", "1%", false}',
        "P0001 (raise_exception) operator like requires a text-compatible column type, got integer",
    ),
    (
        "title=eq.a,title=match.(",
        '{"title", "eq", "a", false}, {"title", "match", "(", false}',
        (
            "P0001 (raise_exception) invalid regular expression for match filter:"
            " invalid regular expression: parentheses () not balanced"
        ),
    ),
    (
        # The first pattern does not match, so a plain `and` would never look at the second one.
        "title=match.x,title=imatch.*a",
        '{"title", "match", "x", false}, {"title", "imatch", "*a", false}',
        (
            "P0001 (raise_exception) invalid regular expression for imatch filter:"
            " invalid regular expression: quantifier operand invalid"
        ),
    ),
    (
        "id=eq.abc",
        '{"id", "eq", "abc", false}',
        '22P02 (invalid_text_representation) invalid input syntax for type integer: "abc"',
    ),
    (
        "id=in.(1,x)",
        '{"id", "in", "{1,x}", false}',
        '22P02 (invalid_text_representation) invalid input syntax for type integer: "x"',
    ),
    (
        "small=eq.99999",
        '{"small", "eq", "99999", false}',
        '22003 (numeric_value_out_of_range) value "99999" is out of range for type smallint',
    ),
    (
        "feeling=eq.glad",
        '{"feeling", "eq", "glad", false}',
        '22P02 (invalid_text_representation) invalid input value for enum mood: "glad"',
    ),
    (
        "at=eq.2023-02-29",
        '{"at", "eq", "2023-02-29", false}',
        '22008 (datetime_field_overflow) date/time field value out of range: "2023-02-29"',
    ),
    (
        "draft=eq.1",
        '{"draft", "eq", "1", false}',
        "42883 (undefined_function) operator does not exist: json = unknown",
    ),
    (
        "title=like.a\\",
        '{"title", "like", "a\\\\", false}',
        "22025 (invalid_escape_sequence) LIKE pattern must not end with escape character",
    ),
]
"""The filter, how the message shows it, and what the database objects to."""


async def test_filters_that_are_refused(tables: PostgresTables, role: str) -> None:
    for text, shown, exception in REFUSED:
        answer = await judge(binding(schema="public", table="todos", filter=text), bearer(role), tables)
        shown = f"[event: *, schema: public, table: todos, filters: [{shown}], select: nil]"  # noqa: PLW2901 - around it
        assert answer == refused(shown, exception)


async def test_lists_and_filters_are_bounded(tables: PostgresTables, role: str) -> None:
    fits = ",".join(map(str, range(100)))
    await granted(binding(table="todos", filter=f"id=in.({fits})"), role, tables)
    answer = await judge(binding(table="todos", filter=f"id=in.({fits},100)"), bearer(role), tables)
    assert isinstance(answer, str)
    assert answer.endswith("Exception: ERROR P0001 (raise_exception) too many values for `in` filter. Maximum 100")
    several = ",".join(["id=gt.0", "title=match.a"] * (MAX_CONDITIONS // 2))
    await granted(binding(table="todos", filter=several), role, tables)
    answer = await judge(binding(table="todos", filter=several + ",id=lt.9"), bearer(role), tables)
    assert answer == "Error parsing `filter` params: too many conditions. Maximum 100"
    answer = await judge(binding(table="todos", filter="title=eq." + "x" * MAX_FILTER_CHARS), bearer(role), tables)
    assert answer == "Error parsing `filter` params: filter is too long. Maximum 65536 characters"


async def test_refusals_are_bounded(tables: PostgresTables, role: str) -> None:
    long = "x" * 60_000
    for params in (
        {"table": long},
        {"table": "todos", "filter": f"id=eq.{long}"},
        {"table": "todos", "filter": f"{long}=eq.1"},
        {"table": "todos", "filter": f"id=eq.1,{long}"},
        {"table": "todos", "select": [long]},
        {"event": "*", "junk": long},
    ):
        answer = await judge(binding(**params), bearer(role), tables)
        assert isinstance(answer, str)
        assert len(answer) <= 4000, params.keys()


async def test_a_filter_is_compiled_for_the_index_and_the_rest(tables: PostgresTables, role: str) -> None:
    text = "title=in.(a,b),id=eq.007,done=is.true"
    wish = await granted(binding(schema="public", table="todos", filter=text, event="UPDATE"), role, tables)
    assert (wish.targets, wish.event, wish.filter, wish.select) == ((("public", "todos"),), "UPDATE", text, None)
    compiled = await compiled_for("todos", wish, tables)
    assert compiled.equality == (0, ("7",))
    assert compiled.residual is not None
    assert compiled.residual(row(title="a", done="t")) is True
    assert compiled.residual(row(title="c", done="t")) is False


async def test_what_only_postgres_knows_is_left_open(tables: PostgresTables, role: str) -> None:
    wish = await granted(binding(table="todos", filter="title=match.(a|b){2},id=gt.5"), role, tables)
    compiled = await compiled_for("todos", wish, tables)
    assert compiled.residual is not None
    assert compiled.residual(row(id="6", title="ab")) is UNDECIDED
    assert compiled.residual(row(id="5", title="ab")) is False


async def test_texts_of_columns_that_were_not_looked_at_are_left_open(tables: PostgresTables, role: str) -> None:
    """A column that is added later may have a collation in which other texts are equal as well."""
    wish = await granted(binding(table="todos", filter="title=eq.a"), role, tables)
    (elsewhere,) = await tables.published("app", "todos")
    assert wish.compile is not None
    assert wish.compile(elsewhere).equality is None
    residual = wish.compile(elsewhere).residual
    assert residual is not None
    assert residual(("1", "b")) is UNDECIDED


async def test_equality_under_a_nondeterministic_collation_is_left_open(make_server: MakeServer) -> None:
    dsn = make_server("debian-15").dsn()  # the bundled version has no ICU
    execute(
        dsn,
        "create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "create table t (id int primary key, a text collate blind)",
        f"create publication {PUBLICATION} for table t",
    )
    async with open_tables(dsn) as tables:
        wish = await granted(binding(table="t", filter="a=eq.x"), "postgres", tables)
        (relation,) = await tables.published("public", "t")
        assert wish.compile is not None
        compiled = wish.compile(relation)
        assert compiled.equality is None
        assert compiled.residual is not None
        assert compiled.residual(("1", "X")) is UNDECIDED
        answer = await judge(binding(table="t", filter="a=like.x"), bearer("postgres"), tables)
        assert isinstance(answer, str)
        assert "0A000 (feature_not_supported) nondeterministic collations are not supported for LIKE" in answer


# --- select ------------------------------------------------------------------------------------------------


async def test_selected_columns_come_in_the_order_of_the_table_with_the_key(tables: PostgresTables, role: str) -> None:
    for select, expected in (
        (["done", "title", "title"], ("id", "title", "done")),
        (["id"], ("id",)),
        ([], ("id",)),
    ):
        wish = await granted(binding(schema="public", table="todos", select=select), role, tables)
        assert wish.select == expected


async def test_columns_that_cannot_be_selected(tables: PostgresTables, role: str) -> None:
    for column in ("nope", "secret", "", "ID", "a\0", '"id"', "id; drop table todos", "*", "xmin"):
        answer = await judge(binding(schema="public", table="todos", select=["id", column]), bearer(role), tables)
        assert isinstance(answer, str)
        assert answer.endswith(f"Exception: ERROR P0001 (raise_exception) invalid column for select {column}")


# --- role, policies, wildcards, partitions -----------------------------------------------------------------


async def test_a_role_that_is_not_there(tables: PostgresTables, role: str) -> None:
    for unknown in (f"{role}x", "none", "public", 'x"; drop table todos; --', "a\0", "\ud800", "r" * 200):
        answer = await judge(binding(table="todos", filter="id=eq.1"), bearer(unknown), tables)
        assert answer == refused(
            '[event: *, schema: public, table: todos, filters: [{"id", "eq", "1", false}], select: nil]',
            f'42704 (undefined_object) role "{unknown}" does not exist',
        )


async def test_policies_refuse_nobody_but_those_whose_claims_no_policy_could_read(
    tables: PostgresTables, role: str
) -> None:
    assert (await granted(binding(table="policed"), role, tables)).targets == (("public", "policed"),)
    for claims in ({"sub": "a\0"}, {"n": 1e400}, {"deep": _nested(40)}):
        answer = await judge(binding(table="policed"), bearer(role, **claims), tables)
        assert isinstance(answer, str)
        assert "Exception: ERROR P0001 (raise_exception) reading claims: expected" in answer
        await granted(binding(table="todos", event="INSERT"), role, tables)


def _nested(depth: int) -> object:
    return [_nested(depth - 1)] if depth else 0


async def test_moves_need_the_old_rows_in_the_log(any_database: str, tables: PostgresTables, role: str) -> None:
    answer = await judge(binding(table="todos", moves=True), bearer(role), tables)
    assert isinstance(answer, str)
    assert answer.endswith("run ALTER TABLE public.todos REPLICA IDENTITY FULL")
    execute(any_database, "alter table todos replica identity full")
    tables.forget()
    assert (await granted(binding(table="todos", moves=True, filter="id=eq.1"), role, tables)).moves


async def test_wildcards(tables: PostgresTables, role: str) -> None:
    for params, target in (
        ({"schema": "public"}, ("public", "*")),
        ({"schema": "*"}, ("*", "*")),
        ({"schema": "*", "table": "todos"}, ("*", "todos")),
        ({"schema": "app", "table": "*"}, ("app", "*")),
    ):
        wish = await granted(binding(**params, event="DELETE", truncate=True), role, tables)
        assert (wish.targets, wish.event, wish.truncate) == ((target,), "DELETE", True)


async def test_a_filter_of_a_wildcard_must_fit_every_table(tables: PostgresTables, role: str) -> None:
    wish = await granted(binding(schema="*", table="todos", filter="title=eq.a"), role, tables)
    assert wish.targets == (("*", "todos"),)
    answer = await judge(binding(schema="*", table="todos", filter="done=is.true"), bearer(role), tables)
    assert answer == refused(
        '[event: *, schema: *, table: todos, filters: [{"done", "is", "true", false}], select: nil]',
        "P0001 (raise_exception) invalid column for filter done",
    )


async def test_the_parent_of_partitions_stands_for_them(any_database: str, make_login: MakeLogin) -> None:
    role = role_of(make_login(any_database))
    execute(
        any_database,
        "create table p (id int, at int, secret text, primary key (id, at)) partition by range (at)",
        "create table p1 partition of p for values from (0) to (10)",
        "create table p2 (secret text, at int not null, id int not null)",
        "alter table p attach partition p2 for values from (10) to (20)",
        f"grant select (id, at) on p to {role}",
        f"create publication {PUBLICATION} for table p",
    )
    wanted = binding(table="p", filter="at=gt.3", select=["at"])
    async with open_tables(any_database) as tables:
        wish = await granted(wanted, role, tables)
        assert wish.targets == (("public", "p1"), ("public", "p2"))
        assert wish.select == ("id", "at")
        assert isinstance(await judge(binding(table="p", select=["secret"]), bearer(role), tables), str)
    execute(any_database, f"alter publication {PUBLICATION} set (publish_via_partition_root = true)")
    async with open_tables(any_database) as tables:
        wish = await granted(wanted, role, tables)
        assert wish.targets == (("public", "p"),)


async def test_a_partition_in_a_schema_that_the_role_may_not_use(any_database: str, make_login: MakeLogin) -> None:
    """It is read through its parent; but a filter needs the type of its rows, which is a thing in that schema."""
    role = role_of(make_login(any_database))
    execute(
        any_database,
        "create schema parts",
        "create table p (id int primary key) partition by range (id)",
        "create table parts.p1 partition of p for values from (0) to (10)",
        f"grant select on p to {role}",
        f"create publication {PUBLICATION} for table p",
    )
    async with open_tables(any_database) as tables:
        assert (await granted(binding(table="p"), role, tables)).targets == (("parts", "p1"),)
        answer = await judge(binding(table="p", filter="id=eq.1"), bearer(role), tables)
        assert isinstance(answer, str)
        assert answer.endswith("ERROR 42501 (insufficient_privilege) permission denied for schema parts")


async def test_a_topic_of_a_client_without_config(tables: PostgresTables, role: str) -> None:
    (wanted,) = legacy_bindings("public:todos:id=eq.5")
    assert (await granted(wanted, role, tables)).targets == (("public", "todos"),)


# --- strangers ---------------------------------------------------------------------------------------------

HOSTILE = [
    "'; drop table todos; --",
    '"; drop table todos; --',
    "%s",
    "%(role)s",
    "$1",
    "\\",
    "\\'; drop table todos; --",
    "\0",
    "\N{REPLACEMENT CHARACTER}",
    "*/ drop table todos /*",
    "pg_sleep(60)",
    "(select secret from todos)",
    "x" * 70,
    "\n\r\t",
    "null::regclass",
    "{" * 50,
]


@pytest.mark.timeout(60)
async def test_hostile_texts_do_nothing(tables: PostgresTables, role: str) -> None:
    for text in HOSTILE:
        for params in hostile_wishes(text):
            assert isinstance(await judge(binding(**params), bearer(role), tables), str), params
        for operator in ("eq", "neq", "gt", "isdistinct", "ilike", "match"):
            answer = await judge(binding(table="todos", filter=f'title={operator}."{text}"'), bearer(role), tables)
            assert isinstance(answer, Wish | str)
    tables.forget()
    await granted(binding(table="todos"), role, tables)


def hostile_wishes(text: str) -> list[dict[str, object]]:
    named = {"schema": "public", "table": "todos"}
    return [
        {"schema": text, "table": "todos"},
        {"schema": "public", "table": text},
        {**named, "select": [text]},
        {**named, "filter": f"{text}=eq.1"},
        {**named, "filter": f"id=eq.{text}"},
        {**named, "filter": f"id=in.(1,{text})"},
        {**named, "filter": f"done=is.{text}"},
        {**named, "event": text, "filter": "id=eq.x"},
    ]


async def test_odd_columns_can_be_filtered(tables: PostgresTables, role: str) -> None:
    wish = await granted(binding(table="todos", filter='o"d %s=match.^a{2}'), role, tables)
    assert await compiled_for("todos", wish, tables)


async def test_params_that_cannot_be_held_are_still_refused(tables: PostgresTables, role: str) -> None:
    answer = await judge(parse_binding(b'{"x": 1e999, "y": ' + b"[" * 300 + b"]" * 300 + b"}"), bearer(role), tables)
    assert isinstance(answer, str)
    assert answer.startswith("No subscription params provided.")


async def test_a_database_that_is_away_is_no_refusal(any_database: str) -> None:
    async with open_pool(f"{any_database} dbname=not_there") as pool:
        with pytest.raises(DatabaseUnreachable):
            await judge(binding(table="todos"), bearer("anon"), PostgresTables(pool, (PUBLICATION,)))


async def compiled_for(table: str, wish: Wish, tables: PostgresTables) -> CompiledFilter:
    (relation,) = await tables.published("public", table)
    assert wish.compile is not None
    return wish.compile(relation)


def row(**values: str) -> Row:
    names = ("id", "title", "done", "small", "feeling", "draft", "at", "secret", 'o"d %s')
    return tuple(values.get(name) for name in names)
