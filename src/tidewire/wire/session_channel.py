"""One channel from its join to its end: the client's messages, answers to its questions and the time in, effects out.

Theory of operation. A channel is in one phase, and ignores whatever does not belong there:

    AUTHORIZING ──► SUBSCRIBING ──► JOINED ──► REAUTHORIZING ──► RESUBSCRIBING ──► JOINED
         └─────────── (nothing to subscribe to) ─┘  └── (nothing to subscribe to) ───┘        any ──► OVER

From JOINED on the client is inside: only then does it get anything but answers. An answer to a question counts if that
question was the last, so late and repeated ones change nothing. A channel that is over has said its last word; if it is
over because the join was `refused`, whoever holds the channel still owes the client that answer.
"""

from enum import Enum
from math import inf
from typing import Final, Literal

from tidewire.model.reasons import (
    INITIALIZING,
    REPLICATION_LATE,
    REPLICATION_READY,
    UNKNOWN,
    Reason,
    WriteRefusal,
    changes_refused,
    changes_wait_timeout,
)
from tidewire.wire.join import JoinRequest
from tidewire.wire.message import Inbound, Message, UserBroadcast
from tidewire.wire.requests import read_access_token
from tidewire.wire.session_address import Address
from tidewire.wire.session_effects import (
    Authorize,
    AwaitReplication,
    ChannelRef,
    Count,
    Effect,
    Forget,
    Grant,
    Publish,
    Subscribe,
    Subscribed,
    Track,
    counts,
)
from tidewire.wire.session_limits import SessionLimits
from tidewire.wire.session_opening import changes_news, join_topic, judge, judge_replay, opening, refusals
from tidewire.wire.session_token import ChannelToken
from tidewire.wire.session_traffic import Traffic


class Phase(Enum):
    """Where a channel stands."""

    AUTHORIZING = 1
    SUBSCRIBING = 2
    JOINED = 3
    REAUTHORIZING = 4
    RESUBSCRIBING = 5
    OVER = 6


_INSIDE: Final = frozenset({Phase.JOINED, Phase.REAUTHORIZING, Phase.RESUBSCRIBING})


