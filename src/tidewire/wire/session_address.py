"""Writes what a session says on one channel, always under the refs of the channel's own join. Decides nothing.

Clients drop what carries the refs of another join: a wrong ref on `phx_close` leaves them waiting on a dead channel.
"""

from typing import Final, Literal

from msgspec import Struct

from tidewire.wire import payloads
from tidewire.wire.message import Message
from tidewire.wire.payloads import Status
from tidewire.wire.session_effects import Send

PREFIX: Final = "realtime:"


class Address(Struct, frozen=True):
    """Where a channel's messages go: its topic on the wire and the refs of the join that opened it."""

    topic: str
    ref: str | None
    join_ref: str | None

    @property
    def subtopic(self) -> str:
        """The topic without its `realtime:`."""
        return self.topic.removeprefix(PREFIX)

    def reply(self, ref: str | None, payload: bytes) -> Send:
        """Answer a message of the client's."""
        return Send(Message(self.topic, "phx_reply", payload, ref, self.join_ref))

    def system(self, message: str, *, status: Status, extension: Literal["system", "postgres_changes"]) -> Send:
        """Tell how the channel is doing."""
        payload = payloads.system(channel=self.subtopic, extension=extension, status=status, message=message)
        return Send(Message(self.topic, "system", payload, None, self.join_ref))

    def end(self, event: Literal["phx_close", "phx_error"]) -> Send:
        """End the channel: after `phx_close` the client does not come back by itself, after `phx_error` it does."""
        return Send(Message(self.topic, event, payloads.EMPTY, self.join_ref, self.join_ref))
