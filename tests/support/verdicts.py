"""A table under policies of every kind, readers of every kind, and both ways to learn who is told of a row."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import psycopg
import pytest
from msgspec import Struct

from tests.support.server import RealtimeServer, SocketClient, token
from tidewire.postgres.policy_answers import PolicyAnswers

ADA, BOB = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
OPERATOR: Final = {"authorization": f"Bearer {token('service_role')}"}

DEEDS: Final = (
    "create table teams (team int, member uuid)",
    f"insert into teams values (1, '{ADA}'), (2, '{BOB}'), (2, '{ADA}')",
    """create table deeds (
         id bigint primary key, owner uuid, team int, title text, stars numeric, shown bool, flag char(3),
         at timestamptz)""",
    "alter table deeds enable row level security",
    "alter publication supabase_realtime add table deeds",
    "grant select on teams to authenticated",
    "grant select on deeds to authenticated, service_role",
    "grant select (id, title, shown, stars) on deeds to anon",
    'create policy "marks" on deeds for select using (id < 0)',
    'create policy "own" on deeds for select to authenticated using (owner = (select auth.uid()))',
    'create policy "shown" on deeds for select to anon, authenticated using (shown)',
    """create policy "team" on deeds for select to authenticated
       using (exists (select from teams as t where t.team = deeds.team and t.member = auth.uid()))""",
    'create policy "stars" on deeds as restrictive for select to authenticated using (stars >= 0)',
    """create policy "division" on deeds as restrictive for select to anon
       using (shown or 10 / (stars - 5)::int < 100)""",
)
"""Compiled and left to Postgres, permissive and restrictive, NULL for some rows and an error for others."""

Record = Mapping[str, Any]


class Reader(Struct, frozen=True):
    """Who asks for what."""

    role: str
    user: str | None = None
    filter: str = ""
    event: str = "*"

    @property
    def apikey(self) -> str:
        return token(self.role, sub=self.user or ...)

    def wish(self, record: Record) -> dict[str, Any]:
        """Return the question why this row does or does not reach this reader."""
        return {
            "table": "deeds",
            "record": record,
            "role": self.role,
            "user": self.user,
            "filter": self.filter,
            "wanted": self.event,
        }


READERS: Final = (
    Reader("authenticated", ADA),
    Reader("authenticated", BOB, "stars=gt.2"),
    Reader("authenticated", None, "title=in.(a,b)"),
    Reader("anon", None),
    Reader("service_role", None, "shown=eq.true", "INSERT"),
)


@contextmanager
def unhurried() -> Iterator[None]:
    """Give policies time that servers do not: whether a busy machine is quick enough is not what is asked here."""
    limits = PolicyAnswers.__init__.__kwdefaults__
    assert limits is not None
    with pytest.MonkeyPatch.context() as patch:
        for name in ("timeout_s", "most_s"):
            patch.setitem(limits, name, 15.0)
        yield


@contextmanager
def following(served: RealtimeServer) -> Iterator[Sequence[SocketClient]]:
    """Let all readers follow the table, each by what it wishes for and by the marks that end a test."""
    with ExitStack() as stack:
        clients = []
        for reader in READERS:
            client = stack.enter_context(served.connect(apikey=reader.apikey))
            asked = {"schema": "public", "table": "deeds"}
            wishes = [
                {**asked, "event": reader.event, "filter": reader.filter},
                {**asked, "event": "*", "filter": "id=lt.0"},
            ]
            client.join("realtime:deeds", postgres_changes=wishes)
            clients.append(client)
        yield clients


def insert(dsn: str, records: Sequence[Record], mark: int) -> None:
    """Commit rows, and behind them a row that every reader is told of."""
    rows = [*records, {"id": mark, "stars": 0, "shown": True}]
    with psycopg.connect(dsn) as connection:
        for row in rows:
            connection.execute(
                "insert into deeds select * from jsonb_populate_record(null::deeds, %s::jsonb)", (json.dumps(row),)
            )


def told(client: SocketClient, mark: int) -> dict[int, set[str]]:
    """Return the rows that a reader was told of before the mark, each with the columns that it was shown."""
    heard: dict[int, set[str]] = {}
    while True:
        data = client.receive("postgres_changes")["payload"]["data"]
        number = data["record"].get("id")
        if number == mark:
            return heard
        heard[number] = set(data["record"])


def verdict(served: RealtimeServer, wish: Mapping[str, Any]) -> Any:
    answer = served.post("/console/api/verdict", wish, **OPERATOR)
    assert answer.status == 200, answer.body
    return answer.json
