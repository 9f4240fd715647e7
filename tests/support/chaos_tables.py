"""The tables of the chaos, its readers, and who of them may see what: the same rule in SQL and in Python.

Rows belong to users, users to teams. One column is for nobody but the service; strangers see keys and versions only.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from msgspec import Struct

USERS: Final = 20
TEAMS: Final = 10
TABLES: Final = ("open_rows", "own_rows", "near_rows", "team_rows")
"""Everybody may see the rows of the first, owners those of the second, of the third only Postgres can tell, and of the
last the claims do. Tables that are added later are like the second."""

OWN: Final = "owner = auth.uid()"
POLICIES: Final = {
    "own_rows": OWN,
    "near_rows": "exists (select from circles where who = auth.uid() and friend = near_rows.owner)",
    "team_rows": "team = (auth.jwt() ->> 'team')::int",
}
SPARE: Final = "spare"
"""A column to be dropped."""
COLUMNS: Final = f"""(id bigint primary key, owner uuid not null, version bigint not null, team int not null,
                      {SPARE} int, secret text not null default 'for the service')"""
SHOWN: Final = "id, owner, version, team"


def user(number: int) -> str:
    return f"00000000-0000-4000-8000-{number % USERS:012d}"


def team(owner: str) -> int:
    return int(owner[-12:]) % TEAMS


def statements(table: str) -> Sequence[str]:
    """Return what makes and publishes a table."""
    policy = POLICIES.get(table, OWN)
    secured = (
        ()
        if table == "open_rows"
        else (
            f"alter table {table} enable row level security",
            f"create policy readers on {table} to authenticated using ({policy})",
        )
    )
    return (
        f"create table {table} {COLUMNS}",
        f"alter table {table} replica identity full",
        f"grant select ({SHOWN}) on {table} to authenticated",
        f"grant select on {table} to service_role",
        *secured,
        f"alter publication supabase_realtime add table {table}",
    )


CREATE: Final = (
    "create table circles (who uuid, friend uuid, primary key (who, friend))",
    "grant select on circles to authenticated",
    "create sequence versions",
    """create table history (version bigint primary key, tab text, op text, id bigint, old_owner uuid, new_owner uuid,
                             identity "char")""",
    *(statement for table in TABLES for statement in statements(table)),
    "grant select (id, version) on open_rows, own_rows to anon",
)
"""A row of the history is written with the change that it is about."""


def prepare(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        for statement in CREATE:
            admin.execute(statement.encode())
        for number in range(USERS):
            for friend in (number, number + 1):
                admin.execute("insert into circles values (%s, %s)", [user(number), user(friend)])


class Reader(Struct, frozen=True):
    """Whoever has a token: a user of a team, a stranger or the service."""

    number: int
    role: str = "authenticated"

    @property
    def claims(self) -> Mapping[str, Any]:
        return {"role": self.role, "sub": user(self.number), "team": team(user(self.number))}

    def sees(self, table: str, owner: str) -> bool:
        """Say whether the rows of an owner are this one's to see."""
        if self.role == "service_role" or table == "open_rows":
            return True
        if self.role == "anon":
            return False
        if table == "near_rows":
            return owner in {user(self.number), user(self.number + 1)}
        if table == "team_rows":
            return team(owner) == team(user(self.number))
        return owner == user(self.number)

    def may_hold(self, table: str, record: Mapping[str, Any]) -> bool:
        """Say whether what is shown of a row is this one's to see: its columns, and its owner's rows if it has one."""
        if self.role == "service_role":
            return True
        if self.role == "anon":
            return record.keys() <= {"id", "version"}
        return "secret" not in record and ("owner" not in record or self.sees(table, record["owner"]))
