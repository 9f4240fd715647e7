"""Tables and functions for tests of the data API: as statements for Postgres, and as the Schema that describes them."""

from tidewire.query.schema import Argument, Column, Function, Reference, Schema, Table

ODD = 'odd "%s {0} table'
"""The name of a table in which everything is quoted that can be."""

STATEMENTS = (
    "create type mood as enum ('sad', 'ok', 'so happy')",
    "create table clients (id int primary key, name text not null, city text)",
    """create table projects (
      id int primary key, client_id int references clients, "Long Name" text, mood mood default 'ok',
      tags text[] default '{}', span int4range, doc jsonb, raw json, words tsvector,
      price numeric(6, 2), code varchar(3), done bool, made_at timestamptz default '2026-01-02 03:04:05+00'
    )""",
    "create table people (id int primary key, name text, boss int references people)",
    """create table members (
      project_id int references projects, person_id int references people, role text,
      primary key (project_id, person_id)
    )""",
    """create table follows (
      follower int constraint follows_follower_fkey references people,
      followed int constraint follows_followed_fkey references people,
      primary key (follower, followed)
    )""",
    "create table contracts (project_id int primary key references projects, text text)",
    """create table trips (
      id int generated always as identity primary key,
      origin int constraint trips_origin_fkey references clients,
      target int constraint trips_target_fkey references clients,
      miles int not null default 7
    )""",
    'create table "odd ""%s {0} table" (id int primary key, "a.b%" text, "x" int, "sel,ect" json)',
    "create table keyless (value text)",
    "insert into clients values (1, 'Ada', 'Bogotá'), (2, 'Bob, \"B\"', null), (3, 'Eve', '')",
    """insert into projects values
      (1, 1, 'one', 'ok', '{a,"b,c"}', '[1,5)', '{"a": {"b": [1, "two"]}, "n": 5}', '{"k": "v"}',
       to_tsvector('english', 'running cats'), 10.50, 'abc', true, '2026-01-01'),
      (2, 1, 'two', 'sad', '{a}', '[5,9)', '{"a": {"b": []}, "n": 6}', '{"k": "w"}',
       to_tsvector('english', 'dogs sleep'), 20, 'de', false, '2026-02-01'),
      (3, 2, '50% *off*', 'so happy', '{}', null, null, null, null, null, null, null, '2026-03-01'),
      (4, null, null, null, null, null, null, null, null, null, null, null, null)""",
    "insert into people values (1, 'Root', null), (2, 'Mid', 1), (3, 'Leaf', 2)",
    "insert into members values (1, 1, 'lead'), (1, 2, 'dev'), (2, 2, 'lead')",
    "insert into follows values (2, 1), (3, 1)",
    "insert into contracts values (1, 'signed')",
    "insert into trips (origin, target) values (1, 2), (2, 3)",
    'insert into "odd ""%s {0} table" values (1, \'x\', 7, \'{"y": 1}\')',
    "insert into keyless values ('a'), ('b')",
    "create function add(a int, b int default 10) returns int language sql immutable as 'select a + b'",
    "create function add(a int, c text) returns text language sql immutable as 'select a || c'",
    "create function nothing() returns void language sql as 'select'",
    """create function touch(who int) returns void language sql as
      $$update clients set city = 'touched' where id = who$$""",
    """create function projects_of(who int) returns setof projects language sql stable as
      'select * from projects where client_id = who'""",
    "create function first_client() returns clients language sql stable as 'select * from clients order by id limit 1'",
    """create function pairs(up_to int) returns table (n int, square int) language sql stable as
      'select n, n * n from generate_series(1, up_to) n'""",
    "create function numbers(up_to int) returns setof int language sql stable as 'select generate_series(1, up_to)'",
    "create function total(variadic parts int[]) returns bigint language sql as 'select sum(x) from unnest(parts) x'",
    "create function echo(json) returns json language sql as 'select $1'",
)


def column(name: str, type_name: str, *, default: bool = False, primary: bool = False) -> Column:
    return Column(name, type_name, nullable=not primary, has_default=default, generated=False, primary=primary)


