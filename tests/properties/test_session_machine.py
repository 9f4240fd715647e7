"""Clients, the shell and the clock do what they like, in any order: what a session may say is worked out anew."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tidewire.model import reasons
from tidewire.model.claims import Claims
from tidewire.model.reasons import Reason
from tidewire.wire.message import Inbound, Message, UserBroadcast
from tidewire.wire.session import SessionProtocol
from tidewire.wire.session_effects import (
    Authorize,
    AwaitReplication,
    ChannelRef,
    Close,
    Depart,
    Effect,
    Forget,
    Grant,
    JoinTopic,
    Publish,
    Send,
    SendBroadcast,
    SendPresenceState,
    Subscribe,
    Subscribed,
    Track,
    Untrack,
)
from tidewire.wire.session_limits import SessionLimits

Question = Authorize | Subscribe | Publish | Track

START_S = 1_700_000_000.0
ROOMS = ["realtime:a", "realtime:b", "realtime:c", "realtime:d"]
ODD_TOPICS = ["realtime:", "phoenix", "chat:1", "realtime:" + "x" * 300]
LARGEST = 40

topics = st.sampled_from(ROOMS * 6 + ODD_TOPICS)

configs = st.fixed_dictionaries(
    {},
    optional={
        "broadcast": st.fixed_dictionaries(
            {},
            optional={
                "ack": st.booleans(),
                "self": st.booleans(),
                "replication_ready": st.booleans(),
                "replay": st.sampled_from([None, 7, {"since": 1, "limit": 2}]),
            },
        ),
        "presence": st.fixed_dictionaries({"enabled": st.booleans()}),
        "private": st.booleans(),
        "postgres_changes": st.lists(st.sampled_from([{"table": "t"}, {"table": "u", "select": 7}, None]), max_size=3),
        "postgres_changes_options": st.fixed_dictionaries({"wait": st.booleans(), "timeout": st.integers(1, 30_000)}),
    },
)
payloads: st.SearchStrategy[Any] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"event": st.sampled_from(["track", "untrack", "x"]), "payload": st.sampled_from([{}, 7])}),
    st.fixed_dictionaries({"access_token": st.sampled_from(["t1", "t2", "t3", "sb_x", "", None])}),
    st.just({"event": "track", "payload": {"long": "x" * LARGEST}}),
)
events = st.sampled_from(["broadcast", "presence", "access_token", "heartbeat", "phx_error", "phx_reply", "odd", ""])
refusals = st.sampled_from(
    [reasons.TOKEN_INVALID, reasons.unauthorized("a"), reasons.DATABASE_UNREACHABLE, reasons.TENANT_UNKNOWN]
)


class Known:
    """What the test knows of a channel."""

    def __init__(self, topic: str, join_ref: str) -> None:
        self.topic = topic
        self.join_ref = join_ref
        self.inside = False
        self.closing = False
        self.expires_at_s = inf
        self.asked: Authorize | Subscribe | None = None


class SessionMachine(RuleBasedStateMachine):
    """The oracle knows no phases, only what clients rely on."""

    @initialize(
        delay_s=st.sampled_from([0.0, 0.5, 5.0]),
        idle_s=st.sampled_from([inf, inf, inf, 60.0]),
        events_per_s=st.sampled_from([100.0, 0.1]),
        joins_per_s=st.sampled_from([100.0, 0.3]),
        private_only=st.sampled_from([False, False, False, True]),
    )
    def start(self, delay_s: float, idle_s: float, events_per_s: float, joins_per_s: float, private_only: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
        self.limits = SessionLimits(
            channels=3,
            joins_per_s=joins_per_s,
            events_per_s=events_per_s,
            payload_bytes=LARGEST,
            refusal_delay_s=delay_s,
            idle_s=idle_s,
            empty_s=idle_s * 10,
            private_only=private_only,
        )
        self.now_s = START_S
        self.session = SessionProtocol(self.limits, self.now_s, token="own", make_key=lambda: "key")
        self.over = False
        self.refs = 0
        self.joins: dict[str, tuple[str, str]] = {}
        self.answers: Counter[str] = Counter()
        self.channels: dict[int, Known] = {}
        self.questions: list[Question] = []
        self.seen: list[ChannelRef] = []

    # --- what can happen ---------------------------------------------------------------------------------

    def next_ref(self) -> str:
        self.refs += 1
        return str(self.refs)

    @rule(topic=topics, config=configs, token=st.sampled_from([None, "t1"]), prefix=st.sampled_from(["", "j", None]))
    def join(self, topic: str, config: Any, token: str | None, prefix: str | None) -> None:
        ref = self.next_ref()
        self.joins[ref] = (topic, (prefix or "") + ref)
        payload = json.dumps({"config": config, "access_token": token}).encode()
        self.receive(Message(topic, "phx_join", payload, ref, None if prefix is None else prefix + ref))

    @rule(topic=st.sampled_from(ROOMS), config=configs, data=st.data())
    def enter(self, topic: str, config: Any, data: st.DataObject) -> None:
        """Join, and have the first questions answered at once, as mostly happens."""
        self.join(topic, config, None, "")
        for kind in (Authorize, Subscribe):
            if self.questions and isinstance(self.questions[-1], kind):
                self.reply(self.questions[-1], None, data)

    @rule(topic=st.sampled_from(ROOMS), which=st.sampled_from(["current", "none", "odd"]))
    def leave(self, topic: str, which: str) -> None:
        current = next((known.join_ref for known in self.channels.values() if known.topic == topic), None)
        before = [number for number, known in self.channels.items() if known.topic == topic]
        join_ref = {"current": current, "none": None, "odd": "odd"}[which]
        self.receive(Message(topic, "phx_leave", b"{}", self.next_ref(), join_ref))
        assert [number for number in before if number in self.channels] == (before if which == "odd" else [])

    @rule(topic=topics, event=events, payload=payloads, broken=st.integers(0, 9))
    def push(self, topic: str, event: str, payload: Any, broken: int) -> None:
        body = b"[" if broken == 0 else json.dumps(payload).encode()
        self.receive(Message(topic, event, body, self.next_ref(), None))

    @rule(topic=st.sampled_from(ROOMS), size=st.integers(0, LARGEST + 1))
    def push_binary(self, topic: str, size: int) -> None:
        self.receive(UserBroadcast(topic, "e", bytes(size), True, b"", self.next_ref(), None))

    @precondition(lambda self: self.questions)
    @rule(data=st.data(), newest=st.booleans(), good=st.integers(0, 3))
    def answer(self, data: st.DataObject, newest: bool, good: int) -> None:  # noqa: FBT001
        """Answer any question that was ever asked, however often."""
        question = self.questions[-1] if newest else data.draw(st.sampled_from(self.questions))
        self.reply(question, None if good else data.draw(refusals), data)

    def reply(self, question: Question, reason: Reason | None, data: st.DataObject) -> None:
        match question:
            case Authorize():
                self.authorized(question, reason or self.grant(data))
            case Subscribe():
                answer = reason or self.subscribed(question, data)
                self.settle(question, self.session.subscribed(question, answer, self.now_s))
            case Publish():
                self.told(question, self.session.published(question, "unauthorized" if reason else None))
            case Track():
                self.told(question, self.session.tracked(question, accepted=reason is None))

    def told(self, question: Publish | Track, effects: list[Effect]) -> None:
        assert not effects or question.channel.number in self.channels, "an answer for a channel that is gone"
        self.observe(effects)

    def authorized(self, question: Authorize, answer: Grant | Reason) -> None:
        known = self.channels.get(question.channel.number)
        if known and question is known.asked and isinstance(answer, Grant):
            known.expires_at_s = answer.claims.expires_at_s
        self.settle(question, self.session.authorized(question, answer, self.now_s))
        if known and known.expires_at_s <= self.now_s and not known.asked:
            assert question.channel.number not in self.channels, "let in with an expired token"

    def settle(self, question: Authorize | Subscribe, effects: list[Effect]) -> None:
        """Only the last question of a channel has an answer, and only one."""
        known = self.channels.get(question.channel.number)
        assert not effects or (known and question is known.asked), "an answer that nobody waits for"
        if known and question is known.asked:
            known.asked = None
        self.observe(effects)

    def grant(self, data: st.DataObject) -> Grant:
        expires_at_s = self.now_s + data.draw(st.sampled_from([inf, 3600.0, 20.0, 5.0, 0.0]))
        claims = Claims("anon", None, expires_at_s, {})
        return Grant(
            claims,
            *data.draw(st.sampled_from([(True, True), (True, True), (True, False), (False, True), (False, False)])),
        )

    def subscribed(self, question: Subscribe, data: st.DataObject) -> Subscribed:
        wrong = tuple(data.draw(st.sampled_from([None, "no"])) for _ in question.bindings)
        topic = "realtime:" + question.channel.subtopic
        kept = UserBroadcast(topic, "e", b"1", binary=False)
        return Subscribed(wrong, (kept, Message(topic, "broadcast", b"{}")) if question.replay else ())

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.0, 5.0, 9.0, 10.0, 31.0, 61.0]))
    def tick(self, seconds: float) -> None:
        self.now_s += seconds
        self.observe(self.session.tick(self.now_s))
        for known in self.channels.values():
            if known.inside:
                assert known.expires_at_s + self.limits.join_timeout_s > self.now_s, "an expired token is still in use"
                is_asked = isinstance(known.asked, Authorize)
                assert known.expires_at_s > self.now_s or is_asked, "an expired token is in use, and nobody asks"

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), what=st.sampled_from(["shut_down", "failed", "delivered", "replicating"]))
    def something_happens_elsewhere(self, data: st.DataObject, what: str) -> None:
        ref, session, now_s = data.draw(st.sampled_from(self.seen)), self.session, self.now_s
        acts: dict[str, Callable[[], list[Effect]]] = {
            "shut_down": lambda: session.shut_down(ref, reasons.TOO_MANY_PRESENCE_MESSAGES, now_s),
            "failed": lambda: session.failed(ref, now_s),
            "delivered": lambda: session.delivered(ref, 3, now_s),
            "replicating": lambda: session.replicating(ref),
        }
        self.observe(acts[what]())
        if what in {"shut_down", "failed"}:
            assert ref.number not in self.channels

    @rule(how=st.sampled_from(["not"] * 60 + ["disconnect", "drain", "closed", "retire"]))
    def it_ends(self, how: str) -> None:
        """Rarely, or all runs would be short."""
        if how == "retire":
            self.session.retire()
        elif how != "not":
            self.observe(getattr(self.session, how)())
            self.over = True
            assert not self.channels

    # --- what may be said ----------------------------------------------------------------------------------

    def receive(self, inbound: Inbound) -> None:
        self.observe(self.session.receive(inbound, self.now_s))

    def observe(self, effects: Sequence[Effect]) -> None:
        assert not (self.over and effects), "something after the end"
        for effect in effects:
            assert not self.over, "something after Close"
            match effect:
                case Send(message=message):
                    self.observe_message(message)
                case SendBroadcast(broadcast=broadcast):
                    assert self.inside(broadcast.topic)
                case SendPresenceState(channel=channel, topic=topic, join_ref=join_ref):
                    known = self.inside(topic)
                    assert self.channels[channel.number] is known
                    assert known.join_ref == join_ref
                case Authorize(channel=channel):
                    self.observe_question(channel)
                    self.channels[channel.number].asked = effect
                    self.questions.append(effect)
                case Subscribe(channel=channel):
                    self.channels[channel.number].asked = effect
                    self.questions.append(effect)
                case Publish(channel=channel) | Track(channel=channel):
                    assert self.channels[channel.number].inside
                    self.questions.append(effect)
                case JoinTopic() | Untrack() | AwaitReplication():
                    assert self.channels[effect.channel.number].inside
                case Forget(channel=channel):
                    del self.channels[channel.number]
                case Close():
                    assert not self.channels, "a channel survives its connection"
                    self.over = True
                case Depart(channel=channel):
                    assert channel.number in self.channels

    def observe_question(self, channel: ChannelRef) -> None:
        """The first question of a channel is its beginning; numbers never come again."""
        if channel in self.seen:
            assert self.channels[channel.number].inside
            return
        topic = "realtime:" + channel.subtopic
        assert all(known.topic != topic for known in self.channels.values()), "two channels of one topic"
        assert all(channel.number > earlier.number for earlier in self.seen)
        self.seen.append(channel)
        self.channels[channel.number] = Known(*self.joins[str(self.refs)])

    def observe_message(self, message: Message) -> None:
        if message.event == "phx_reply":
            if message.ref in self.joins:
                self.observe_join_reply(message)
            elif (known := self.find(message.topic)) and message.join_ref is not None:
                assert message.join_ref in {known.join_ref, "odd"}, "a reply under the ref of another join"
            return
        known = self.inside(message.topic)
        if message.event in {"phx_close", "phx_error"}:
            assert message.ref == message.join_ref == known.join_ref
            known.closing = True
        elif message.event == "broadcast":
            assert message.ref is None
        else:
            assert message.event == "system"
            assert (message.ref, message.join_ref) == (None, known.join_ref)

    def observe_join_reply(self, message: Message) -> None:
        assert message.ref is not None
        self.answers[message.ref] += 1
        topic, join_ref = self.joins[message.ref]
        known = self.find(topic)
        assert message.topic == topic
        if json.loads(message.payload)["status"] == "ok":
            assert known is not None
            assert message.join_ref == join_ref == known.join_ref
            assert known.expires_at_s > self.now_s
            known.inside = True
        else:
            assert known is None or known.join_ref != join_ref, "refused and still there"

    def find(self, topic: str) -> Known | None:
        return next((known for known in self.channels.values() if known.topic == topic), None)

    def inside(self, topic: str) -> Known:
        known = self.find(topic)
        assert known is not None
        assert known.inside, "something was said on a channel that is not joined"
        assert not known.closing, "something was said after the last word"
        return known

    @invariant()
    def no_join_is_answered_twice(self) -> None:
        if hasattr(self, "session"):
            assert all(count == 1 for count in self.answers.values())

    @invariant()
    def no_channel_leaks(self) -> None:
        if hasattr(self, "session"):
            assert len(self.session._channels) == len(self.channels) <= self.limits.channels

    def teardown(self) -> None:
        """Given time, every join is answered, whether the shell does anything or not."""
        if not hasattr(self, "session") or self.over:
            return
        self.session.heard(self.now_s + 30)
        for _ in range(2):  # what has taken too long is refused, then the refusals' delay passes
            self.tick(25.0)
        if not self.over:
            assert set(self.answers) == set(self.joins)
            assert all(known.inside for known in self.channels.values())


@pytest.mark.timeout(60)
def test_whatever_happens_a_session_keeps_its_word() -> None:
    run_state_machine_as_test(SessionMachine)
