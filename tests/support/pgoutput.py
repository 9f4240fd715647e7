"""Builds pgoutput messages field by field, as the server would send them."""

import struct

from tidewire.model.change import Value
from tidewire.model.relation import Column, PgType, Relation, ReplicaIdentity
from tidewire.testing.rows import write_row

TEXT = PgType(25, "text")
TABLE_OID = 16384


def begin(lsn: int, *, time_us: int = 0, xid: int = 7) -> bytes:
    return b"B" + struct.pack(">QqI", lsn, time_us, xid)


def commit(lsn: int, end: int, *, time_us: int = 0) -> bytes:
    return b"C" + struct.pack(">BQQq", 0, lsn, end, time_us)


def insert(*values: Value, oid: int = TABLE_OID) -> bytes:
    return b"I" + struct.pack(">I", oid) + b"N" + write_row(values)


def update(new: tuple[Value, ...], *, full: tuple[Value, ...] = (), key: tuple[Value, ...] = ()) -> bytes:
    old = b"O" + write_row(full) if full else b"K" + write_row(key) if key else b""
    return b"U" + struct.pack(">I", TABLE_OID) + old + b"N" + write_row(new)


def delete(*, full: tuple[Value, ...] = (), key: tuple[Value, ...] = ()) -> bytes:
    return b"D" + struct.pack(">I", TABLE_OID) + (b"O" + write_row(full) if full else b"K" + write_row(key))


def truncate(*oids: int) -> bytes:
    return b"T" + struct.pack(f">IB{len(oids)}I", len(oids), 0, *oids)


def emitted(prefix: str, content: bytes, *, transactional: bool = True) -> bytes:
    head = b"M" + struct.pack(">BQ", transactional, 99)
    return head + prefix.encode() + b"\0" + struct.pack(">I", len(content)) + content


def stream_start(xid: int, *, first: bool = True) -> bytes:
    return b"S" + struct.pack(">IB", xid, first)


def stream_commit(xid: int, lsn: int, end: int, *, time_us: int = 0) -> bytes:
    return b"c" + struct.pack(">IBQQq", xid, 0, lsn, end, time_us)


def stream_abort(xid: int, sub_xid: int) -> bytes:
    return b"A" + struct.pack(">II", xid, sub_xid)


def streamed(message: bytes, xid: int) -> bytes:
    """A message as it stands within a block: it names the transaction or subtransaction that it is of."""
    return message[:1] + struct.pack(">I", xid) + message[1:]


def relation_message(
    name: str, columns: list[tuple[str, int, bool]], *, identity: bytes = b"d", oid: int = TABLE_OID
) -> bytes:
    head = b"R" + struct.pack(">I", oid) + b"public\0" + name.encode() + b"\0" + identity
    body = b"".join(
        bytes([key]) + column.encode() + b"\0" + struct.pack(">Ii", oid, -1) for column, oid, key in columns
    )
    return head + struct.pack(">H", len(columns)) + body


def table(
    *names: str, keys: tuple[str, ...] = ("id",), identity: ReplicaIdentity = "default", oid: int = TABLE_OID
) -> Relation:
    """A table of text columns."""
    columns = tuple(Column(name, TEXT, identity == "full" or name in keys, name in keys) for name in names)
    return Relation(oid, "public", "things", identity, columns)
