"""Answers what the session of one client asks when a channel joins or shows a new token: who may, and from where on.

Decides nothing about the protocol. The rest of a channel's life is the connection's.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext
from typing import Any, Protocol, TypeVar

import structlog
from msgspec.structs import replace

from tidewire.hub.catch_up import NO_PLAN, Plan
from tidewire.hub.forms import Form
from tidewire.hub.permissions import reason_of
from tidewire.hub.replays import NOTHING_KEPT, Collector, read_kept, replayed
from tidewire.hub.reserved_topics import is_reserved
from tidewire.hub.services import Services
from tidewire.hub.subscriptions import ANYTHING, Judged, refused, targets
from tidewire.hub.topics import AWAY, Member, Topic
from tidewire.hub.travellers import Receiver
from tidewire.model.claims import Claims
from tidewire.model.errors import DecodeError, SubscriberLagged, TidewireError
from tidewire.model.position import MAX_INDEX, Lsn, StreamPosition
from tidewire.model.reasons import TOO_MANY_JOINS, Reason
from tidewire.ports import Kept, Outbox
from tidewire.wire import session_effects as effects
from tidewire.wire.message import Message, UserBroadcast
from tidewire.wire.progress import Place, Progress
from tidewire.wire.session import SessionProtocol
from tidewire.wire.session_address import PREFIX
from tidewire.wire.session_effects import ChannelRef

log = structlog.get_logger()

Question = TypeVar("Question", effects.Authorize, effects.Subscribe)


class Connection(Protocol):
    """Where the channels are that join."""

    number: int
    form: Form
    write: Callable[[Any], None]

    def carry_out(self, wanted: list[effects.Effect]) -> None: ...

    def inside(self, channel: ChannelRef) -> tuple[Topic, Member] | None: ...

    def send(self, message: Message | UserBroadcast) -> None: ...


class ChannelJoins:
    """One for each client. Tell it of the end of every channel, and drop it with the connection."""

    __slots__ = (
        "_begun",
        "_connection",
        "_followed",
        "_granted",
        "_outbox",
        "_places",
        "_progress",
        "_renewing",
        "_services",
        "_session",
        "bearer",
    )

    def __init__(
        self,
        connection: Connection,
        services: Services,
        session: SessionProtocol,
        outbox: Outbox,
        *,
        granted: Callable[[ChannelRef, Claims], None],
        progress: Progress | None,
    ) -> None:
        """`granted` is told of every token of a private channel; without `progress` nobody resumes here."""
        self._connection = connection
        self._services = services
        self._session = session
        self._outbox = outbox
        self._granted = granted
        self.bearer: tuple[str, str | None] | None = None
        self._progress = progress
        self._begun: set[int] = set()  # numbers of the channels that are not over
        self._followed: dict[int, tuple[effects.Subscribe, Judged]] = {}
        self._renewing: dict[int, effects.Subscribe] = {}  # by channel, the question that counts
        self._places: dict[int, Place] = {}  # where those with row changes are resumed

    def has(self, channel: ChannelRef) -> bool:
        """Say whether a channel has begun and is not over."""
        return channel.number in self._begun

    def forget(self, channel: ChannelRef) -> None:
        """Let go of a channel that is over; it may be resumed."""
        self._begun.discard(channel.number)
        self._followed.pop(channel.number, None)
        self._places.pop(channel.number, None)

    def depart(self, channel: ChannelRef) -> None:
        """Take note that the client wants no more of a channel."""
        place = self._places.get(channel.number)
        if self._progress is not None and place is not None:
            self._progress.end(place)

    def beat(self, members: Iterable[tuple[ChannelRef, Topic, Member]]) -> None:
        """Take note of a heartbeat, and up to where the channels that are inside have been told."""
        if self._progress is None:
            return
        catch_up, number = self._services.catch_up, self._connection.number
        told: list[Place] = []
        behind: list[Place] = []
        for channel, _, member in members:
            if (place := self._places.get(channel.number)) is not None:
                is_running = catch_up is not None and catch_up.is_running(number, channel.number)
                (behind if is_running or member.since == AWAY else told).append(place)
        self._progress.beat(self._services.settled(ANYTHING), told, behind)

    def positions(self, members: Iterable[tuple[ChannelRef, Topic, Member]]) -> dict[str, StreamPosition]:
        """Return up to where channels have been told everything there was, by their topics on the wire.

        Whoever goes on from there misses nothing and hears nothing twice. So those are left out of which no one place
        says that: because they have been told something behind a change of another of their tables, say, that still
        waits for an answer of Postgres.
        """
        positions = ((channel, self._position(channel, member)) for channel, _, member in members)
        return {PREFIX + channel.subtopic: position for channel, position in positions if position is not None}

    def _position(self, channel: ChannelRef, member: Member) -> StreamPosition | None:
        catch_up, number = self._services.catch_up, self._connection.number
        followed = self._followed.get(channel.number)
        if catch_up is None or followed is None:
            return None
        if catch_up.is_running(number, channel.number):
            return catch_up.position_of(number, channel.number)
        settled = self._services.settled(targets(followed[1]))
        if settled is None or max(member.since, member.told) > (settled.lsn, settled.index):
            return None
        return settled

    # --- who may -----------------------------------------------------------------------------------------------

    def authorize(self, question: effects.Authorize) -> None:
        """Answer in its own time."""
        services = self._services
        is_join = not self.has(question.channel)
        self._begun.add(question.channel.number)
        if is_join and services.gate.refuses_join(services.clock()):
            self._connection.carry_out(self._session.authorized(question, TOO_MANY_JOINS, services.clock()))
            return
        self._ask(question, self._authorize)

    async def _authorize(self, question: effects.Authorize) -> None:
        services = self._services
        try:
            answer = await services.permissions.grant(question)
        except TidewireError as error:
            self._connection.carry_out(self._session.authorized(question, reason_of(error), services.clock()))
        else:
            channel = question.channel
            if isinstance(answer, effects.Grant):
                self.bearer = (answer.claims.role, answer.claims.subject)
                if channel.private and self.has(channel):
                    self._granted(channel, answer.claims)
            self._connection.carry_out(self._session.authorized(question, answer, services.clock()))

    # --- from where on -----------------------------------------------------------------------------------------

    def subscribe(self, question: effects.Subscribe) -> None:
        """Answer in its own time, and then tell what was missed."""
        self._ask(question, self._subscribe)

    async def _subscribe(self, question: effects.Subscribe) -> None:
        """Follow the changes, in place of what a channel followed before, and then tell what was missed."""
        services, number = self._services, question.channel.number
        if services.catch_up is not None:
            await services.catch_up.over(self._connection.number, number)
        self._renewing[number] = question
        try:
            followed = await self._follow(question)
        finally:
            if self._renewing.get(number) is question:
                del self._renewing[number]
        if followed is not None and followed[1].goes_back:
            await self._go_back(question, *followed)

    async def _follow(self, question: effects.Subscribe) -> tuple[Judged, Plan] | None:
        """Wait for all that takes time; then, in one step, follow the changes and say so: nothing comes in between."""
        services, channel, replay = self._services, question.channel, question.replay
        if is_reserved(channel.subtopic):
            replay = None  # what the database keeps under such a name is not the server's word
        with services.replays.collecting(channel.subtopic) if replay is not None else nullcontext() as collector:
            try:
                await services.live.wait()
                judged = await services.subscriptions.judge(question)
                since = await services.subscriptions.log_end()
            except TidewireError as error:
                self._connection.carry_out(self._session.subscribed(question, reason_of(error), services.clock()))
                return None
            kept: Kept | Reason = NOTHING_KEPT
            if replay is not None and collector is not None:
                limit = services.pressure.outbox_bytes
                kept = await read_kept(services.kept, channel.subtopic, replay, collector, most_bytes=limit)
            if isinstance(kept, Reason):
                self._connection.carry_out(self._session.subscribed(question, kept, services.clock()))
                return None
            is_new = self._connection.inside(channel) is None
            place = _place(question)
            resumed = None if self._progress is None else self._progress.certain.get(place)
            plan = NO_PLAN
            if services.catch_up is not None and is_new:
                plan = await services.catch_up.plan(question, since, otherwise=resumed)
                plan = self._repeating(plan, question, place)
            # A later token may have been asked about in less time: what it may see counts.
            if not self.has(channel) or self._renewing.get(channel.number) is not question:
                return None
            self._begin(question, place, plan)
            self._answer(question, judged, plan, kept)
            if is_new and (found := self._connection.inside(channel)) is not None:
                found[1].since = _since(plan, since)
                if collector is not None:
                    self._tell_missed(found[1], channel.subtopic, kept, collector)
        return judged, plan

    def _repeating(self, plan: Plan, question: effects.Subscribe, place: Place) -> Plan:
        """Say again how the channel began, if its client may not have heard it: it does not know where it goes on."""
        unheard = None if self._progress is None else self._progress.unheard(place)
        if unheard is None or not plan.goes_back or all(binding.after is not None for binding in question.bindings):
            return plan
        return replace(plan, beginning=unheard)

    def _begin(self, question: effects.Subscribe, place: Place, plan: Plan) -> None:
        """Take note of where a channel begins; one that has another token is somebody else's from now on."""
        if self._progress is None or not question.bindings:
            return
        self._places[question.channel.number] = place
        if plan.position is not None:
            self._progress.begin(place, plan.position, plan.beginning)

    def _answer(self, question: effects.Subscribe, judged: Judged, plan: Plan, kept: Kept) -> None:
        services, channel = self._services, question.channel
        number = self._connection.number
        if services.catch_up is not None and question.bindings:
            self._followed[channel.number] = (question, judged)
        refusals = refused(judged) if plan.goes_back else services.subscriptions.replace(number, question, judged)
        answer = effects.Subscribed(
            refusals=refusals,
            replayed=replayed(channel.subtopic, kept),
            position=plan.shown,
            recovered=plan.beginning.recovered,
            reason=plan.beginning.reason,
        )
        self._connection.carry_out(self._session.subscribed(question, answer, services.clock()))

    def set_back(self, channel: ChannelRef, position: StreamPosition) -> bool:
        """Follow nothing for a while: tell everything behind a position from the past, and then follow again."""
        found, followed = self._connection.inside(channel), self._followed.get(channel.number)
        if found is None or followed is None or channel.number in self._renewing:
            return False
        question, judged = followed
        found[1].since = AWAY
        self._services.subscriptions.forget(self._connection.number, channel)
        self._services.counts["channels_set_back"] += 1
        plan = Plan(otherwise=position, position=position, goes_back=True)
        self._ask(question, lambda asked: self._go_back(asked, judged, plan))
        return True

    async def _go_back(self, question: effects.Subscribe, judged: Judged, plan: Plan) -> None:
        """Tell a channel what it missed; then, in one step, let it follow what comes."""
        services, channel, connection = self._services, question.channel, self._connection
        found = connection.inside(channel)
        if found is None or services.catch_up is None:
            return
        member = found[1]
        receiver = Receiver(
            connection.number,
            self._outbox,
            connection.form,
            services.pressure.hold_bytes,
            lambda packet: connection.write(packet),  # noqa: PLW0108 - what writes may be another by then
            lambda: connection.inside(channel) is not None,
        )

        def arrive(place: tuple[int, int]) -> None:
            member.since = place
            services.subscriptions.replace(connection.number, question, judged)

        with services.catch_up.alone(connection.number, channel.number):
            try:
                await services.catch_up.run(question, judged, plan, receiver, arrive=arrive)
            except (SubscriberLagged, DecodeError) as error:
                log.warning("history_gone", connection=connection.number, reason=error.message)
                connection.carry_out(self._session.failed(channel, services.clock()))

    def _tell_missed(self, member: Member, subtopic: str, kept: Kept, collector: Collector) -> None:
        """Send what was broadcast while the kept ones were read, and remember which those are."""
        self._services.replays.told(member, subtopic, kept)
        for broadcast in collector.missed(kept):
            member.changes += 1  # counts as delivered
            self._connection.send(broadcast)

    def _ask(self, question: Question, work: Callable[[Question], Awaitable[None]]) -> None:
        """Let a question be answered in its own time; one that breaks ends its channel and nothing else."""

        async def answer() -> None:
            try:
                await work(question)
            except Exception:
                log.exception("question_failed", question=type(question).__name__, connection=self._connection.number)
                self._connection.carry_out(self._session.failed(question.channel, self._services.clock()))

        self._services.tasks.start(answer(), name=type(question).__name__)


def _since(plan: Plan, log_end: Lsn) -> tuple[int, int]:
    """Return behind what a channel is told of news: of nothing while it is told what it missed.

    On a connection on which it was before, something that it followed then may still wait for an answer.
    """
    if plan.goes_back:
        return AWAY
    here = plan.position
    return (log_end - 1, MAX_INDEX) if here is None else (here.lsn, here.index)


def _place(question: effects.Subscribe) -> Place:
    claims = question.grant.claims
    return Place(question.channel.subtopic, question.channel.private, claims.role, claims.subject)
