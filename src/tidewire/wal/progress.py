"""How far one reader of the log has come, over all its connections: handed out, safe elsewhere, told to Postgres. Pure.

Postgres is told less than what is safe where a window of the past is kept for readers who come back.
"""

from collections.abc import Sequence

from tidewire.model.change import Transaction
from tidewire.model.position import Lsn
from tidewire.wal.assembler import Resume
from tidewire.wal.protocol import Keepalive
from tidewire.wal.retention import Retained, Retention, Window
from tidewire.wal.standby import Standby
from tidewire.wal.uptime import Aged


class Progress:
    """`connect` at the start of each connection and `disconnect` at its end; in between, report everything."""

    def __init__(self, window: Window | None = None, *, after: Resume | None = None) -> None:
        self.after = after
        """The last event that was handed out: the next connection goes on behind it."""
        self.told = 0
        """How far Postgres was allowed to forget by earlier connections."""
        self._window = window
        self._retention: Retention | None = None
        self._standby: Standby | None = None
        self._safe = Standby(Lsn(0))
        """What Postgres would be told if no past was kept."""
        self._delivered = Lsn(0)
        self._ended = Lsn(0)
        self._confirmed = Lsn(0)
        self._skipped_us = 0

    @property
    def retained(self) -> Retained | None:
        """Return what is kept of the past; None before the first connection, and where nothing is."""
        return None if self._retention is None else self._retention.retained

    @property
    def safe(self) -> int:
        """How far of the log everything that committed has been handed out and confirmed."""
        return self._safe.flushed

    def connect(self, start: Lsn, *, keep_bytes: int) -> Standby:
        """Begin to stream from a slot that stands at `start`, on a server that lets slots keep `keep_bytes`."""
        if self._window is not None and self._retention is None:
            self._retention = Retention(start, self._window.within(keep_bytes))
        self._standby = standby = Standby(start)
        # What an earlier connection handed out is not sent again on this one, but still awaits its confirmation.
        standby.deliver(self._delivered)
        self._release()
        return standby

    def skip(self, log_end: Lsn, now_us: int) -> None:
        """Leave out what was committed before `log_end`, but keep it as long as if it were of now.

        If it is known how long that has been there for, `remember` it.
        """
        self._delivered = self._ended = self._confirmed = log_end
        self._skipped_us = now_us
        self._safe.deliver(log_end)
        self._safe.confirm(log_end)
        if self._standby is not None:
            self._standby.deliver(log_end)
        if self._retention is not None:
            self._retention.hold(log_end, now_us)

    def remember(self, ages: Sequence[Aged]) -> None:
        """Take note how old places are in what was left out: not all of it is as if it were of now."""
        if self._retention is not None:
            self._retention.remember([(end_lsn, self._skipped_us - age_us) for end_lsn, age_us in ages])
            self._release()

    def begin_at(self, start: Lsn) -> Lsn:
        """Return from where to stream: what was handed out completely is not asked for again."""
        return max(start, self._ended)

    def deliver(self, part: Transaction) -> None:
        """Note what is about to leave: as outstanding, and as the place to resume behind."""
        self._delivered = part.end_lsn or part.commit_lsn
        self._safe.deliver(self._delivered)
        if self._standby is not None:
            self._standby.deliver(self._delivered)
        if part.events:
            self.after = Resume(part.commit_lsn, part.events[-1].index)
        if part.end_lsn is not None:
            self._ended = part.end_lsn
            if self._retention is not None:
                self._retention.hold(part.end_lsn, part.commit_time_us)

    def confirm(self, lsn: Lsn) -> None:
        """Note that everything up to `lsn` is safe elsewhere."""
        self._confirmed = max(self._confirmed, lsn)
        self._safe.confirm(lsn)
        self._release()

    def idle(self, keepalive: Keepalive) -> None:
        """Note a keepalive in its place in the stream: all that was sent before it has been handed out."""
        self._safe.idle(keepalive.wal_end)
        if self._retention is not None:
            self._retention.passed(keepalive.wal_end, keepalive.sent_us)
            self._release()
        if self._standby is not None and (self._retention is None or self._retention.released >= keepalive.wal_end):
            self._standby.idle(keepalive.wal_end)

    def disconnect(self, *, streamed: bool) -> None:
        """Remember what this connection told Postgres, if it `streamed`: otherwise another node may move the slot."""
        if self._standby is not None and streamed:
            self.told = max(self.told, self._standby.flushed)
        self._standby = None

    def _release(self) -> None:
        if self._standby is not None:
            kept = self._confirmed if self._retention is None else self._retention.released
            self._standby.confirm(min(self._confirmed, kept))
