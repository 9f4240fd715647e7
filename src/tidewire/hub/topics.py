"""Who listens to what: the channels of this node by topic, and each topic's messages on their way to them.

A topic knows nothing of permissions: whoever joins a channel to it has asked.
"""

from collections.abc import Callable, Collection
from typing import Any, Final

from tidewire.hub.fanout import Crowd, Fanout
from tidewire.hub.forms import Form, Parcel
from tidewire.wire.message import Message, UserBroadcast

AWAY: Final = (1 << 64, 0)
"""The `since` of a member that is told from the past for a while: beyond every commit."""


def drop_packet(_packet: Any) -> None:
    """Stand in for the `write` of a channel that has left."""


class Member:
    """A channel in a topic. `write` sends a broadcast to it, and is replaced when its connection slows or leaves."""

    __slots__ = ("changes", "form", "joined_at", "since", "told", "watcher", "write")

    def __init__(self, form: Form, write: Callable[[Any], None]) -> None:
        self.form = form
        self.write = write
        self.watcher: Watcher | None = None
        """There once it watches presence."""
        self.joined_at = 0
        """How many messages the topic had seen before this channel, or before its deliveries were last counted."""
        self.since = (0, -1)
        """Row changes up to this commit and place in it are older than the channel, or it was told of them already."""
        self.told = (0, -1)
        """The latest of the row changes that were sent to this channel."""
        self.changes = 0
        """Row changes that were sent to this channel since its deliveries were last counted."""


class Watcher:
    """A channel as it watches presence: written to by itself, so that news can be held back from a slow reader."""

    __slots__ = ("form", "write")

    def __init__(self, member: Member) -> None:
        self.form = member.form
        self.write = member.write


Greet = Callable[[Member], None]
"""Is told of each new listener, before anything else is sent to it."""


class Topic:
    """The channels that share a name. Let members leave before you forget it."""

    __slots__ = ("_fanout", "_greet", "listeners", "sent", "subtopic", "watchers")

    def __init__(self, subtopic: str, fanout: Fanout, greet: Greet | None = None) -> None:
        self.subtopic = subtopic
        self._greet = greet
        self.listeners = Crowd()
        """Those who get broadcasts."""
        self.watchers = Crowd()
        """Those who get presence."""
        self.sent = 0
        """How many messages there were, so that each member's deliveries need not be counted one by one."""
        self._fanout = fanout

    def __bool__(self) -> bool:
        return bool(self.listeners or self.watchers)

    def join(self, member: Member, *, broadcasts: bool, presence: bool) -> None:
        """Deliver to a member what comes from now on; the last call counts."""
        if member not in self.listeners and not self.is_watched_by(member):
            member.joined_at = self.sent
        if broadcasts:
            if self._greet is not None and member not in self.listeners:
                self._greet(member)
            self.listeners.add(member)
        else:
            self.listeners.discard(member)
        if presence:
            member.watcher = member.watcher or Watcher(member)
            self.watchers.add(member.watcher)
        elif member.watcher is not None:
            self.watchers.discard(member.watcher)

    def is_watched_by(self, member: Member) -> bool:
        """Say whether a member gets presence."""
        return member.watcher is not None and member.watcher in self.watchers

    def leave(self, member: Member) -> None:
        """Deliver nothing more to a member, not even what is on its way already."""
        member.write = drop_packet
        self.listeners.discard(member)
        if member.watcher is not None:
            member.watcher.write = drop_packet
            self.watchers.discard(member.watcher)

    def broadcast(self, message: Message | UserBroadcast, *, spared: Collection[Member] = ()) -> int:
        """Send a message to all listeners but those `spared`, such as its sender; return how many that are."""
        self.sent += 1
        for member in spared:
            member.joined_at += 1  # it is counted in the topic, and not delivered to this one
        return self._fanout.send(self.listeners, Parcel(message), spared)

    def announce(self, message: Message) -> int:
        """Send news of presence to all who watch; return how many that are."""
        self.sent += 1
        return self._fanout.send(self.watchers, Parcel(message))

    def take_deliveries(self, member: Member) -> int:
        """Return how many messages went to a member since the last call, row changes included."""
        count = self.sent - member.joined_at + member.changes
        member.joined_at, member.changes = self.sent, 0
        return count


class Topics:
    """All topics that have somebody in them. A private and a public topic of the same name are two."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout
        self._topics: dict[tuple[bool, str], Topic] = {}
        self._greets: dict[str, Greet] = {}

    def __len__(self) -> int:
        return len(self._topics)

    def greet(self, subtopic: str, greet: Greet) -> None:
        """Have new listeners of a private topic greeted from now on, whoever is the first."""
        self._greets[subtopic] = greet

    def open(self, subtopic: str, *, private: bool) -> Topic:
        """Return the topic, made if nobody is there yet."""
        topic = self._topics.get((private, subtopic))
        if topic is None:
            greet = self._greets.get(subtopic) if private else None
            topic = self._topics[private, subtopic] = Topic(subtopic, self._fanout, greet)
        return topic

    def find(self, subtopic: str, *, private: bool) -> Topic | None:
        """Return the topic, or None when nobody is there."""
        return self._topics.get((private, subtopic))

    def close(self, subtopic: str, *, private: bool) -> None:
        """Forget a topic if nobody is left."""
        if not self._topics.get((private, subtopic), True):
            del self._topics[private, subtopic]
