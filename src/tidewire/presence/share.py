"""What one node contributes to a roster: its own share is written here, those of its peers follow from deltas.

Only the node itself changes its share, and it numbers every change, removals too. So a lost message always shows as a
missing number, and a repeated or late one is recognised. Merging the same deltas in any order, any number of times,
gives the same entries.
"""

from typing import Final

from tidewire.presence.clock import Seen, Version
from tidewire.presence.delta import Delta, Entry

MAX_RANGES: Final = 64
"""How broken up the numbers heard of a peer may be. A delta that would break them further counts as lost."""

Changed = tuple[list[Entry], list[Entry]]
"""Entries that joined, and entries that left."""


class OwnShare:
    """The entries of this node, and what its peers have not been told yet."""

    __slots__ = ("_added", "_removed", "_told", "_until", "entries", "life", "node")

    def __init__(self, node: str, life: int) -> None:
        self.node = node
        self.life = life
        self.entries: dict[int, Entry] = {}
        self._until = 0
        self._told = 0
        self._added: dict[int, Entry] = {}
        self._removed: list[int] = []

    @property
    def version(self) -> Version:
        """How far this node has come, including what its peers have not been told."""
        return Version(self.life, self._until)

    def add(self, *, key: str, ref: str, previous_ref: str, meta: bytes) -> Entry:
        """Make an entry."""
        self._until += 1
        entry = Entry(self._until, key, ref, previous_ref, meta)
        self.entries[entry.number] = self._added[entry.number] = entry
        return entry

    def remove(self, entry: Entry) -> None:
        """Take an entry away."""
        self._until += 1
        del self.entries[entry.number]
        if self._added.pop(entry.number, None) is None:
            self._removed.append(entry.number)

    def take_delta(self) -> Delta | None:
        """Return what changed since the last call, for all peers; None when nothing did."""
        if self._until == self._told:
            return None
        entries, removed = tuple(self._added.values()), tuple(self._removed)
        delta = Delta(self.node, self.life, self._told, self._until, entries, removed)
        self._told, self._added, self._removed = self._until, {}, []
        return delta

    def everything(self) -> Delta:
        """Return the whole share, for a peer that has missed something."""
        return Delta(self.node, self.life, 0, self._until, tuple(self.entries.values()), ())


class PeerShare:
    """A peer's entries as far as it was heard."""

    __slots__ = ("_announced", "_seen", "entries", "life")

    def __init__(self) -> None:
        self.life = 0
        self.entries: dict[int, Entry] = {}
        self._seen = Seen()
        self._announced = Version(0, 0)

    @property
    def lagging(self) -> bool:
        """Whether the peer is known to have made changes that were not heard here."""
        return Version(self.life, self._seen.complete) < self._announced

    def announce(self, version: Version) -> None:
        """Note how far the peer says that it has come."""
        self._announced = max(self._announced, version)

    def merge(self, delta: Delta) -> Changed:
        """Take in a delta. A life that is over changes nothing; a new life replaces all that came before it."""
        self.announce(Version(delta.life, delta.until))
        if delta.life < self.life:
            return [], []
        left: list[Entry] = []
        if delta.life > self.life:
            left.extend(self.entries.values())
            self.life, self.entries, self._seen = delta.life, {}, Seen()
        if not self._can_remember(delta):
            return [], left
        left.extend(self._remove(delta))
        joined = [entry for entry in delta.entries if entry.number not in self._seen]
        self.entries.update((entry.number, entry) for entry in joined)
        self._seen.add(delta.since + 1, delta.until)
        for number in delta.removed:
            self._seen.add(number, number)
        return joined, left

    def _can_remember(self, delta: Delta) -> bool:
        unknown = sum(number not in self._seen for number in delta.removed)
        ranges = unknown + (delta.since > self._seen.complete)
        return not ranges or len(self._seen) + ranges <= MAX_RANGES

    def _remove(self, delta: Delta) -> list[Entry]:
        """Take away what the delta knows about and does not hold."""
        held = {entry.number for entry in delta.entries}
        span = range(delta.since + 1, delta.until + 1)
        # Whichever is shorter: an ordinary delta spans a few numbers, a whole share spans all that there ever were.
        known = span if len(span) < len(self.entries) else [each for each in self.entries if each in span]
        gone = [number for number in known if number not in held and number in self.entries]
        gone.extend(number for number in set(delta.removed) if number in self.entries)
        return [self.entries.pop(number) for number in gone]
