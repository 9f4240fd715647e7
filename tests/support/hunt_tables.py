"""Two tables for the leak hunt, with rows, policies and privileges made up at random. Knows nothing of readers.

`whole` puts old rows into the log, `keyed` only their keys.
"""

import json
from random import Random
from typing import Any, Final

import psycopg
from psycopg import sql

from tests.support.policy_cases import COLUMNS, IDIOMS

TABLES: Final = ("whole", "keyed")
FRIENDS: Final = "friends"
USERS: Final = tuple(f"0000000{n}-0000-4000-8000-00000000000a" for n in range(6))
TENANTS: Final = ("acme", "other")
WORDS: Final = ["", "a", "ä", "ok", "B", "1", "user0@acme", "user3@other", "acme", "other", 'q"', "\\", "abcd  "]
REVOCABLE: Final = ("price", "ratio", "document", "tags", "big", "day")
"""Columns that no filter and no wish of the hunt needs: without those a wish would end, which is another test."""

OUTSIDE: Final = (
    "exists (select from friends where a = owner and b = auth.uid())",
    "owner in (select b from friends where a = (select auth.uid()))",
    "knows(owner)",
    "knows(editor) or title like 'a%'",
    "lower(title) = 'a'",
    "feeling > 'sad'",
    "tags && array['a', 'B']",
    "document ->> 'a' = 'b'",
    "rank / small >= 0",
    "title::int = 1",
    "case when public then owner = auth.uid() else rank > 0 end",
    "current_user = 'authenticated' and editor = auth.uid()",
    "length(title) > (auth.jwt() ->> 'level')::int",
)
"""What is left to Postgres; some of it fails for some rows or for some readers."""

_SCHEMA: Final = """
    create type mood as enum ('sad', 'ok', 'happy');
    create domain rating as int4 check (value >= 0);
    create table friends (a uuid, b uuid);
    grant select on friends to anon, authenticated, service_role;
    create table secrets (a uuid, b uuid);
    create function knows(uuid) returns bool language sql stable security definer set search_path = public
      -- Texts, and no cast that fails: whether it did would depend on which plan of a function Postgres has kept.
      as $$ select exists (select from secrets where a::text = auth.jwt() ->> 'sub' and b = $1) $$;
"""


def create_tables(admin: psycopg.Connection[Any], dice: Random) -> None:
    """Make everything once; the rows of the two tables come later."""
    admin.execute(_SCHEMA)
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_)) for name, type_ in COLUMNS.items()
    )
    for name in TABLES:
        admin.execute(
            sql.SQL(
                "create table {table} (id int4 primary key, version int8 not null, {columns});"
                "grant select on {table} to service_role; alter publication supabase_realtime add table {table}"
            ).format(table=sql.Identifier(name), columns=columns)
        )
    admin.execute("alter table whole replica identity full")
    for table in ("friends", "secrets"):
        for _ in range(8):
            admin.execute(
                sql.SQL("insert into {} values (%s, %s)").format(sql.Identifier(table)),
                [dice.choice(USERS), dice.choice(USERS)],
            )


