"""One client: what arrives goes to its SessionProtocol, and the effects that come back are carried out here.

Decides nothing about the protocol. It is what a WebSocket, or any other transport, reports to.
"""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final, TypeVar

import structlog

from tidewire.hub.forms import Form
from tidewire.hub.permissions import reason_of
from tidewire.hub.services import Services
from tidewire.hub.topics import Member, Topic, drop_packet
from tidewire.model.errors import DecodeError, TidewireError
from tidewire.model.reasons import REPLAY_FAILED, TOO_MANY_JOINS, TOO_MANY_MESSAGES, TOO_MANY_PRESENCE_MESSAGES
from tidewire.ports import Outbox
from tidewire.presence.roster import Owner
from tidewire.wire import session_effects as effects
from tidewire.wire.message import Frame, Message, UserBroadcast
from tidewire.wire.session import SessionProtocol
from tidewire.wire.session_address import PREFIX
from tidewire.wire.session_effects import ChannelRef, Effect

log = structlog.get_logger()

TRY_AGAIN_LATER: Final = 1013
TOO_SLOW: Final = "too slow, come back"

Question = TypeVar("Question", effects.Authorize, effects.Subscribe)


class ClientConnection:
    """Report everything that happens on the socket to it, ending with `on_closed`, and call `tick` once a second."""

    __slots__ = (
        "_channels",
        "_form",
        "_leave",
        "_outbox",
        "_services",
        "_session",
        "_write",
        "members",
        "number",
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
    ) -> None:
        """`number` is unique in this node; `leave` is called once, at the end."""
        self.number = number
        self.members: dict[str, tuple[ChannelRef, Topic, Member]] = {}
        """The channels that are inside, by their topic on the wire."""
        self._channels: set[int] = set()  # numbers of those that have begun and are not over
        self._services = services
        self._session = session
        self._outbox = outbox
        self._form = form
        self._leave = leave
        self._write: Callable[[Any], None] = outbox.write

    # --- for the transport -----------------------------------------------------------------------------------

    def on_text(self, data: bytes) -> None:
        """Take a text frame."""
        self._receive(Frame(data))

    def on_binary(self, data: bytes) -> None:
        """Take a binary frame."""
        self._receive(Frame(data, binary=True))

    def on_closed(self, _code: int) -> None:
        """Forget everything of this client."""
        self._write = drop_packet
        self._carry_out(self._session.closed())
        self._leave(self)

    def on_pause(self) -> None:
        """Look at the outbox before every write from now on."""
        self._write_with(self._write_slowly)

    def on_resume(self) -> None:
        """Write freely again."""
        self._write_with(self._outbox.write)

    # --- for the node ----------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Count what was delivered, and do what is due."""
        now_s = self._services.clock()
        for channel, topic, member in tuple(self.members.values()):
            if delivered := topic.take_deliveries(member):
                self._carry_out(self._session.delivered(channel, delivered, now_s))
        self._carry_out(self._session.tick(now_s))

    def tell(self, channel: ChannelRef, message: Message) -> None:
        """Send something to a channel, if it is still there."""
        if channel.number in self._channels:
            self._send(message)

    def retire(self) -> None:
        """Let nobody join any more."""
        self._session.retire()

    def drain(self) -> None:
        """Close, because the server stops."""
        self._carry_out(self._session.drain())

    def disconnect(self) -> None:
        """Close, because an operator wants it."""
        self._carry_out(self._session.disconnect())

    # --- in --------------------------------------------------------------------------------------------------

    def _receive(self, frame: Frame) -> None:
        now_s = self._services.clock()
        try:
            inbound = self._form.codec.decode(frame)
        except DecodeError:
            self._session.heard(now_s)
            self._services.counts["messages_malformed"] += 1
            return
        self._carry_out(self._session.receive(inbound, now_s))

    # --- out -------------------------------------------------------------------------------------------------

    def _send(self, message: Message | UserBroadcast) -> None:
        packet = self._form.pack(message)
        if packet is not None:
            self._write(packet)

    def _write_with(self, write: Callable[[Any], None]) -> None:
        if self._write is drop_packet:
            return
        self._write = write
        for _, _, member in self.members.values():
            member.write = write

    def _write_slowly(self, packet: Any) -> None:
        """Write to a client that does not keep up, or end it: nobody else may have to wait, or pay, for it."""
        if self._outbox.waiting_bytes <= self._services.outbox_bytes:
            self._outbox.write(packet)
            return
        self._services.counts["connections_slow"] += 1
        self._write_with(drop_packet)
        self._outbox.close(TRY_AGAIN_LATER, TOO_SLOW)

    # --- effects ---------------------------------------------------------------------------------------------

    def _carry_out(self, wanted: list[Effect]) -> None:
        """Do it all in order. A question that is answered at once is always the last of its list."""
        for effect in wanted:
            self._actions[type(effect)](self, effect)

    def _on_send(self, effect: effects.Send) -> None:
        self._send(effect.message)

    def _on_send_broadcast(self, effect: effects.SendBroadcast) -> None:
        self._send(effect.broadcast)

    def _on_presence_state(self, effect: effects.SendPresenceState) -> None:
        state = self._services.tracker.state(effect.channel.subtopic, private=effect.channel.private)
        self._send(Message(effect.topic, "presence_state", state, None, effect.join_ref))

    def _on_count(self, effect: effects.Count) -> None:
        self._services.counts[effect.metric] += 1

    def _on_close(self, effect: effects.Close) -> None:
        self._outbox.close(effect.code, effect.reason)

    def _on_join_topic(self, effect: effects.JoinTopic) -> None:
        channel = effect.channel
        name = PREFIX + channel.subtopic
        if (found := self.members.get(name)) is not None and found[0].number == channel.number:
            _, topic, member = found
        else:
            topic = self._services.topics.open(channel.subtopic, private=channel.private)
            member = Member(self._form, self._write)
            self.members[name] = (channel, topic, member)
        topic.join(member, broadcasts=effect.broadcasts, presence=effect.presence)

    def _on_forget(self, effect: effects.Forget) -> None:
        channel, services = effect.channel, self._services
        self._channels.discard(channel.number)
        services.subscriptions.forget(self.number, channel)
        services.tracker.drop(channel.subtopic, self._owner(channel), private=channel.private)
        name = PREFIX + channel.subtopic
        found = self.members.get(name)
        if found is not None and found[0].number == channel.number:
            del self.members[name]
            found[1].leave(found[2])
            services.topics.close(channel.subtopic, private=channel.private)

    def _on_await_replication(self, effect: effects.AwaitReplication) -> None:
        async def wait() -> None:
            await self._services.live.wait()
            self._carry_out(self._session.replicating(effect.channel))

        self._services.tasks.start(wait(), name="await replication")

    # --- questions -------------------------------------------------------------------------------------------

    def _on_authorize(self, question: effects.Authorize) -> None:
        services = self._services
        is_join = question.channel.number not in self._channels
        self._channels.add(question.channel.number)
        if is_join and services.gate.refuses_join(services.clock()):
            self._carry_out(self._session.authorized(question, TOO_MANY_JOINS, services.clock()))
            return
        self._ask(question, self._authorize)

    async def _authorize(self, question: effects.Authorize) -> None:
        services = self._services
        try:
            answer = await services.permissions.grant(question)
        except TidewireError as error:
            self._carry_out(self._session.authorized(question, reason_of(error), services.clock()))
        else:
            self._carry_out(self._session.authorized(question, answer, services.clock()))

    def _on_subscribe(self, question: effects.Subscribe) -> None:
        self._ask(question, self._subscribe)

    async def _subscribe(self, question: effects.Subscribe) -> None:
        """Wait for all that takes time; then, in one step, follow the changes and say so: nothing comes in between."""
        services = self._services
        if question.replay is not None:  # kept broadcasts are read in a later version
            self._carry_out(self._session.subscribed(question, REPLAY_FAILED, services.clock()))
            return
        try:
            await services.live.wait()
            judged = await services.subscriptions.judge(question)
            since = await services.subscriptions.log_end()
        except TidewireError as error:
            self._carry_out(self._session.subscribed(question, reason_of(error), services.clock()))
            return
        if question.channel.number not in self._channels:
            return
        refusals = services.subscriptions.replace(self.number, question, judged)
        name = PREFIX + question.channel.subtopic
        is_new = name not in self.members
        answer = effects.Subscribed(refusals=refusals)
        self._carry_out(self._session.subscribed(question, answer, services.clock()))
        if is_new and name in self.members:
            self.members[name][2].since = since

    def _on_publish(self, question: effects.Publish) -> None:
        services, channel = self._services, question.channel
        found = self.members.get(PREFIX + channel.subtopic)
        if found is None or found[0].number != channel.number:
            return
        _, topic, member = found
        reached = topic.broadcast(question.message, sender=None if question.to_self else member)
        member.joined_at += not question.to_self  # what it sent is counted, but not as delivered
        services.counts["broadcasts"] += 1
        services.counts["deliveries"] += reached
        if question.ack:
            self._carry_out(self._session.published(question))
        now_s = services.clock()
        if services.gate.refuses_events(now_s, 1 + reached):
            self._carry_out(self._session.shut_down(channel, TOO_MANY_MESSAGES, now_s))

    def _on_track(self, question: effects.Track) -> None:
        services, channel = self._services, question.channel
        now_s = services.clock()
        if services.gate.refuses_presence(now_s):
            self._carry_out(self._session.shut_down(channel, TOO_MANY_PRESENCE_MESSAGES, now_s))
            return
        refusal = services.tracker.track(
            channel.subtopic, self._owner(channel), question.key, question.payload, private=channel.private
        )
        self._carry_out(self._session.tracked(question, accepted=refusal is None))

    def _on_untrack(self, effect: effects.Untrack) -> None:
        channel = effect.channel
        self._services.tracker.untrack(channel.subtopic, self._owner(channel), private=channel.private)

    def _ask(self, question: Question, work: Callable[[Question], Awaitable[None]]) -> None:
        """Let a question be answered in its own time; one that breaks ends its channel and nothing else."""

        async def answer() -> None:
            try:
                await work(question)
            except Exception:
                log.exception("question_failed", question=type(question).__name__, connection=self.number)
                self._carry_out(self._session.failed(question.channel, self._services.clock()))

        self._services.tasks.start(answer(), name=type(question).__name__)

    def _owner(self, channel: ChannelRef) -> Owner:
        return Owner(self.number, str(channel.number))

    _actions: ClassVar[dict[type, Callable[["ClientConnection", Any], None]]] = {
        effects.Send: _on_send,
        effects.SendBroadcast: _on_send_broadcast,
        effects.SendPresenceState: _on_presence_state,
        effects.Count: _on_count,
        effects.Close: _on_close,
        effects.JoinTopic: _on_join_topic,
        effects.Forget: _on_forget,
        effects.AwaitReplication: _on_await_replication,
        effects.Authorize: _on_authorize,
        effects.Subscribe: _on_subscribe,
        effects.Publish: _on_publish,
        effects.Track: _on_track,
        effects.Untrack: _on_untrack,
    }