class ChannelProtocol:
    """Call `begin` first. Once it `is_over`, drop it, and if it was `refused`, answer the join with that."""

    __slots__ = (
        "_deadline_s",
        "_join",
        "_limits",
        "_phase",
        "_question",
        "_token",
        "_traffic",
        "address",
        "ref",
        "refused",
    )

    def __init__(self, ref: ChannelRef, address: Address, join: JoinRequest, token: str, limits: SessionLimits) -> None:
        """Join as `join` says, which names a presence key; `token` is what the channel lives on at first."""
        self.ref = ref
        self.address = address
        self.refused: Reason | None = None
        self._join = join
        self._limits = limits
        self._phase = Phase.AUTHORIZING
        self._question: Authorize | Subscribe | None = None
        self._token = ChannelToken(token, interval_s=limits.token_interval_s)
        self._traffic = Traffic(ref, address, join, limits)
        self._deadline_s = inf  # when to give up: on the join, later on the replication that the client waits for

    @property
    def is_over(self) -> bool:
        return self._phase is Phase.OVER

    @property
    def is_inside(self) -> bool:
        """Whether the client has been let in."""
        return self._phase in _INSIDE

    @property
    def calm_until_s(self) -> float:
        """Before when `tick` does nothing, unless something else happens first."""
        if self._token.is_offered:
            return -inf
        return min(self._deadline_s, self._token.expires_at_s) if self.is_inside else self._deadline_s

    # --- getting in --------------------------------------------------------------------------------------

    def begin(self, now_s: float) -> list[Effect]:
        """Ask who it is."""
        timeout_s = self._join.wait_timeout_ms / 1000 if self._join.wait else self._limits.join_timeout_s
        self._deadline_s = now_s + timeout_s
        return self._authorize(self._token.current)

    def authorized(self, question: Authorize, answer: Grant | Reason, now_s: float) -> list[Effect]:
        """Take in who it is and what they may read: of the token of a join, or of a later one."""
        if question is not self._question:
            return []
        self._question = None
        grant = judge(answer, self.ref, is_inside=self.is_inside, now_s=now_s)
        if isinstance(grant, Reason):
            return self.shut_down(grant)
        self._token.granted(grant.claims.expires_at_s)
        if self.is_inside:
            return [join_topic(self.ref, grant), *self._subscribe(grant)]
        if (refusal := judge_replay(self._join, grant)) is not None:
            return self.shut_down(refusal)
        return self._subscribe(grant) or self._open(grant, Subscribed(), now_s)

    def subscribed(self, question: Subscribe, answer: Subscribed | Reason, now_s: float) -> list[Effect]:
        """Take in that row changes are live. The join is answered now and not before: readiness is real."""
        if question is not self._question:
            return []
        self._question = None
        if isinstance(answer, Reason):
            return self.shut_down(answer)
        if not self.is_inside:
            return self._open(question.grant, answer, now_s)
        self._phase = Phase.JOINED
        return list(changes_news(self.address, self._join, answer))

    def _authorize(self, token: str) -> list[Effect]:
        self._question = Authorize(self.ref, token, self._traffic.shows_presence)
        return [self._question]

    def _subscribe(self, grant: Grant) -> list[Effect]:
        """Ask for row changes, and at a join for kept broadcasts; for nothing when neither is wanted."""
        bindings = tuple(binding for binding in self._join.bindings if binding.refusal is None)
        replay = None if self.is_inside else self._join.replay
        if not bindings and replay is None:
            self._phase = Phase.JOINED if self.is_inside else self._phase
            return []
        self._phase = Phase.RESUBSCRIBING if self.is_inside else Phase.SUBSCRIBING
        self._question = Subscribe(self.ref, grant, bindings, replay, self._join.legacy)
        return [self._question]

    def _open(self, grant: Grant, answer: Subscribed, now_s: float) -> list[Effect]:
        """Let the client in, and tell it everything in the order that clients rely on."""
        join = self._join
        if (expiry := self._token.expiry(now_s)) is not None:  # while the row changes were made live
            return self.shut_down(expiry)
        if join.wait and (refused := refusals(join, answer)):
            return self.shut_down(changes_refused(refused[0]))
        self._phase = Phase.JOINED
        self._deadline_s = now_s + self._limits.replication_timeout_s if join.replication_ready else inf
        effects = opening(self.ref, self.address, join, grant, answer)
        if self._traffic.shows_presence and grant.reads_presence:
            effects.append(self._traffic.presence_state())
        effects += changes_news(self.address, join, answer)
        if join.replication_ready:
            effects.append(AwaitReplication(self.ref))
        return effects

    # --- inside ------------------------------------------------------------------------------------------

    def receive(self, message: Inbound, now_s: float) -> list[Effect]:
        """Take in a message of a client that is inside. Raises DecodeError: drop the message."""
        if isinstance(message, UserBroadcast) or message.event == "broadcast":
            return self._traffic.broadcast(message)
        if message.event == "presence":
            done = self._traffic.presence(message, now_s)
            return self.shut_down(done) if isinstance(done, Reason) else done
        if message.event == "access_token":
            self.offer_token(message)
            return self._renew(now_s)
        return [Count("messages_unknown")]

    def offer_token(self, message: Message) -> None:
        """Keep a new token until it may be looked at. Raises DecodeError: drop the message."""
        self._token.offer(read_access_token(message.payload))

    def published(self, question: Publish, failure: WriteRefusal | None, kept_as: str | None) -> list[Effect]:
        """Take in what became of a broadcast; only a client that is inside could send one, and it still is."""
        return self._traffic.published(question, failure, kept_as)

    def tracked(self, question: Track, *, accepted: bool) -> list[Effect]:
        """Take in what became of a track; as above."""
        return self._traffic.tracked(question, accepted=accepted)

    def replicating(self) -> list[Effect]:
        """Tell a client that waits for it that broadcasts from the database flow."""
        if not self.is_inside or self._deadline_s == inf:
            return []
        self._deadline_s = inf
        return [self.address.system(REPLICATION_READY, status="ok", extension="system")]

    def tick(self, now_s: float) -> list[Effect]:
        """Look at a new token if one waits, and end what has taken too long or has expired."""
        if self.is_over:
            return []
        if asked := self._renew(now_s):
            return asked
        too_late = now_s >= self._deadline_s
        if not self.is_inside:
            return self.shut_down(self._why_late()) if too_late else []
        expiry = self._token.expiry(now_s)
        if expiry is not None and not self._may_be_renewed(now_s):
            return self.shut_down(expiry)
        return self.shut_down(REPLICATION_LATE) if too_late else []

    def _renew(self, now_s: float) -> list[Effect]:
        """Ask about a new token. Not while the last question is open: a refusal could be put off for ever."""
        if not self.is_inside or self._phase is Phase.REAUTHORIZING or not self._token.is_due(now_s):
            return []
        self._phase = Phase.REAUTHORIZING
        return self._authorize(self._token.ask(now_s))

    def _may_be_renewed(self, now_s: float) -> bool:
        return self._phase is Phase.REAUTHORIZING and self._token.asked_within(self._limits.join_timeout_s, now_s)

    def _why_late(self) -> Reason:
        waits = self._join.wait and self._phase is Phase.SUBSCRIBING
        return changes_wait_timeout(self._join.wait_timeout_ms) if waits else INITIALIZING

    # --- getting out -------------------------------------------------------------------------------------

    def shut_down(self, reason: Reason) -> list[Effect]:
        """End the channel and tell the client why: in a message, or in the answer to its join."""
        if self.is_over:
            return []
        if not self.is_inside:
            self.refused = reason
            return self.forget()
        told = self.address.system(reason.message, status="error", extension="system")
        return [*counts("channels_shut_down", reason), told, *self.end("phx_close")]

    def end(self, event: Literal["phx_close", "phx_error"]) -> list[Effect]:
        """End the channel without a reason; one that is still joining gets the answer that nothing came of it."""
        return [self.address.end(event), *self.forget()] if self.is_inside else self.shut_down(UNKNOWN)

    def forget(self) -> list[Effect]:
        """End the channel without a word."""
        if self.is_over:
            return []
        self._phase = Phase.OVER
        return [Forget(self.ref)]
