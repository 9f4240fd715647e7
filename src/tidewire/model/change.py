"""What happened: a `Change` to a row or a `LogicalMessage`, within a `Transaction`, the unit of confirming.

A row stays the bytes of its log message until somebody reads it: most rows of most tables are read by nobody.
"""

from collections.abc import Hashable, Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct
from msgspec.structs import force_setattr

from tidewire.model.position import Lsn
from tidewire.model.relation import Relation

ABSENT: Final = False
"""Stands where the log carries no value: an unchanged TOASTed column, or a column outside the replica identity."""

Value = str | Literal[False] | None
"""A column's text as Postgres writes it, None for NULL, or ABSENT."""

Row = tuple[Value, ...]
"""One row, aligned with `Relation.columns`."""

Operation = Literal["INSERT", "UPDATE", "DELETE", "TRUNCATE"]


Rows = tuple[Row | None, Row | None]
"""The new row and the old one, as far as there are any."""


class Shape(Hashable, Protocol):
    """One version of a table, and how its rows are read out of the log; `wal.row_decoder` implements it."""

    @property
    def relation(self) -> Relation:
        """The table as it was when the row changed: the same object for every change of this shape."""
        ...

    def read(self, operation: Operation, data: bytes) -> Rows:
        """Take a log message apart. Raises DecodeError, and nothing else, when it is damaged."""
        ...


class Change(Struct, frozen=True, gc=False, eq=False):
    """One row changed. `(lsn, index)`, commit LSN and place in the transaction, is its identity everywhere.

    `data` is the whole log message, empty for a TRUNCATE. `new` and `old` read it when they are first asked for and
    raise DecodeError then: whoever reads a row must be ready for one that is damaged. Changes are equal when their
    place, their relation and their bytes are.
    """

    lsn: Lsn
    index: int
    operation: Operation
    shape: Shape
    data: bytes
    _rows: Rows | None = None
    """What was read, kept so that a change is decoded once however many readers it has."""

    @property
    def relation(self) -> Relation:
        return self.shape.relation

    @property
    def new(self) -> Row | None:
        """The row as it is now; None for DELETE and TRUNCATE."""
        return (self._rows or self._read())[0]

    @property
    def old(self) -> Row | None:
        """What the log kept of the row as it was; None when it kept nothing, and for INSERT and TRUNCATE."""
        return (self._rows or self._read())[1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Change):
            return NotImplemented
        mine = (self.lsn, self.index, self.operation, self.data, self.relation)
        return mine == (other.lsn, other.index, other.operation, other.data, other.relation)

    def __hash__(self) -> int:
        return hash((self.lsn, self.index))

    def _read(self) -> Rows:
        rows = self.shape.read(self.operation, self.data)
        force_setattr(self, "_rows", rows)  # a memory of what the other fields say, so the value does not change
        return rows


class LogicalMessage(Struct, frozen=True, gc=False):
    """A transactional message written with pg_logical_emit_message."""

    lsn: Lsn
    index: int
    prefix: str
    content: bytes


Event = Change | LogicalMessage


class Transaction(Struct, frozen=True):
    """One committed transaction, or one part of a large one: confirm `end_lsn` once you hold every part.

    `end_lsn` is None on every part but the last. Parts arrive in order and never interleave with another transaction.
    """

    xid: int
    commit_lsn: Lsn
    commit_time_us: int
    """Microseconds since 1970-01-01 UTC."""
    events: Sequence[Event]
    end_lsn: Lsn | None
    renewed: tuple[int, ...] = ()
    """Numbers of the tables that the log described since the part before, each ahead of its next change.

    Postgres describes a table again when anything about it may have changed, and once on each connection: privileges
    and policies that were read before are to be read again.
    """
    shapes: tuple[Shape, ...] | None = None
    """Where all events are changed rows that nobody has looked at yet: which tables they are of. Else None."""

    @property
    def complete(self) -> bool:
        return self.end_lsn is not None

    def emits(self, prefix: str) -> bool:
        """Tell whether there is a message with this prefix in it."""
        return self.shapes is None and any(
            isinstance(event, LogicalMessage) and event.prefix == prefix for event in self.events
        )

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(event for event in self.events if isinstance(event, Change))


class Resync(Struct, frozen=True):
    """History has a hole here: everyone must load their data again. Positions continue under `epoch`."""

    epoch: str
    reason: str
