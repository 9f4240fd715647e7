"""A session to talk to, the states it can be in, and tables of what it does there.

A row of a table is a state, an input, and all effects it has; `tell` writes an effect short enough for a row.
"""

import json
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, TypeVar

import pytest

from tidewire.model.claims import Claims
from tidewire.model.position import parse_position
from tidewire.model.reasons import Reason
from tidewire.wire.message import Inbound, Message
from tidewire.wire.session import SessionProtocol
from tidewire.wire.session_effects import (
    Authorize,
    Beat,
    Close,
    Count,
    Effect,
    Grant,
    JoinTopic,
    Publish,
    Send,
    SendBroadcast,
    SendPresenceState,
    Subscribe,
    Subscribed,
    Track,
)
from tidewire.wire.session_limits import SessionLimits

T = TypeVar("T", bound=Effect)

START_S = 1_000_000.0
ROOM = "realtime:room"
ONE_WISH: dict[str, Any] = {"postgres_changes": [{"event": "*", "schema": "public", "table": "todos"}]}
BAD_WISH: dict[str, Any] = {"postgres_changes": [{"table": "todos", "select": "id"}]}
REPLAY: dict[str, Any] = {"private": True, "broadcast": {"replay": {"since": 5, "limit": 2}}}
QUIET: dict[str, Any] = {"presence": {"enabled": False}}
LIVE = 'system -/1 "Subscribed to PostgreSQL" ok postgres_changes'
CLOSED = "phx_close 1/1 {}"
OK = '{"status":"ok","response":{}}'
JOINED = 'phx_reply 1/1 {"status":"ok","response":{"postgres_changes":[]}}'
ERROR = '{"status":"error","response":{}}'


def grant(expires_at_s: float = inf, *, broadcasts: bool = True, presence: bool = True) -> Grant:
    return Grant(Claims("anon", None, expires_at_s, {"role": "anon"}), broadcasts, presence)


def refused(reason: Reason | str, ref: str = "1") -> str:
    text = reason if isinstance(reason, str) else reason.join_text
    return f"phx_reply {ref}/{ref} " + json.dumps(
        {"status": "error", "response": {"reason": text}}, separators=(",", ":"), ensure_ascii=False
    )


def ended(reason: Reason) -> list[str]:
    """What a client that is inside hears when its channel is shut down."""
    return [f"system -/1 {json.dumps(reason.message)} error system", CLOSED, "Forget 1"]


def tell(effect: Effect) -> str:  # noqa: PLR0911 - one line for each kind of effect
    """Write an effect so that a row of a table can hold it."""
    match effect:
        case Send(message=Message(event="system") as said):
            payload = json.loads(said.payload)
            assert (said.topic, payload["channel"]) == (ROOM, "room")
            message, status, extension = json.dumps(payload["message"]), payload["status"], payload["extension"]
            return f"system {said.ref or '-'}/{said.join_ref} {message} {status} {extension}"
        case Send(message=said):
            topic = "" if said.topic == ROOM else f" {said.topic}"
            return f"{said.event} {said.ref or '-'}/{said.join_ref or '-'}{topic} {said.payload.decode()}"
        case SendBroadcast(broadcast=sent):
            return f"broadcast {sent.event} {sent.payload.decode()}"
        case SendPresenceState(channel=channel, topic=topic, join_ref=join_ref):
            assert topic == ROOM
            return f"presence_state {channel.number}/{join_ref}"
        case Authorize(channel=channel, token=token):
            return f"Authorize {channel.number} {token}"
        case JoinTopic(channel=channel, broadcasts=broadcasts, presence=presence):
            return f"JoinTopic {channel.number}" + " broadcasts" * broadcasts + " presence" * presence
        case Publish(channel=channel, message=sent, to_self=to_self, ack=ack, persist=persist):
            assert (sent.ref, sent.join_ref) == (None, None)
            wishes = " self" * to_self + " ack" * ack + (f" keep {persist.ttl_s or ''}".rstrip() if persist else "")
            return f"Publish {channel.number} {sent.event} {sent.payload.decode()}{wishes}"
        case Track(channel=channel, key=key, payload=tracked):
            return f"Track {channel.number} {key} {tracked.decode()}"
        case Close(code=code, reason=reason):
            return f"Close {code} {reason}"
        case Count(metric=metric):
            return f"+{metric}"
        case Beat():
            return f"Beat {effect.ref or '-'}"
    return f"{type(effect).__name__} {effect.channel.number}"


