"""The two ways to read and write a replication stream: straight from the socket, or through libpq where it encrypts.

Both are made from a signed-in connection that has nothing outstanding, and give the same items.
"""

import os
import select
import socket
from contextlib import suppress
from typing import Any, Protocol

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

from tidewire.model.errors import DatabaseUnreachable
from tidewire.postgres.connection import translated
from tidewire.wal.frontend import TERMINATE, Ended, Received, Splitter, Started, copy_data, query
from tidewire.wal.protocol import KEEPALIVE, XLOG_DATA, XLOG_HEADER_BYTES, parse_keepalive

READ_BYTES = 64 * 1024
"""A quarter of a Linux socket buffer: larger reads were not faster, and a small queue must hold several."""
BURST = 512
"""Messages taken from libpq before others get a turn; about 2 ms of decoding."""


class Channel(Protocol):
    """A stream's bytes, without waiting for anything. Watch `fileno`; raises our errors only."""

    fileno: int
    pending: bool
    """More may be there already, although the socket need not say so."""

    @property
    def unsent(self) -> bool:
        """Tell whether something could not be written yet: call `flush` when the socket takes it."""
        ...

    def start(self, command: str) -> None:
        """Send the command that begins the stream."""
        ...

    def receive(self) -> Received:
        """Return what is complete now, and whether anything has arrived at all."""
        ...

    def send(self, payload: bytes) -> None:
        """Write a message into the stream."""
        ...

    def flush(self) -> None:
        """Write what could not be written before."""
        ...

    def close(self) -> None:
        """Hang up at once."""
        ...


def open_channel(connection: psycopg.AsyncConnection[Any]) -> Channel:
    """Choose the way: libpq reads for us only where it must decrypt."""
    encrypted = connection.pgconn.ssl_in_use or connection.pgconn.used_gssapi
    return LibpqChannel(connection.pgconn) if encrypted else SocketChannel(connection.pgconn)


class SocketChannel:
    """Reads the socket itself. libpq has signed in, has nothing outstanding, and is not asked again until it closes."""

    def __init__(self, pgconn: PGconn) -> None:
        self._socket = socket.socket(fileno=os.dup(pgconn.socket))
        self._socket.setblocking(False)
        self._splitter = Splitter()
        self._outgoing = b""
        self.fileno = self._socket.fileno()
        self.pending = False

    @property
    def unsent(self) -> bool:
        return bool(self._outgoing)

    def start(self, command: str) -> None:
        self._write(query(command))

    def receive(self) -> Received:
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return Received()
        except OSError as error:
            raise DatabaseUnreachable(f"reading the log: {error.strerror}") from None
        if not data:
            raise DatabaseUnreachable("reading the log: the server closed the connection")
        return self._splitter.feed(data)

    def send(self, payload: bytes) -> None:
        self._write(copy_data(payload))

    def flush(self) -> None:
        self._write(b"")

    def close(self) -> None:
        if self.fileno >= 0:
            with suppress(DatabaseUnreachable):  # it may have gone already
                self._write(TERMINATE)
            self._socket.close()
            self.fileno = -1

    def _write(self, data: bytes) -> None:
        data = self._outgoing + data
        try:
            self._outgoing = data[self._socket.send(data) :]
        except (BlockingIOError, InterruptedError):
            self._outgoing = data
        except OSError as error:
            raise DatabaseUnreachable(f"answering the walsender: {error.strerror}") from None


class LibpqChannel:
    """Lets libpq read and decrypt."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._started = False
        self._poll = select.poll()
        self._poll.register(pgconn.socket, select.POLLIN)
        self.fileno = pgconn.socket
        self.pending = False
        self.unsent = False

    def start(self, command: str) -> None:
        with translated("starting replication"):
            self._pgconn.nonblocking = 1
            self._pgconn.send_query(command.encode())
        self.flush()

    def receive(self) -> Received:
        heard = bool(self._poll.poll(0))  # libpq does not tell whether it got a piece of something large
        with translated("reading the log"):
            self._pgconn.consume_input()
            received = self._read_burst() if self._started else self._read_start()
        received.arrived = heard or received.size > 0
        return received

    def send(self, payload: bytes) -> None:
        with translated("answering the walsender"):
            self._pgconn.put_copy_data(payload)
        self.flush()

    def flush(self) -> None:
        with translated("answering the walsender"):
            self.unsent = self._pgconn.flush() == 1

    def close(self) -> None:
        self._pgconn.finish()

    def _read_start(self) -> Received:
        if self._pgconn.is_busy():
            return Received()
        result = self._pgconn.get_result()
        if result is None or result.status != ExecStatus.COPY_BOTH:
            return Received(others=[self._why_ended(result)])
        self._started = True
        received = self._read_burst()
        received.others.insert(0, Started())
        return received

    def _read_burst(self) -> Received:
        received, length = Received(), 0
        for _ in range(BURST):
            length, data = self._pgconn.get_copy_data(1)
            if length <= 0:
                break
            received.size += length
            if data[0] == XLOG_DATA:
                received.logged.append(bytes(data[XLOG_HEADER_BYTES:]))
            elif data[0] == KEEPALIVE:
                received.add(parse_keepalive(bytes(data)))
        self.pending = length > 0  # libpq may hold more than the socket shows
        if length < 0:
            received.add(self._why_ended(self._pgconn.get_result()))
        return received

    def _why_ended(self, result: Any) -> Ended:
        if result is not None and result.status == ExecStatus.FATAL_ERROR:
            error = psycopg.errors.error_from_result(result)
            return Ended(error.sqlstate or "", error.diag.message_primary or str(error))
        return Ended("", "the server closed the stream")
