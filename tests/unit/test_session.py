"""How tokens, time and others end channels and connections: a state, an input, and all effects it has."""

from math import inf
from typing import Any

from tests.support.session import (
    LIVE,
    ONE_WISH,
    QUIET,
    START_S,
    Act,
    State,
    Talk,
    after,
    authorizing,
    ended,
    fresh,
    grant,
    inside,
    refused,
    renewing,
    rows,
    subscribing,
)
from tidewire.model import reasons
from tidewire.wire.session_effects import Authorize, Subscribed


@rows(
    {
        "a new one": (inside(), lambda talk: talk.new_token("second"), ["Authorize 1 second"]),
        "the same": (inside(), lambda talk: talk.new_token("apikey"), []),
        "none": (inside(), lambda talk: talk.say("access_token", {"access_token": None}), []),
        "an opaque key": (inside(), lambda talk: talk.new_token("sb_publishable_x"), []),
        "while joining": (subscribing(), lambda talk: talk.new_token("second"), []),
        "where nothing is joined": (
            fresh,
            lambda talk: talk.new_token("second"),
            ["+messages_unmatched", refused("unmatched topic").replace("1/1", "5/1")],
        ),
        "it was given while joining": (
            after(subscribing(), lambda talk: talk.new_token("second"), lambda talk: talk.subscribed(Subscribed())),
            lambda talk: talk.tick(0),
            ["Authorize 1 second"],
        ),
        "granted": (
            renewing(),
            lambda talk: talk.authorized(grant(broadcasts=False)),
            ["JoinTopic 1 presence"],
        ),
        "granted, with wishes": (
            renewing(ONE_WISH),
            lambda talk: talk.authorized(grant()),
            ["JoinTopic 1 broadcasts presence", "Subscribe 1"],
        ),
        "live again": (
            after(renewing(ONE_WISH), lambda talk: talk.authorized(grant())),
            lambda talk: talk.subscribed(Subscribed()),
            [LIVE],
        ),
        "not live again": (
            after(renewing(ONE_WISH), lambda talk: talk.authorized(grant())),
            lambda talk: talk.subscribed(reasons.DATABASE_UNREACHABLE),
            ["+channels_shut_down", *ended(reasons.DATABASE_UNREACHABLE)],
        ),
        "refused": (
            renewing(),
            lambda talk: talk.authorized(reasons.TOKEN_INVALID),
            ["+channels_shut_down", *ended(reasons.TOKEN_INVALID)],
        ),
        "may read no more": (
            renewing(),
            lambda talk: talk.authorized(reasons.unauthorized("room")),
            ["+channels_shut_down", *ended(reasons.no_longer_authorized("room"))],
        ),
        "may read nothing": (
            renewing(),
            lambda talk: talk.authorized(grant(broadcasts=False, presence=False)),
            ["+channels_shut_down", *ended(reasons.no_longer_authorized("room"))],
        ),
        "another within ten seconds": (
            after(renewing(), lambda talk: talk.authorized(grant()), lambda talk: talk.new_token("third")),
            lambda talk: talk.tick(9.9) + talk.new_token("fourth") + talk.tick(0.1),
            ["Authorize 1 fourth"],
        ),
        "another, taken back": (
            after(renewing(), lambda talk: talk.authorized(grant()), lambda talk: talk.new_token("third")),
            lambda talk: talk.new_token("second") + talk.tick(10),
            [],
        ),
        "another while the last is open": (
            after(renewing(), lambda talk: talk.new_token("third")),
            lambda talk: talk.tick(20) + talk.authorized(grant()) + talk.tick(0),
            ["JoinTopic 1 broadcasts presence", "Authorize 1 third"],
        ),
    }
)
def test_new_tokens(state: State, act: Act, effects: list[str]) -> None:
    assert act(state()) == effects


