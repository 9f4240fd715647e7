"""Whether a join may begin at all, and the answer to one that may not. Who is asking is decided elsewhere."""

from collections.abc import Callable
from typing import Final

import msgspec

from tidewire.model.errors import DecodeError
from tidewire.model.reasons import (
    PRIVATE_ONLY,
    RESTARTING,
    TENANT_UNKNOWN,
    TOO_MANY_CHANNELS,
    TOO_MANY_JOINS,
    TOPIC_MISSING,
    UNKNOWN,
    UNMATCHED_TOPIC,
    Reason,
)
from tidewire.wire import payloads
from tidewire.wire.join import JoinRequest, parse_join
from tidewire.wire.limits import WindowRate
from tidewire.wire.message import Message
from tidewire.wire.session_address import PREFIX, Address
from tidewire.wire.session_effects import Count, Effect, Send, counts
from tidewire.wire.session_limits import SessionLimits

ENDING: Final = frozenset({TOO_MANY_JOINS, TENANT_UNKNOWN})
"""A join refused for one of these takes the connection with it: close it after the answer."""


class Entrance:
    """One per connection: every join passes `admit`, and every one that fails, then or later, passes `refuse`."""

    __slots__ = ("_joins", "_limits", "_make_key", "_waiting", "is_retiring")

    def __init__(self, limits: SessionLimits, make_key: Callable[[], str]) -> None:
        self._limits = limits
        self._make_key = make_key
        self._joins = WindowRate(limit_per_s=limits.joins_per_s)
        self._waiting: list[tuple[float, Send]] = []  # a deque would take 600 bytes in every idle connection
        self.is_retiring = False
        """Whether the server is about to stop, so that nobody may come in any more."""

    def admit(self, message: Message, *, channels: int, now_s: float) -> JoinRequest | Reason:
        """Read a join on a connection with so many channels. What costs little is checked before anything is read."""
        if self.is_retiring:
            return RESTARTING
        if self._joins.add(now_s):
            return TOO_MANY_JOINS
        if channels >= self._limits.channels:
            return TOO_MANY_CHANNELS
        return TOPIC_MISSING if message.topic == PREFIX else self._read(message)

    def _read(self, message: Message) -> JoinRequest | Reason:
        try:
            join = parse_join(message.payload, subtopic=message.topic.removeprefix(PREFIX))
        except DecodeError:
            return UNKNOWN
        if self._limits.private_only and not join.private:
            return PRIVATE_ONLY
        if join.refusal is not None:
            return join.refusal
        return join if join.presence_key else msgspec.structs.replace(join, presence_key=self._make_key())

    def refuse(self, address: Address, reason: Reason, now_s: float) -> list[Effect]:
        """Answer a join with no, after the delay unless the connection ends with it.

        No more answers are held back than channels may be joined.
        """
        counted = counts("joins_refused", reason)
        answer = address.reply(address.ref, payloads.refusal(reason.join_text))
        if reason in ENDING:
            return [*counted, answer]
        self._waiting.append((now_s + self._limits.refusal_delay_s, answer))
        return [*counted, *self.due(now_s)]

    @property
    def owes_answers(self) -> bool:
        """Whether a refused join still waits for its answer."""
        return bool(self._waiting)

    def due(self, now_s: float) -> list[Effect]:
        """Return the answers whose delay is over, and the oldest ones if there are too many."""
        answers: list[Effect] = []
        while self._waiting and (self._waiting[0][0] <= now_s or len(self._waiting) > self._limits.channels):
            answers.append(self._waiting.pop(0)[1])
        return answers


def unmatched(address: Address) -> list[Effect]:
    """Answer what belongs to no channel: there is no delay, because nothing was tried."""
    return [Count("messages_unmatched"), address.reply(address.ref, payloads.refusal(UNMATCHED_TOPIC.message))]
