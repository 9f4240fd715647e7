"""How far a client has certainly come in each channel, told by its heartbeats. Keeps positions only, and no clock.

A client sends its next heartbeat after it has heard the answer to the last one, and with that answer all that was sent
before it. So what was noted at one heartbeat is certain at the next.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tidewire.model.position import StreamPosition

MOST_PLACES = 100


class Place(Struct, frozen=True):
    """A channel of somebody. Others, and the same person in another role, are never at the same place."""

    subtopic: str
    private: bool
    role: str
    subject: str | None


class Progress:
    """One per connection that can be resumed: tell it of every channel that begins, leaves, and of every heartbeat."""

    __slots__ = ("_certain", "_noted")

    def __init__(self, before: Mapping[Place, StreamPosition] | None = None) -> None:
        """Begin where an earlier connection of the same client ended."""
        self._certain: dict[Place, StreamPosition] = dict(before or {})
        self._noted: dict[Place, StreamPosition] = {}

    def __len__(self) -> int:
        return len(self._certain)

    @property
    def certain(self) -> Mapping[Place, StreamPosition]:
        """From where each channel has to be told again."""
        return self._certain

    def begin(self, place: Place, position: StreamPosition) -> None:
        """Take note that a channel is told everything behind a position from now on."""
        self.end(place)
        self._put(place, position)

    def end(self, place: Place) -> None:
        """Forget a channel that its client has left by itself."""
        self._certain.pop(place, None)
        self._noted.pop(place, None)

    def beat(self, position: StreamPosition | None, places: Iterable[Place]) -> None:
        """Take in a heartbeat: these channels have been sent everything up to this position, if one is known."""
        for place, noted in self._noted.items():
            known = self._certain.get(place)
            if known is None or not known.follows(noted):
                self._put(place, noted)
        self._noted = {} if position is None else dict.fromkeys(places, position)

    def _put(self, place: Place, position: StreamPosition) -> None:
        self._certain[place] = position
        if len(self._certain) > MOST_PLACES:
            del self._certain[next(iter(self._certain))]
