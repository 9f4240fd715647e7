"""Sends messages to many connections in order: at once to a few, in turns to a crowd, so that nobody else waits long.

What is published to a crowd while it is still being served gathers, and goes out as one write for each connection.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from tidewire.hub.forms import Form, Group, Parcel, Recipient

TURN = 100
"""Connections written to before others on the loop are served: about 0.5 ms of system calls."""

BURST = 10 * TURN
"""Writes to small crowds at once, however many messages arrive together, before what follows gathers like any other."""

BATCH_BYTES = 32 * 1024
"""What is put into one write at most: a message larger than this is not joined with others."""


class Crowd:
    """Recipients, listed by form. The lists are kept until somebody comes or goes."""

    __slots__ = ("_by_form", "_listed", "_members", "departures", "waiting")

    def __init__(self) -> None:
        self._by_form: dict[Form, dict[Recipient, None]] = {}
        self._listed: Listing | None = None
        self._members = 0
        self.departures = 0
        """How many have gone so far: whoever holds a listing sees by it whether all of them are still here."""
        self.waiting: deque[Batch] = deque()
        """What is still to be sent, oldest first; only `Fanout` touches it."""

    def __len__(self) -> int:
        return self._members

    def __contains__(self, recipient: Recipient) -> bool:
        return recipient in self._by_form.get(recipient.form, ())

    def add(self, recipient: Recipient) -> None:
        """Take somebody in; who is here already stays."""
        of_form = self._by_form.setdefault(recipient.form, {})
        if recipient not in of_form:
            of_form[recipient] = None
            self._members += 1
            self._listed = None

    def discard(self, recipient: Recipient) -> None:
        """Let somebody go, if here."""
        of_form = self._by_form.get(recipient.form)
        if of_form is not None and recipient in of_form:
            del of_form[recipient]
            self._members -= 1
            self.departures += 1
            self._listed = None
            if not of_form:
                del self._by_form[recipient.form]

    def listing(self) -> "Listing":
        """Return who is here now; the same object until that changes."""
        listed = self._listed
        if listed is None:
            self._listed = listed = tuple(form.group(tuple(members)) for form, members in self._by_form.items())
        return listed


Listing = tuple[Group, ...]


class Batch:
    """Messages for those who are in a crowd now, with how far they have been sent."""

    __slots__ = ("_at", "_crowd", "_departures", "_packets", "_part", "listing", "parcels", "size", "spared")

    def __init__(self, crowd: Crowd) -> None:
        self.listing = crowd.listing()
        self.parcels: list[Parcel] = []
        self.spared: dict[Recipient, set[int]] = {}
        """Who must not get which of the parcels: mostly whoever sent them."""
        self.size = 0
        self._part = 0
        self._at = 0
        self._packets: Sequence[Any] | None = None
        self._crowd = crowd
        self._departures = crowd.departures

    @property
    def started(self) -> bool:
        """Whether somebody has got it already, so that nothing may be added: also between two forms."""
        return self._part > 0 or self._packets is not None

    def add(self, parcel: Parcel, spared: Iterable[Recipient]) -> None:
        """Add a message; its size is that of its first form, as all are about the same."""
        for recipient in spared:
            self.spared.setdefault(recipient, set()).add(len(self.parcels))
        self.parcels.append(parcel)
        if self.listing:
            packet = parcel.packet(self.listing[0].form)
            self.size += len(packet) if isinstance(packet, bytes) else BATCH_BYTES

    def advance(self, budget: int) -> int:
        """Write to as many recipients as the budget allows and return what is left of it; 0 may mean: not finished."""
        while self._part < len(self.listing) and budget > 0:
            group = self.listing[self._part]
            if self._packets is None:
                self._packets = group.form.join(_packets(self.parcels, group.form))
            until = min(self._at + budget, len(group))
            self._write(group, self._at, until)
            budget -= until - self._at
            self._at = until
            if until == len(group):
                self._part, self._at = self._part + 1, 0
                self._packets = None if self._part < len(self.listing) else ()
        return budget

    @property
    def done(self) -> bool:
        return self._part == len(self.listing)

    def _write(self, group: Group, start: int, stop: int) -> None:
        """Write to those from `start` to `stop`: to all between two who are spared at once."""
        if self.spared and not self.spared.keys().isdisjoint(group.recipients[start:stop]):
            for place in range(start, stop):
                recipient = group.recipients[place]
                if recipient in self.spared:
                    self._write_range(group, start, place)
                    self._write_to(recipient, group.form)
                    start = place + 1
        self._write_range(group, start, stop)

    def _write_range(self, group: Group, start: int, stop: int) -> None:
        """Write to a part of a group, to each by itself once somebody has left: only a `write` knows who that is."""
        for packet in (self._packets or ()) if start < stop else ():
            if self._crowd.departures == self._departures:
                group.write(packet, start, stop)
            else:
                for recipient in group.recipients[start:stop]:
                    recipient.write(packet)

    def _write_to(self, recipient: Recipient, form: Form) -> None:
        """Write to one who is spared some of the messages."""
        for packet in _packets(self.parcels, form, without=self.spared[recipient]):
            recipient.write(packet)


class Fanout:
    """Give it every message for more than one connection; `call_soon` is the event loop's."""

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._busy: deque[Crowd] = deque()
        self._at_once = 0  # writes since the last turn

    @property
    def idle(self) -> bool:
        """Whether everything given has been written."""
        return not self._busy

    def send(self, crowd: Crowd, parcel: Parcel, spared: Collection[Recipient] = ()) -> int:
        """Send a parcel to a crowd after all earlier ones, but not to those `spared`; return to how many."""
        listing = crowd.listing()
        count = len(crowd) - sum(recipient in crowd for recipient in spared)
        if not count:
            return 0
        waiting = crowd.waiting
        if not waiting and len(crowd) <= TURN and self._at_once < BURST:
            self._at_once += count
            batch = Batch(crowd)
            batch.add(parcel, spared)
            batch.advance(TURN)
            return count
        if not waiting:
            if not self._busy:
                self._call_soon(self._turn)
            self._busy.append(crowd)
        last = waiting[-1] if waiting else None
        if last is None or last.started or last.listing is not listing or last.size > BATCH_BYTES:
            last = Batch(crowd)
            waiting.append(last)
        last.add(parcel, spared)
        return count

    def _turn(self) -> None:
        """Write to some recipients of the crowd whose turn it is, and leave the rest for the next turns."""
        budget = TURN
        self._at_once = 0
        while self._busy and budget > 0:
            crowd = self._busy.popleft()
            batch = crowd.waiting[0]
            budget = batch.advance(budget)
            if batch.done:
                crowd.waiting.popleft()
            if crowd.waiting:
                self._busy.append(crowd)
        if self._busy:
            self._call_soon(self._turn)


def _packets(parcels: Sequence[Parcel], form: Form, *, without: Iterable[int] = ()) -> list[Any]:
    """Return the packets of a form, but for those that it cannot carry and those at the places `without`."""
    packets = (parcel.packet(form) for number, parcel in enumerate(parcels) if number not in without)
    return [packet for packet in packets if packet is not None]
