"""How a client comes in, or does not: in this state, this input has these effects and no others."""

import json

from tests.support.session import (
    BAD_WISH,
    CLOSED,
    JOINED,
    LIVE,
    OK,
    ONE_WISH,
    QUIET,
    REPLAY,
    ROOM,
    START_S,
    Act,
    State,
    Talk,
    after,
    authorizing,
    fresh,
    grant,
    inside,
    refused,
    renewing,
    rows,
    subscribing,
)
from tidewire.model import reasons
from tidewire.wire.message import Message, UserBroadcast
from tidewire.wire.session_effects import Authorize, Subscribe, Subscribed
from tidewire.wire.session_limits import SessionLimits


@rows(
    {
        "nothing yet": (fresh, lambda talk: talk.join(), ["Authorize 1 apikey"]),
        "with a token": (fresh, lambda talk: talk.join(access_token="mine"), ["Authorize 1 mine"]),
        "without config": (fresh, lambda talk: talk.say("phx_join", ref="1"), ["Authorize 1 apikey"]),
        "granted, no wishes": (
            authorizing(),
            lambda talk: talk.authorized(grant()),
            [JOINED, "JoinTopic 1 broadcasts presence", "presence_state 1/1"],
        ),
        "granted, no presence wanted": (
            authorizing(QUIET),
            lambda talk: talk.authorized(grant()),
            [JOINED, "JoinTopic 1 broadcasts presence"],
        ),
        "granted, presence not to be read": (
            authorizing(),
            lambda talk: talk.authorized(grant(presence=False)),
            [JOINED, "JoinTopic 1 broadcasts"],
        ),
        "granted, with wishes": (authorizing(ONE_WISH), lambda talk: talk.authorized(grant()), ["Subscribe 1"]),
        "granted, with replay": (authorizing(REPLAY), lambda talk: talk.authorized(grant()), ["Subscribe 1"]),
        "a push before it is answered": (
            subscribing(),
            lambda talk: talk.say("broadcast", {"event": "e"}),
            ["+messages_unmatched", refused("unmatched topic", "5").replace("5/5", "5/1")],
        ),
        "a wish that cannot be read": (
            authorizing(BAD_WISH | QUIET),
            lambda talk: talk.authorized(grant())[-1:],
            [f"system -/1 {json.dumps(reasons.SELECT_NOT_A_LIST)} error postgres_changes"],
        ),
    }
)
def test_a_join_asks_who_it_is_and_then_for_what_it_wants(state: State, act: Act, effects: list[str]) -> None:
    assert act(state()) == effects


def test_the_join_is_answered_only_when_the_changes_are_live() -> None:
    talk = subscribing({**ONE_WISH, **REPLAY})()
    kept = UserBroadcast(ROOM, "old", b"1", binary=False, meta=b'{"replayed":true}')
    text = Message(ROOM, "broadcast", b'{"event":"older"}')
    (wish,) = talk.last(Subscribe).bindings
    effects = talk.subscribed(Subscribed((None,), (text, kept), position="p1", recovered=True))
    echo = f'{{"event":"*","schema":"public","table":"todos","id":{wish.id}}}'
    response = f'{{"postgres_changes":[{echo}],"position":"p1","recovered":true}}'
    assert effects == [
        f'phx_reply 1/1 {{"status":"ok","response":{response}}}',
        'broadcast -/- {"event":"older"}',
        "broadcast old 1",
        "JoinTopic 1 broadcasts presence",
        "presence_state 1/1",
        LIVE,
    ]


@rows(
    {
        "authorized twice": (inside(), lambda talk: talk.authorized(grant()), []),
        "authorized after leaving": (
            after(authorizing(), lambda talk: talk.say("phx_leave")),
            lambda talk: talk.authorized(grant()),
            [],
        ),
        "subscribed twice": (inside(ONE_WISH), lambda talk: talk.subscribed(Subscribed()), []),
        "subscribed after the next join": (
            after(subscribing(), lambda talk: talk.join(ref="2")),
            lambda talk: talk.subscribed(Subscribed()),
            [],
        ),
        "refused after leaving": (
            after(renewing(), lambda talk: talk.say("phx_leave")),
            lambda talk: talk.authorized(reasons.TOKEN_INVALID),
            [],
        ),
    }
)
def test_late_and_repeated_answers_change_nothing(state: State, act: Act, effects: list[str]) -> None:
    assert act(state()) == effects


