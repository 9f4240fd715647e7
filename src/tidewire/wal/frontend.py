"""The few messages of the Postgres protocol that a running replication stream needs. Pure: bytes in, items out.

libpq signs in and this takes over: libpq hands messages out one call at a time, and copying each through it took twice
as long as decoding it.
"""

from struct import Struct
from typing import NoReturn

from msgspec import Struct as Value

from tidewire.model.errors import DecodeError
from tidewire.wal.protocol import KEEPALIVE, XLOG_DATA, XLOG_HEADER_BYTES, Keepalive, parse_keepalive

TERMINATE = b"X\0\0\0\x04"
MAX_MESSAGE_BYTES = 0x7FFF_FFFF

_LENGTH = Struct(">I").unpack_from
_FULL_HEADER = Struct(">BIB").unpack_from
"""Kind, length, and the first byte behind them."""
_HEADER = Struct(">cI")
_HEAD_BYTES = 5
"""The kind, and the length of what follows including itself."""

_LEAST = 4
"""A length counts itself."""

_LOG_AT = _HEAD_BYTES + XLOG_HEADER_BYTES
COPY_DATA, COPY_BOTH, COPY_DONE, ERROR = ord("d"), ord("W"), ord("c"), ord("E")
PASSED_OVER = frozenset(b"NSAZC")
"""Notices, settings, notifications, ready and complete: nothing that a stream depends on."""

_KNOWN = PASSED_OVER | {COPY_DATA, COPY_BOTH, COPY_DONE, ERROR}


class Started(Value, frozen=True):
    """The server has agreed to stream."""


class Ended(Value, frozen=True):
    """The server streams no more; `sqlstate` is empty when it simply closed."""

    sqlstate: str
    message: str


Logged = bytes | Keepalive
"""A log message, or a keepalive in its place in the stream."""


class Received(Value):
    """What has come: the stream's items in order, and all that is not a log message once more."""

    logged: list[Logged] = []
    others: list[Keepalive | Started | Ended] = []
    size: int = 0
    """Bytes of what is complete. Only these count where memory is bounded: a value of any size must be able to pass."""
    arrived: bool = False
    """The server was heard, even if only a piece of something large came."""

    def add(self, other: Keepalive | Started | Ended | None) -> None:
        """Add something that is not a log message; None is nothing."""
        if other is not None:
            self.others.append(other)
            if isinstance(other, Keepalive):
                self.logged.append(other)


def query(sql: str) -> bytes:
    """Write a simple query."""
    body = sql.encode() + b"\0"
    return _HEADER.pack(b"Q", len(body) + 4) + body


def copy_data(payload: bytes) -> bytes:
    """Write a message of ours into the stream."""
    return _HEADER.pack(b"d", len(payload) + 4) + payload


class Splitter:
    """Cuts the bytes of the connection into items, and keeps what is not complete yet. Feed it all that arrives."""

    __slots__ = ("_missing", "_rest")

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._missing = 0

    def feed(self, data: bytes) -> Received:
        """Return what is complete now. Raises DecodeError when this is not the protocol."""
        if self._rest:
            self._rest.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return Received(arrived=True)  # a large message is put together once, not with every piece
            data = b"".join(self._rest)
            self._rest = []
        received = Received(arrived=True)
        put, header, log_at = received.logged.append, _FULL_HEADER, _LOG_AT
        at, end = 0, len(data)
        while end - at > _HEAD_BYTES:
            kind, length, tag = header(data, at)
            after = at + 1 + length
            if after > end:
                break
            if kind == COPY_DATA and tag == XLOG_DATA and length >= log_at:
                put(data[at + log_at : after])
                at = after
                continue
            if length < _LEAST:
                _refuse_length()
            received.add(_read_other(kind, data[at + _HEAD_BYTES : after]))
            at = after
        if end - at == _HEAD_BYTES and _LENGTH(data, at + 1)[0] == _LEAST:  # nothing behind the header, and last
            received.add(_read_other(data[at], b""))
            at = end
        elif at < end:
            self._keep(data[at:])
        received.size = at
        return received

    def _keep(self, rest: bytes) -> None:
        if rest[0] not in _KNOWN:
            _refuse_kind(rest[0])  # now, and not after waiting for gigabytes that nobody sends
        self._rest = [rest]
        if len(rest) < _HEAD_BYTES:
            self._missing = _HEAD_BYTES - len(rest)
            return
        length = _LENGTH(rest, 1)[0]
        if length > MAX_MESSAGE_BYTES:
            _refuse_length()
        self._missing = length + 1 - len(rest)


def _refuse_length() -> NoReturn:
    raise DecodeError("reading the replication stream: a message of impossible length")


def _read_other(kind: int, body: bytes) -> Keepalive | Started | Ended | None:
    """Read anything but a log message; None for what may be passed over."""
    if kind == COPY_DATA and body[:1] == bytes((KEEPALIVE,)):
        return parse_keepalive(body)
    if kind == COPY_BOTH:
        return Started()
    if kind == COPY_DONE:
        return Ended("", "the server closed the stream")
    if kind == ERROR:
        return _read_error(body)
    if kind in PASSED_OVER:
        return None
    return _refuse_kind(kind)


def _refuse_kind(kind: int) -> NoReturn:
    raise DecodeError(f"reading the replication stream: unknown message {bytes((kind,))!r}")


def _read_error(body: bytes) -> Ended:
    fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
    return Ended(fields.get(b"C", ""), fields.get(b"M", "an error without a message"))
