"""A table with columns of many types, everyday policies for it, and the way to ask Postgres and the compiler alike."""

import asyncio
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import sql

from tests.support.type_catalog import read_relation
from tidewire.match.policy import Standing, TablePolicies
from tidewire.match.policy_compile import CompiledPolicies, compile_policies
from tidewire.model.change import Row
from tidewire.model.relation import Relation
from tidewire.postgres.policies import read_policies
from tidewire.postgres.pool import Pool

Claims = Mapping[str, Any]

SESSION = "set datestyle = ISO; set intervalstyle = postgres; set timezone = UTC; set extra_float_digits = 1"

SCHEMA = """
    create type mood as enum ('sad', 'ok', 'happy');
    create domain rating as int4 check (value >= 0);
    create schema auth;
"""

COLUMNS = {
    "owner": "uuid",
    "editor": "uuid",
    "members": "uuid[]",
    "title": "text",
    "code": 'text collate "C"',
    "kind": "varchar(12)",
    "padded": "char(4)",
    "tags": "text[]",
    "feeling": "mood",
    "rank": "int4",
    "big": "int8",
    "small": "int2",
    "stars": "rating",
    "price": "numeric(12, 3)",
    "ratio": "float8",
    "public": "bool",
    "day": "date",
    "moment": "timestamp",
    "instant": "timestamptz",
    "document": "jsonb",
}

IDIOMS: dict[str, str] = {
    "everyone": "true",
    "nobody": "false",
    "own rows": "auth.uid() = owner",
    "own rows, asked once": "(select auth.uid()) = owner",
    "own rows, as text": "owner::text = (select auth.uid()::text)",
    "own rows, by hand": "owner = nullif(current_setting('request.jwt.claims', true)::json ->> 'sub', '')::uuid",
    "own rows, by the older setting": "owner = nullif(current_setting('request.jwt.claim.sub', true), '')::uuid",
    "own or public rows": "public or owner = (select auth.uid())",
    "owner or editor": "(select auth.uid()) in (owner, editor)",
    "one of the members": "(select auth.uid()) = any (members)",
    "signed in": "auth.role() = 'authenticated'",
    "signed in, not null": "(select auth.uid()) is not null",
    "not anonymous": "(select (auth.jwt() ->> 'is_anonymous')::boolean) is false",
    "two factors": "(select auth.jwt() ->> 'aal') = 'aal2'",
    "own tenant": "code = (select auth.jwt() ->> 'tenant')",
    "own tenant, from metadata": "owner = ((select auth.jwt()) -> 'app_metadata' ->> 'tenant_id')::uuid",
    "own tenant, by path": "owner = (auth.jwt() #>> '{app_metadata,tenant_id}')::uuid",
    "one of my teams": "rank::text in (select jsonb_array_elements_text(auth.jwt() -> 'app_metadata' -> 'teams'))",
    "one of my teams, as an array": """
        owner = any (array(select jsonb_array_elements_text(auth.jwt() -> 'teams'))::uuid[])""",
    "one of my teams, as a key": "(auth.jwt() -> 'app_metadata' -> 'teams') ? title",
    "one of my teams, as words": "title = any (string_to_array(auth.jwt() ->> 'teams', ','))",
    "published": "feeling in ('ok', 'happy') and public is true",
    "published or own": "(feeling = 'happy' and not public is not true) or owner = (select auth.uid())",
    "by e-mail": "title = auth.email()",
    "by number": "big = (select auth.jwt() ->> 'account')::bigint",
    "administrators": "coalesce((auth.jwt() -> 'app_metadata' ->> 'admin')::boolean, false) or owner = auth.uid()",
    "level": "rank <= coalesce((auth.jwt() ->> 'level')::int, 0)",
    "cheap and recent": "price < 99.90 and instant >= '2024-01-01T00:00:00Z'",
    "a season": "day between '2024-03-01' and '2024-05-31' and kind <> 'draft'",
    "not theirs": "editor is distinct from (select auth.uid()) and nullif(title, '') is not null",
}
"""Policies as they are found in applications, each under what it means."""


