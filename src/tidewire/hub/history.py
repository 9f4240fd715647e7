"""Knows where each part of the stream lies on the bus, so that whoever was away can be told what was missed.

Keeps no rows: those are the bus's, for as long as its past reaches.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from tidewire.hub.commits import Commits
from tidewire.model.change import Resync, Transaction
from tidewire.model.errors import SubscriberLagged
from tidewire.model.position import MAX_INDEX, MAX_POSITION_CHARS, Lsn, Seen, StreamPosition
from tidewire.ports import CHANGES, Bus, Envelope
from tidewire.wal.envelope import decode

OTHER_HISTORY: Final = "the history of the database was broken since then: load again"
TOO_OLD: Final = "that is longer ago than what is kept: load again"

PAGE: Final = 100
"""Parts of the stream that are read at once, of a hundred events each at most."""
MOST_MARKS: Final = 500_000


class History:
    """`mark` every message of the stream as it is read, and `begin` it when everything that commits will come."""

    def __init__(self, bus: Bus, written: Callable[[], int] = lambda: 0) -> None:
        """`written` says how far of the log everything that committed is on the bus."""
        self.epoch = ""
        self.written = written
        self.commits = Commits()
        self._bus = bus
        self._keys: list[str] = []
        self._sequences: list[int] = []
        self._newest = 0
        self._floor: str | None = None
        """Everything behind this key has come, and has been marked."""

    def begin(self, epoch: str, lsn: Lsn) -> None:
        """Say that everything that commits behind `lsn` will be marked. Once it has begun, this changes nothing."""
        if self.epoch != epoch:
            self._restart(epoch)
        if self._floor is None:
            self._floor = _key(lsn - 1, MAX_INDEX)

    def mark(self, envelope: Envelope, item: Transaction | Resync) -> None:
        """Note where a message lies."""
        _, epoch, *place = envelope.key.split(".", 2)
        if epoch != self.epoch:
            self._restart(epoch)
        self._newest = envelope.sequence
        if not place or isinstance(item, Resync):  # a new history opens, and all of it will come
            self._floor = ""
            return
        self.commits.add(item.xid)
        self._keys.append(place[0])
        self._sequences.append(envelope.sequence)
        if len(self._keys) > MOST_MARKS:
            half = MOST_MARKS // 2
            self._floor = self._keys[half - 1]
            del self._keys[:half], self._sequences[:half]
            self.commits.drop(half)

    def start(self, lsn: Lsn) -> StreamPosition | None:
        """Return the position of whoever is to hear of everything that commits at `lsn` or behind it."""
        return StreamPosition(self.epoch, Lsn(max(lsn - 1, 0)), MAX_INDEX) if self.epoch else None

    def after_list(self, visible: int, seen: Seen) -> StreamPosition | None:
        """Return the position of whoever read a list, to hear of what is not in it; None where there is none.

        `visible` is what `commits.visible` was before the list was asked for.
        """
        if self._floor is None:
            return None
        place = self.commits.first_unseen(visible, seen.snapshot)
        if place is None:
            return None
        if place < len(self._keys):
            lsn = _lsn_of(self._keys[place]) - 1  # in front of a whole transaction
        else:
            newest = self._keys[-1] if self._keys else self._floor
            lsn = _lsn_of(newest) if newest else 0
        position = StreamPosition(self.epoch, Lsn(lsn), MAX_INDEX, seen)
        return position if len(str(position)) <= MAX_POSITION_CHARS else None

    async def refuses(self, position: StreamPosition) -> str | None:
        """Return why nobody can continue from there, or None."""
        if position.epoch != self.epoch:
            return OTHER_HISTORY
        key = _key(position.lsn, position.index + 1)
        if bisect_right(self._keys, key) == 0 and (self._floor is None or key < self._floor):
            return TOO_OLD
        try:
            await self._bus.history(CHANGES, after=self.before(position), limit=1)
        except SubscriberLagged:
            return TOO_OLD
        return None

    def before(self, position: StreamPosition) -> int:
        """Return the sequence of the last message that has nothing behind a position."""
        place = bisect_right(self._keys, _key(position.lsn, position.index + 1))
        return self._sequences[place] - 1 if place < len(self._sequences) else self._newest

    async def page(self, after: int) -> Sequence[tuple[int, Transaction | Resync]]:
        """Return some of what follows a message, also what nobody has marked yet; nothing where the stream ends now.

        Raises SubscriberLagged when it is not kept any more.
        """
        found = await self._bus.history(CHANGES, after=after, limit=PAGE)
        return [(envelope.sequence, decode(envelope.payload)) for envelope in found]

    def _restart(self, epoch: str) -> None:
        self.epoch = epoch
        self._floor = None
        self._keys.clear()
        self._sequences.clear()
        self.commits.begin_anew()


def _lsn_of(key: str) -> int:
    return int(key[:16], 16)


def _key(lsn: int, index: int) -> str:
    """Return what sorts among the keys of the stream like the place just before an event."""
    return f"{lsn:016x}.{min(index, MAX_INDEX):08x}.0"
