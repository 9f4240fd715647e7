"""Entries whose channel is gone but who are still shown for a while, so that reloading a page is no leave and join."""

from msgspec import Struct

from tidewire.presence.delta import Entry


class _Waiting(Struct, frozen=True, gc=False):
    entry: Entry
    until: float


class Waiting:
    """Entries in the order in which their time runs out; every operation takes constant time per entry."""

    __slots__ = ("_by_key", "_by_number", "grace_s")

    def __init__(self, grace_s: float) -> None:
        self.grace_s = grace_s
        self._by_number: dict[int, _Waiting] = {}
        self._by_key: dict[str, dict[int, Entry]] = {}

    def add(self, entry: Entry, now: float) -> None:
        """Keep an entry until its key comes back, or `grace_s` from now. `now` never goes back."""
        self._by_number[entry.number] = _Waiting(entry, now + self.grace_s)
        self._by_key.setdefault(entry.key, {})[entry.number] = entry

    @property
    def due_at(self) -> float | None:
        """When the first entry's time runs out; None when none waits."""
        return next((each.until for each in self._by_number.values()), None)

    def oldest(self, key: str | None = None) -> Entry | None:
        """Return who has waited longest, of one key or of all, and leave it waiting."""
        if key is None:
            return next((each.entry for each in self._by_number.values()), None)
        return next(iter(self._by_key.get(key, {}).values()), None)

    def discard(self, entry: Entry) -> None:
        """Let an entry wait no longer, if it does."""
        if self._by_number.pop(entry.number, None) is None:
            return
        of_key = self._by_key[entry.key]
        del of_key[entry.number]
        if not of_key:
            del self._by_key[entry.key]

    def expired(self, now: float) -> list[Entry]:
        """Remove and return the entries whose time has run out."""
        out: list[Entry] = []
        while (due := self.due_at) is not None and due <= now and (entry := self.oldest()) is not None:
            self.discard(entry)
            out.append(entry)
        return out
