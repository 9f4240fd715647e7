"""What becomes of a message for a client that reads too slowly, by its kind, and a bounded place for what is held.

Only decides: it neither writes nor closes anything.
"""

from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

Kind = Literal["change", "broadcast", "presence"]
"""Answers and notices count as changes: a client that misses one believes what is not so."""

Verdict = Literal["write", "hold", "close"]


class PressurePolicy(Struct, frozen=True, kw_only=True):
    """What may wait for a client in `outbox_bytes`; with `drops_broadcasts` it need not be sent away for broadcasts."""

    outbox_bytes: int
    drops_broadcasts: bool = False

    @property
    def hold_bytes(self) -> int:
        """Beyond this, what can be held is held: the other half is for what cannot."""
        return self.outbox_bytes // 2


def decide(kind: Kind, waiting_bytes: int, policy: PressurePolicy, *, holding: bool) -> Verdict:
    """Say what to do with a message while so much waits; `holding`: an earlier one of its kind is held.

    A change is never held: whoever misses one resumes by its position. News of presence is never a reason to send a
    client away, because one state makes up for all that it missed.
    """
    if kind == "change" or (kind == "broadcast" and not policy.drops_broadcasts):
        return "close" if waiting_bytes > policy.outbox_bytes else "write"
    return "hold" if holding or waiting_bytes > policy.hold_bytes else "write"


class Held:
    """Packets in order, each somebody's. The oldest go when there are too many bytes; the newest stays in any case."""

    __slots__ = ("_bytes", "_dropped", "_limit_bytes", "_packets")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._packets: deque[tuple[Hashable, Any, int, int]] = deque()
        self._bytes = 0
        self._dropped: Counter[Hashable] = Counter()

    def __bool__(self) -> bool:
        return bool(self._packets)

    @property
    def held_bytes(self) -> int:
        return self._bytes

    @property
    def dropped(self) -> Mapping[Hashable, int]:
        """How many messages have gone, by whose they were."""
        return self._dropped

    def add(self, owner: Hashable, packet: Any, *, messages: int, size: int) -> int:
        """Hold a packet of so many messages and bytes; return how many older messages had to go for it."""
        self._packets.append((owner, packet, messages, size))
        self._bytes += size
        gone = 0
        while self._bytes > self._limit_bytes and len(self._packets) > 1:
            whose, _, count, freed = self._packets.popleft()
            self._bytes -= freed
            self._dropped[whose] += count
            gone += count
        return gone

    def packets(self) -> Sequence[tuple[Hashable, Any]]:
        """Return what is still there, oldest first, with whose it is."""
        return [(owner, packet) for owner, packet, _, _ in self._packets]
