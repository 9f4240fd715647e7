"""Many changed rows in few objects: what is rarely read is neither taken apart nor counted row by row until it is.

A `Run` is the messages of some rows one behind the other, as a running transaction sends them. With a place it becomes
`PackedChanges`, the events of one part of that transaction.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from struct import Struct as Layout
from struct import error
from typing import Final, overload

from msgspec import Struct

from tidewire.model.change import Change, Operation, Shape
from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn

OPERATIONS: Final[Mapping[int, Operation]] = {ord("I"): "INSERT", ord("U"): "UPDATE", ord("D"): "DELETE"}
_AFTER_XID, _LEAST = 5, 9
"""In each message: its kind, the number of the (sub)transaction, the relation's. Without the second it is as usual."""


class Run(Struct, frozen=True):
    """Rows of one transaction: each message's length, the messages, and which relations they are of."""

    count: int
    oids: tuple[bytes, ...]
    """Numbers of the relations, as the four bytes that stand in every message."""
    lengths: bytes
    """Of each message, in four bytes."""
    body: bytes

    @classmethod
    def of(cls, messages: Sequence[bytes], oids: tuple[bytes, ...]) -> "Run":
        """Put messages together that all name their transaction."""
        count = len(messages)
        return cls(count, oids, _lengths(count).pack(*map(len, messages)), b"".join(messages))

    def messages(self) -> Iterator[bytes]:
        """Take it apart into messages that do not name their transaction. Raises DecodeError when it is damaged."""
        at = 0
        try:
            lengths = _lengths(self.count).unpack(self.lengths)
        except error:
            raise DecodeError("reading packed rows: expected a length for each, got another number of them") from None
        for length in lengths:
            yield self._message(at, at + length)
            at += length

    def last(self) -> bytes:
        """Return the last message, without its transaction. Raises DecodeError when it is damaged."""
        end = len(self.body)
        return self._message(end - int.from_bytes(self.lengths[-4:], "big"), end)

    def _message(self, at: int, end: int) -> bytes:
        if at < 0 or end - at < _LEAST or end > len(self.body):
            raise DecodeError("reading packed rows: a row of impossible length")
        return self.body[at : at + 1] + self.body[at + _AFTER_XID : end]


class PackedChanges(Sequence[Change]):
    """Changes of rows that follow each other without a gap. Each iteration makes them anew."""

    __slots__ = ("_by_oid", "_first", "_lsn", "run")

    def __init__(self, lsn: Lsn, first: int, shapes: Mapping[bytes, Shape], run: Run) -> None:
        """`first` is the index of the first one, and `shapes` how rows of each of the run's relations are read."""
        self._lsn = lsn
        self._first = first
        self._by_oid = shapes
        self.run = run

    @property
    def first(self) -> int:
        """The index of the first change."""
        return self._first

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """How rows are read, in the order of the run's relations."""
        return tuple(self._by_oid.values())

    def __len__(self) -> int:
        return self.run.count

    def __iter__(self) -> Iterator[Change]:
        for index, data in enumerate(self.run.messages(), self._first):
            yield self._change(index, data)

    @overload
    def __getitem__(self, place: int) -> Change: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Change]: ...
    def __getitem__(self, place: int | slice) -> Change | Sequence[Change]:
        if place == -1:  # by which a part is known: it costs no more than one row
            return self._change(self._first + self.run.count - 1, self.run.last())
        return tuple(self)[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash((self._lsn, self._first))

    def _change(self, index: int, data: bytes) -> Change:
        operation, shape = OPERATIONS.get(data[0]), self._by_oid.get(data[1:5])
        if operation is None or shape is None:
            raise DecodeError("reading packed rows: expected a row of a relation that was named, got another")
        return Change(self._lsn, index, operation, shape, data)


@cache
def _lengths(count: int) -> Layout:
    return Layout(f">{count}I")
