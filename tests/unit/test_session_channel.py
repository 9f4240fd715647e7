"""What a client that is inside can do: in this state, this input has these effects and no others."""

from typing import Any

from tests.support.session import (
    CLOSED,
    ERROR,
    OK,
    QUIET,
    ROOM,
    Act,
    State,
    after,
    ended,
    fresh,
    inside,
    refused,
    rows,
    subscribing,
)
from tidewire.model import reasons
from tidewire.wire.message import Message, UserBroadcast
from tidewire.wire.session_effects import Authorize, Publish, Track

ACK: dict[str, Any] = {"broadcast": {"ack": True}}
PRIVATE: dict[str, Any] = {"private": True}


@rows(
    {
        "text": (
            inside(),
            lambda talk: talk.say("broadcast", {"event": "e", "odd": 1}),
            ['Publish 1 broadcast {"event":"e","odd":1}'],
        ),
        "binary frame": (
            inside(),
            lambda talk: talk.receive(UserBroadcast(ROOM, "e", b"\x00", True, b"{}", "5", "1")),
            ["Publish 1 e \x00"],
        ),
        "to oneself, acknowledged": (
            inside({"broadcast": {"ack": True, "self": True}}),
            lambda talk: talk.say("broadcast"),
            ["Publish 1 broadcast {} self ack"],
        ),
        "as large as may be": (inside(payload_bytes=2), lambda talk: talk.say("broadcast"), ["Publish 1 broadcast {}"]),
        "too large": (inside(payload_bytes=1), lambda talk: talk.say("broadcast"), ["+limit_payload"]),
        "too large, acknowledged": (
            inside(ACK, payload_bytes=1),
            lambda talk: talk.say("broadcast"),
            ["+limit_payload", 'phx_reply 5/1 {"status":"error","response":{"error":"payload_size_exceeded"}}'],
        ),
        "an acknowledgement": (
            after(inside(ACK), lambda talk: talk.say("broadcast")),
            lambda talk: talk.note(talk.session.published(talk.last(Publish))),
            [f"phx_reply 5/1 {OK}"],
        ),
        "one that says no": (
            after(inside(ACK), lambda talk: talk.say("broadcast")),
            lambda talk: talk.note(talk.session.published(talk.last(Publish), "unauthorized")),
            ['phx_reply 5/1 {"status":"error","response":{"error":"unauthorized"}}'],
        ),
        "one of what is kept": (
            after(inside(ACK), lambda talk: talk.say("broadcast")),
            lambda talk: talk.note(talk.session.published(talk.last(Publish), kept_as="4f")),
            ['phx_reply 5/1 {"status":"ok","response":{"id":"4f"}}'],
        ),
        "to be kept": (
            inside(PRIVATE),
            lambda talk: talk.receive(UserBroadcast(ROOM, "e", b"1", False, b'{"persist":true}', "5", "1")),
            ["Publish 1 e 1 keep"],
        ),
        "to be kept for a while": (
            inside(PRIVATE),
            lambda talk: talk.receive(UserBroadcast(ROOM, "e", b"1", False, b'{"persist":{"ttl":60}}', "5", "1")),
            ["Publish 1 e 1 keep 60"],
        ),
        "to be kept for too long": (
            inside(PRIVATE),
            lambda talk: talk.receive(UserBroadcast(ROOM, "e", b"1", False, b'{"persist":{"ttl":0}}', "5", "1")),
            ["+messages_malformed"],
        ),
        "to be kept for too long, acknowledged": (
            inside(PRIVATE | ACK),
            lambda talk: talk.receive(UserBroadcast(ROOM, "e", b"1", False, b'{"persist":{"ttl":0}}', "5", "1")),
            [
                "+messages_malformed",
                'phx_reply 5/1 {"status":"error","response":{"error":"invalid_persist_ttl"}}',
            ],
        ),
        "to be kept in a public channel": (
            inside(),
            lambda talk: talk.receive(UserBroadcast(ROOM, "e", b"1", False, b'{"persist":{"ttl":0}}', "5", "1")),
            ["Publish 1 e 1"],
        ),
        "one that nobody wants": (
            after(inside(), lambda talk: talk.say("broadcast")),
            lambda talk: talk.note(talk.session.published(talk.last(Publish))),
            [],
        ),
        "one for a channel that was left": (
            after(inside(ACK), lambda talk: talk.say("broadcast"), lambda talk: talk.say("phx_leave")),
            lambda talk: talk.note(talk.session.published(talk.last(Publish))),
            [],
        ),
        "one for a channel that was joined anew": (
            after(inside(ACK), lambda talk: talk.say("broadcast"), lambda talk: talk.join(ref="2")),
            lambda talk: talk.note(talk.session.published(talk.last(Publish))),
            [],
        ),
        "under the refs of an older join": (
            inside(),
            lambda talk: talk.say("broadcast", join_ref="0"),
            ["Publish 1 broadcast {}"],
        ),
        "to a channel that is not joined": (
            fresh,
            lambda talk: talk.say("broadcast"),
            ["+messages_unmatched", refused("unmatched topic").replace("1/1", "5/1")],
        ),
    }
)
def test_broadcasts(state: State, act: Act, effects: list[str]) -> None:
    assert act(state()) == effects


