"""Remembers for a while how far clients had come that named their session, so that one that comes back goes on there.

Only for clients that cannot say it themselves; in memory, and bounded.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from tidewire.wire.progress import Progress

MOST_CHANNELS: Final = 20_000
"""Some 10 MiB."""


class ResumeLimits(Struct, frozen=True, kw_only=True):
    """How long after its end a connection can be resumed, and how many channels of such connections are remembered."""

    age_s: float = 300.0
    channels: int = MOST_CHANNELS


class Resumable:
    """`enter` when a client with a session connects, and `leave` when that connection has ended."""

    def __init__(self, limits: ResumeLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._here: dict[str, Progress] = {}
        self._gone: dict[str, tuple[float, Progress]] = {}  # the first has been gone for longest
        self._channels = 0

    def enter(self, session: str) -> Progress:
        """Return the progress of a new connection, which begins where the last one of this session stands.

        The last one may still look alive: that its client is gone is often learned late. It no longer counts.
        """
        self._forget_old()
        before = self._here.get(session) or self._take(session)
        self._here[session] = progress = Progress() if before is None else before.successor()
        return progress

    def leave(self, session: str, progress: Progress) -> None:
        """Remember how far a connection had come, unless another one has taken over from it."""
        if self._here.get(session) is not progress:
            return
        del self._here[session]
        if len(progress):
            self._gone[session] = (self._clock(), progress)
            self._channels += len(progress)
        self._forget_old()

    def _take(self, session: str) -> Progress | None:
        _, progress = self._gone.pop(session, (0.0, None))
        if progress is not None:
            self._channels -= len(progress)
        return progress

    def _forget_old(self) -> None:
        too_old_s = self._clock() - self._limits.age_s
        while self._gone and (self._channels > self._limits.channels or self._oldest_s() < too_old_s):
            self._take(next(iter(self._gone)))

    def _oldest_s(self) -> float:
        return next(iter(self._gone.values()))[0]