class Subject:
    """A table under test. One role reads it, which has the rights of `group` and none of `other`."""

    def __init__(self, dsn: str, runner: asyncio.Runner, roles: Mapping[str, str]) -> None:
        self._runner = runner
        self.roles = roles
        self.connection: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
        self.connection.execute(SESSION)
        self.pool = Pool(dsn)
        self._policies = 0
        self.create_table()
        self.relation: Relation = read_relation(self.connection, "public.notes")

    def create_table(self) -> None:
        functions = files("tidewire.postgres").joinpath("migrations", "0002_pre_auth_functions.sql")
        self.connection.execute(SCHEMA)
        self.connection.execute(functions.read_bytes())
        columns = [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_)) for name, type_ in COLUMNS.items()]
        self.connection.execute(
            sql.SQL(
                "create table public.notes (id int4 primary key, {}); alter table notes enable row level security;"
                "create table public.friends (a uuid, b uuid); grant select on notes, friends to {};"
                "grant usage on schema auth to public"
            ).format(sql.SQL(", ").join(columns), self.role("reader"))
        )

    def role(self, name: str) -> sql.Identifier:
        return sql.Identifier(self.roles[name])

    def add_policy(
        self, using: str, *, restrictive: bool = False, command: str = "select", to: Sequence[str] = ("public",)
    ) -> None:
        self._policies += 1
        roles = [sql.SQL("public") if role == "public" else self.role(role) for role in to]
        statement = sql.SQL("create policy {} on public.notes as {} for {} to {} using ({})").format(
            sql.Identifier(f"p{self._policies}"),
            sql.SQL("restrictive" if restrictive else "permissive"),
            sql.SQL(command),
            sql.SQL(", ").join(roles),
            sql.SQL(using),
        )
        self.connection.execute(statement)

    def drop_policies(self) -> None:
        for (name,) in self.connection.execute("select polname from pg_policy").fetchall():
            self.connection.execute(sql.SQL("drop policy {} on public.notes").format(sql.Identifier(name)))

    def facts(self, role: str = "reader") -> tuple[TablePolicies, Standing]:
        found = self.read(self.roles[role], self.relation)
        assert found is not None
        return found

    def read(self, role: str, relation: Relation) -> tuple[TablePolicies, Standing] | None:
        return self._runner.run(read_policies(self.pool, role, relation))

    def compile(self, role: str = "reader") -> CompiledPolicies:
        """Compile what stands in the catalog now."""
        return compile_policies(*self.facts(role), self.relation)

    def fill(self, rows: Sequence[Mapping[str, str | None]]) -> list[Row]:
        """Put rows of literals into the table, and return them as the log would have them."""
        names = list(COLUMNS)
        self.connection.execute("truncate public.notes")
        fields = [sql.SQL("%s::{}").format(sql.SQL(COLUMNS[name].partition(" collate")[0])) for name in names]
        one = sql.SQL("(%s::int4, {})").format(sql.SQL(", ").join(fields))
        self.connection.execute(
            sql.SQL("insert into public.notes values {}").format(sql.SQL(", ").join([one] * len(rows))),
            [value for number, row in enumerate(rows) for value in (number, *(row.get(name) for name in names))],
        )
        result = self.connection.execute("select * from public.notes order by id").pgresult
        assert result is not None
        return [
            tuple(None if (raw := result.get_value(row, at)) is None else raw.decode() for at in range(result.nfields))
            for row in range(result.ntuples)
        ]

    def ask(self, claims: Claims, names: Sequence[str], count: int, role: str = "reader") -> list[bool | None]:
        """Return for each row whether Postgres shows it, None where it fails."""
        try:
            shown = self._select(claims, names, role)
        except psycopg.Error:
            return [self._ask_alone(claims, names, number, role) for number in range(count)]
        return [number in shown for number in range(count)]

    def _ask_alone(self, claims: Claims, names: Sequence[str], number: int, role: str) -> bool | None:
        with self.connection.transaction(force_rollback=True):
            self.connection.execute("delete from public.notes where id <> %s", [number])
            try:
                with self.connection.transaction():
                    return number in self._select(claims, names, role)
            except psycopg.Error:
                return None

    def _select(self, claims: Claims, names: Sequence[str], role: str) -> set[int]:
        settings = {"role": self.roles[role], "request.jwt.claims": json.dumps(claims)}
        for name in names:
            value = claims.get(name)
            settings[f"request.jwt.claim.{name}"] = "" if value is None else spoken(value)
        with self.connection.transaction():
            calls = sql.SQL(", ").join([sql.SQL("set_config(%s, %s, true)")] * len(settings))
            given = [text for pair in settings.items() for text in pair]
            self.connection.execute(sql.SQL("select {}").format(calls), given)
            return {number for (number,) in self.connection.execute("select id from public.notes")}

    def close(self) -> None:
        self._runner.run(self.pool.close())
        self.connection.close()


def spoken(value: Any) -> str:
    """Return what `->>` makes of a claim that is no object."""
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def policy_subject(dsn: str) -> Iterator[Subject]:
    """Make roles and a table for a test, and drop the roles afterwards, because they belong to the whole server."""
    roles = {name: f"{name}_{secrets.token_hex(6)}" for name in ("reader", "group", "other", "owner", "bypasser")}
    identifiers = {name: sql.Identifier(role) for name, role in roles.items()}
    with psycopg.connect(dsn, autocommit=True) as admin, asyncio.Runner() as runner:
        for name, role in identifiers.items():
            admin.execute(
                sql.SQL("create role {} {}").format(role, sql.SQL("bypassrls" if name == "bypasser" else "nologin"))
            )
        admin.execute(sql.SQL("grant {} to {}").format(identifiers["group"], identifiers["reader"]))
        try:
            subject = Subject(dsn, runner, roles)
            try:
                yield subject
            finally:
                subject.close()
        finally:
            for role in identifiers.values():
                admin.execute(sql.SQL("drop owned by {} cascade").format(role))
                admin.execute(sql.SQL("drop role {}").format(role))