@rows(
    {
        "not yet": (inside(expires_in_s=20), lambda talk: talk.tick(19.9), []),
        "now": (
            inside(expires_in_s=20),
            lambda talk: talk.tick(22.5),
            ["+channels_shut_down", *ended(reasons.token_expired(2))],
        ),
        "a public channel as well as a private one": (
            inside({"private": True}, expires_in_s=20),
            lambda talk: talk.tick(20),
            ["+channels_shut_down", *ended(reasons.token_expired(0))],
        ),
        "an earlier token was replaced": (
            after(renewing(expires_in_s=20), lambda talk: talk.authorized(grant(START_S + 40))),
            lambda talk: talk.tick(39),
            [],
        ),
        "a new one waits": (
            after(
                renewing(expires_in_s=20),
                lambda talk: talk.tick(5),
                lambda talk: talk.authorized(grant(START_S + 6)),
                lambda talk: talk.new_token("third"),
            ),
            lambda talk: talk.tick(1),
            ["Authorize 1 third"],
        ),
        "a new one is being looked at": (renewing(expires_in_s=5), lambda talk: talk.tick(8.9), []),
        "it is looked at for too long": (
            renewing(expires_in_s=5),
            lambda talk: talk.tick(9),
            ["+channels_shut_down", *ended(reasons.token_expired(4))],
        ),
        "more tokens do not put it off": (
            after(renewing(expires_in_s=5), lambda talk: talk.tick(8), lambda talk: talk.new_token("third")),
            lambda talk: talk.tick(1),
            ["+channels_shut_down", *ended(reasons.token_expired(4))],
        ),
    }
)
def test_a_token_expires(state: State, act: Act, effects: list[str]) -> None:
    assert act(state()) == effects


@rows(
    {
        "silent": (inside(), lambda talk: talk.tick(60), ["+sockets_idle", "Forget 1", "Close 1000 idle"]),
        "silent not long enough": (inside(), lambda talk: talk.tick(59.9), []),
        "silent but for what could not be read": (
            after(inside(), lambda talk: talk.tick(59), lambda talk: talk.heard()),
            lambda talk: talk.tick(59),
            [],
        ),
        "empty": (lambda: Talk(idle_s=inf), lambda talk: talk.tick(600), ["+sockets_empty", "Close 1000 no channels"]),
        "empty since it left": (
            after(inside(idle_s=inf), lambda talk: talk.tick(500), lambda talk: talk.say("phx_leave")),
            lambda talk: talk.tick(599),
            [],
        ),
        "in use": (inside(idle_s=inf), lambda talk: talk.tick(6000), []),
        "an operator": (
            after(inside(), lambda talk: talk.join(topic="realtime:b", ref="2")),
            lambda talk: talk.note(talk.session.disconnect()),
            [
                'system -/1 "Server requested disconnect" ok system',
                "Forget 1",
                "Forget 2",
                "Close 1012 Server requested disconnect",
            ],
        ),
        "the server stops": (
            inside(),
            lambda talk: talk.note(talk.session.drain()),
            ["Forget 1", "Close 1012 the server is restarting"],
        ),
        "the client is gone": (inside(), lambda talk: talk.note(talk.session.closed()), ["Forget 1"]),
        "nothing after the end": (
            after(inside(), lambda talk: talk.note(talk.session.closed())),
            lambda talk: talk.join() + talk.tick(99) + talk.note([*talk.session.drain(), *talk.session.closed()]),
            [],
        ),
    }
)
def test_the_connection_ends(state: State, act: Act, effects: list[str]) -> None:
    assert act(state()) == effects


AWAITING: dict[str, Any] = {"broadcast": {"replication_ready": True}} | QUIET


def test_a_client_is_told_when_broadcasts_from_the_database_flow() -> None:
    talk = authorizing(AWAITING)()
    assert talk.authorized(grant())[2:] == ["AwaitReplication 1"]
    ref = talk.last(Authorize).channel
    told = ['system -/1 "Replication connection established" ok system']
    assert talk.note(talk.session.replicating(ref)) == told
    assert talk.note(talk.session.replicating(ref)) == []


def test_a_client_waits_for_them_only_so_long() -> None:
    talk = inside(AWAITING, idle_s=inf)()
    assert talk.tick(59.9) == []
    assert talk.tick(0.1) == ["+channels_shut_down", *ended(reasons.REPLICATION_LATE)]


def test_a_question_does_not_show_its_token() -> None:
    talk = Talk()
    talk.join(access_token="eyJsecret")
    assert "eyJsecret" not in repr(talk.last(Authorize))
