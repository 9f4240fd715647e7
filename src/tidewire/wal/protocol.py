"""The copy stream around the log: what the walsender sends, and the standby's answers. Decodes no log messages."""

from struct import Struct

from msgspec import Struct as Value

from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn

POSTGRES_EPOCH_US = 946_684_800_000_000
"""Microseconds from 1970-01-01 to 2000-01-01, where Postgres starts counting."""

XLOG_DATA = ord("w")
KEEPALIVE = ord("k")
XLOG_HEADER_BYTES = 25
"""`w`, start LSN, end LSN, send time. The start LSN is not monotone and is 0/0 for Relation, so nobody reads it."""

_KEEPALIVE = Struct(">xQqB")
_STATUS = Struct(">cQQQqB")


class Keepalive(Value, frozen=True):
    """The walsender has nothing unsent before `wal_end`; answer at once when `reply_requested`."""

    wal_end: Lsn
    reply_requested: bool
    sent_us: int = 0
    """When it was sent by the server's clock: microseconds since 1970-01-01 UTC."""


def parse_keepalive(data: bytes) -> Keepalive:
    """Read a keepalive. Raises DecodeError."""
    if len(data) != _KEEPALIVE.size:
        raise DecodeError(f"reading a keepalive: expected {_KEEPALIVE.size} bytes, got {len(data)}")
    wal_end, sent_us, reply = _KEEPALIVE.unpack(data)
    return Keepalive(Lsn(wal_end), reply != 0, sent_us + POSTGRES_EPOCH_US)


def status_update(*, written: int, flushed: int, now_us: int) -> bytes:
    """Build the standby status message: everything up to `flushed` may be forgotten by the server.

    It asks for an answer, so that a dead connection is noticed and an idle slot keeps moving.
    """
    return _STATUS.pack(b"r", written, flushed, flushed, now_us - POSTGRES_EPOCH_US, 1)
