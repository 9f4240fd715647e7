"""How far a client has certainly come in each channel, told by its heartbeats. Keeps positions only, and no clock.

A client sends its next heartbeat after it has heard the answer to the last one, and with that answer all that was sent
before it. So what was noted at one heartbeat is certain at the next.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from tidewire.model.position import StreamPosition

MOST_PLACES = 100


class Place(Struct, frozen=True):
    """A channel of somebody. Others, and the same person in another role, are never at the same place."""

    subtopic: str
    private: bool
    role: str
    subject: str | None


class Beginning(Struct, frozen=True):
    """What the reply to a join says of how a channel goes on; see `Subscribed`."""

    recovered: bool | None = None
    reason: str | None = None


_GOES_ON: Final = Beginning(recovered=True)


class Progress:
    """One per connection that can be resumed: tell it of every channel that begins, leaves, and of every heartbeat."""

    __slots__ = ("_certain", "_here", "_noted", "_unheard")

    def __init__(self) -> None:
        self._certain: dict[Place, StreamPosition] = {}
        self._noted: dict[Place, StreamPosition] = {}
        self._here: frozenset[Place] = frozenset()
        self._unheard: dict[Place, Beginning] = {}

    def __len__(self) -> int:
        return len(self._certain)

    def successor(self) -> "Progress":
        """Return one for the next connection of the same client, which begins where this one ended."""
        other = Progress()
        other._certain.update(self._certain)
        other._unheard.update(self._unheard)
        return other

    @property
    def certain(self) -> Mapping[Place, StreamPosition]:
        """From where each channel has to be told again."""
        return self._certain

    def unheard(self, place: Place) -> Beginning | None:
        """Return what a channel's client was told when it began, while that may have been lost: say it again then."""
        return self._unheard.get(place)

    def begin(self, place: Place, position: StreamPosition, beginning: Beginning = _GOES_ON) -> None:
        """Take note that a channel is told everything behind a position from now on, and what its client is told."""
        self.end(place)
        self._put(place, position)
        if beginning != _GOES_ON:
            self._unheard[place] = beginning

    def end(self, place: Place) -> None:
        """Forget a channel that its client has left by itself."""
        for known in (self._certain, self._noted, self._unheard):
            known.pop(place, None)
        self._here -= {place}

    def beat(self, position: StreamPosition | None, places: Iterable[Place], behind: Iterable[Place] = ()) -> None:
        """Take in a heartbeat: these channels have been sent everything up to this position, if one is known.

        Those that are `behind` are still told what they missed.
        """
        for place in self._here:
            self._unheard.pop(place, None)
        for place, noted in self._noted.items():
            known = self._certain.get(place)
            if known is None or not known.follows(noted):
                self._put(place, noted)
        told = tuple(places)
        self._here = frozenset((*told, *behind))
        self._noted = {} if position is None else dict.fromkeys(told, position)

    def _put(self, place: Place, position: StreamPosition) -> None:
        self._certain[place] = position
        if len(self._certain) > MOST_PLACES:
            oldest = next(iter(self._certain))
            del self._certain[oldest]
            self._unheard.pop(oldest, None)
