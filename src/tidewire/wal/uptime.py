"""For how long the log has been served, as the log itself says: so a server that starts knows how old its past is.

A place in the log stays good for some time in which somebody could have come back. Of a past that another server has
left nobody knows how long it was there for: not by the clock, which goes on while no server runs. So servers write now
and then into the log how long they and those before them have been there. Pure.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tidewire.model.change import LogicalMessage, Transaction
from tidewire.model.position import Lsn

UPTIME_PREFIX: Final = "tidewire.uptime"
MOST_MARKS: Final = 10_000
_MOST_DIGITS: Final = 15

Aged = tuple[Lsn, int]
"""The end of a transaction, and for how many microseconds the log was served since then."""


class _Mark(Struct, frozen=True):
    end: Lsn
    at_us: int
    """By the clock of the database."""
    uptime_us: int


class Uptimes:
    """`note` what is read of the past, and say when it `is_read`; then write on from `last_us`."""

    def __init__(self) -> None:
        self.is_read = False
        """Whether it is known what servers before this one have written."""
        self._marks: list[_Mark] = []

    @property
    def last_us(self) -> int:
        """What was written last."""
        return self._marks[-1].uptime_us if self._marks else 0

    def note(self, part: Transaction) -> None:
        """Look for a mark in a transaction. Anybody may write one, so what cannot be is left out."""
        if part.end_lsn is None or len(self._marks) >= MOST_MARKS or not part.emits(UPTIME_PREFIX):
            return
        for event in part.events:
            if isinstance(event, LogicalMessage) and event.prefix == UPTIME_PREFIX:
                text = event.content.decode("ascii", errors="replace")
                if text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS:
                    self._marks.append(_Mark(part.end_lsn, part.commit_time_us, int(text)))

    def ages(self) -> Sequence[Aged]:
        """Return how old the marked places are, the oldest first. No time passes faster than by the clock."""
        found: list[Aged] = []
        age_us, later = 0, None
        for mark in reversed(self._marks):
            if later is not None:
                age_us += max(min(later.uptime_us - mark.uptime_us, later.at_us - mark.at_us), 0)
            found.append((mark.end, age_us))
            later = mark
        return found[::-1]
