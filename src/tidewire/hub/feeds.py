"""What the server itself tells in its own topics: newcomers hear a greeting first, then all hear what is new.

What that is, and when to tell it, is for others to say.
"""

from collections.abc import Callable

from tidewire.hub.topics import Member, Topics
from tidewire.wire import payloads
from tidewire.wire.message import Message
from tidewire.wire.session_address import PREFIX

Told = tuple[str, bytes]
"""The name of an event, and the text of its JSON object."""


class Feed:
    """One private topic. Ask whether it `is_heard` before you gather anything, then `tell`."""

    def __init__(self, topics: Topics, subtopic: str, greeting: Callable[[], Told]) -> None:
        """Ask `greeting` once for each newcomer; what is told after that is told to it as well."""
        self._topics = topics
        self._subtopic = subtopic
        self._greeting = greeting
        topics.greet(subtopic, self._greet)

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        topic = self._topics.find(self._subtopic, private=True)
        return topic is not None and bool(topic.listeners)

    def tell(self, told: Told) -> None:
        """Send something to everybody who listens; it counts as no broadcast."""
        topic = self._topics.find(self._subtopic, private=True)
        if topic is not None:
            topic.broadcast(self._message(told))

    def _greet(self, member: Member) -> None:
        packet = member.form.pack(self._message(self._greeting()))
        if packet is not None:
            member.write(packet)

    def _message(self, told: Told) -> Message:
        event, body = told
        return Message(PREFIX + self._subtopic, "broadcast", payloads.broadcast_payload(event, body))
