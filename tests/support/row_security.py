"""A database with policies, the server in front of it, and readers who know when they have been told everything.

Changes of one table reach everybody in commit order. So when somebody whom no policy binds has been told of a row that
is written last, every other reader has been sent what there was to send; a row of a table that is open to everyone then
ends what they are to read.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from msgspec import Struct
from psycopg import sql

from tests.support.log import run
from tests.support.proxy import BreakableProxy
from tests.support.server import RealtimeServer, SocketClient, migrate, realtime, token
from tidewire.postgres.migrate import keep_up

ADA = "00000000-0000-4000-8000-00000000ada0"
BOB = "00000000-0000-4000-8000-00000000b0b0"

NOTES = (
    "create table notes (id int primary key, owner uuid, body text)",
    "grant select on notes to anon, authenticated, service_role",
    "alter table notes enable row level security",
    "alter publication supabase_realtime add table notes",
)
FULL = "alter table notes replica identity full"

OWN = {"compiled": "owner = auth.uid()", "asked": "owner::text like auth.uid()::text"}
"""The same policy, within what is compiled and outside of it: Postgres is asked about the second."""

SUBSCRIBED = "Subscribed to PostgreSQL"
SETTLED: Mapping[str, Any] = {"token_interval_s": 0.01, "refusal_delay_s": 0.0}


class Told(Struct, frozen=True):
    """What a reader was told of one change; `old` is None where the frame had none."""

    event: str
    new: Mapping[str, Any] | None = None
    old: Mapping[str, Any] | None = None
    moved: str | None = None
    errors: tuple[str, ...] = ()

    @property
    def key(self) -> Any:
        """The id of the row, from wherever it stands."""
        return ((self.new or None) or self.old or {}).get("id")

    @property
    def is_last_row(self) -> bool:
        """Whether this is about a row that `Stage.flush` has written."""
        return isinstance(self.key, int) and self.key < 0


def note(key: int, owner: str | None = ADA, body: str | None = None) -> dict[str, Any]:
    """Return a row of the table `notes` as it is on the wire."""
    return {"id": key, "owner": owner, "body": body}


def inserted(row: Mapping[str, Any]) -> Told:
    return Told("INSERT", row)


def updated(row: Mapping[str, Any], old: Mapping[str, Any]) -> Told:
    return Told("UPDATE", row, old)


def deleted(key: int) -> Told:
    return Told("DELETE", None, {"id": key})


def moved_in(row: Mapping[str, Any]) -> Told:
    return Told("INSERT", row, moved="in")


def moved_out(key: int) -> Told:
    return Told("DELETE", None, {"id": key}, moved="out")


def policy(using: str, *, name: str = "p", table: str = "notes", kind: str = "permissive", to: str = "public") -> str:
    return f"create policy {name} on {table} as {kind} for select to {to} using ({using})"


class Reader:
    """A client with one channel, whose changes `told` returns."""

    topic = "realtime:notes"

    def __init__(self, stage: "Stage", client: SocketClient, signed: str, wishes: Sequence[Mapping[str, Any]]) -> None:
        self.stage = stage
        self.client = client
        self._told_early: list[dict[str, Any]] = []
        self.tables = tuple(dict.fromkeys(str(each["table"]) for each in wishes))
        bindings = [*wishes, {"event": "INSERT", "schema": "public", "table": "marks"}]
        self.client.push(
            self.topic,
            "phx_join",
            {"config": {"presence": {"enabled": False}, "postgres_changes": bindings}, "access_token": signed},
        )
        reply = self.client.receive("phx_reply")["payload"]
        assert reply["status"] == "ok", reply

    def expect_live(self) -> None:
        """Wait for the word that the bindings are live; fails with the refusal if there is one."""
        said = self.system()
        assert said == ("ok", SUBSCRIBED), said

    def system(self) -> tuple[str, str]:
        """Return status and text of the next message about the channel's bindings."""
        while (message := self.client.receive("system", "postgres_changes"))["event"] != "system":
            self._told_early.append(message["payload"]["data"])
        return message["payload"]["status"], message["payload"]["message"]

    def told(self) -> list[Told]:
        """Return what was told of everything that has been committed, and not been returned before."""
        return [told for _, told in self.told_by_table()]

    def told_by_table(self) -> list[tuple[str, Told]]:
        """Return the same, each with the name of its table."""
        self.stage.flush(self.tables)
        mark = self.stage.mark()
        told: list[tuple[str, Told]] = []
        early, self._told_early = iter(self._told_early), []
        while True:
            data = next(early, None) or self.client.receive("postgres_changes")["payload"]["data"]
            each = _read(data)
            if data["table"] != "marks":
                if not each.is_last_row:
                    told.append((data["table"], each))
            elif each.key == mark:
                return told

    def settle(self) -> list[str]:
        """Wait until what can be had is live, and return why the rest cannot."""
        refusals = []
        while (said := self.system()) != ("ok", SUBSCRIBED):
            refusals.append(said[1])
        return refusals

    def told_keys(self) -> list[Any]:
        """Return of the same only the rows' ids; whatever was told without a row does not count."""
        return [each.key for each in self.told() if each.key is not None]

    def renew(self, role: str = "authenticated", **claims: Any) -> None:
        """Go on with another token; returns once it counts."""
        self.client.push(self.topic, "access_token", {"access_token": token(role, **claims)})
        self.expect_live()


