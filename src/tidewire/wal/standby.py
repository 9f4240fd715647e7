"""What may be confirmed to Postgres. Pure: the caller sends the bytes, and decides when."""

from tidewire.model.position import Lsn
from tidewire.wal.protocol import status_update


class Standby:
    """Tracks one stream. Feed it what was received, delivered and confirmed; send what `status` returns.

    `flushed` only ever grows. Past the last confirmed transaction it may also follow keepalives, but only those that
    came after everything delivered was confirmed: otherwise a log full of unpublished traffic would be held for ever.
    """

    __slots__ = ("_delivered", "_idle_at", "flushed", "received")

    def __init__(self, start: Lsn) -> None:
        self.received: int = start
        self.flushed: int = start
        self._delivered: int = start
        self._idle_at: int = start

    def receive(self, wal_end: int) -> None:
        """Note how far the server says it has read."""
        self.received = max(self.received, wal_end)

    def deliver(self, end_lsn: int) -> None:
        """Note that a transaction, complete or not, was handed out and awaits its confirmation."""
        self._delivered = max(self._delivered, end_lsn)

    def idle(self, wal_end: int) -> None:
        """Note a keepalive in its place in the stream: all that was sent before it has been handed out."""
        self._idle_at = max(self._idle_at, wal_end)
        self._advance()

    def confirm(self, lsn: int) -> None:
        """Note that everything up to `lsn` is safe elsewhere."""
        self.flushed = max(self.flushed, min(lsn, max(self._delivered, self.flushed)))
        self._advance()

    def status(self, *, now_us: int, asked: bool = False) -> bytes:
        """Build the status message to send now; `asked` when the server has asked for it.

        A server that shuts down asks, and waits until all is flushed. What is kept back on purpose would make it wait
        for ever, so the answer leaves the place out: then receiving is enough, and the slot stays where it is.
        """
        flushed = 0 if asked and self.flushed < self.received else self.flushed
        return status_update(written=max(self.received, self.flushed), flushed=flushed, now_us=now_us)

    def _advance(self) -> None:
        if self.flushed >= self._delivered:
            self.flushed = max(self.flushed, self._idle_at)
