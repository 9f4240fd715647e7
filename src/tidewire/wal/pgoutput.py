"""Messages of the pgoutput plugin (protocol version 2, text) to values. Rows: see row_decoder; order: assembler."""

from struct import Struct as Layout
from typing import Final

from msgspec import Struct

from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn
from tidewire.model.relation import ReplicaIdentity
from tidewire.wal.cursor import Cursor
from tidewire.wal.protocol import POSTGRES_EPOCH_US

BEGIN: Final = ord("B")
COMMIT: Final = ord("C")
RELATION: Final = ord("R")
TYPE: Final = ord("Y")
ORIGIN: Final = ord("O")
INSERT: Final = ord("I")
UPDATE: Final = ord("U")
DELETE: Final = ord("D")
TRUNCATE: Final = ord("T")
MESSAGE: Final = ord("M")

STREAM_START: Final = ord("S")
STREAM_STOP: Final = ord("E")
STREAM_COMMIT: Final = ord("c")
STREAM_ABORT: Final = ord("A")
STREAM_CONTROL: Final = frozenset((STREAM_START, STREAM_STOP, STREAM_COMMIT, STREAM_ABORT))
"""What surrounds the blocks of transactions that are still running. Within one, each message names its transaction."""

_IDENTITIES: dict[int, ReplicaIdentity] = {
    ord("d"): "default",
    ord("f"): "full",
    ord("i"): "index",
    ord("n"): "nothing",
}


# One of each comes with every transaction, so they are read in one step.
_BEGIN = Layout(">xQqI")
_COMMIT = Layout(">xxQQ8x")
"""Flags and the commit time are skipped: the first is unused, the second known since Begin."""

_COMMIT_TIME = Layout(">BBQQq")
_STREAM_START = Layout(">xIB")
_STREAM_COMMIT = Layout(">xIxQQq")
_STREAM_ABORT = Layout(">xII")


class Begin(Struct, frozen=True):
    """A transaction starts; `commit_lsn` is already known because pgoutput sends only committed work."""

    commit_lsn: Lsn
    commit_time_us: int
    xid: int


class Commit(Struct, frozen=True):
    """A transaction ends; `end_lsn` is what may be confirmed once it is safe."""

    commit_lsn: Lsn
    end_lsn: Lsn


class StreamCommit(Struct, frozen=True):
    """A transaction that came in blocks has committed. `begin` and `commit` are what would surround it in one piece."""

    xid: int
    commit_lsn: Lsn
    begin: bytes
    commit: bytes


class StreamAbort(Struct, frozen=True):
    """A transaction that came in blocks, or a part of it, is rolled back: all from the first change of `sub_xid` on."""

    xid: int
    sub_xid: int


class RelationColumn(Struct, frozen=True):
    """A column as the log describes it: only the type's number, no name of it."""

    name: str
    type_oid: int
    typmod: int
    identity: bool


class RelationMessage(Struct, frozen=True):
    """A table's shape as the log describes it, before the catalog adds types and the primary key."""

    oid: int
    schema: str
    name: str
    identity: ReplicaIdentity
    columns: tuple[RelationColumn, ...]


class TruncateMessage(Struct, frozen=True):
    """Tables emptied by one TRUNCATE."""

    relation_oids: tuple[int, ...]


class EmittedMessage(Struct, frozen=True):
    """What pg_logical_emit_message wrote."""

    transactional: bool
    prefix: str
    content: bytes


def parse_begin(data: bytes) -> Begin:
    if len(data) != _BEGIN.size:
        raise DecodeError(f"reading a Begin message: expected {_BEGIN.size} bytes, got {len(data)}")
    commit_lsn, commit_time, xid = _BEGIN.unpack(data)
    return Begin(Lsn(commit_lsn), commit_time + POSTGRES_EPOCH_US, xid)


def parse_commit(data: bytes) -> Commit:
    if len(data) != _COMMIT.size:
        raise DecodeError(f"reading a Commit message: expected {_COMMIT.size} bytes, got {len(data)}")
    commit_lsn, end_lsn = _COMMIT.unpack(data)
    return Commit(Lsn(commit_lsn), Lsn(end_lsn))


def parse_stream_start(data: bytes) -> int:
    """Return the number of the transaction that the following messages belong to, up to the Stream Stop."""
    if len(data) != _STREAM_START.size:
        raise DecodeError(f"reading a Stream Start message: expected {_STREAM_START.size} bytes, got {len(data)}")
    xid, _is_first = _STREAM_START.unpack(data)
    return int(xid)


def parse_stream_commit(data: bytes) -> StreamCommit:
    if len(data) != _STREAM_COMMIT.size:
        raise DecodeError(f"reading a Stream Commit message: expected {_STREAM_COMMIT.size} bytes, got {len(data)}")
    xid, commit_lsn, end_lsn, time = _STREAM_COMMIT.unpack(data)
    begin = b"B" + _BEGIN.pack(commit_lsn, time, xid)[1:]
    return StreamCommit(xid, Lsn(commit_lsn), begin, _COMMIT_TIME.pack(COMMIT, 0, commit_lsn, end_lsn, time))


def parse_stream_abort(data: bytes) -> StreamAbort:
    if len(data) != _STREAM_ABORT.size:
        raise DecodeError(f"reading a Stream Abort message: expected {_STREAM_ABORT.size} bytes, got {len(data)}")
    return StreamAbort(*_STREAM_ABORT.unpack(data))


def parse_relation(data: bytes) -> RelationMessage:
    cursor = Cursor(data)
    oid, schema, name, identity = cursor.u32(), cursor.text(), cursor.text(), cursor.u8()
    if identity not in _IDENTITIES:
        raise DecodeError(f"reading a Relation message: unknown replica identity {identity}")
    columns = tuple(_parse_column(cursor) for _ in range(cursor.u16()))
    cursor.end()
    return RelationMessage(oid, schema or "pg_catalog", name, _IDENTITIES[identity], columns)


def _parse_column(cursor: Cursor) -> RelationColumn:
    flags, name = cursor.u8(), cursor.text()
    return RelationColumn(name, cursor.u32(), cursor.i32(), bool(flags & 1))


def parse_truncate(data: bytes) -> TruncateMessage:
    cursor = Cursor(data)
    count = cursor.u32()
    cursor.u8()  # CASCADE and RESTART IDENTITY do not matter to readers
    if count > len(data):
        raise DecodeError(f"reading a Truncate message: {count} tables cannot fit")
    message = TruncateMessage(tuple(cursor.u32() for _ in range(count)))
    cursor.end()
    return message


def parse_emitted(data: bytes) -> EmittedMessage:
    cursor = Cursor(data)
    transactional = bool(cursor.u8() & 1)
    cursor.u64()  # LSN of the message; its identity is (commit LSN, index) like everything else
    prefix = cursor.text()
    message = EmittedMessage(transactional, prefix, cursor.bytes(cursor.u32()))
    cursor.end()
    return message
