"""A database with tables under row-level security, and both ways to find out who sees what."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql

from tests.support.policy_cases import SESSION
from tests.support.tables import open_pool
from tests.support.type_catalog import read_relation
from tidewire.model.change import Row
from tidewire.model.relation import Relation
from tidewire.postgres.policy_answers import PolicyAnswers, PolicyQuestion
from tidewire.postgres.pool import Pool
from tidewire.postgres.rules import PostgresRules

Settings = Mapping[str, str]

ADA, BOB, EVE = (f"0000000{n}-0000-4000-8000-00000000000a" for n in range(3))


def claims(**values: Any) -> Settings:
    return {"request.jwt.claims": json.dumps(values)}


SESSIONS: list[Settings] = [
    claims(sub=ADA, role="authenticated", plan="pro", level=2),
    claims(sub=BOB, role="authenticated", plan="free", teams=[1, 3]),
    claims(sub=EVE, role="authenticated", name="\"Eve\\ {x},'$1' %s é"),
    {"request.jwt.claim.sub": ADA, "request.jwt.claims": ""},
    {},
]

SCHEMA = (
    "create type mood as enum ('sad', 'ok', 'so happy')",
    'create type address as (street text, "Zip Code" varchar(5))',
    "create domain rating as int4 not null check (value >= 0)",
    "create domain email as text check (value ~ '@')",
    "create table teams (id int primary key, plan text)",
    "create table members (team int, who uuid, primary key (team, who))",
    """create table posts (
      id int primary key, owner uuid, team int, gone text, title text, code varchar(3), padded char(4),
      price numeric(6, 2), tags text[], home address, homes address[], doc jsonb, raw json, bytes bytea, feeling mood,
      stars rating, contact email, "Odd ""Name" text, at timestamptz, span int4range, "order" int
    )""",
    "alter table posts drop column gone",
    "create schema private",
    """create function private.in_team(which int) returns boolean language sql stable security definer
       set search_path = '' return exists (select from public.members m where m.team = which and m.who = auth.uid())""",
    "create function cheap(post posts) returns boolean language sql stable as $$ select post.price < 2 $$",
    """create function strict_uid() returns uuid language plpgsql stable as $$ begin
         if auth.uid() is null then raise exception 'who are you?'; end if; return auth.uid(); end $$""",
    """create function remembered() returns text language plpgsql as $$ begin
         if coalesce(current_setting('app.who', true), '') = '' then
           perform set_config('app.who', auth.uid()::text, true);
         end if;
         return current_setting('app.who'); end $$""",
    "insert into teams values (1, 'pro'), (2, 'free'), (3, 'pro')",
    f"insert into members values (1, '{ADA}'), (2, '{BOB}'), (3, '{BOB}'), (3, '{EVE}')",
    f"""insert into posts values
      (1, '{ADA}', 1, 'plain', 'abc', 'ab', 1.50, '{{a,"b c"}}', '("Main St, 1",12345)', '{{"(a,1)","(,)"}}',
        '{{"to": ["{BOB}"], "n": 1}}', '{{"a":  "b"}}', '\\x00ff', 'so happy', 1, 'a@b', 'x''y', '2024-01-01 10:00+02',
        '[1,5)', 1),
      (2, '{BOB}', 2, E'it''s \\\\ "x"\\n', '', '', -1, '{{}}', '(,)', '{{}}', '[]', '[]', '', 'sad', 0, null, '',
        'infinity', 'empty', 2),
      (3, null, 3, null, null, null, null, null, null, null, null, null, null, null, 3, null, null, null, null, null),
      (4, '{EVE}', null, '%s {{}} $1 é', 'é', 'abcd', 9999.99, '{{NULL,"NULL"}}', '("\\"q\\"",)', null, 'null', 'null',
        '\\x5c', 'ok', 5, 'eve@x', '"', '0044-03-15 BC', '(,)', 0)""",
    "alter table posts enable row level security",
    "alter table members enable row level security",
    "create policy own on members using (who = auth.uid())",
    "grant usage on schema public to authenticated",
    "grant select on posts, teams, members to authenticated",
)


POLICIES = (
    "true",
    "owner = auth.uid()",
    "owner = (select auth.uid())",
    "exists (select from members m where m.team = posts.team and m.who = auth.uid())",
    "team in (select m.team from members m)",
    "team not in (select m.team from members m where m.who = (select auth.uid()))",
    "exists (select from members m join teams t on t.id = m.team where m.team = posts.team and t.plan = 'pro')",
    "(select plan from teams where teams.id = posts.team) = 'pro' and auth.uid() is not null",
    "private.in_team(team)",
    "cheap(posts)",
    "posts is not null or (posts.*)::text like '%eve@x%'",
    "lower(title) = 'plain' or title like '%x%'",
    "code || 'x' = 'abcx' or padded = 'ab' or length(padded) = 4",
    "price % 1 = 0.5 or price < 0",
    "'b c' = any (tags) or tags[1] is null and cardinality(tags) = 2",
    "(home).street like 'Main%' or (homes[1]).\"Zip Code\" = '1'",
    "doc @> jsonb_build_object('to', jsonb_build_array(auth.uid())) or raw ->> 'a' = 'b'",
    "encode(bytes, 'hex') = '00ff' or encode(bytes, 'escape') = '\\\\\\\\'",
    "feeling > 'sad' and stars + 1 > 1",
    "contact like 'eve%' or upper(contact) = 'A@B'",
    '"Odd ""Name" = \'"\' or "order" + 1 = 2',
    "extract(hour from at) = 8 or at > now()",
    "span @> 3",
    "case when title ~ '^[0-9]+$' then title::int > 5 else id = 3 end",
    "auth.jwt() ->> 'name' like '%Eve\\\\%'",
    "current_setting('request.jwt.claim.sub', true) = owner::text",
    "remembered() = owner::text",
    "current_user = 'authenticated' and id > 1 + 1",
    "(auth.jwt() -> 'teams') @> to_jsonb(team)",
    # The statement is parsed again as the reader, who has no way into the schema of the function.
    "exists (select from members m where m.team = posts.team) and private.in_team(team)",
    "team in (select m.team from members m) and private.in_team(team) and cheap(posts)",
    "exists (select from members) and private.in_team((select max(id) from teams where plan = 'free'))",
)


class Case:
    """A database, and who sees what by the answers and by the table itself."""

    def __init__(self, dsn: str, pool: Pool, answers: PolicyAnswers) -> None:
        self.dsn = dsn
        self.pool = pool
        self.answers = answers
        self.connection: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
        self.connection.execute(SESSION)

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.connection.execute(statement.encode())

    def policy(self, using: str, table: str = "posts") -> None:
        self.run(f"drop policy if exists p on {table}", f"create policy p on {table} for select using ({using})")

    def relation(self, table: str = "posts") -> Relation:
        return read_relation(self.connection, table)

    def rows(self, table: str = "posts", columns: str = "*") -> list[Row]:
        """Return the rows as the log would have them, in the order of the first column."""
        result = self.connection.execute(f"select {columns} from {table} order by 1".encode()).pgresult
        assert result is not None
        return [
            tuple(None if (raw := result.get_value(row, at)) is None else raw.decode() for at in range(result.nfields))
            for row in range(result.ntuples)
        ]

    async def question(
        self, table: str = "posts", sessions: Sequence[Settings] = SESSIONS, role: str = "authenticated"
    ) -> PolicyQuestion:
        relation = self.relation(table)
        rule = await PostgresRules(self.pool).read(role, relation)
        assert rule is not None
        assert rule.restriction is not None
        return PolicyQuestion(role, relation, rule.restriction, self.rows(table), sessions)

    async def ask(self, table: str = "posts", sessions: Sequence[Settings] = SESSIONS) -> list[list[bool]]:
        return await self.answers.answer(await self.question(table, sessions))

    def shown(self, table: str = "posts", sessions: Sequence[Settings] = SESSIONS) -> list[list[bool]]:
        """Ask the table itself, by its first column. It must not fail."""
        key = sql.Identifier(self.relation(table).columns[0].name).as_string(None)
        keys = self.rows(table, key)
        seen = [self._select(table, key, session) for session in sessions]
        return [[row in each for row in keys] for each in seen]

    def _select(self, table: str, key: str, session: Settings) -> list[Row]:
        with self.connection.transaction(force_rollback=True):
            self.connection.execute("set local role authenticated")
            for name in ("request.jwt.claims", "request.jwt.claim.sub"):
                self.connection.execute("select set_config(%s, %s, true)", [name, session.get(name, "")])
            return self.rows(table, key)


@asynccontextmanager
async def open_case(dsn: str, *, size: int = 4, **limits: Any) -> AsyncIterator[Case]:
    async with open_pool(dsn, size=size) as pool:
        case = Case(dsn, pool, PolicyAnswers(pool, **{"timeout_s": 5.0, "most_s": 30.0, **limits}))
        with case.connection:
            yield case


def failures(logs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    return [(log["table"], log["sqlstate"], log["sessions"]) for log in logs if log["event"] == "policy_failed"]


def nobody(question: PolicyQuestion) -> list[list[bool]]:
    return [[False] * len(question.rows) for _ in question.sessions]
