"""What a session wants done, as values, and the answers it waits for. Nothing here does anything.

Carry the effects of one call out in their order and before the next call of the same session. Five of them are
questions: `Authorize`, `Subscribe`, `Publish` with `ack`, `Track` and `Beat`. Answer each once, and hand the effect
itself back with the answer: that is how the session tells which answers come too late.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from tidewire.model.claims import Claims
from tidewire.model.reasons import (
    CLIENT_PRESENCE_LIMIT,
    TOO_MANY_CHANNELS,
    TOO_MANY_JOINS,
    TOO_MANY_MESSAGES,
    TRACK_TOO_LARGE,
    Reason,
)
from tidewire.wire.binding import Binding
from tidewire.wire.join import Replay
from tidewire.wire.message import Message, UserBroadcast
from tidewire.wire.requests import Persist

NORMAL: Final = 1000
"""Closed because nobody uses the connection."""
GOING_AWAY: Final = 1001
"""Closed because the client asks for more than it may."""
RESTART: Final = 1012
"""Closed because the server stops or an operator says so: come back soon."""

Metric = Literal[
    "joins_refused",
    "channels_shut_down",
    "limit_channels",
    "limit_joins",
    "limit_messages",
    "limit_payload",
    "limit_presence",
    "limit_topic",
    "messages_malformed",
    "messages_unknown",
    "messages_unmatched",
    "sockets_empty",
    "sockets_idle",
]


class ChannelRef(Struct, frozen=True):
    """Names a channel of this connection from its join to its end. The next join of the topic has another `number`.

    `subtopic` is the topic without its `realtime:`; private and public channels of one subtopic never meet.
    """

    number: int
    subtopic: str
    private: bool


# --- answers -----------------------------------------------------------------------------------------------


class Grant(Struct, frozen=True):
    """The token is genuine, and this is what its bearer may read of the channel."""

    claims: Claims
    reads_broadcasts: bool = True
    reads_presence: bool = True


class Subscribed(Struct, frozen=True):
    """The row changes are live: whatever is committed from now on will be delivered.

    `refusals` has, for each binding of the question, why it gets no changes, or None. `replayed` are kept broadcasts,
    oldest first. The rest tells a client that continues from a position whether it can.
    """

    refusals: tuple[str | None, ...] = ()
    replayed: tuple[Message | UserBroadcast, ...] = ()
    position: str | None = None
    recovered: bool | None = None
    reason: str | None = None


# --- effects -----------------------------------------------------------------------------------------------


class Send(Struct, frozen=True, gc=False):
    """Encode the message for this connection and send it."""

    message: Message


class SendBroadcast(Struct, frozen=True, gc=False):
    """Send a broadcast, unless this connection's version cannot carry it."""

    broadcast: UserBroadcast


class SendPresenceState(Struct, frozen=True):
    """Send who is present, as a `presence_state` to the wire's `topic` under this `join_ref`."""

    channel: ChannelRef
    topic: str
    join_ref: str | None


class Authorize(Struct, frozen=True):
    """Verify the token and what it may read, then call `authorized`. `presence` is whether the client wants it."""

    channel: ChannelRef
    token: str
    presence: bool

    def __repr__(self) -> str:
        return f"Authorize({self.channel!r}, presence={self.presence})"  # the token is a secret


class Subscribe(Struct, frozen=True):
    """Make the bindings live, replacing earlier ones of the channel, then call `subscribed`.

    With `replay`, read the kept broadcasts and collect new ones from now on, so that none is lost in between.
    A `legacy` client expects changes under the names INSERT, UPDATE and DELETE.
    """

    channel: ChannelRef
    grant: Grant
    bindings: tuple[Binding, ...]
    replay: Replay | None
    legacy: bool


class JoinTopic(Struct, frozen=True):
    """Deliver the topic to the channel from now on: broadcasts, presence diffs or both. The last one counts."""

    channel: ChannelRef
    broadcasts: bool
    presence: bool


class AwaitReplication(Struct, frozen=True):
    """Call `replicating` as soon as broadcasts from the database flow."""

    channel: ChannelRef


class Publish(Struct, frozen=True, gc=False):
    """Check that the channel may write, then send the message to the topic; to the sender too if `to_self`.

    With `ack`, call `published` once the bus has it. `ref` is for the session. With `persist`, which only private
    channels have, keep it for later readers if the channel may do that too, and call `published` after that.
    """

    channel: ChannelRef
    message: Message | UserBroadcast
    to_self: bool
    ack: bool
    ref: str | None
    persist: Persist | None = None


class Track(Struct, frozen=True, gc=False):
    """Check that the channel may write, show `payload` (the text of an object) under `key`, then call `tracked`."""

    channel: ChannelRef
    key: str
    payload: bytes
    ref: str | None


class Untrack(Struct, frozen=True):
    """Show the channel no longer, at once."""

    channel: ChannelRef


class Forget(Struct, frozen=True):
    """The channel is over: undo all that was done for it. Comes once for every channel that was to be authorized."""

    channel: ChannelRef


class Depart(Struct, frozen=True):
    """The client has left the channel by itself: it need not be resumed."""

    channel: ChannelRef


class Beat(Struct, frozen=True, gc=False):
    """The client has heard the answer to its last heartbeat, and all that was sent before. Call `beaten` at once."""

    ref: str | None


class Close(Struct, frozen=True):
    """Send what is still to be sent, then close the connection. Nothing comes after it."""

    code: int
    reason: str


class Count(Struct, frozen=True, gc=False):
    """Add one to a metric."""

    metric: Metric


_LIMITS: Final[Mapping[Reason, Metric]] = {
    CLIENT_PRESENCE_LIMIT: "limit_presence",
    TOO_MANY_CHANNELS: "limit_channels",
    TOO_MANY_JOINS: "limit_joins",
    TOO_MANY_MESSAGES: "limit_messages",
    TRACK_TOO_LARGE: "limit_payload",
}


def counts(metric: Metric, reason: Reason) -> "list[Effect]":
    """Count what happened, and the limit that made it happen if there was one."""
    return [Count(metric), Count(_LIMITS[reason])] if reason in _LIMITS else [Count(metric)]


Effect = (
    Send
    | SendBroadcast
    | SendPresenceState
    | Authorize
    | Subscribe
    | JoinTopic
    | AwaitReplication
    | Publish
    | Track
    | Untrack
    | Forget
    | Depart
    | Beat
    | Close
    | Count
)