def table(name: str, *columns: Column) -> Table:
    return Table("public", name, columns, is_view=False, insertable=True, updatable=True, deletable=True)


def reference(
    name: str, origin: str, column_name: str, target: str, *, to_column: str = "id", unique: bool = False
) -> Reference:
    return Reference(name, "public", origin, (column_name,), "public", target, (to_column,), unique)


def function(
    name: str,
    *arguments: Argument,
    returns: str,
    returns_set: bool = False,
    returns_table: tuple[str, str] | None = None,
    volatile: bool = False,
) -> Function:
    return Function(
        "public", name, arguments, returns, returns_set, returns_table,
        "volatile" if volatile else "stable", returns == "void",
    )  # fmt: skip


def argument(name: str, type_name: str, *, default: bool = False, variadic: bool = False) -> Argument:
    return Argument(name, type_name, has_default=default, variadic=variadic)


_TABLES = (
    table("clients", column("id", "integer", primary=True), column("name", "text"), column("city", "text")),
    table(
        "projects",
        column("id", "integer", primary=True), column("client_id", "integer"), column("Long Name", "text"),
        column("mood", "public.mood", default=True), column("tags", "text[]", default=True),
        column("span", "int4range"), column("doc", "jsonb"), column("raw", "json"), column("words", "tsvector"),
        column("price", "numeric(6,2)"), column("code", "character varying(3)"), column("done", "boolean"),
        column("made_at", "timestamp with time zone", default=True),
    ),
    table("people", column("id", "integer", primary=True), column("name", "text"), column("boss", "integer")),
    table(
        "members",
        column("project_id", "integer", primary=True), column("person_id", "integer", primary=True),
        column("role", "text"),
    ),
    table("follows", column("follower", "integer", primary=True), column("followed", "integer", primary=True)),
    table("contracts", column("project_id", "integer", primary=True), column("text", "text")),
    table(
        "trips",
        column("id", "integer", primary=True, default=True), column("origin", "integer"),
        column("target", "integer"), column("miles", "integer", default=True),
    ),
    table(
        ODD,
        column("id", "integer", primary=True), column("a.b%", "text"), column("x", "integer"),
        column("sel,ect", "json"),
    ),
    table("keyless", column("value", "text")),
)  # fmt: skip

_FUNCTIONS = (
    function("add", argument("a", "integer"), argument("b", "integer", default=True), returns="integer"),
    function("add", argument("a", "integer"), argument("c", "text"), returns="text"),
    function("nothing", returns="void", volatile=True),
    function("touch", argument("who", "integer"), returns="void", volatile=True),
    function(
        "projects_of", argument("who", "integer"), returns="public.projects", returns_set=True,
        returns_table=("public", "projects"),
    ),
    function("first_client", returns="public.clients", returns_table=("public", "clients")),
    function("pairs", argument("up_to", "integer"), returns="record", returns_set=True),
    function("numbers", argument("up_to", "integer"), returns="integer", returns_set=True),
    function("total", argument("parts", "integer[]", variadic=True), returns="bigint", volatile=True),
    function("echo", argument("", "json"), returns="json", volatile=True),
)  # fmt: skip

SCHEMA = Schema(
    tables={(each.schema, each.name): each for each in _TABLES},
    references=(
        reference("projects_client_id_fkey", "projects", "client_id", "clients"),
        reference("people_boss_fkey", "people", "boss", "people"),
        reference("members_project_id_fkey", "members", "project_id", "projects"),
        reference("members_person_id_fkey", "members", "person_id", "people"),
        reference("follows_follower_fkey", "follows", "follower", "people"),
        reference("follows_followed_fkey", "follows", "followed", "people"),
        reference("contracts_project_id_fkey", "contracts", "project_id", "projects", unique=True),
        reference("trips_origin_fkey", "trips", "origin", "clients"),
        reference("trips_target_fkey", "trips", "target", "clients"),
    ),
    functions={
        ("public", name): tuple(each for each in _FUNCTIONS if each.name == name)
        for name in {each.name for each in _FUNCTIONS}
    },
    version=180000,
)