@rows(
    {
        "track": (inside(), lambda talk: talk.track({"a": 1}), ['Track 1 made-up {"a":1}']),
        "under one's own key": (
            inside({"presence": {"key": "ann"}}),
            lambda talk: talk.track({}),
            ["Track 1 ann {}"],
        ),
        "tracked": (
            after(inside(), lambda talk: talk.track({})),
            lambda talk: talk.note(talk.session.tracked(talk.last(Track), accepted=True)),
            [f"phx_reply 5/1 {OK}"],
        ),
        "tracked without having asked for presence": (
            after(inside(QUIET), lambda talk: talk.track({})),
            lambda talk: talk.note(talk.session.tracked(talk.last(Track), accepted=True)),
            [f"phx_reply 5/1 {OK}", "presence_state 1/1"],
        ),
        "not tracked": (
            after(inside(QUIET), lambda talk: talk.track({})),
            lambda talk: talk.note(talk.session.tracked(talk.last(Track), accepted=False)),
            [f"phx_reply 5/1 {ERROR}"],
        ),
        "tracked after leaving": (
            after(inside(), lambda talk: talk.track({}), lambda talk: talk.say("phx_leave")),
            lambda talk: talk.note(talk.session.tracked(talk.last(Track), accepted=True)),
            [],
        ),
        "no object": (
            inside(),
            lambda talk: talk.track(7),
            ['phx_reply 5/1 {"status":"error","response":{"reason":"Presence track payload must be a map"}}'],
        ),
        "too large": (
            inside(payload_bytes=5),
            lambda talk: talk.track({"a": 1}),
            ["+channels_shut_down", "+limit_payload", *ended(reasons.TRACK_TOO_LARGE)],
        ),
        "untrack": (
            inside(),
            lambda talk: talk.say("presence", {"event": "UNTRACK"}),
            ["Untrack 1", f"phx_reply 5/1 {OK}"],
        ),
        "nothing": (inside(), lambda talk: talk.say("presence", {}), [f"phx_reply 5/1 {OK}"]),
        "something else": (
            inside(),
            lambda talk: talk.say("presence", {"event": "wave"}),
            [f"phx_reply 5/1 {ERROR}"],
        ),
        "unreadable": (
            inside(),
            lambda talk: talk.receive(Message(ROOM, "presence", b"[", "5", "1")),
            ["+messages_malformed"],
        ),
        "a sixth time": (
            after(inside(), *[lambda talk: talk.track({})] * 5),
            lambda talk: talk.track({}),
            ["+channels_shut_down", "+limit_presence", *ended(reasons.CLIENT_PRESENCE_LIMIT)],
        ),
        "a sixth time, later": (
            after(inside(), *[lambda talk: talk.track({})] * 5, lambda talk: talk.tick(30)),
            lambda talk: talk.track({}),
            ["Track 1 made-up {}"],
        ),
    }
)
def test_presence(state: State, act: Act, effects: list[str]) -> None:
    assert act(state()) == effects


