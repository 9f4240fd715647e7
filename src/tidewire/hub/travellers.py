"""Channels on their way from where they were to the present: who they are, and what they still follow where."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tidewire.hub.forms import Form
from tidewire.match.subscription import Compile, Subscription
from tidewire.model.position import Seen
from tidewire.ports import Outbox

Place = tuple[int, int]
"""Commit LSN and index: where in the current history."""


class Receiver(Struct, frozen=True):
    """Whom to tell, and whether they are still there. While more than `room_bytes` waits for them, they are full."""

    connection: int
    outbox: Outbox
    form: Form
    room_bytes: int
    write: Callable[[Any], None]
    is_there: Callable[[], bool]

    @property
    def is_full(self) -> bool:
        """Whether it reads too slowly to be told more."""
        return self.outbox.waiting_bytes > self.room_bytes


class Start(Struct, frozen=True):
    """Something to follow, behind a place; of what comes then, what was `seen` is left out."""

    place: Place
    wanted: Subscription
    compile: Compile | None
    seen: Seen | None = None


class Traveller:
    """One channel. `arrive` takes the place that it has come to, in one step with its last message."""

    def __init__(
        self, receiver: Receiver, topic: str, starts: Sequence[Start], sequence: int, arrive: Callable[[Place], None]
    ) -> None:
        self.receiver = receiver
        self.topic = topic
        self.starts = starts
        self.sequence = sequence
        """That of the last message that has nothing for it."""
        self.place = min(start.place for start in starts)
        self.told: Place = (0, -1)
        """The last change that it was told of on its way."""
        self._arrive = arrive
        self._over: asyncio.Future[bool] | None = None
        self._since_s = asyncio.get_running_loop().time()

    @property
    def key(self) -> tuple[int, str]:
        """What frames are addressed by."""
        return self.receiver.connection, self.topic

    async def out(self) -> bool:
        """Wait until it is out. True: it has arrived or gone; otherwise send it off again once there is room.

        Raises what the way has failed with.
        """
        self._over = asyncio.get_running_loop().create_future()
        return await self._over

    def has_all_up_to(self, place: Place) -> bool:
        """Tell whether it may go on from a place, if everything up to that was told to whom it concerns.

        That is so if all that it follows had begun by then, and it was told nothing behind it.
        """
        has_begun = all(start.place <= place and start.seen is None for start in self.starts)
        return has_begun and self.told <= place

    def has_waited(self, limit_s: float) -> bool:
        """Tell whether it has been under way for so long."""
        return asyncio.get_running_loop().time() > self._since_s + limit_s

    def arrive(self, place: Place) -> None:
        """Go on with what comes."""
        if self.receiver.is_there():
            self._arrive(max(place, self.place))
        self._end(arrived=True)

    def rest(self, place: Place, sequence: int) -> None:
        """Stay behind, having been told everything up to a place."""
        self.starts = [replace(start, place=max(start.place, place)) for start in self.starts]
        self.place, self.sequence = max(self.place, place), sequence
        self._end(arrived=False)

    def fail(self, error: Exception) -> None:
        """Have whoever waits raise this."""
        if self._over is not None and not self._over.done():
            self._over.set_exception(error)

    def _end(self, *, arrived: bool) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(arrived)