def _read(data: Mapping[str, Any]) -> Told:
    errors = tuple(data["errors"] or ())
    return Told(data["type"], data.get("record"), data.get("old_record"), data.get("moved"), errors)


class Stage:
    """Write through `admin`, a superuser who commits every statement; readers are closed with the stage."""

    def __init__(
        self, admin: psycopg.Connection[Any], server: RealtimeServer, stack: ExitStack, proxy: BreakableProxy | None
    ) -> None:
        self.admin = admin
        self.server = server
        self._stack = stack
        self._proxy = proxy
        self._marks = itertools.count(1)
        self._unbound: dict[str, Reader] = {}
        self.last_rows: dict[str, str] = {}
        """For a table whose rows need more than an id: a statement that inserts one with the id `{key}`."""
        self.partitions: dict[str, Sequence[str]] = {}

    def reader(
        self, sub: object = ..., *wishes: Mapping[str, Any], role: str = "authenticated", **claims: Any
    ) -> Reader:
        """Let somebody follow `notes`, or what the wishes say; returns when every later commit will be told."""
        reader = self.asking(sub, *wishes, role=role, **claims)
        reader.expect_live()
        return reader

    def settled_reader(self, *asked: Any, **more: Any) -> Reader:
        """Do the same, and have a row of each table judged, so that the rules have been in use before what follows."""
        reader = self.reader(*asked, **more)
        reader.told()
        return reader

    def asking(
        self, sub: object = ..., *wishes: Mapping[str, Any], role: str = "authenticated", **claims: Any
    ) -> Reader:
        """Do the same without waiting: what becomes of the wishes is what `system` returns."""
        wanted = wishes or (wish(),)
        client = self._stack.enter_context(self.server.connect())
        return Reader(self, client, token(role, sub=sub, **claims), wanted)

    def mark(self) -> int:
        """Commit a row that everybody sees, and return its number."""
        number = next(self._marks)
        self.admin.execute("insert into marks values (%s)", [number])
        return number

    def flush(self, tables: Sequence[str]) -> None:
        """Return when everybody has been sent what they are to know of these tables."""
        for table in (part for each in tables for part in self.partitions.get(each, (each,))):
            if table not in self._unbound:
                self._unbound[table] = self.reader(..., wish("INSERT", table), role="service_role")
            key = -next(self._marks)
            run(self.admin, self.last_rows.get(table, f"insert into {table} (id) values ({{key}})").format(key=key))
            while _read(self._unbound[table].client.receive("postgres_changes")["payload"]["data"]).key != key:
                pass

    def run(self, *statements: str) -> None:
        """Run statements, each in its own transaction."""
        run(self.admin, *statements)

    def insert(self, key: int, owner: str | None = ADA, body: str | None = None) -> dict[str, Any]:
        """Insert into `notes`, and return the row as it is on the wire."""
        self.admin.execute("insert into notes values (%s, %s, %s)", [key, owner, body])
        return note(key, owner, body)

    def update(self, key: int, **values: Any) -> None:
        changes = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values)
        self.admin.execute(sql.SQL("update notes set {} where id = %s").format(changes), [*values.values(), key])

    def delete(self, key: int) -> None:
        self.admin.execute("delete from notes where id = %s", [key])

    @contextmanager
    def transaction(self, *statements: str) -> Iterator[None]:
        """Run statements beside the stage's own, and take them back when the block ends."""
        with psycopg.connect(self.admin.info.dsn) as connection:
            run(connection, *statements)
            try:
                yield
            finally:
                connection.rollback()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the server from reading anything until the block ends: then it finds all that was committed at once."""
        assert self._proxy is not None
        self._proxy.freeze()
        try:
            yield
        finally:
            self._proxy.thaw()


def wish(event: str = "*", table: str = "notes", **more: Any) -> dict[str, Any]:
    """Write a binding: `filter`, `select` and `moves` are what else there is."""
    return {"event": event, "schema": "public", "table": table, **more}


@contextmanager
def staged(dsn: str, *statements: str, proxy: BreakableProxy | None = None, **settings: Any) -> Iterator[Stage]:
    """Run the statements in a migrated database, and serve it; through a proxy, the stage can hold the server up."""
    migrate(dsn)  # where it is a copy of one that was migrated there is nothing left to do
    with psycopg.connect(dsn, autocommit=True) as admin, ExitStack() as stack:
        run(
            admin,
            "create table marks (id int primary key)",
            "grant select on marks to public",
            "alter publication supabase_realtime add table marks",
            *statements,
        )
        keep_up(admin)  # now, so that the server does not do it while a test looks at what the log says
        served = stack.enter_context(realtime(proxy.dsn if proxy else dsn, **{**SETTLED, **settings}))
        yield Stage(admin, served, stack, proxy)
