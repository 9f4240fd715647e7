"""Turns a `Transaction` or `Resync` into the bytes that travel on the bus, and back; its keys sort as the stream does.

An envelope is a version byte, a kind byte and a MessagePack array. A relation is written once per envelope and its
changes refer to it by number; the commit LSN, which all events of a transaction share, is written once as well. Rows
travel as the log messages that they came in, and neither side reads them; those of a large transaction stay packed.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from tidewire.model.change import Change, Event, LogicalMessage, Operation, Resync, Shape, Transaction
from tidewire.model.errors import DecodeError
from tidewire.model.position import MAX_INDEX, Lsn
from tidewire.model.relation import Column, PgType, Relation, ReplicaIdentity, TypeKind
from tidewire.wal.packed import PackedChanges, Run
from tidewire.wal.row_decoder import RowDecoder

VERSION: Final = 3
_TRANSACTION: Final = bytes((VERSION, ord("T")))
_PACKED: Final = bytes((VERSION, ord("P")))
_RESYNC: Final = bytes((VERSION, ord("R")))
_OPERATIONS: Final[Mapping[bytes, Operation]] = {b"I": "INSERT", b"U": "UPDATE", b"D": "DELETE", b"": "TRUNCATE"}
"""By the first byte of the log message. One TRUNCATE message may name many tables, so it does not travel."""

_RELATIONS_KEPT: Final = 4096
"""Relations remembered in each direction: about a kilobyte each, and more tables than one node usually follows."""

_KEY = re.compile(r"(?P<number>[0-9a-f]{8})\.(?P<epoch>[0-9A-Za-z]+)(\.[0-9a-f]{16}\.[0-9a-f]{8}\.[01])?")

_Number = Annotated[int, Meta(ge=0)]
_Index = Annotated[int, Meta(ge=0, le=MAX_INDEX)]


class _FlatType(Struct, array_like=True, frozen=True):
    oid: int
    name: str
    kind: TypeKind
    delimiter: str
    element: "_FlatType | None"
    base: "_FlatType | None"
    attributes: tuple[tuple[str, "_FlatType"], ...]


class _FlatColumn(Struct, array_like=True, frozen=True):
    name: str
    type: _FlatType
    identity: bool
    primary: bool
    typmod: int


class _FlatRelation(Struct, array_like=True, frozen=True):
    oid: int
    schema: str
    name: str
    identity: ReplicaIdentity
    columns: tuple[_FlatColumn, ...]


class _FlatTransaction(Struct, array_like=True, frozen=True):
    xid: int
    commit_lsn: _Number
    commit_time_us: int
    end_lsn: _Number | None
    relations: tuple[bytes, ...]
    # Relation, index, log message: plain tuples, as a hundred of them are taken apart per envelope.
    changes: list[tuple[_Number, _Index, bytes]]
    messages: list[tuple[_Index, str, bytes]]
    renewed: tuple[_Number, ...]


class _FlatPacked(Struct, array_like=True, frozen=True):
    """A part of a large transaction, whose rows stay packed."""

    xid: int
    commit_lsn: _Number
    commit_time_us: int
    relations: tuple[bytes, ...]
    first: _Index
    count: _Number
    lengths: bytes
    body: bytes
    renewed: tuple[_Number, ...]


_encoder = msgspec.msgpack.Encoder()
_transaction_decoder = msgspec.msgpack.Decoder(_FlatTransaction)
_packed_decoder = msgspec.msgpack.Decoder(_FlatPacked)
_relation_decoder = msgspec.msgpack.Decoder(_FlatRelation)
_resync_decoder = msgspec.msgpack.Decoder(tuple[str, str])


class Era(Struct, frozen=True):
    """One unbroken stretch of the stream. `number` grows with every Resync; `epoch` is its name in positions.

    The number leads every key, so keys keep growing when a new cluster starts again at a low LSN.
    """

    number: int
    epoch: str

    def key(self, transaction: Transaction | None = None) -> str:
        """Return the key of a transaction, or of the Resync that opens this era and sorts before all its transactions.

        The last part of a transaction sorts after every other possible part of it: however a large transaction is cut
        when it is sent again, nothing of it is taken once its end is there.
        """
        opening = f"{self.number:08x}.{self.epoch}"
        if transaction is None:
            return opening
        if transaction.complete:
            return f"{opening}.{transaction.commit_lsn:016x}.{MAX_INDEX:08x}.1"
        past_last = transaction.events[-1].index + 1 if transaction.events else 0
        return f"{opening}.{transaction.commit_lsn:016x}.{past_last:08x}.0"


def era_of(key: str) -> Era | None:
    """Read the era back from a key, or None from the empty key of a new stream. Raises DecodeError for other texts."""
    if not key:
        return None
    match = _KEY.fullmatch(key)
    if match is None:
        raise DecodeError(f"reading a key of the stream: expected NUMBER.EPOCH, got {key[:40]!r}")
    return Era(int(match["number"], 16), match["epoch"])


def encode(item: Transaction | Resync) -> bytes:
    """Write an envelope; `decode` gives back an equal value. Events must be in order of their index."""
    if isinstance(item, Resync):
        return _RESYNC + _encoder.encode((item.epoch, item.reason))
    if isinstance(item.events, PackedChanges):
        return _encode_packed(item, item.events)
    # By identity, as the log's decoder hands out one object per shape; comparing would cost more than writing a row.
    numbers: dict[int, int] = {}
    relations: list[bytes] = []
    changes = []
    messages = []
    for event in item.events:
        if isinstance(event, LogicalMessage):
            messages.append((event.index, event.prefix, event.content))
            continue
        shape = event.shape
        number = numbers.get(id(shape.relation))
        if number is None:
            number = numbers[id(shape.relation)] = len(relations)
            relations.append(_encode_relation(shape))
        changes.append((number, event.index, event.data))
    return _TRANSACTION + _encoder.encode(
        (item.xid, item.commit_lsn, item.commit_time_us, item.end_lsn, relations, changes, messages, item.renewed)
    )


def decode(payload: bytes) -> Transaction | Resync:
    """Read an envelope. Equal relations come back as the same object. Raises DecodeError and nothing else.

    The rows in it are not read: one that is damaged raises DecodeError for whoever reads it.
    """
    kind = payload[:2]
    body = memoryview(payload)[2:]
    try:
        if kind == _TRANSACTION:
            return _transaction(_transaction_decoder.decode(body))
        if kind == _PACKED:
            return _packed(_packed_decoder.decode(body))
        if kind == _RESYNC:
            return Resync(*_resync_decoder.decode(body))
    except (ValueError, LookupError, RecursionError) as error:  # msgspec's errors and bad UTF-8 are ValueErrors
        # The error's text is left out: it may quote a row.
        raise DecodeError(f"reading an envelope: expected version {VERSION}, got a {type(error).__name__}") from None
    raise DecodeError(
        f"reading an envelope: expected version {VERSION} and kind T, P or R, got {kind!r}",
        hint="run the same version of Tidewire on every node",
    )


def _transaction(flat: _FlatTransaction) -> Transaction:
    lsn = Lsn(flat.commit_lsn)
    shapes = [_decode_relation(encoded) for encoded in flat.relations]
    events: list[Event] = [
        Change(lsn, index, _OPERATIONS[data[:1]], shapes[number], data) for number, index, data in flat.changes
    ]
    if flat.messages:
        events.extend(LogicalMessage(lsn, index, prefix, content) for index, prefix, content in flat.messages)
        events.sort(key=_index)
    end_lsn = None if flat.end_lsn is None else Lsn(flat.end_lsn)
    return Transaction(flat.xid, lsn, flat.commit_time_us, tuple(events), end_lsn, flat.renewed)


def _encode_packed(part: Transaction, events: PackedChanges) -> bytes:
    run = events.run
    relations = [_encode_relation(shape) for shape in events.shapes]
    return _PACKED + _encoder.encode(
        _FlatPacked(
            part.xid,
            part.commit_lsn,
            part.commit_time_us,
            tuple(relations),
            events.first,
            run.count,
            run.lengths,
            run.body,
            part.renewed,
        )
    )


def _packed(flat: _FlatPacked) -> Transaction:
    shapes = {shape.relation.oid.to_bytes(4, "big"): shape for shape in map(_decode_relation, flat.relations)}
    if flat.count * 4 != len(flat.lengths):
        raise ValueError("lengths")
    lsn = Lsn(flat.commit_lsn)
    events = PackedChanges(lsn, flat.first, shapes, Run(flat.count, tuple(shapes), flat.lengths, flat.body))
    return Transaction(flat.xid, lsn, flat.commit_time_us, events, None, flat.renewed, events.shapes)


def _index(event: Event) -> int:
    return event.index


@lru_cache(_RELATIONS_KEPT)
def _encode_relation(shape: Shape) -> bytes:
    relation = shape.relation
    columns = tuple(
        _FlatColumn(column.name, _flatten(column.type), column.identity, column.primary, column.typmod)
        for column in relation.columns
    )
    return _encoder.encode(_FlatRelation(relation.oid, relation.schema, relation.name, relation.identity, columns))


@lru_cache(_RELATIONS_KEPT)
def _decode_relation(encoded: bytes) -> RowDecoder:
    flat = _relation_decoder.decode(encoded)
    columns = tuple(
        Column(column.name, _unflatten(column.type), column.identity, column.primary, column.typmod)
        for column in flat.columns
    )
    return RowDecoder(Relation(flat.oid, flat.schema, flat.name, flat.identity, columns))


def _flatten(type_: PgType) -> _FlatType:
    return _FlatType(
        type_.oid,
        type_.name,
        type_.kind,
        type_.delimiter,
        _flatten(type_.element) if type_.element else None,
        _flatten(type_.base) if type_.base else None,
        tuple((name, _flatten(attribute)) for name, attribute in type_.attributes),
    )


def _unflatten(flat: _FlatType) -> PgType:
    return PgType(
        flat.oid,
        flat.name,
        flat.kind,
        _unflatten(flat.element) if flat.element else None,
        _unflatten(flat.base) if flat.base else None,
        tuple((name, _unflatten(attribute)) for name, attribute in flat.attributes),
        flat.delimiter,
    )
