"""Knows the order of commits in the stream, and tells from a snapshot which of them a reader has seen all before.

A commit stands in the log a moment before anybody sees it, and long before when a synchronous standby is slow. So what
somebody saw is not a place in the log; but there is a last place before which they have seen everything.
"""

from array import array
from bisect import bisect_left
from typing import Final

from tidewire.model.snapshot import Snapshot, nearest

MOST_STEPS: Final = 20_000
"""So many commits are looked at for one question. Fewer make an older place of it, which is as true."""


class Commits:
    """`add` the transaction of every message of the stream, `drop` them from the other end. They are numbered.

    Ask for `visible` before a question is put to Postgres, and with the snapshot of its answer for `first_unseen`.
    """

    def __init__(self) -> None:
        self.visible = 0
        """All messages before this number can be seen by everybody who asks from now on."""
        self._dropped = 0
        self._dropped_peak = -1
        self._xids = array("I")
        self._peaks = array("q")
        """The greatest number of a transaction so far, continued where the 32 bits of the log begin again."""

    def add(self, xid: int) -> None:
        """Note the transaction of the next message."""
        peak = self._peaks[-1] if self._peaks else max(self._dropped_peak, 0)
        self._xids.append(xid)
        self._peaks.append(max(peak, nearest(xid, peak)) if peak else xid)

    def drop(self, messages: int) -> None:
        """Forget the oldest."""
        self._dropped += messages
        self._dropped_peak = self._peaks[messages - 1]
        del self._xids[:messages], self._peaks[:messages]

    def begin_anew(self) -> None:
        """Forget all: what comes now has nothing to do with what came."""
        self._dropped += len(self._xids)
        self._dropped_peak = -1
        self.visible = self._dropped
        del self._xids[:], self._peaks[:]

    def first_unseen(self, visible: int, snapshot: Snapshot) -> int | None:
        """Return how many of the kept messages came before any that the snapshot does not see; None if nobody knows.

        `visible` must have been asked for before the snapshot was taken.
        """
        peak = self._peaks[-1] if self._peaks else self._dropped_peak
        oldest = nearest(snapshot.oldest_running, peak)
        if visible < self._dropped and self._dropped_peak >= oldest:
            return None
        place = max(visible - self._dropped, bisect_left(self._peaks, oldest))
        last = min(len(self._xids), place + MOST_STEPS)
        while place < last and snapshot.sees(self._xids[place]):
            place += 1
        self.visible = max(self.visible, self._dropped + place)
        return place
