"""The leak hunt: rounds of random policies, writers and readers; every frame is held against what Postgres shows.

`Hunt.round` plays one, and `tally` says what was found: nothing may have leaked, been lost, come twice or out of order.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, Final

from psycopg import sql

from tests.support.hunt_oracle import CREATE, FILTERS, Asker, Expected, HuntWish, Write, expect
from tests.support.hunt_tables import (
    TABLES,
    change_rules,
    create_policy,
    create_tables,
    drop_policies,
    grant_columns,
    random_claims,
)
from tests.support.hunt_writers import Writer
from tests.support.row_security import Reader, Stage, Told, staged, wish

READERS: Final = 8
WRITERS: Final = 3
CHANGES: Final = 3
"""How often rules change in a round, while everybody writes."""

SHOWN: Final = 5


class Hunt:
    """Play rounds, then look at `tally` and `examples`."""

    def __init__(self, stage: Stage, dice: Random, *, policies: bool) -> None:
        """Without `policies`, row-level security is off: privileges and filters alone decide."""
        self.tally: Counter[str] = Counter(leaked=0, lost=0, repeated=0, out_of_order=0, checked=0, writes=0)
        self.examples: list[str] = []
        self._stage = stage
        self._dice = dice
        self._policies = policies

    def round(self, *, transactions: int, changes: int = CHANGES, pretend: Mapping[str, str] | None = None) -> None:
        """Make up rules and readers, write so many transactions per writer, and check every frame.

        `pretend` gives readers of one role tokens of another, unknown to the oracle: to see that it finds that out.
        """
        self._make_rules()
        askers = [self._make_asker(number) for number in range(READERS)]
        readers = [self._follow(asker, pretend or {}) for asker in askers]
        question = json.dumps([asker.question() for asker in askers])
        told: list[list[tuple[str, Told]]] = [[] for _ in readers]
        writers = [
            Writer(self._stage.admin.info.dsn, question, Random(self._dice.random()), transactions=transactions)  # noqa: S311 - the same every time
            for _ in range(WRITERS)
        ]
        self._listen(readers, told)
        for writer in writers:
            writer.start()
        try:
            for _ in range(changes):
                self._change_rules()
                self._listen(readers, told)
        finally:
            writes = [write for writer in writers for write in writer.finish()]
        self._listen(readers, told)
        for reader in readers:
            reader.client.raw.socket.close()
        self.tally["writes"] += len(writes)
        for number, asker in enumerate(askers):
            self._check(number, asker, writes, told[number])

    def summary(self) -> str:
        return " ".join(f"{name} {count}" for name, count in self.tally.items())

    def _make_rules(self) -> None:
        admin = self._stage.admin
        for table in TABLES:
            admin.execute(sql.SQL("truncate {}").format(sql.Identifier(table)))
            for statement in (*drop_policies(admin, table), *grant_columns(table, self._dice)):
                admin.execute(statement)
            if self._policies:
                admin.execute(sql.SQL("alter table {} enable row level security").format(sql.Identifier(table)))
                for _ in range(self._dice.choice([1, 1, 2, 3])):
                    admin.execute(create_policy(table, self._dice))

    def _change_rules(self) -> None:
        """Change those of one table. What was changed before has taken effect: a row was written and told since."""
        table = self._dice.choice(TABLES)
        if self._policies:
            self.tally[f"rules:{change_rules(self._stage.admin, table, self._dice)}"] += 1
            return
        with self._stage.admin.transaction():
            self._stage.admin.execute(sql.SQL("lock table {} in access exclusive mode").format(sql.Identifier(table)))
            for statement in grant_columns(table, self._dice):
                self._stage.admin.execute(statement)

    def _make_asker(self, number: int) -> Asker:
        role = "service_role" if number == READERS - 1 else self._dice.choice(["anon", *["authenticated"] * 4])
        claims = {"role": role, "exp": 4_000_000_000, **random_claims(number, self._dice)}
        return Asker(role, claims, {table: self._make_wish(table) for table in TABLES})

    def _make_wish(self, table: str) -> HuntWish:
        dice = self._dice
        wanted = None
        if dice.random() < 0.25:
            wanted = ("version", *dice.sample(["owner", "title", "rank", "public", "moment"], 2))
        return HuntWish(
            table,
            event=dice.choice(["*", "*", "*", "INSERT", "UPDATE", "DELETE"]),
            filter=dice.choice(["", *FILTERS]),
            select=wanted,
            moves=self._policies and table == "whole" and dice.random() < 0.5,
        )

    def _follow(self, asker: Asker, pretend: Mapping[str, str]) -> Reader:
        wishes = []
        for each in asker.wishes.values():
            more: dict[str, Any] = {"filter": each.filter} if each.filter else {}
            more |= {"select": list(each.select)} if each.select else {}
            wishes.append(wish(each.event, each.table, **more, **({"moves": True} if each.moves else {})))
        claims = {name: value for name, value in asker.claims.items() if name not in {"role", "sub", "exp"}}
        role = pretend.get(asker.role, asker.role)
        return self._stage.reader(asker.claims.get("sub", ...), *wishes, role=role, **claims)

    def _listen(self, readers: Sequence[Reader], told: Sequence[list[tuple[str, Told]]]) -> None:
        for number, reader in enumerate(readers):
            told[number].extend(reader.told_by_table())

    def _check(self, number: int, asker: Asker, writes: Sequence[Write], told: Sequence[tuple[str, Told]]) -> None:
        expected = {write.version: expect(write, number, asker.wishes[write.table]) for write in writes}
        finder = _Finder(writes, expected)
        last: dict[tuple[str, Any], int] = {}
        seen: set[int] = set()
        partly: dict[int, Told] = {}
        for table, each in told:
            self.tally["checked"] += 1
            write = finder.find(table, each)
            allowed = expected[write.version] if write else None
            if write is None or allowed is None or not _within(each, allowed.told):
                self._found("leaked", asker, table, each, allowed)
                continue
            if each != allowed.told:  # less than what was promised
                partly[write.version] = each
                continue
            if write.version in seen:
                self._found("repeated", asker, table, each, allowed)
            seen.add(write.version)
            if last.get((table, each.key), 0) > write.version:
                self._found("out_of_order", asker, table, each, allowed)
            last[table, each.key] = write.version
        for write in writes:
            missing = expected[write.version]
            if missing is not None and missing.promised and write.version not in seen:
                self._found("lost", asker, write.table, partly.get(write.version), missing)

    def _found(self, what: str, asker: Asker, table: str, told: Told | None, expected: Expected | None) -> None:
        self.tally[what] += 1
        if sum(example.startswith(what) for example in self.examples) < SHOWN:
            who = f"{asker.role} {dict(asker.claims)} {asker.wishes[table]}"
            rules = self._stage.admin.execute(
                "select concat_ws(' ', case when polpermissive then 'or' else 'and' end, polroles::regrole[],"
                " pg_get_expr(polqual, polrelid)) from pg_policy where polrelid = %s::regclass",
                [table],
            ).fetchall()
            self.examples.append(f"{what}: {who}\n  told {told}\n  expected {expected}\n  rules in the end {rules}")


def _within(told: Told, allowed: Told) -> bool:
    """Tell whether there is nothing in a frame but what may be in it; less is no leak."""
    if (told.event, told.moved, told.errors) != (allowed.event, allowed.moved, allowed.errors):
        return False
    pairs = ((told.new, allowed.new), (told.old, allowed.old))
    return all(_part(given, of) for given, of in pairs)


def _part(given: Mapping[str, Any] | None, of: Mapping[str, Any] | None) -> bool:
    return given is None or (of is not None and all(name in of and of[name] == value for name, value in given.items()))


class _Finder:
    """Finds the write that a frame is about: by the version in the row, or for want of a row by the key."""

    def __init__(self, writes: Sequence[Write], expected: Mapping[int, Expected | None]) -> None:
        self._by_version = {write.version: write for write in writes}
        self._gone: dict[tuple[str, int | None, str | None], list[Write]] = defaultdict(list)
        for write in writes:
            allowed = expected[write.version]
            moved = allowed.told.moved if allowed else None
            if write.operation == "DELETE" or moved == "out":
                self._gone[write.table, write.old_key, moved].append(write)

    def find(self, table: str, told: Told) -> Write | None:
        if told.new is not None:
            found = self._by_version.get(told.new.get("version", 0))
            return found if found is not None and found.table == table else None
        left = self._gone[table, told.key, told.moved]
        return left.pop(0) if left else None


@contextmanager
def hunting(dsn: str, seed: int, *, policies: bool) -> Iterator[Hunt]:
    """Prepare a database and serve it; the same seed makes up the same rules, rows and readers."""
    dice = Random(seed)  # noqa: S311 - the same every time
    # Readers of a long hunt have their hands full, and send no heartbeats.
    with staged(dsn, CREATE, idle_s=3600, outbox_bytes=8 * 2**20, send_buffer_bytes=8 * 2**20) as stage:
        create_tables(stage.admin, dice)
        stage.last_rows = {table: f"insert into {table} (id, version) values ({{key}}, 0)" for table in TABLES}
        yield Hunt(stage, dice, policies=policies)