@rows(
    {
        "heartbeat": (
            fresh,
            lambda talk: talk.say("heartbeat", topic="phoenix", join_ref=None),
            ["Beat 5"],
        ),
        "heartbeat, answered": (
            after(fresh, lambda talk: talk.say("heartbeat", topic="phoenix", join_ref=None)),
            lambda talk: talk.beaten(),
            [f"phx_reply 5/- phoenix {OK}"],
        ),
        "heartbeat, answered with positions": (
            after(fresh, lambda talk: talk.say("heartbeat", topic="phoenix", join_ref=None)),
            lambda talk: talk.beaten(room="e.1.0"),
            ['phx_reply 5/- phoenix {"status":"ok","response":{"positions":{"realtime:room":"e.1.0"}}}'],
        ),
        "heartbeat without ref": (
            fresh,
            lambda talk: talk.receive(Message("phoenix", "heartbeat", b"{}")),
            ["Beat -"],
        ),
        "anything else there": (
            fresh,
            lambda talk: talk.say("hello", topic="phoenix", join_ref=None),
            ["+messages_unmatched", refused("unmatched topic").replace("1/1", "5/- phoenix")],
        ),
        "an unknown event": (inside(), lambda talk: talk.say("phx_close"), ["+messages_unknown"]),
        "leave": (
            inside(),
            lambda talk: talk.say("phx_leave"),
            [f"phx_reply 5/1 {OK}", "Depart 1", CLOSED, "Forget 1"],
        ),
        "leave what is not joined": (fresh, lambda talk: talk.say("phx_leave"), [f"phx_reply 5/1 {OK}"]),
        "leave while joining": (
            subscribing(),
            lambda talk: talk.say("phx_leave"),
            [f"phx_reply 5/1 {OK}", "Depart 1", "Forget 1", "+joins_refused", refused(reasons.UNKNOWN)],
        ),
        "it broke": (
            inside(),
            lambda talk: talk.note(talk.session.failed(talk.last(Authorize).channel, talk.now_s)),
            ["phx_error 1/1 {}", "Forget 1"],
        ),
        "shut down from elsewhere": (
            inside(),
            lambda talk: talk.note(
                talk.session.shut_down(talk.last(Authorize).channel, reasons.TOO_MANY_PRESENCE_MESSAGES, talk.now_s)
            ),
            ["+channels_shut_down", *ended(reasons.TOO_MANY_PRESENCE_MESSAGES)],
        ),
    }
)
def test_other_messages(state: State, act: Act, effects: list[str]) -> None:
    assert act(state()) == effects


@rows(
    {
        "sent": (
            after(inside(events_per_s=3 / 60), lambda talk: talk.say("broadcast"), lambda talk: talk.say("odd")),
            lambda talk: talk.say("broadcast"),
            ["+channels_shut_down", "+limit_messages", *ended(reasons.TOO_MANY_MESSAGES)],
        ),
        "delivered": (
            after(inside(events_per_s=3 / 60), lambda talk: talk.say("broadcast")),
            lambda talk: talk.note(talk.session.delivered(talk.last(Authorize).channel, 2, talk.now_s)),
            ["+channels_shut_down", "+limit_messages", *ended(reasons.TOO_MANY_MESSAGES)],
        ),
        "fewer": (
            inside(events_per_s=3 / 60),
            lambda talk: talk.note(talk.session.delivered(talk.last(Authorize).channel, 2, talk.now_s)),
            [],
        ),
        "a leave is always heard": (
            after(inside(events_per_s=2 / 60), lambda talk: talk.say("broadcast")),
            lambda talk: talk.say("phx_leave"),
            [f"phx_reply 5/1 {OK}", "Depart 1", CLOSED, "Forget 1"],
        ),
    }
)
def test_too_many_messages(state: State, act: Act, effects: list[str]) -> None:
    assert act(state()) == effects
