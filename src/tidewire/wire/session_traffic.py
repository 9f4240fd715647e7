"""What a client that is in a channel sends to others: broadcasts and presence. Does not know how it came in."""

from tidewire.model.errors import DecodeError
from tidewire.model.reasons import (
    CLIENT_PRESENCE_LIMIT,
    PAYLOAD_TOO_LARGE,
    TRACK_NOT_OBJECT,
    TRACK_TOO_LARGE,
    Reason,
    WriteRefusal,
)
from tidewire.wire import payloads
from tidewire.wire.join import JoinRequest
from tidewire.wire.limits import CallWindow
from tidewire.wire.message import Inbound, Message, UserBroadcast
from tidewire.wire.payloads import deliverable
from tidewire.wire.requests import Persist, PresenceCall, read_persist, read_presence
from tidewire.wire.session_address import Address
from tidewire.wire.session_effects import (
    ChannelRef,
    Count,
    Effect,
    Publish,
    SendPresenceState,
    Track,
    Untrack,
)
from tidewire.wire.session_limits import SessionLimits

_ERROR = payloads.reply("error")


class Traffic:
    """One per channel. Where a method returns a Reason, end the channel with it."""

    __slots__ = ("_address", "_calls", "_channel", "_join", "_limits", "shows_presence")

    def __init__(self, channel: ChannelRef, address: Address, join: JoinRequest, limits: SessionLimits) -> None:
        """Track under the join's `presence_key`, which must not be empty."""
        self._channel = channel
        self._address = address
        self._join = join
        self._limits = limits
        self._calls = CallWindow(calls=limits.presence_calls, window_s=limits.presence_window_s)
        self.shows_presence = join.presence_enabled
        """Whether the client has been, or will be, told who is there."""

    def broadcast(self, message: Inbound) -> list[Effect]:
        """Pass a broadcast on. Only a client that asked for acknowledgements learns that one was too large."""
        ack = self._join.broadcast_ack
        if len(message.payload) > self._limits.payload_bytes:
            told = [self._address.reply(message.ref, payloads.failure(PAYLOAD_TOO_LARGE))] if ack else []
            return [Count("limit_payload"), *told]
        outgoing: Inbound
        persist: Persist | None = None
        if isinstance(message, UserBroadcast):
            outgoing = deliverable(message)
            try:
                persist = read_persist(message.meta) if self._channel.private else None
            except DecodeError:
                told = [self._address.reply(message.ref, payloads.failure("invalid_persist_ttl"))] if ack else []
                return [Count("messages_malformed"), *told]
        else:
            outgoing = Message(message.topic, message.event, message.payload)
        return [Publish(self._channel, outgoing, self._join.broadcast_self, ack, message.ref, persist)]

    def published(self, question: Publish, failure: WriteRefusal | None, kept_as: str | None) -> list[Effect]:
        """Acknowledge a broadcast, by the id under which it is kept if it is, or say why it reached nobody."""
        if not question.ack:
            return []
        if failure is not None:
            return [self._address.reply(question.ref, payloads.failure(failure))]
        return [self._address.reply(question.ref, payloads.OK if kept_as is None else payloads.kept(kept_as))]

    def presence(self, message: Message, now_s: float) -> list[Effect] | Reason:
        """Do what a `presence` message asks for. Raises DecodeError: drop it."""
        call = read_presence(message.payload)
        if not self._calls.take(now_s):
            return CLIENT_PRESENCE_LIMIT
        match call.action:
            case "track":
                return self._track(call, message.ref)
            case "untrack":
                return [Untrack(self._channel), self._address.reply(message.ref, payloads.OK)]
            case None:
                return [self._address.reply(message.ref, payloads.OK)]
        return [self._address.reply(message.ref, _ERROR)]

    def _track(self, call: PresenceCall, ref: str | None) -> list[Effect] | Reason:
        if call.payload is None:
            return [self._address.reply(ref, payloads.refusal(TRACK_NOT_OBJECT.message))]
        if len(call.payload) > self._limits.payload_bytes:
            return TRACK_TOO_LARGE
        return [Track(self._channel, self._join.presence_key, call.payload, ref)]

    def tracked(self, question: Track, *, accepted: bool) -> list[Effect]:
        """Answer a track. Who tracks wants presence: if it was off it is on from now, beginning with who is there."""
        if not accepted:
            return [self._address.reply(question.ref, _ERROR)]
        effects: list[Effect] = [self._address.reply(question.ref, payloads.OK)]
        if not self.shows_presence:
            self.shows_presence = True
            effects.append(self.presence_state())
        return effects

    def presence_state(self) -> SendPresenceState:
        """Tell the client who is there."""
        return SendPresenceState(self._channel, self._address.topic, self._address.join_ref)
