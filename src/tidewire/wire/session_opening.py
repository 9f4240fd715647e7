"""Whether a channel may be entered, and what a client that enters hears first. Keeps no state and asks nobody."""

from collections.abc import Iterator

from tidewire.model.reasons import (
    REPLAY_FAILED,
    REPLAY_INVALID,
    REPLAY_PUBLIC,
    SUBSCRIBED,
    Reason,
    no_longer_authorized,
    unauthorized,
)
from tidewire.wire import payloads
from tidewire.wire.join import JoinRequest
from tidewire.wire.message import UserBroadcast
from tidewire.wire.session_address import Address
from tidewire.wire.session_effects import ChannelRef, Effect, Grant, JoinTopic, Send, SendBroadcast, Subscribed
from tidewire.wire.session_token import expired


def judge(answer: Grant | Reason, channel: ChannelRef, *, is_inside: bool, now_s: float) -> Grant | Reason:
    """Return the grant if it lets anybody read now, else why not, in the words for those outside or inside."""
    nothing = unauthorized(channel.subtopic)
    if isinstance(answer, Grant):
        if (too_late := expired(answer.claims.expires_at_s, now_s)) is not None:
            return too_late
        if answer.reads_broadcasts or answer.reads_presence:
            return answer
        answer = nothing
    return no_longer_authorized(channel.subtopic) if is_inside and answer == nothing else answer


def judge_replay(join: JoinRequest, grant: Grant) -> Reason | None:
    """Return why the kept broadcasts that a join asks for cannot be sent, or None."""
    if join.replay is None:
        return None
    if not join.private:
        return REPLAY_PUBLIC
    if not join.replay.valid:
        return REPLAY_INVALID
    return None if grant.reads_broadcasts else REPLAY_FAILED


def join_topic(channel: ChannelRef, grant: Grant) -> JoinTopic:
    """Ask for as much of the topic as may be read."""
    return JoinTopic(channel, grant.reads_broadcasts, grant.reads_presence)


def opening(channel: ChannelRef, address: Address, join: JoinRequest, grant: Grant, answer: Subscribed) -> list[Effect]:
    """Answer the join, and then send what was kept: nothing live may come between."""
    echo = ((binding.raw, binding.id) for binding in join.bindings)
    reply = payloads.join_reply(echo, position=answer.position, recovered=answer.recovered, reason=answer.reason)
    effects: list[Effect] = [address.reply(address.ref, reply)]
    effects += (SendBroadcast(each) if isinstance(each, UserBroadcast) else Send(each) for each in answer.replayed)
    effects.append(join_topic(channel, grant))
    return effects


def refusals(join: JoinRequest, answer: Subscribed) -> list[str]:
    """Return, each once, why bindings get no changes: those that cannot be read, then those that cannot be had."""
    unreadable = [binding.refusal for binding in join.bindings]
    return list(dict.fromkeys(filter(None, [*unreadable, *answer.refusals])))


def changes_news(address: Address, join: JoinRequest, answer: Subscribed) -> Iterator[Effect]:
    """Name what was refused before what is live: whoever waits for the first word learns the worst."""
    for refusal in refusals(join, answer):
        yield address.system(refusal, status="error", extension="postgres_changes")
    wishes = sum(binding.refusal is None for binding in join.bindings)
    if wishes > sum(refusal is not None for refusal in answer.refusals):
        yield address.system(SUBSCRIBED, status="ok", extension="postgres_changes")