def random_claims(number: int, dice: Random) -> dict[str, Any]:
    """Make up who a user of one of the tenants is; now and then something is missing or odd."""
    user = number % len(USERS)
    tenant = TENANTS[user * len(TENANTS) // len(USERS)]
    claims: dict[str, Any] = {
        "sub": USERS[user],
        "email": f"user{user}@{tenant}",
        "tenant": tenant,
        "level": dice.choice([0, 1, 2, "1", "high"]),
        "account": dice.choice(["1", "2", "-1"]),
        "aal": dice.choice(["aal1", "aal2"]),
        "is_anonymous": dice.choice([True, False]),
        "teams": dice.choice([[USERS[0], USERS[4]], [], ["nobody"], "a,B,acme"]),
        "app_metadata": {
            "tenant_id": dice.choice(USERS),
            "teams": dice.choice([["0", "1"], ["a", "acme"], []]),
            "admin": dice.choice([True, False, "perhaps"]),
        },
    }
    for name in dice.sample(sorted(claims), dice.choice([0, 0, 1])):
        del claims[name]
    if dice.random() < 0.1:
        claims["sub"] = dice.choice(["nobody", 5, "", None])
    return claims


def random_values(dice: Random) -> dict[str, Any]:
    """Make up the columns of a row, some of them NULL. Values that JSON cannot hold are a matter of other tests."""
    values = {
        "owner": dice.choice(USERS),
        "editor": dice.choice(USERS),
        "members": dice.choices(USERS, k=dice.randrange(3)),
        "title": dice.choice(WORDS),
        "code": dice.choice(TENANTS),
        "kind": dice.choice(["draft", "final", ""]),
        "padded": dice.choice(WORDS)[:4],
        "tags": dice.choice([[], ["a"], ["B", None], ['q"', "c"]]),
        "feeling": dice.choice(["sad", "ok", "happy"]),
        "rank": dice.randrange(-1, 3),
        "big": dice.choice([-1, 1, 2, 2**60]),
        "small": dice.randrange(-1, 3),
        "stars": dice.randrange(3),
        "price": dice.choice(["1.5", "-0.001", "99.9", "12345.678"]),
        "ratio": dice.choice([1.5, 0.1, 2.25]),
        "public": dice.choice([True, False]),
        "day": dice.choice(["2024-01-01", "2024-04-01", "infinity"]),
        "moment": dice.choice(["2024-03-10 12:30:00.5", "1999-12-31 23:59:59"]),
        "instant": dice.choice(["2024-03-10 12:30:00.5+02", "1999-12-31 23:59:59Z"]),
        "document": dice.choice([json.dumps({"a": "b"}), "{}", "null", "[1.50]"]),
    }
    for name in dice.sample(sorted(values), dice.choice([0, 1, 3])):
        values[name] = None
    return values


def random_condition(dice: Random) -> str:
    """Make up what a policy says."""
    simple = dice.choice([*IDIOMS.values(), *OUTSIDE])
    match dice.randrange(6):
        case 0:
            return f"({simple}) and ({random_condition(dice)})"
        case 1:
            return f"({simple}) or ({random_condition(dice)})"
        case 2:
            return f"not ({simple})"
        case _:
            return simple


def create_policy(table: str, dice: Random, *, condition: str = "") -> sql.Composed:
    name = sql.Identifier(f"p{dice.randrange(10**9)}")
    kind = "restrictive" if not condition and dice.random() < 0.15 else "permissive"
    to = dice.choice(["public", "public", "public", "authenticated", "anon, authenticated"])
    command = dice.choice(["select", "select", "all"])
    return sql.SQL("create policy {} on {} as {} for {} to {} using ({})").format(
        name,
        sql.Identifier(table),
        sql.SQL(kind),
        sql.SQL(command),
        sql.SQL(to),
        sql.SQL(condition or random_condition(dice)),
    )


def drop_policies(connection: psycopg.Connection[Any], table: str) -> list[sql.Composed]:
    """Return the statements that drop what there is."""
    named = connection.execute("select polname from pg_policy where polrelid = %s::regclass", [table]).fetchall()
    return [sql.SQL("drop policy {} on {}").format(sql.Identifier(name), sql.Identifier(table)) for (name,) in named]


def grant_columns(table: str, dice: Random) -> list[sql.Composed]:
    """Return the statements that let each role read these columns and no others."""
    statements = []
    for role in ("anon", "authenticated"):
        hidden = dice.sample(REVOCABLE, dice.choice([0, 0, 1, 3]))
        columns = [sql.Identifier(name) for name in ("id", "version", *COLUMNS) if name not in hidden]
        names = {"table": sql.Identifier(table), "role": sql.Identifier(role)}
        statements.append(sql.SQL("revoke select on {table} from {role}").format(**names))
        every = sql.SQL(", ").join([sql.Identifier(name) for name in ("id", "version", *COLUMNS)])
        statements.append(sql.SQL("revoke select ({}) on {table} from {role}").format(every, **names))
        granted = sql.SQL("grant select on {table} to {role}") if not hidden else None
        statements.append(
            granted.format(**names)
            if granted is not None
            else sql.SQL("grant select ({}) on {table} to {role}").format(sql.SQL(", ").join(columns), **names)
        )
    return statements


def change_rules(connection: psycopg.Connection[Any], table: str, dice: Random) -> str:
    """Change policies or privileges in one transaction that no write to the table overlaps; return what was done."""
    kind = dice.choice(["replace", "replace", "add", "drop", "columns", "columns", "off", "on", "force"])
    toggled = {"off": "disable", "on": "enable", "force": "force"}
    with connection.transaction():
        named = sql.Identifier(table)
        connection.execute(sql.SQL("lock table {} in access exclusive mode").format(named))
        if kind in {"replace", "drop"}:
            for statement in drop_policies(connection, table)[: None if kind == "replace" else 1]:
                connection.execute(statement)
        if kind in {"replace", "add"}:
            for _ in range(dice.choice([1, 1, 2]) if kind == "replace" else 1):
                connection.execute(create_policy(table, dice))
        if kind == "columns":
            for statement in grant_columns(table, dice):
                connection.execute(statement)
        if kind in toggled:
            connection.execute(sql.SQL("alter table {} {} row level security").format(named, sql.SQL(toggled[kind])))
    return kind
