"""One client: what arrives goes to its SessionProtocol, and the effects that come back are carried out here.

Decides nothing about the protocol. It is what a WebSocket, or any other transport, reports to.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeVar

import structlog

from tidewire.hub.channel_joins import ChannelJoins
from tidewire.hub.channel_writes import ChannelWrites
from tidewire.hub.forms import Form
from tidewire.hub.permissions import reason_of
from tidewire.hub.services import Services
from tidewire.hub.slow_reader import SlowReader
from tidewire.hub.topics import Member, Topic, drop_packet
from tidewire.model.claims import Claims
from tidewire.model.errors import DecodeError, TidewireError
from tidewire.model.position import StreamPosition
from tidewire.model.reasons import broadcasts_dropped
from tidewire.ports import ChannelReads, Outbox
from tidewire.wire import payloads
from tidewire.wire import session_effects as effects
from tidewire.wire.message import Frame, Message, UserBroadcast
from tidewire.wire.progress import Progress
from tidewire.wire.session import SessionProtocol
from tidewire.wire.session_address import PREFIX
from tidewire.wire.session_effects import ChannelRef, Effect

log = structlog.get_logger()

TRY_AGAIN_LATER: Final = 1013
COUNT_EVERY_S: Final = 5.0
"""How long what a quiet client is sent may go uncounted; its rate is an average over a minute."""
TOO_SLOW: Final = "too slow, come back"

Question = TypeVar("Question", effects.Authorize, effects.Subscribe)


class ClientConnection:
    """Report everything that happens on the socket to it, ending with `on_closed`, and call `tick` once a second."""

    __slots__ = (
        "_joins",
        "_leave",
        "_outbox",
        "_services",
        "_session",
        "_slow",
        "_writes",
        "calm_until_s",
        "form",
        "members",
        "number",
        "write",
    )

    def __init__(
        self,
        number: int,
        services: Services,
        session: SessionProtocol,
        outbox: Outbox,
        form: Form,
        *,
        leave: Callable[["ClientConnection"], None],
        progress: Progress | None = None,
    ) -> None:
        """`number` is unique in this node; `leave` is called once, at the end; `progress` is a resumable client's."""
        self.number = number
        self.calm_until_s = 0.0
        """Before this Unix time a tick has nothing to do, if nothing happens."""
        self.members: dict[str, tuple[ChannelRef, Topic, Member]] = {}
        """The channels that are inside, by their topic on the wire."""
        self._services = services
        self._session = session
        self._outbox = outbox
        self.form = form
        self._leave = leave
        self.write: Callable[[Any], None] = outbox.write
        """Sends a packet of a row change or an answer."""
        self._slow: SlowReader | None = None
        self._writes: ChannelWrites | None = None  # most clients only listen
        self._joins = ChannelJoins(self, services, session, outbox, granted=self._granted, progress=progress)

    # --- for the transport -----------------------------------------------------------------------------------

    def on_text(self, data: bytes) -> None:
        """Take a text frame."""
        self._receive(Frame(data))

    def on_binary(self, data: bytes) -> None:
        """Take a binary frame."""
        self._receive(Frame(data, binary=True))

    def on_alive(self) -> None:
        """Take a sign of life that is no message."""
        self._session.heard(self._services.clock())

    def on_closed(self, _code: int) -> None:
        """Forget everything of this client."""
        self.write = drop_packet
        self._slow = None
        self.carry_out(self._session.closed())
        self._writes = None  # they refer to each other, and would all wait for the garbage collector
        del self._joins  # a session that is over asks nothing
        self._leave(self)

    def on_pause(self) -> None:
        """Look at the outbox before every write from now on."""
        if self.write is drop_packet or self._slow is not None:
            return
        services = self._services
        self._slow = SlowReader(self._outbox, services.pressure, services.counts, give_up=self._give_up)
        self.write = self._slow.write
        for _, _, member in self.members.values():
            self._slow.take_over(member)

    def on_resume(self) -> None:
        """Write freely again, first what was kept meanwhile; that may be enough for another pause."""
        slow, self._slow = self._slow, None
        if slow is None:
            return
        self._write_with(self._outbox.write)
        for channel, _, member in self.members.values():
            if missed := slow.dropped.get(member):
                self.send(_dropped(channel, missed))
        for member, packet in slow.kept:
            member.write(packet)
        for channel, _, member in self.members.values():
            if member in slow.missed_presence and member.watcher is not None:
                member.watcher.write(self.form.pack(self._presence_state(channel)))

    def positions(self) -> Mapping[str, StreamPosition]:
        """Return up to where channels with row changes have been told all there was, by their topics on the wire.

        It holds for what has been written so far: tell it behind that, and in the same step.
        """
        return self._joins.positions(self.members.values())

    # --- for the node ----------------------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Count what was delivered, and do what is due; then `calm_until_s` says when to come back."""
        counted = [
            (channel, delivered)
            for channel, topic, member in self.members.values()
            if (delivered := topic.take_deliveries(member))
        ]
        for channel, delivered in counted:
            self.carry_out(self._session.delivered(channel, delivered, now_s))
        due = self._session.tick(now_s)
        self.calm_until_s = min(self._session.calm_until_s, now_s + COUNT_EVERY_S)
        if due:
            self.carry_out(due)

    def tell(self, channel: ChannelRef, message: Message) -> None:
        """Send something to a channel, if it is still there."""
        if self._joins.has(channel):
            self.send(message)

    def set_back(self, channel: ChannelRef, position: StreamPosition) -> bool:
        """Tell a channel all behind a position from the past, until it has caught up; False if that cannot be."""
        return self._joins.set_back(channel, position)

    def break_off(self, channel: ChannelRef) -> None:
        """End a channel because something was lost to it; its client joins again."""
        self.carry_out(self._session.failed(channel, self._services.clock()))

    def retire(self) -> None:
        """Let nobody join any more."""
        self._session.retire()

    def drain(self) -> None:
        """Close, because the server stops."""
        self.carry_out(self._session.drain())

    @property
    def bearer(self) -> tuple[str, str | None] | None:
        """The role and the user of the last channel that was let in; None before the first."""
        return self._joins.bearer

    @property
    def waiting_bytes(self) -> int:
        """What was written for the client and has not been taken by the network."""
        return self._outbox.waiting_bytes

    @property
    def round_trip_s(self) -> float | None:
        """How long a packet and its acknowledgement take, where that is known."""
        return self._outbox.round_trip_s

    def disconnect(self) -> None:
        """Close, because an operator wants it."""
        self.carry_out(self._session.disconnect())

    # --- in --------------------------------------------------------------------------------------------------

    def _receive(self, frame: Frame) -> None:
        now_s = self._services.clock()
        try:
            inbound = self.form.codec.decode(frame)
        except DecodeError:
            self._session.heard(now_s)
            self._services.counts["messages_malformed"] += 1
            return
        self.carry_out(self._session.receive(inbound, now_s))

    # --- out -------------------------------------------------------------------------------------------------

    def send(self, message: Message | UserBroadcast) -> None:
        packet = self.form.pack(message)
        if packet is not None:
            self.write(packet)

    def _write_with(self, write: Callable[[Any], None]) -> None:
        if self.write is drop_packet:
            return
        self.write = write
        for _, _, member in self.members.values():
            member.write = write
            if member.watcher is not None:
                member.watcher.write = write

    def _give_up(self) -> None:
        """End a client that does not keep up: nobody else may have to wait, or pay, for it."""
        self._services.counts["connections_slow"] += 1
        self._slow = None
        self._write_with(drop_packet)
        self._outbox.close(TRY_AGAIN_LATER, TOO_SLOW)

    # --- effects ---------------------------------------------------------------------------------------------

    def carry_out(self, wanted: list[Effect]) -> None:
        """Do it all in order. A question that is answered at once is always the last of its list."""
        self.calm_until_s = 0.0  # something has happened
        for effect in wanted:
            self._actions[type(effect)](self, effect)

    def _on_send(self, effect: effects.Send) -> None:
        self.send(effect.message)

    def _on_send_broadcast(self, effect: effects.SendBroadcast) -> None:
        self.send(effect.broadcast)

    def _on_presence_state(self, effect: effects.SendPresenceState) -> None:
        found = self.inside(effect.channel)
        if found is None or found[0].is_watched_by(found[1]):
            self._send_presence_state(effect)
        else:  # presence was off until this channel tracked, so nobody has asked whether it may see the others
            self._services.tasks.start(self._watch(effect), name="watch presence")

    async def _watch(self, effect: effects.SendPresenceState) -> None:
        channel, services, writes = effect.channel, self._services, self._writes
        claims = writes.claims(channel) if writes is not None else None
        if writes is None or claims is None:
            return
        try:
            reads = await services.permissions.read(claims, channel.subtopic, presence=True)
        except TidewireError as error:
            reads = reason_of(error)
        if (found := self.inside(channel)) is None:
            return
        topic, member = found
        # A token that came in between has been asked about presence by itself.
        if isinstance(reads, ChannelReads) and reads.presence and writes.claims(channel) is claims:
            self._enter(topic, member, broadcasts=member in topic.listeners, presence=True)
        if topic.is_watched_by(member):
            self._send_presence_state(effect)

    def _send_presence_state(self, effect: effects.SendPresenceState) -> None:
        self.send(self._presence_state(effect.channel, effect.join_ref))

    def _presence_state(self, channel: ChannelRef, join_ref: str | None = None) -> Message:
        state = self._services.tracker.state(channel.subtopic, private=channel.private)
        return Message(PREFIX + channel.subtopic, "presence_state", state, None, join_ref)

    def _on_count(self, effect: effects.Count) -> None:
        self._services.counts[effect.metric] += 1

    def _on_close(self, effect: effects.Close) -> None:
        self._outbox.close(effect.code, effect.reason)

    def inside(self, channel: ChannelRef) -> tuple[Topic, Member] | None:
        """Return where a channel is, if it is in its topic."""
        found = self.members.get(PREFIX + channel.subtopic)
        return found[1:] if found is not None and found[0].number == channel.number else None

    def _on_join_topic(self, effect: effects.JoinTopic) -> None:
        channel = effect.channel
        if (found := self.inside(channel)) is not None:
            topic, member = found
        else:
            topic = self._services.topics.open(channel.subtopic, private=channel.private)
            member = Member(self.form, self._outbox.write)
            self.members[PREFIX + channel.subtopic] = (channel, topic, member)
        self._enter(topic, member, broadcasts=effect.broadcasts, presence=effect.presence)

    def _enter(self, topic: Topic, member: Member, *, broadcasts: bool, presence: bool) -> None:
        topic.join(member, broadcasts=broadcasts, presence=presence)
        if self._slow is not None:
            self._slow.take_over(member)

    def _on_forget(self, effect: effects.Forget) -> None:
        channel, services = effect.channel, self._services
        self._joins.forget(channel)
        services.subscriptions.forget(self.number, channel)
        if self._writes is not None:
            self._writes.forget(channel)
        if (found := self.inside(channel)) is not None:
            topic, member = found
            del self.members[PREFIX + channel.subtopic]
            topic.leave(member)
            services.replays.forget(member)
            services.topics.close(channel.subtopic, private=channel.private)

    def _on_await_replication(self, effect: effects.AwaitReplication) -> None:
        async def wait() -> None:
            await self._services.live.wait()
            self.carry_out(self._session.replicating(effect.channel))

        self._services.tasks.start(wait(), name="await replication")

    # --- questions -------------------------------------------------------------------------------------------

    def _on_authorize(self, question: effects.Authorize) -> None:
        self._joins.authorize(question)

    def _on_subscribe(self, question: effects.Subscribe) -> None:
        self._joins.subscribe(question)

    def _granted(self, channel: ChannelRef, claims: Claims) -> None:
        """Let the policies judge what a private channel writes by its new token."""
        self._writing().granted(channel, claims)

    def _on_depart(self, effect: effects.Depart) -> None:
        self._joins.depart(effect.channel)

    def _on_beat(self, question: effects.Beat) -> None:
        self._joins.beat(self.members.values())
        self.carry_out(self._session.beaten(question, self.positions()))

    # --- writes ----------------------------------------------------------------------------------------------

    def _on_write(self, write: effects.Publish | effects.Track | effects.Untrack) -> None:
        self._writing().submit(write)

    def _writing(self) -> ChannelWrites:
        if self._writes is None:
            self._writes = ChannelWrites(
                self.number, self._services, self._session, inside=self.inside, carry_out=self.carry_out
            )
        return self._writes

    _actions: ClassVar[dict[type, Callable[["ClientConnection", Any], None]]] = {
        effects.Send: _on_send,
        effects.SendBroadcast: _on_send_broadcast,
        effects.SendPresenceState: _on_presence_state,
        effects.Count: _on_count,
        effects.Close: _on_close,
        effects.JoinTopic: _on_join_topic,
        effects.Forget: _on_forget,
        effects.Depart: _on_depart,
        effects.Beat: _on_beat,
        effects.AwaitReplication: _on_await_replication,
        effects.Authorize: _on_authorize,
        effects.Subscribe: _on_subscribe,
        effects.Publish: _on_write,
        effects.Track: _on_write,
        effects.Untrack: _on_write,
    }


def _dropped(channel: ChannelRef, messages: int) -> Message:
    """Tell a channel how many broadcasts it has missed."""
    payload = payloads.system(
        channel=channel.subtopic, extension="broadcast", status="error", message=broadcasts_dropped(messages)
    )
    return Message(PREFIX + channel.subtopic, "system", payload)
