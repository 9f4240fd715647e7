"""What happened: a `Change` to a row or a `LogicalMessage`, within a `Transaction`, the unit of confirming."""

from typing import Final, Literal

from msgspec import Struct

from tidewire.model.position import Lsn
from tidewire.model.relation import Relation

ABSENT: Final = False
"""Stands where the log carries no value: an unchanged TOASTed column, or a column outside the replica identity."""

Value = str | Literal[False] | None
"""A column's text as Postgres writes it, None for NULL, or ABSENT."""

Row = tuple[Value, ...]
"""One row, aligned with `Relation.columns`."""

Operation = Literal["INSERT", "UPDATE", "DELETE", "TRUNCATE"]


class Change(Struct, frozen=True, gc=False):
    """One row changed. `(lsn, index)`, commit LSN and place in the transaction, is its identity everywhere."""

    lsn: Lsn
    index: int
    relation: Relation
    operation: Operation
    new: Row | None
    old: Row | None


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
    events: tuple[Event, ...]
    end_lsn: Lsn | None

    @property
    def complete(self) -> bool:
        return self.end_lsn is not None

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(event for event in self.events if isinstance(event, Change))


class Resync(Struct, frozen=True):
    """History has a hole here: everyone must load their data again. Positions continue under `epoch`."""

    epoch: str
    reason: str
