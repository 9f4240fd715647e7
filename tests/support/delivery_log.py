"""The truth that delivery is held against: what was committed, in order, and who could see what of it since when."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from tidewire.model.change import Change, Event, LogicalMessage, Operation
from tidewire.model.position import Lsn, StreamPosition
from tidewire.model.relation import Column, PgType, Relation
from tidewire.testing.rows import deleted, inserted, updated

INT, TEXT = PgType(23, "int4"), PgType(25, "text")
RULES_PREFIX: Final = "tidewire.rules"


def _table(oid: int, name: str) -> Relation:
    columns = (Column("id", INT, identity=True, primary=True), Column("owner", TEXT, identity=True))
    return Relation(oid, "public", name, "full", columns)


Stance = Literal["open", "own", "asked", "hidden"]
"""Who may see the rows of a table: everybody, their owners as we can judge or only Postgres can, nobody."""

AT_FIRST: Final[dict[str, Stance]] = {"notes": "open", "tasks": "own", "files": "asked"}
TABLES: Final = {name: _table(oid, name) for oid, name in enumerate(AT_FIRST, 1)}

Write = tuple[str, Operation, str, int]
"""Table, what to do, the owner from then on, and which of the rows that are there."""


class Committed(Struct, frozen=True):
    """One change. Those who judge it late may do so by any stance from `version` on."""

    place: tuple[int, int, int]
    """Number of the history, LSN, index: the order of all changes."""
    operation: Operation
    id: int
    owner: str | None
    old_owner: str | None
    version: int


class Commit(Struct, frozen=True):
    """What the log has of a transaction."""

    epoch: str
    lsn: int
    xid: int
    events: tuple[Event, ...]


class Break(Struct, frozen=True):
    """The log has a hole here, and a new history begins."""

    epoch: str
    lsn: int


class Log:
    """`items` is what is to be relayed, `changes` what readers of a table have to hear of, in order."""

    def __init__(self) -> None:
        self.items: list[Commit | Break] = []
        self.changes: dict[str, list[Committed]] = {name: [] for name in TABLES}
        self.stances: dict[str, list[Stance]] = {name: [stance] for name, stance in AT_FIRST.items()}
        self.epochs = ["one"]
        self.end = Lsn(101)
        self._rows: dict[str, dict[int, str]] = {name: {} for name in TABLES}
        self._xid = 700
        self._id = 0

    @property
    def epoch(self) -> str:
        return self.epochs[-1]

    def commit(self, writes: Sequence[Write]) -> None:
        lsn = self.end + 9
        self._append(lsn, [self._write(lsn, index, write) for index, write in enumerate(writes)])

    def change_rules(self, table: str, stance: Stance) -> None:
        """From here on, the rows of a table are for others."""
        self.stances[table].append(stance)
        lsn = Lsn(self.end + 9)
        self._append(lsn, [LogicalMessage(lsn, 0, RULES_PREFIX, b"")])

    def break_off(self, *, low: bool) -> None:
        """Begin a new history, with `low` in another log that is shorter."""
        self.epochs.append(f"e{len(self.epochs)}")
        self.end = Lsn(11 if low else self.end + 9)
        self.items.append(Break(self.epoch, self.end))

    def behind(self, table: str, position: StreamPosition) -> int:
        """Return how many changes of a table lie up to a position."""
        place = self.place(position)
        return bisect_right(self.changes[table], place, key=lambda change: change.place)

    def place(self, position: StreamPosition) -> tuple[int, int, int]:
        return self.epochs.index(position.epoch), position.lsn, position.index

    def sights(self, table: str, number: int, user: str) -> set[bool]:
        """Say whether somebody sees a change: by any of the rules that were in force since."""
        change = self.changes[table][number]
        return {_sees(stance, change, user) for stance in self.stances[table][change.version :]}

    def _append(self, lsn: int, events: Sequence[Event]) -> None:
        self._xid += 1
        self.items.append(Commit(self.epoch, lsn, self._xid, tuple(events)))
        self.end = Lsn(lsn + 1)

    def _write(self, lsn: int, index: int, write: Write) -> Change:
        table, operation, owner, pick = write
        rows, relation = self._rows[table], TABLES[table]
        if operation == "INSERT" or not rows:
            operation = "INSERT"
            self._id += 1
            id_, before = self._id, None
            change = inserted(relation, (str(id_), owner), lsn=lsn, index=index)
        else:
            id_ = sorted(rows)[pick % len(rows)]
            before = rows.pop(id_)
            old = (str(id_), before)
            if operation == "UPDATE":
                change = updated(relation, (str(id_), owner), old, lsn=lsn, index=index)
            else:
                change = deleted(relation, old, lsn=lsn, index=index)
        after = None if operation == "DELETE" else owner
        if after is not None:
            rows[id_] = after
        place = (len(self.epochs) - 1, lsn, index)
        version = len(self.stances[table]) - 1
        self.changes[table].append(Committed(place, operation, id_, after, before, version))
        return change


def _sees(stance: Stance, change: Committed, user: str) -> bool:
    if stance in {"open", "hidden"}:
        return stance == "open"
    return user == (change.old_owner if change.operation == "DELETE" else change.owner)
