"""Who is present where: a roster for each topic that somebody tracks in, and its diffs to those who watch.

Diffs of a moment are told together, so that a hundred people who come at once are one message and not a hundred.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from tidewire.hub.topics import Topic, Topics
from tidewire.presence.diff import Diff, Pending, texts
from tidewire.presence.roster import Owner, Refusal, Roster
from tidewire.wire import payloads
from tidewire.wire.message import Message
from tidewire.wire.session_address import PREFIX

GATHER_S: Final = 0.02
"""How long diffs gather after one was told; the first after a pause is told at the end of the loop's turn."""


class _Place:
    """One topic's roster, and what its watchers have not been told yet."""

    __slots__ = ("expiry", "pending", "private", "roster", "subtopic", "told_at", "wake")

    def __init__(self, roster: Roster, subtopic: str, *, private: bool) -> None:
        self.roster = roster
        self.subtopic = subtopic
        self.private = private
        self.pending = Pending()
        self.told_at = 0.0
        self.wake: asyncio.Handle | None = None
        self.expiry: asyncio.TimerHandle | None = None


class Tracker:
    """All rosters of this node. Call from the event loop only, and `close` at the end."""

    def __init__(
        self,
        topics: Topics,
        *,
        make_roster: Callable[[], Roster],
        make_ref: Callable[[], str],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`make_ref` returns a text that was never used before, on any node."""
        self._topics = topics
        self._make_roster = make_roster
        self._make_ref = make_ref
        self._loop = loop
        self._places: dict[tuple[bool, str], _Place] = {}
        self.diffs = 0
        """How many diffs were told."""

    @property
    def presences(self) -> int:
        """How many are shown."""
        return sum(place.roster.size for place in self._places.values())

    def track(self, subtopic: str, owner: Owner, key: str, payload: bytes, *, private: bool) -> Refusal | None:
        """Show a channel, or return why not."""
        place = self._places.get((private, subtopic))
        if place is None:
            place = _Place(self._make_roster(), subtopic, private=private)
        outcome = place.roster.track(owner, key, payload, self._make_ref())
        if isinstance(outcome, Refusal):
            return outcome
        self._places[private, subtopic] = place
        self._add(place, outcome)
        return None

    def untrack(self, subtopic: str, owner: Owner, *, private: bool) -> None:
        """Show a channel no longer, because its user said so."""
        if (place := self._places.get((private, subtopic))) is not None:
            self._add(place, place.roster.untrack(owner))

    def drop(self, subtopic: str, owner: Owner, *, private: bool) -> None:
        """Show a channel no longer once its grace time is over, because it is gone."""
        if (place := self._places.get((private, subtopic))) is not None:
            self._add(place, place.roster.drop(owner, self._loop.time()))

    def state(self, subtopic: str, *, private: bool) -> bytes:
        """Return the `presence_state` for somebody who has just begun to watch."""
        place = self._places.get((private, subtopic))
        return payloads.presence_state(texts(place.pending.rewind(place.roster.state()))) if place else payloads.EMPTY

    def close(self) -> None:
        """Tell nobody anything more."""
        for place in self._places.values():
            for handle in (place.wake, place.expiry):
                if handle is not None:
                    handle.cancel()
        self._places.clear()

    def _add(self, place: _Place, diff: Diff | None) -> None:
        """Gather a diff and see to it that it will be told, and that whoever waits leaves in time."""
        place.pending.add(diff)
        if place.wake is None:
            due_at = place.told_at + GATHER_S
            if due_at <= self._loop.time():
                place.wake = self._loop.call_soon(self._tell, place)
            else:
                place.wake = self._loop.call_at(due_at, self._tell, place)
        if place.expiry is None and (due := place.roster.due_at) is not None:
            place.expiry = self._loop.call_at(due, self._expire, place)

    def _expire(self, place: _Place) -> None:
        place.expiry = None
        self._add(place, place.roster.tick(self._loop.time()))

    def _tell(self, place: _Place) -> None:
        place.wake = None
        place.told_at = self._loop.time()
        diff = place.pending.take()
        topic = self._topics.find(place.subtopic, private=place.private)
        if diff is not None and topic is not None:
            self.diffs += 1
            announce(topic, diff)
        if not place.roster.size and place.roster.due_at is None:
            del self._places[place.private, place.subtopic]


def announce(topic: Topic, diff: Diff) -> None:
    """Tell the watchers of a topic who came and who went."""
    payload = payloads.presence_diff(texts(diff.joins), texts(diff.leaves))
    topic.announce(Message(PREFIX + topic.subtopic, "presence_diff", payload))