@rows(
    {
        "another topic": (
            fresh,
            lambda talk: talk.join(topic="chat:1"),
            ["+messages_unmatched", refused("unmatched topic").replace("1/1 ", "1/1 chat:1 ")],
        ),
        "no topic": (
            fresh,
            lambda talk: talk.join(topic="realtime:"),
            ["+joins_refused", refused(reasons.TOPIC_MISSING).replace("1/1 ", "1/1 realtime: ")],
        ),
        "the longest topic": (
            fresh,
            lambda talk: talk.join(topic="realtime:" + "é" * 123),
            ["Authorize 1 apikey"],
        ),
        "a longer topic": (
            fresh,
            lambda talk: talk.join(topic="realtime:" + "é" * 124)[:2],
            ["+limit_topic", "+messages_unmatched"],
        ),
        "while the server stops": (
            after(fresh, lambda talk: talk.retire()),
            lambda talk: talk.join(),
            ["+joins_refused", refused(reasons.RESTARTING)],
        ),
        "a public channel where none may be": (
            lambda: Talk(private_only=True),
            lambda talk: talk.join(),
            ["+joins_refused", refused(reasons.PRIVATE_ONLY)],
        ),
        "a private channel there": (
            lambda: Talk(private_only=True),
            lambda talk: talk.join({"private": True}),
            ["Authorize 1 apikey"],
        ),
        "too many channels": (
            after(lambda: Talk(channels=1), lambda talk: talk.join(topic="realtime:other")),
            lambda talk: talk.join(),
            ["+joins_refused", "+limit_channels", refused(reasons.TOO_MANY_CHANNELS)],
        ),
        "too many joins": (
            after(lambda: Talk(joins_per_s=2 / 60), lambda talk: talk.join()),
            lambda talk: talk.join(ref="2"),
            [
                "Forget 1",
                "+joins_refused",
                refused(reasons.UNKNOWN),
                "+joins_refused",
                "+limit_joins",
                refused(reasons.TOO_MANY_JOINS, "2"),
                "Close 1001 Too many joins per second",
            ],
        ),
        "too many wishes": (
            fresh,
            lambda talk: talk.join({"postgres_changes": [{"table": "t"}] * 1001}),
            ["+joins_refused", refused(reasons.TOO_MANY_BINDINGS)],
        ),
        "a payload that is no object": (
            fresh,
            lambda talk: talk.receive(Message(ROOM, "phx_join", b"[", "1", "1")),
            ["+joins_refused", refused(reasons.UNKNOWN)],
        ),
        "a bad token": (
            authorizing(),
            lambda talk: talk.authorized(reasons.SIGNATURE_INVALID),
            ["Forget 1", "+joins_refused", refused("JwtSignatureError: Failed to validate JWT signature")],
        ),
        "a token that expires just now": (
            authorizing(),
            lambda talk: talk.authorized(grant(START_S)),
            ["Forget 1", "+joins_refused", refused("InvalidJWTToken: Token has expired 0 seconds ago")],
        ),
        "nothing may be read": (
            authorizing(),
            lambda talk: talk.authorized(grant(broadcasts=False, presence=False)),
            ["Forget 1", "+joins_refused", refused(reasons.unauthorized("room"))],
        ),
        "an unknown project": (
            authorizing(),
            lambda talk: talk.authorized(reasons.TENANT_UNKNOWN),
            [
                "Forget 1",
                "+joins_refused",
                refused(reasons.TENANT_UNKNOWN),
                "Close 1001 Tenant with the given ID does not exist",
            ],
        ),
        "replay of a public channel": (
            authorizing({"broadcast": {"replay": {}}}),
            lambda talk: talk.authorized(grant()),
            ["Forget 1", "+joins_refused", refused(reasons.REPLAY_PUBLIC)],
        ),
        "replay of something odd": (
            authorizing({"private": True, "broadcast": {"replay": 7}}),
            lambda talk: talk.authorized(grant()),
            ["Forget 1", "+joins_refused", refused(reasons.REPLAY_INVALID)],
        ),
        "replay without reading": (
            authorizing(REPLAY),
            lambda talk: talk.authorized(grant(broadcasts=False)),
            ["Forget 1", "+joins_refused", refused(reasons.REPLAY_FAILED)],
        ),
        "the database is away": (
            subscribing(),
            lambda talk: talk.subscribed(reasons.DATABASE_UNREACHABLE),
            ["Forget 1", "+joins_refused", refused(reasons.DATABASE_UNREACHABLE)],
        ),
        "waited for a wish that cannot be had": (
            subscribing(ONE_WISH | {"postgres_changes_options": {"wait": True}}),
            lambda talk: talk.subscribed(Subscribed(("no such table",))),
            ["Forget 1", "+joins_refused", refused("RealtimeDisabledForConfiguration: no such table")],
        ),
        "its token expired meanwhile": (
            after(authorizing(ONE_WISH), lambda talk: talk.authorized(grant(START_S + 3)), lambda talk: talk.tick(4)),
            lambda talk: talk.subscribed(Subscribed()),
            ["Forget 1", "+joins_refused", refused(reasons.token_expired(1))],
        ),
        "waited too long": (
            subscribing(ONE_WISH | {"postgres_changes_options": {"wait": True, "timeout": 2000}}),
            lambda talk: talk.tick(2),
            ["Forget 1", "+joins_refused", refused(reasons.changes_wait_timeout(2000))],
        ),
        "nobody answers": (
            subscribing(),
            lambda talk: talk.tick(9),
            ["Forget 1", "+joins_refused", refused(reasons.INITIALIZING)],
        ),
        "nobody says who it is": (
            authorizing(ONE_WISH | {"postgres_changes_options": {"wait": True, "timeout": 2000}}),
            lambda talk: talk.tick(2),
            ["Forget 1", "+joins_refused", refused(reasons.INITIALIZING)],
        ),
        "it broke": (
            authorizing(),
            lambda talk: talk.note(talk.session.failed(talk.last(Authorize).channel, talk.now_s)),
            ["Forget 1", "+joins_refused", refused(reasons.UNKNOWN)],
        ),
    }
)
def test_a_join_is_refused(state: State, act: Act, effects: list[str]) -> None:
    assert act(state()) == effects


