"""Stands between a connection and its outbox for as long as its client reads too slowly, and knows what it missed.

What becomes of a message is decided in `wire/pressure.py`; whoever holds the connection ends it when told to.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from tidewire.hub.topics import Member
from tidewire.ports import Outbox
from tidewire.wire.pressure import Held, Kind, PressurePolicy, decide


class SlowReader:
    """Let it `take_over` every channel; when the client reads again, put the writes back and send what it kept."""

    __slots__ = ("_counts", "_give_up", "_held", "_outbox", "_policy", "missed_presence")

    def __init__(
        self, outbox: Outbox, policy: PressurePolicy, counts: Counter[str], *, give_up: Callable[[], None]
    ) -> None:
        """`give_up` has to stop all writing and to close the connection."""
        self._outbox = outbox
        self._policy = policy
        self._counts = counts
        self._give_up = give_up
        self._held = Held(policy.hold_bytes)
        self.missed_presence: set[Member] = set()
        """Whose clients have to be sent the whole state, in place of the news that they were not told."""

    @property
    def dropped(self) -> Mapping[Member, int]:
        """How many broadcasts each channel has missed."""
        return cast("Mapping[Member, int]", self._held.dropped)

    @property
    def kept(self) -> Sequence[tuple[Member, Any]]:
        """The newest broadcasts, oldest first, each still to be written to its channel."""
        return cast("Sequence[tuple[Member, Any]]", self._held.packets())

    def take_over(self, member: Member) -> None:
        """Look at everything that is written to a channel from now on."""
        member.write = partial(self._broadcast, member)
        if member.watcher is not None:
            member.watcher.write = partial(self._presence, member)

    def write(self, packet: Any) -> None:
        """Write a row change or an answer."""
        if self._may_write("change", holding=False):
            self._outbox.write(packet)

    def _broadcast(self, member: Member, packet: Any) -> None:
        if self._may_write("broadcast", holding=bool(self._held)):
            self._outbox.write(packet)
        elif self._policy.drops_broadcasts:
            messages, size = member.form.weigh(packet)
            self._counts["broadcasts_dropped"] += self._held.add(member, packet, messages=messages, size=size)

    def _presence(self, member: Member, packet: Any) -> None:
        if self._may_write("presence", holding=member in self.missed_presence):
            self._outbox.write(packet)
        else:
            self.missed_presence.add(member)

    def _may_write(self, kind: Kind, *, holding: bool) -> bool:
        """Ask what to do; giving up is done here."""
        verdict = decide(kind, self._outbox.waiting_bytes, self._policy, holding=holding)
        if verdict == "close":
            self._give_up()
        return verdict == "write"
