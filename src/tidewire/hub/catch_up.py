"""Tells a channel that was away what it missed, from the past that the bus keeps, until nothing is left to tell.

The rules of today decide what of it may be seen. Who comes after is the dispatcher's.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from msgspec import Struct

from tidewire.hub.change_frames import ChangeFrames, is_whole
from tidewire.hub.forms import Form
from tidewire.hub.guards import Guards
from tidewire.hub.history import History
from tidewire.hub.lanes import admit
from tidewire.hub.subscriptions import Judged, Subscriptions
from tidewire.match.matcher import Matcher
from tidewire.model.change import Change, Resync, Transaction
from tidewire.model.errors import InvalidPosition, SubscriberLagged
from tidewire.model.position import Lsn, Seen, StreamPosition, parse_position
from tidewire.ports import Outbox, Visibility
from tidewire.wire.session_effects import Subscribe

ROOM_BYTES: Final = 64 * 1024
"""As long as more than this waits for a client, it is told nothing more of what it missed."""
ROOM_POLL_S: Final = 0.02

BEHIND_POLL_S: Final = 0.02
BEHIND_S: Final = 30.0
"""How long we wait for the log to come to where a list was read; positions are clients' texts, and may say anything."""

Place = tuple[int, int]
"""Commit LSN and index: where in the current history."""


class Plan(Struct, frozen=True):
    """Where each binding goes on, by its id, and where those that did not say; or the `reason` why they cannot."""

    starts: Mapping[int, StreamPosition] = {}
    otherwise: StreamPosition | None = None
    position: StreamPosition | None = None
    """Everything behind it will be told."""
    recovered: bool | None = None
    """None where nobody was here before."""
    reason: str | None = None

    @property
    def goes_back(self) -> bool:
        """Whether there is a past to be told before the present."""
        return self.recovered is True

    @property
    def shown(self) -> str | None:
        """The position as clients know it."""
        return None if self.position is None else str(self.position)


NO_PLAN: Final = Plan()


class Receiver(Struct, frozen=True):
    """Whom to tell, and whether they are still there."""

    connection: int
    outbox: Outbox
    form: Form
    write: Callable[[Any], None]
    is_there: Callable[[], bool]