def test_a_refusal_waits_a_moment() -> None:
    talk = Talk(refusal_delay_s=SessionLimits().refusal_delay_s)
    talk.join()
    assert talk.authorized(reasons.TOKEN_INVALID) == ["Forget 1", "+joins_refused"]
    assert talk.tick(0.4) == []
    assert talk.tick(0.1) == [refused(reasons.TOKEN_INVALID)]
    assert talk.tick(0.1) == []


def test_only_so_many_refusals_wait() -> None:
    talk = Talk(refusal_delay_s=0.5, channels=2, private_only=True)
    assert talk.join(ref="1") == talk.join(ref="2") == ["+joins_refused"]
    assert talk.join(ref="3") == ["+joins_refused", refused(reasons.PRIVATE_ONLY)]
    assert talk.tick(1) == [refused(reasons.PRIVATE_ONLY, "2"), refused(reasons.PRIVATE_ONLY, "3")]


@rows(
    {
        "joined": (inside(), lambda talk: talk.join(ref="2"), [CLOSED, "Forget 1", "Authorize 2 apikey"]),
        "still joining": (
            authorizing(),
            lambda talk: talk.join(ref="2"),
            ["Forget 1", "+joins_refused", refused(reasons.UNKNOWN), "Authorize 2 apikey"],
        ),
        "refused this time": (
            after(inside(), lambda talk: talk.retire()),
            lambda talk: talk.join(ref="2"),
            [CLOSED, "Forget 1", "+joins_refused", refused(reasons.RESTARTING, "2")],
        ),
        "the leave of the first join comes late": (
            after(inside(), lambda talk: talk.join(ref="2")),
            lambda talk: talk.say("phx_leave", join_ref="1"),
            [f"phx_reply 5/1 {OK}"],
        ),
    }
)
def test_a_second_join_replaces_the_first(state: State, act: Act, effects: list[str]) -> None:
    assert act(state()) == effects


def test_a_client_without_join_ref_joins_under_its_ref() -> None:
    talk = Talk()
    talk.say("phx_join", {"config": QUIET}, ref="7", join_ref=None)
    assert talk.authorized(grant())[0].startswith("phx_reply 7/7 ")
    assert talk.say("phx_leave", ref="8", join_ref=None) == [
        f"phx_reply 8/7 {OK}",
        "Depart 1",
        "phx_close 7/7 {}",
        "Forget 1",
    ]


def test_ref_and_join_ref_are_kept_apart() -> None:
    talk = Talk()
    talk.say("phx_join", {"config": QUIET}, ref="8", join_ref="j")
    assert talk.authorized(grant())[0].startswith("phx_reply 8/j ")
    assert talk.say("phx_leave", ref="9", join_ref="j") == [
        f"phx_reply 9/j {OK}",
        "Depart 1",
        "phx_close j/j {}",
        "Forget 1",
    ]


def test_refused_wishes_are_named_and_the_others_live() -> None:
    wishes = {"postgres_changes": [{"table": "a"}, {"table": "b", "select": 7}, {"table": "c"}, {"table": "d"}]}
    talk = subscribing(wishes | QUIET)()
    assert [wish.table for wish in talk.last(Subscribe).bindings] == ["a", "c", "d"]
    assert talk.subscribed(Subscribed(("no c", None, "no c")))[2:] == [
        f"system -/1 {json.dumps(reasons.SELECT_NOT_A_LIST)} error postgres_changes",
        'system -/1 "no c" error postgres_changes',
        LIVE,
    ]


def test_nothing_is_called_live_when_every_wish_was_refused() -> None:
    talk = subscribing(ONE_WISH | QUIET)()
    assert talk.subscribed(Subscribed(("no",)))[2:] == ['system -/1 "no" error postgres_changes']
