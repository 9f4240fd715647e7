"""One client: what arrives goes to its SessionProtocol, and the effects that come back are carried out here.

Decides nothing about the protocol. It is what a WebSocket, or any other transport, reports to.
"""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any, ClassVar, Final, TypeVar

import structlog

from tidewire.hub.catch_up import NO_PLAN, Plan, Receiver
from tidewire.hub.channel_writes import ChannelWrites
from tidewire.hub.forms import Form
from tidewire.hub.permissions import reason_of
from tidewire.hub.replays import NOTHING_KEPT, Collector, read_kept, replayed
from tidewire.hub.services import Services
from tidewire.hub.slow_reader import SlowReader
from tidewire.hub.subscriptions import Judged, refused
from tidewire.hub.topics import Member, Topic, drop_packet
from tidewire.model.errors import DecodeError, SubscriberLagged, TidewireError
from tidewire.model.position import MAX_INDEX
from tidewire.model.reasons import TOO_MANY_JOINS, Reason, broadcasts_dropped
from tidewire.ports import ChannelReads, Kept, Outbox
from tidewire.wire import payloads
from tidewire.wire import session_effects as effects
from tidewire.wire.message import Frame, Message, UserBroadcast
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
        "_channels",
        "_form",
        "_leave",
        "_outbox",
        "_services",
        "_session",
        "_slow",
        "_writes",
        "calm_until_s",
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
    ) -> None:
        """`number` is unique in this node; `leave` is called once, at the end."""
        self.number = number
        self.calm_until_s = 0.0
        """Before this Unix time a tick has nothing to do, if nothing happens."""
        self.members: dict[str, tuple[ChannelRef, Topic, Member]] = {}
        """The channels that are inside, by their topic on the wire."""
        self._channels: set[int] = set()  # numbers of those that have begun and are not over
        self._services = services
        self._session = session
        self._outbox = outbox
        self._form = form
        self._leave = leave
        self.write: Callable[[Any], None] = outbox.write
        """Sends a packet of a row change or an answer."""
        self._slow: SlowReader | None = None
        self._writes: ChannelWrites | None = None  # most clients only listen

    # --- for the transport -----------------------------------------------------------------------------------

    def on_text(self, data: bytes) -> None:
        """Take a text frame."""
        self._receive(Frame(data))

    def on_binary(self, data: bytes) -> None:
        """Take a binary frame."""
        self._receive(Frame(data, binary=True))

    def on_closed(self, _code: int) -> None:
        """Forget everything of this client."""
        self.write = drop_packet
        self._slow = None
        self._carry_out(self._session.closed())
        self._writes = None  # the two refer to each other, and would both wait for the garbage collector
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
                self._send(_dropped(channel, missed))
        for member, packet in slow.kept:
            member.write(packet)
        for channel, _, member in self.members.values():
            if member in slow.missed_presence and member.watcher is not None:
                member.watcher.write(self._form.pack(self._presence_state(channel)))

    # --- for the node ----------------------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Count what was delivered, and do what is due; then `calm_until_s` says when to come back."""
        counted = [
            (channel, delivered)
            for channel, topic, member in self.members.values()
            if (delivered := topic.take_deliveries(member))
        ]
        for channel, delivered in counted:
            self._carry_out(self._session.delivered(channel, delivered, now_s))
        due = self._session.tick(now_s)
        self.calm_until_s = min(self._session.calm_until_s, now_s + COUNT_EVERY_S)
        if due:
            self._carry_out(due)

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

    def _carry_out(self, wanted: list[Effect]) -> None:
        """Do it all in order. A question that is answered at once is always the last of its list."""
        self.calm_until_s = 0.0  # something has happened
        for effect in wanted:
            self._actions[type(effect)](self, effect)

    def _on_send(self, effect: effects.Send) -> None:
        self._send(effect.message)

    def _on_send_broadcast(self, effect: effects.SendBroadcast) -> None:
        self._send(effect.broadcast)

    def _on_presence_state(self, effect: effects.SendPresenceState) -> None:
        found = self._inside(effect.channel)
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
        if (found := self._inside(channel)) is None:
            return
        topic, member = found
        # A token that came in between has been asked about presence by itself.
        if isinstance(reads, ChannelReads) and reads.presence and writes.claims(channel) is claims:
            self._enter(topic, member, broadcasts=member in topic.listeners, presence=True)
        if topic.is_watched_by(member):
            self._send_presence_state(effect)

    def _send_presence_state(self, effect: effects.SendPresenceState) -> None:
        self._send(self._presence_state(effect.channel, effect.join_ref))

    def _presence_state(self, channel: ChannelRef, join_ref: str | None = None) -> Message:
        state = self._services.tracker.state(channel.subtopic, private=channel.private)
        return Message(PREFIX + channel.subtopic, "presence_state", state, None, join_ref)

    def _on_count(self, effect: effects.Count) -> None:
        self._services.counts[effect.metric] += 1

    def _on_close(self, effect: effects.Close) -> None:
        self._outbox.close(effect.code, effect.reason)

    def _inside(self, channel: ChannelRef) -> tuple[Topic, Member] | None:
        """Return where a channel is, if it is in its topic."""
        found = self.members.get(PREFIX + channel.subtopic)
        return found[1:] if found is not None and found[0].number == channel.number else None

    def _on_join_topic(self, effect: effects.JoinTopic) -> None:
        channel = effect.channel
        if (found := self._inside(channel)) is not None:
            topic, member = found
        else:
            topic = self._services.topics.open(channel.subtopic, private=channel.private)
            member = Member(self._form, self._outbox.write)
            self.members[PREFIX + channel.subtopic] = (channel, topic, member)
        self._enter(topic, member, broadcasts=effect.broadcasts, presence=effect.presence)

    def _enter(self, topic: Topic, member: Member, *, broadcasts: bool, presence: bool) -> None:
        topic.join(member, broadcasts=broadcasts, presence=presence)
        if self._slow is not None:
            self._slow.take_over(member)

    def _on_forget(self, effect: effects.Forget) -> None:
        channel, services = effect.channel, self._services
        self._channels.discard(channel.number)
        services.subscriptions.forget(self.number, channel)
        if self._writes is not None:
            self._writes.forget(channel)
        if (found := self._inside(channel)) is not None:
            topic, member = found
            del self.members[PREFIX + channel.subtopic]
            topic.leave(member)
            services.replays.forget(member)
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
            channel = question.channel
            if isinstance(answer, effects.Grant) and channel.private and channel.number in self._channels:
                self._writing().granted(channel, answer.claims)
            self._carry_out(self._session.authorized(question, answer, services.clock()))

    def _on_subscribe(self, question: effects.Subscribe) -> None:
        self._ask(question, self._subscribe)

    async def _subscribe(self, question: effects.Subscribe) -> None:
        """Wait for all that takes time; then, in one step, follow the changes and say so: nothing comes in between."""
        services, channel, replay = self._services, question.channel, question.replay
        if services.catch_up is not None:
            await services.catch_up.over(self.number, channel.number)
        with services.replays.collecting(channel.subtopic) if replay is not None else nullcontext() as collector:
            try:
                await services.live.wait()
                judged = await services.subscriptions.judge(question)
                since = await services.subscriptions.log_end()
            except TidewireError as error:
                self._carry_out(self._session.subscribed(question, reason_of(error), services.clock()))
                return
            kept: Kept | Reason = NOTHING_KEPT
            if replay is not None and collector is not None:
                limit = services.pressure.outbox_bytes
                kept = await read_kept(services.kept, channel.subtopic, replay, collector, most_bytes=limit)
            if isinstance(kept, Reason):
                self._carry_out(self._session.subscribed(question, kept, services.clock()))
                return
            is_new = self._inside(channel) is None
            plan = await services.catch_up.plan(question, since) if services.catch_up and is_new else NO_PLAN
            if channel.number not in self._channels:
                return
            refusals = (
                refused(judged) if plan.goes_back else services.subscriptions.replace(self.number, question, judged)
            )
            answer = effects.Subscribed(
                refusals=refusals,
                replayed=replayed(channel.subtopic, kept),
                position=plan.shown,
                recovered=plan.recovered,
                reason=plan.reason,
            )
            self._carry_out(self._session.subscribed(question, answer, services.clock()))
            if is_new and (found := self._inside(channel)) is not None:
                found[1].since = (since - 1, MAX_INDEX)
                if collector is not None:
                    self._tell_missed(found[1], channel.subtopic, kept, collector)
        if plan.goes_back:
            await self._go_back(question, judged, plan)

    async def _go_back(self, question: effects.Subscribe, judged: Judged, plan: Plan) -> None:
        """Tell a channel what it missed; then, in one step, let it follow what comes."""
        services, channel = self._services, question.channel
        found = self._inside(channel)
        if found is None or services.catch_up is None:
            return
        member = found[1]
        receiver = Receiver(
            self.number,
            self._outbox,
            self._form,
            lambda packet: self.write(packet),  # noqa: PLW0108 - what writes may be another by then
            lambda: self._inside(channel) is not None,
        )
        with services.catch_up.alone(self.number, channel.number):
            try:
                member.since = await services.catch_up.run(question, judged, plan, receiver)
            except (SubscriberLagged, DecodeError) as error:
                log.warning("history_gone", connection=self.number, reason=error.message)
                self._carry_out(self._session.failed(channel, services.clock()))
                return
            if self._inside(channel) is not None:
                services.subscriptions.replace(self.number, question, judged)

    def _tell_missed(self, member: Member, subtopic: str, kept: Kept, collector: Collector) -> None:
        """Send what was broadcast while the kept ones were read, and remember which those are."""
        self._services.replays.told(member, subtopic, kept)
        for broadcast in collector.missed(kept):
            member.changes += 1  # counts as delivered
            self._send(broadcast)

    # --- writes ----------------------------------------------------------------------------------------------

    def _on_write(self, write: effects.Publish | effects.Track | effects.Untrack) -> None:
        self._writing().submit(write)

    def _writing(self) -> ChannelWrites:
        if self._writes is None:
            self._writes = ChannelWrites(
                self.number, self._services, self._session, inside=self._inside, carry_out=self._carry_out
            )
        return self._writes

    def _ask(self, question: Question, work: Callable[[Question], Awaitable[None]]) -> None:
        """Let a question be answered in its own time; one that breaks ends its channel and nothing else."""

        async def answer() -> None:
            try:
                await work(question)
            except Exception:
                log.exception("question_failed", question=type(question).__name__, connection=self.number)
                self._carry_out(self._session.failed(question.channel, self._services.clock()))

        self._services.tasks.start(answer(), name=type(question).__name__)

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
