"""Carries out what one client writes to its channels, broadcasts and presence, and tells its session what came of it.

Writes to private channels first go through PrivateWrites, which knows whether they may. Decides nothing about the
protocol.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from tidewire.hub.private_writes import PrivateWrites, Write
from tidewire.hub.services import Services
from tidewire.hub.topics import Member, Topic
from tidewire.model.claims import Claims
from tidewire.model.reasons import TOO_MANY_MESSAGES, TOO_MANY_PRESENCE_MESSAGES, WriteRefusal
from tidewire.presence.roster import Owner
from tidewire.wire.message import UserBroadcast
from tidewire.wire.session import SessionProtocol
from tidewire.wire.session_effects import ChannelRef, Effect, Publish, Track, Untrack


class ChannelWrites:
    """One for each client that writes, or has a private channel. Tell it of every grant and end of such a channel."""

    __slots__ = ("_carry_out", "_inside", "_number", "_private", "_services", "_session")

    def __init__(
        self,
        number: int,
        services: Services,
        session: SessionProtocol,
        *,
        inside: Callable[[ChannelRef], tuple[Topic, Member] | None],
        carry_out: Callable[[list[Effect]], None],
    ) -> None:
        """`number` is the connection's; `inside` finds where a channel is; `carry_out` does what the session wants."""
        self._number = number
        self._services = services
        self._session = session
        self._inside = inside
        self._carry_out = carry_out
        self._private: PrivateWrites | None = None  # most clients have no private channel

    def granted(self, channel: ChannelRef, claims: Claims) -> None:
        """Let the policies decide what a private channel writes from now on, by the claims of its new token."""
        if self._private is None:
            tasks = self._services.tasks
            self._private = PrivateWrites(
                self._services.permissions,
                start=lambda work: tasks.start(work, name="judge writes"),
                finish=self._finish,
            )
        self._private.granted(channel, claims)

    def claims(self, channel: ChannelRef) -> Claims | None:
        """Return whose token a private channel lives on; None when it is gone."""
        return None if self._private is None else self._private.claims(channel)

    def forget(self, channel: ChannelRef) -> None:
        """Drop what the channel shows and what still waits: it is gone."""
        self._services.tracker.drop(channel.subtopic, self._owner(channel), private=channel.private)
        if self._private is not None:
            self._private.forget(channel)

    def submit(self, write: Write) -> None:
        """Carry a write out, once it is known that the channel may."""
        if not write.channel.private:
            self._finish(write, None)
        elif self._private is not None:
            self._private.submit(write)

    def _finish(self, write: Write, refusal: WriteRefusal | None) -> None:
        """Carry a write out, or drop it and say why to whoever wants to know."""
        if refusal is None:
            self._finishers[type(write)](self, write)
            return
        self._services.counts["writes_refused"] += 1
        if isinstance(write, Publish):
            self._carry_out(self._session.published(write, refusal))
        elif isinstance(write, Track):
            self._carry_out(self._session.tracked(write, accepted=False))

    def _publish(self, question: Publish) -> None:
        """Send first: storing takes its time, and only the acknowledgement waits for it."""
        services, channel, message = self._services, question.channel, question.message
        if (found := self._inside(channel)) is None:
            return
        topic, member = found
        is_to_be_kept = False
        if question.persist is not None and isinstance(message, UserBroadcast):
            if services.keeper.is_full:
                self._finish(question, "increase_connection_pool")
                return
            is_to_be_kept = True
            message = services.keeper.keep(
                channel.subtopic, message, question.persist, lambda id_: self._acknowledge(question, id_)
            )
        reached = topic.broadcast(message, spared=() if question.to_self else (member,))
        services.counts["broadcasts"] += 1
        services.counts["deliveries"] += reached
        if not is_to_be_kept:
            self._acknowledge(question)
        now_s = services.clock()
        if services.gate.refuses_events(now_s, 1 + reached):
            self._carry_out(self._session.shut_down(channel, TOO_MANY_MESSAGES, now_s))

    def _acknowledge(self, question: Publish, kept_as: str | None = None) -> None:
        if question.ack:
            self._carry_out(self._session.published(question, kept_as=kept_as))

    def _track(self, question: Track) -> None:
        services, channel = self._services, question.channel
        now_s = services.clock()
        if services.gate.refuses_presence(now_s):
            self._carry_out(self._session.shut_down(channel, TOO_MANY_PRESENCE_MESSAGES, now_s))
            return
        refusal = services.tracker.track(
            channel.subtopic, self._owner(channel), question.key, question.payload, private=channel.private
        )
        self._carry_out(self._session.tracked(question, accepted=refusal is None))

    def _untrack(self, effect: Untrack) -> None:
        channel = effect.channel
        self._services.tracker.untrack(channel.subtopic, self._owner(channel), private=channel.private)

    def _owner(self, channel: ChannelRef) -> Owner:
        return Owner(self._number, str(channel.number))

    _finishers: ClassVar[dict[type, Callable[["ChannelWrites", Any], None]]] = {
        Publish: _publish,
        Track: _track,
        Untrack: _untrack,
    }
