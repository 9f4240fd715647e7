"""Knows where each part of the stream lies on the bus, so that whoever was away can be told what was missed.

Keeps no rows: those are the bus's, for as long as its past reaches. What was committed before this server followed the
log is read again meanwhile, and lies on a topic of its own.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from tidewire.hub.commits import Commits
from tidewire.model.change import Resync, Transaction
from tidewire.model.errors import SubscriberLagged
from tidewire.model.position import MAX_INDEX, MAX_POSITION_CHARS, Lsn, Seen, StreamPosition
from tidewire.ports import CHANGES, PAST, Bus, Envelope
from tidewire.wal.envelope import decode

OTHER_HISTORY: Final = "the history of the database was broken since then: load again"
TOO_OLD: Final = "that is longer ago than what is kept: load again"
NOT_READ_YET: Final = "the server has just started and has not read that far back yet: load again"

PAGE: Final = 100
"""Parts of the stream that are read at once, of a hundred events each at most."""
MOST_MARKS: Final = 500_000
DROPPED_MARKS: Final = MOST_MARKS // 2
"""So many of the oldest go at once when there are too many."""
BEFORE: Final = 2**62
"""Taken from the sequences of the past, so that they come before all others."""


class History:
    """`mark` every message of the stream as it is read, and `begin` it when everything that commits will come.

    Whoever asks about a position in the past waits until that is `complete`, but for no longer than `patience_s`.
    """

    def __init__(self, bus: Bus, *, written: Callable[[], int] = lambda: 0, patience_s: float = 4.0) -> None:
        """`written` says how far of the log everything that committed is on the bus."""
        self.epoch = ""
        self.written = written
        self.commits = Commits()
        self.news_from = Lsn(0)
        """What was committed before this is the past."""
        self._bus = bus
        self._patience_s = patience_s
        self._past = _Marks()
        self._news = _Marks()
        self.is_passing_rows = False
        """Whether rows of a large transaction are coming by, of which the end has not come yet."""
        self._last: tuple[Lsn, int] = (Lsn(0), -1)
        """The place of the last event that was marked."""
        self._floor: str | None = None
        """Everything behind this key has come or will come, and is marked."""
        self._complete = asyncio.Event()
        self._complete.set()

    def begin(self, epoch: str, since: Lsn, *, news_from: Lsn) -> None:
        """Say that everything committed from `news_from` on will be marked, and that the past can be read `since`."""
        self._restart(epoch)
        self._floor = _before(since)
        self.news_from = news_from
        if since < news_from:
            self._complete.clear()

    @property
    def wants_past(self) -> bool:
        """Whether there is a past that has to be read."""
        return not self._complete.is_set()

    def mark(self, envelope: Envelope, item: Transaction | Resync) -> None:
        """Note where a message lies."""
        _, epoch, *place = envelope.key.split(".", 2)
        self._news.newest = envelope.sequence
        self.is_passing_rows = isinstance(item, Transaction) and item.shapes is not None
        if epoch != self.epoch and (not place or not self.epoch):
            self._restart(epoch)
        if not place or isinstance(item, Resync):
            self._floor = self._floor or ""  # a new history opens: if nobody says otherwise, all of it will come
        elif epoch == self.epoch:
            self.commits.add(item.xid)
            if item.events:
                self._last = max(self._last, (item.commit_lsn, item.events[-1].index))
            # On the bus the end of a transaction sorts after all of it; here, whoever has its last event has all of it.
            key = _key(item.commit_lsn, item.events[-1].index + 1) if item.events else place[0]
            if (floor := self._news.add(key, envelope.sequence)) is not None:
                self._floor = floor
                self.commits.drop(DROPPED_MARKS)

    def mark_past(self, key: str, sequence: int) -> None:
        """Note where a message of the past lies."""
        _, epoch, place = key.split(".", 2)
        if epoch == self.epoch and (floor := self._past.add(place, sequence - BEFORE)) is not None:
            self._floor = floor

    def complete(self, since: Lsn | None) -> None:
        """Say that the past has been read `since` then, or that it cannot be read at all."""
        if self.wants_past:
            self._floor = max(self._floor or "", _before(self.news_from if since is None else since))
            self._complete.set()

    def start(self, lsn: Lsn) -> StreamPosition | None:
        """Return the position of whoever is to hear of what commits at `lsn` or behind it, unless it was marked."""
        place = max((Lsn(max(lsn - 1, 0)), MAX_INDEX), self._last)
        return StreamPosition(self.epoch, *place) if self.epoch else None

    def after_list(self, visible: int, seen: Seen) -> StreamPosition | None:
        """Return the position of whoever read a list, to hear of what is not in it; None where there is none.

        `visible` is what `commits.visible` was before the list was asked for.
        """
        if self._floor is None:
            return None
        place = self.commits.first_unseen(visible, seen.snapshot)
        if place is None:
            return None
        unseen, newest = self._news.key(place), self._news.last or _before(self.news_from)
        lsn = _lsn_of(newest) if unseen is None else _lsn_of(unseen) - 1  # in front of a whole transaction
        position = StreamPosition(self.epoch, Lsn(lsn), MAX_INDEX, seen)
        return position if len(str(position)) <= MAX_POSITION_CHARS else None

    async def refuses(self, position: StreamPosition) -> str | None:
        """Return why nobody can continue from there, or None."""
        if position.epoch != self.epoch:
            return OTHER_HISTORY
        if position.lsn < self.news_from and not await self._is_complete():
            return NOT_READ_YET
        if position.epoch != self.epoch:  # it may have ended while we waited
            return OTHER_HISTORY
        key = _key(position.lsn, position.index + 1)
        if not self._news.reach(key) and (self._floor is None or key < self._floor):
            return TOO_OLD
        sequence = self.before(position)
        try:
            if sequence < 0:
                await self._bus.history(PAST, after=sequence + BEFORE, limit=1)
            await self._bus.history(CHANGES, after=max(sequence, 0), limit=1)
        except SubscriberLagged:
            return TOO_OLD
        return None

    def before(self, position: StreamPosition) -> int:
        """Return the sequence of the last message that has nothing behind a position."""
        key = _key(position.lsn, position.index + 1)
        if position.lsn >= self.news_from or (found := self._past.before(key)) is None:
            found = self._news.before(key)
        return self._news.newest if found is None else found

    def behind(self, sequence: int) -> int:
        """Return how many messages follow a sequence that `before` has returned."""
        if sequence >= 0:
            return self._news.newest - sequence
        return self._past.newest - sequence + len(self._news)

    def is_news(self, sequence: int) -> bool:
        """Tell whether a message may not have been dispatched yet."""
        return sequence >= self._news.newest

    async def page(self, after: int) -> Sequence[tuple[int, Transaction | Resync]]:
        """Return some of what follows a message, also what nobody has marked yet; nothing where the stream ends now.

        Raises SubscriberLagged when it is not kept any more.
        """
        if after < 0:
            found = await self._bus.history(PAST, after=after + BEFORE, limit=PAGE)
            if found:
                return [(envelope.sequence - BEFORE, decode(envelope.payload)) for envelope in found]
        found = await self._bus.history(CHANGES, after=max(after, 0), limit=PAGE)
        return [(envelope.sequence, decode(envelope.payload)) for envelope in found]

    async def _is_complete(self) -> bool:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._complete.wait()
        except TimeoutError:
            return False
        return True

    def _restart(self, epoch: str) -> None:
        self.epoch = epoch
        self.news_from = Lsn(0)
        self._floor = None
        self._last = (Lsn(0), -1)
        self._past = _Marks()
        self._news = _Marks(self._news.newest)
        self.commits.begin_anew()
        self._complete.set()


class _Marks:
    """Keys in their order, and the sequences of their messages."""

    __slots__ = ("_keys", "_sequences", "newest")

    def __init__(self, newest: int = 0) -> None:
        self.newest = newest
        self._keys: list[str] = []
        self._sequences: list[int] = []

    def add(self, key: str, sequence: int) -> str | None:
        """Add what comes last. If there are too many, older ones go, and the last of these is returned."""
        self.newest = sequence
        self._keys.append(key)
        self._sequences.append(sequence)
        if len(self._keys) <= MOST_MARKS:
            return None
        floor = self._keys[DROPPED_MARKS - 1]
        del self._keys[:DROPPED_MARKS], self._sequences[:DROPPED_MARKS]
        return floor

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def last(self) -> str | None:
        """The newest key."""
        return self._keys[-1] if self._keys else None

    def key(self, place: int) -> str | None:
        """Return the key at a place, counted from the oldest that is here; None behind the newest."""
        return self._keys[place] if place < len(self._keys) else None

    def reach(self, key: str) -> bool:
        """Tell whether there is one at or before a key."""
        return bisect_right(self._keys, key) > 0

    def before(self, key: str) -> int | None:
        """Return the sequence before the first message that is behind a key; None where all are before it."""
        place = bisect_right(self._keys, key)
        return self._sequences[place] - 1 if place < len(self._sequences) else None


def _lsn_of(key: str) -> int:
    return int(key[:16], 16)


def _key(lsn: int, index: int) -> str:
    """Return what sorts among the keys of the stream like the place just before an event."""
    return f"{lsn:016x}.{min(index, MAX_INDEX):08x}.0"


def _before(lsn: int) -> str:
    """Return what sorts before everything that commits at `lsn` or behind it."""
    return _key(max(lsn - 1, 0), MAX_INDEX)
