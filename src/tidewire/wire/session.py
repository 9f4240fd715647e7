"""One connection of a live client: its messages, answers to its questions and the time in, effects out. Sends nothing.

Theory of operation. The session knows the connection: which channels there are, how fast the client is, when to give up
on it. Each channel is a machine of its own (session_channel.py). Whoever holds the socket carries out the effects
(session_effects.py), answers the questions among them by the methods that they name, and calls `tick` once a second or
so. What comes late, twice or for a channel that is gone changes nothing. The last effect ever is a Close, or what
`closed` returns.
"""

from collections.abc import Callable, Mapping
from math import inf
from typing import Final

from tidewire.model.errors import DecodeError
from tidewire.model.position import StreamPosition
from tidewire.model.reasons import DISCONNECT_REQUESTED, TOO_MANY_MESSAGES, Reason, WriteRefusal
from tidewire.wire import payloads
from tidewire.wire.limits import WindowRate
from tidewire.wire.message import Inbound, Message
from tidewire.wire.session_address import PREFIX, Address
from tidewire.wire.session_channel import ChannelProtocol
from tidewire.wire.session_effects import (
    GOING_AWAY,
    NORMAL,
    RESTART,
    Authorize,
    Beat,
    ChannelRef,
    Close,
    Count,
    Depart,
    Effect,
    Grant,
    Publish,
    Send,
    Subscribe,
    Subscribed,
    Track,
)
from tidewire.wire.session_entrance import ENDING, Entrance, unmatched
from tidewire.wire.session_limits import SessionLimits

_HEARTBEAT_TOPIC: Final = "phoenix"