class CatchUp:
    """First `plan`; then `run`, and in the step in which that returns let the channel follow what comes next."""

    def __init__(
        self,
        history: History,
        guards: Guards,
        visibility: Visibility,
        subscriptions: Subscriptions,
        frames: ChangeFrames,
    ) -> None:
        self._history = history
        self._guards = guards
        self._visibility = visibility
        self._subscriptions = subscriptions
        self._frames = frames
        self._running: dict[tuple[int, int], asyncio.Event] = {}

    async def plan(self, question: Subscribe, since: Lsn, *, otherwise: StreamPosition | None = None) -> Plan:
        """Say where the bindings of a join go on; those that were not here before hear of what commits from `since`.

        Those that do not say where they were go on from `otherwise`, if there is such a place.
        """
        now = self._history.start(since)
        if now is None:
            return NO_PLAN
        starts: dict[int, StreamPosition] = {}
        earliest: StreamPosition | None = None
        for binding in question.bindings:
            if binding.after is None and otherwise is None:
                earliest = _earlier(earliest, now)
                continue
            try:
                position = otherwise if binding.after is None else parse_position(binding.after)
            except InvalidPosition as error:
                return Plan(position=now, recovered=False, reason=error.message)
            assert position is not None  # noqa: S101 - as was asked first
            if (refusal := await self._history.refuses(position)) is not None:
                return Plan(position=now, recovered=False, reason=refusal)
            starts[binding.id] = position
            earliest = _earlier(earliest, position)
        return Plan(starts, now, earliest, recovered=True if starts else None)

    async def run(self, question: Subscribe, judged: Judged, plan: Plan, receiver: Receiver) -> Place:
        """Tell what was missed, in its order, and return up to where. Raises SubscriberLagged when that is gone.

        Whoever has read a list is told of nothing twice; so it goes on until all that the list can have has come by.
        """
        assert plan.position is not None  # noqa: S101 - a plan with starts has one
        matchers = self._matchers(question, judged, plan, receiver.connection)
        told = min(_place(start) for start in matchers)
        sequence = self._history.before(plan.position)
        until = max((start.seen.until for start in matchers if start.seen is not None), default=Lsn(0))
        passed = 0
        give_up_s = asyncio.get_running_loop().time() + BEHIND_S
        while receiver.is_there():
            passed = max(passed, self._history.written())  # asked first: what is written later may not be in the page
            page = await self._history.page(sequence)
            if not page:
                if passed >= until or asyncio.get_running_loop().time() > give_up_s:
                    break
                await asyncio.sleep(BEHIND_POLL_S)
                continue
            sequence = page[-1][0]
            for _, item in page:
                if isinstance(item, Resync):
                    raise SubscriberLagged("catching up: expected one history, got the beginning of another")
                await self._tell_all(matchers, item, receiver)
                passed = max(passed, item.commit_lsn)
                if item.changes:
                    told = max(told, (item.changes[-1].lsn, item.changes[-1].index))
            await asyncio.sleep(0)  # a long past never waits by itself, and others want their turn
        return told

    async def _tell_all(
        self, matchers: Mapping[StreamPosition, Matcher], transaction: Transaction, receiver: Receiver
    ) -> None:
        for start, matcher in matchers.items():
            if start.seen is not None and start.seen.has(transaction.commit_lsn, transaction.xid):
                continue
            changes = [
                each for each in transaction.changes if (each.lsn, each.index) > _place(start) and is_whole(each)
            ]
            await self._tell(matcher, changes, transaction, receiver, start.seen)

    @contextmanager
    def alone(self, connection: int, channel: int) -> Iterator[None]:
        """Let others who want to change what a channel follows wait until this is over."""
        over = self._running[connection, channel] = asyncio.Event()
        try:
            yield
        finally:
            del self._running[connection, channel]
            over.set()

    def is_running(self, connection: int, channel: int) -> bool:
        """Say whether a channel is still told what it missed."""
        return (connection, channel) in self._running

    async def over(self, connection: int, channel: int) -> None:
        """Return as soon as nobody catches up for a channel."""
        while (over := self._running.get((connection, channel))) is not None:
            await over.wait()

    def _matchers(
        self, question: Subscribe, judged: Judged, plan: Plan, connection: int
    ) -> dict[StreamPosition, Matcher]:
        assert plan.otherwise is not None  # noqa: S101 - as above
        matchers: dict[StreamPosition, Matcher] = {}
        for binding, wish, made in self._subscriptions.make(connection, question, judged):
            matcher = matchers.setdefault(plan.starts.get(binding.id, plan.otherwise), Matcher())
            for wanted in made:
                matcher.add(wanted, wish.compile)
        return matchers or {plan.otherwise: Matcher()}

    async def _tell(
        self,
        matcher: Matcher,
        changes: Sequence[Change],
        transaction: Transaction,
        receiver: Receiver,
        seen: Seen | None,
    ) -> None:
        for relation in {id(change.shape): change.relation for change in changes}.values():
            while missing := self._guards.missing(relation, matcher.roles(relation)):
                await self._guards.load(relation, missing)
        candidates = matcher.match(changes, self._guards.by_table)
        await admit(candidates.findings, self._visibility)
        answers = await self._visibility.visible(candidates.asks)
        for delivery in candidates.deliveries(answers):
            for parcel, _, _ in self._frames.frames(delivery, transaction.commit_time_us, seen=seen):
                if (packet := parcel.packet(receiver.form)) is not None:
                    receiver.write(packet)
        while receiver.outbox.waiting_bytes > ROOM_BYTES and receiver.is_there():  # noqa: ASYNC110 - as said below
            await asyncio.sleep(ROOM_POLL_S)  # a transport tells of room only after it was full


def _place(position: StreamPosition) -> Place:
    return position.lsn, position.index


def _earlier(one: StreamPosition | None, other: StreamPosition) -> StreamPosition:
    return other if one is None or one.follows(other) else one