class Talk:
    """A session, its clock, the last effects in full, and all questions so far."""

    def __init__(self, **limits: Any) -> None:
        self.now_s = START_S
        self.questions: list[Effect] = []
        limits = {"refusal_delay_s": 0.0} | limits
        self.session = SessionProtocol(SessionLimits(**limits), self.now_s, token="apikey", make_key=lambda: "made-up")

    def note(self, effects: Sequence[Effect]) -> list[str]:
        self.questions += [each for each in effects if isinstance(each, Authorize | Beat | Subscribe | Publish | Track)]
        return [tell(effect) for effect in effects]

    def last(self, kind: type[T]) -> T:
        return next(each for each in reversed(self.questions) if isinstance(each, kind))

    # --- the client ------------------------------------------------------------------------------------------

    def receive(self, inbound: Inbound) -> list[str]:
        return self.note(self.session.receive(inbound, self.now_s))

    def say(
        self, event: str, payload: Any = None, *, ref: str = "5", join_ref: str | None = "1", topic: str = ROOM
    ) -> list[str]:
        return self.receive(
            Message(topic, event, json.dumps(payload or {}, separators=(",", ":")).encode(), ref, join_ref)
        )

    def join(self, config: Any = None, *, ref: str = "1", topic: str = ROOM, **more: Any) -> list[str]:
        return self.say("phx_join", {"config": config or {}} | more, ref=ref, join_ref=ref, topic=topic)

    def new_token(self, token: str) -> list[str]:
        return self.say("access_token", {"access_token": token})

    def track(self, payload: Any) -> list[str]:
        return self.say("presence", {"event": "track", "payload": payload})

    # --- the shell -------------------------------------------------------------------------------------------

    def authorized(self, answer: Grant | Reason) -> list[str]:
        return self.note(self.session.authorized(self.last(Authorize), answer, self.now_s))

    def subscribed(self, answer: Subscribed | Reason) -> list[str]:
        return self.note(self.session.subscribed(self.last(Subscribe), answer, self.now_s))

    def retire(self) -> list[str]:
        self.session.retire()
        return []

    def beaten(self, **positions: str) -> list[str]:
        """Answer the last heartbeat; each channel stands at a position."""
        known = {f"realtime:{subtopic}": parse_position(text) for subtopic, text in positions.items()}
        return self.note(self.session.beaten(self.last(Beat), known))

    def heard(self) -> list[str]:
        self.session.heard(self.now_s)
        return []

    def tick(self, seconds: float) -> list[str]:
        self.now_s += seconds
        return self.note(self.session.tick(self.now_s))


# --- the states ----------------------------------------------------------------------------------------------

State = Callable[[], Talk]
Act = Callable[[Talk], list[str]]


def fresh() -> Talk:
    return Talk()


def authorizing(config: Any = None, **limits: Any) -> State:
    def state() -> Talk:
        talk = Talk(**limits)
        talk.join(config)
        return talk

    return state


def subscribing(config: Any = ONE_WISH) -> State:
    def state() -> Talk:
        talk = authorizing(config)()
        talk.authorized(grant())
        return talk

    return state


def inside(config: Any = None, expires_in_s: float = inf, **limits: Any) -> State:
    def state() -> Talk:
        talk = authorizing(config, **limits)()
        effects = talk.authorized(grant(START_S + expires_in_s))
        if effects == ["Subscribe 1"]:
            talk.subscribed(Subscribed())
        return talk

    return state


def renewing(config: Any = None, expires_in_s: float = inf) -> State:
    def state() -> Talk:
        talk = inside(config, expires_in_s)()
        assert talk.new_token("second") == ["Authorize 1 second"]
        return talk

    return state


def after(state: State, *acts: Act) -> State:
    def later() -> Talk:
        talk = state()
        for act in acts:
            act(talk)
        return talk

    return later


def rows(table: dict[str, tuple[State, Act, list[str]]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("state", "act", "effects"), list(table.values()), ids=list(table))