class SessionProtocol:
    """Give it everything in the order in which it happens; `now_s` is Unix time, because tokens expire by it."""

    __slots__ = (
        "_channels",
        "_empty_since_s",
        "_entrance",
        "_events",
        "_heard_at_s",
        "_is_over",
        "_limits",
        "_number",
        "_token",
        "calm_until_s",
    )

    def __init__(self, limits: SessionLimits, now_s: float, *, token: str, make_key: Callable[[], str]) -> None:
        """Begin with the connection's own token; `make_key` names those in presence who do not name themselves."""
        self._limits = limits
        self._token = token
        self._entrance = Entrance(limits, make_key)
        self._events = WindowRate(limit_per_s=limits.events_per_s)
        self._channels: dict[str, ChannelProtocol] = {}
        self._number = 0
        self._heard_at_s = now_s
        self._empty_since_s = now_s
        self._is_over = False
        self.calm_until_s = -inf
        """Before this Unix time `tick` does nothing, unless something happens first."""

    # --- the client --------------------------------------------------------------------------------------

    def receive(self, inbound: Inbound, now_s: float) -> list[Effect]:
        """Take in a message."""
        if self._is_over:
            return []
        self._heard_at_s = now_s
        self.calm_until_s = -inf
        if isinstance(inbound, Message):
            match inbound.event:
                case "heartbeat" if inbound.topic == _HEARTBEAT_TOPIC:
                    return [Beat(inbound.ref)]
                case "phx_join":
                    return self._join(inbound, now_s)
                case "phx_leave":
                    return self._leave(inbound, now_s)
        return self._push(inbound, now_s)

    def heard(self, now_s: float) -> None:
        """Take note of a sign of life that is no message: a frame that could not be read, a ping."""
        self._heard_at_s = now_s

    def closed(self) -> list[Effect]:
        """Take note that the connection is gone; nothing can be sent any more."""
        return self._end()

    def _join(self, message: Message, now_s: float) -> list[Effect]:
        """Begin a channel, in place of the one that has the topic, or refuse to."""
        fits = len(message.topic.encode()) <= self._limits.topic_bytes
        if not (fits and message.topic.startswith(PREFIX)):
            too_long: list[Effect] = [] if fits else [Count("limit_topic")]
            return [*too_long, *unmatched(_return_address(message))]
        replaced = self._channels.get(message.topic)
        effects = self._settle(replaced, replaced.end("phx_close"), now_s) if replaced else []
        # A client that sends no join_ref, as version 1 allows, knows the channel by the ref of its join.
        address = Address(message.topic, message.ref, message.join_ref or message.ref)
        join = self._entrance.admit(message, channels=len(self._channels), now_s=now_s)
        if isinstance(join, Reason):
            return [*effects, *self._refuse(address, join, now_s)]
        self._number += 1
        ref = ChannelRef(self._number, address.subtopic, join.private)
        channel = ChannelProtocol(ref, address, join, join.access_token or self._token, self._limits)
        self._channels[message.topic] = channel
        return [*effects, *channel.begin(now_s)]

    def _leave(self, message: Message, now_s: float) -> list[Effect]:
        """Answer in any case, but end only the channel that is meant: the message may have crossed with a new join."""
        reply = _return_address(message).reply(message.ref, payloads.OK)
        channel = self._channels.get(message.topic)
        if channel is None or message.join_ref not in (None, channel.address.join_ref):
            return [reply]
        reply = channel.address.reply(message.ref, payloads.OK)
        return [reply, Depart(channel.ref), *self._settle(channel, channel.end("phx_close"), now_s)]

    def _push(self, inbound: Inbound, now_s: float) -> list[Effect]:
        channel = self._channels.get(inbound.topic)
        try:
            if channel is not None and channel.is_inside:
                if self._events.add(now_s):
                    return self._flooded(channel, now_s)
                return self._settle(channel, channel.receive(inbound, now_s), now_s)
            if channel is not None and isinstance(inbound, Message) and inbound.event == "access_token":
                channel.offer_token(inbound)
                return []
        except DecodeError:
            return [Count("messages_malformed")]
        return unmatched(_return_address(inbound))

    # --- answers -----------------------------------------------------------------------------------------

    def authorized(self, question: Authorize, answer: Grant | Reason, now_s: float) -> list[Effect]:
        """Answer an Authorize."""
        channel = self._find(question.channel)
        return self._settle(channel, channel.authorized(question, answer, now_s), now_s) if channel else []

    def subscribed(self, question: Subscribe, answer: Subscribed | Reason, now_s: float) -> list[Effect]:
        """Answer a Subscribe, once every change that is committed from now on will be delivered."""
        channel = self._find(question.channel)
        return self._settle(channel, channel.subscribed(question, answer, now_s), now_s) if channel else []

    def published(
        self, question: Publish, failure: WriteRefusal | None = None, *, kept_as: str | None = None
    ) -> list[Effect]:
        """Answer a Publish that wants it: why the message reached nobody, or under which id it is kept if it is."""
        channel = self._find(question.channel)
        return channel.published(question, failure, kept_as) if channel else []

    def tracked(self, question: Track, *, accepted: bool) -> list[Effect]:
        """Answer a Track."""
        channel = self._find(question.channel)
        return channel.tracked(question, accepted=accepted) if channel else []

    def beaten(self, question: Beat, positions: Mapping[str, StreamPosition]) -> list[Effect]:
        """Answer a Beat with how far channels have come, each under its topic; others need not be named."""
        payload = payloads.heartbeat_reply(positions)
        return [] if self._is_over else [Send(Message(_HEARTBEAT_TOPIC, "phx_reply", payload, question.ref))]

    def replicating(self, ref: ChannelRef) -> list[Effect]:
        """Tell a channel that awaits it that broadcasts from the database flow."""
        channel = self._find(ref)
        return channel.replicating() if channel else []

    # --- what happens elsewhere ----------------------------------------------------------------------------

    def delivered(self, ref: ChannelRef, count: int, now_s: float) -> list[Effect]:
        """Count messages that went to a channel past the session: they use up the rate as well."""
        channel = self._find(ref)
        return self._flooded(channel, now_s) if channel and self._events.add(now_s, count) else []

    def shut_down(self, ref: ChannelRef, reason: Reason, now_s: float) -> list[Effect]:
        """End a channel for a reason that arose elsewhere, such as a limit of the whole project."""
        channel = self._find(ref)
        return self._settle(channel, channel.shut_down(reason), now_s) if channel else []

    def failed(self, ref: ChannelRef, now_s: float) -> list[Effect]:
        """End a channel that broke, so that its client joins again."""
        channel = self._find(ref)
        return self._settle(channel, channel.end("phx_error"), now_s) if channel else []

    def disconnect(self) -> list[Effect]:
        """Close the connection because an operator wants it."""
        inside = [channel for channel in self._channels.values() if channel.is_inside]
        told = [each.address.system(DISCONNECT_REQUESTED, status="ok", extension="system") for each in inside]
        return [*told, *self._close(RESTART, DISCONNECT_REQUESTED)]

    def retire(self) -> None:
        """Refuse every join from now on, because `drain` will come soon."""
        self._entrance.is_retiring = True

    def drain(self) -> list[Effect]:
        """Close the connection because the server stops; the client comes back by itself."""
        return self._close(RESTART, "the server is restarting")

    def tick(self, now_s: float) -> list[Effect]:
        """Do what is due. Call it about once a second, and not for all connections at the same moment."""
        if now_s < self.calm_until_s or self._is_over:
            return []
        if now_s - self._heard_at_s >= self._limits.idle_s:
            return [Count("sockets_idle"), *self._close(NORMAL, "idle")]
        if not self._channels and now_s - self._empty_since_s >= self._limits.empty_s:
            return [Count("sockets_empty"), *self._close(NORMAL, "no channels")]
        effects = self._entrance.due(now_s)
        for channel in tuple(self._channels.values()):
            effects += self._settle(channel, channel.tick(now_s), now_s)
        self.calm_until_s = self._next_due_s()
        return effects

    def _next_due_s(self) -> float:
        """Return until when ticks have nothing to do if nothing happens: most of them end with this comparison."""
        if self._entrance.owes_answers:
            return -inf
        idle_s = self._heard_at_s + self._limits.idle_s
        if not self._channels:
            return min(idle_s, self._empty_since_s + self._limits.empty_s)
        return min(idle_s, *(channel.calm_until_s for channel in self._channels.values()))

    # --- the end of channels and of the connection ---------------------------------------------------------

    def _find(self, ref: ChannelRef) -> ChannelProtocol | None:
        channel = self._channels.get(PREFIX + ref.subtopic)
        return channel if channel is not None and channel.ref.number == ref.number else None

    def _flooded(self, channel: ChannelProtocol, now_s: float) -> list[Effect]:
        return self._settle(channel, channel.shut_down(TOO_MANY_MESSAGES), now_s)

    def _settle(self, channel: ChannelProtocol, effects: list[Effect], now_s: float) -> list[Effect]:
        """Let go of a channel that has ended, and answer its join if that is still open."""
        self.calm_until_s = -inf
        if not channel.is_over:
            return effects
        del self._channels[channel.address.topic]
        self._empty_since_s = now_s
        return [*effects, *self._refuse(channel.address, channel.refused, now_s)] if channel.refused else effects

    def _refuse(self, address: Address, reason: Reason, now_s: float) -> list[Effect]:
        effects = self._entrance.refuse(address, reason, now_s)
        return [*effects, *self._close(GOING_AWAY, reason.message)] if reason in ENDING else effects

    def _close(self, code: int, reason: str) -> list[Effect]:
        return [] if self._is_over else [*self._end(), Close(code, reason)]

    def _end(self) -> list[Effect]:
        channels, self._channels = self._channels.values(), {}
        self._is_over = True
        return [effect for channel in channels for effect in channel.forget()]


def _return_address(inbound: Inbound) -> Address:
    """Return where to answer a message that belongs to no channel: under its own refs."""
    return Address(inbound.topic, inbound.ref, inbound.join_ref)
