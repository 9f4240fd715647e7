"""Decides where a channel that was away goes on, and sends it through the past until nothing is left to tell.

What comes after is the dispatcher's.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Final

from msgspec import Struct

from tidewire.hub.rounds import Parts, Round
from tidewire.hub.subscriptions import Judged, Subscriptions
from tidewire.hub.tasks import Tasks
from tidewire.hub.travellers import Place, Receiver, Start, Traveller
from tidewire.model.errors import InvalidPosition
from tidewire.model.position import Lsn, StreamPosition, parse_position
from tidewire.wire.progress import Beginning
from tidewire.wire.session_address import PREFIX
from tidewire.wire.session_effects import Subscribe

NEAR: Final = 2_000
"""Whoever missed no more messages walks without those who missed more: it would wait for them to come as far, might be
cut off again meanwhile, and be among them itself the next time, until nobody comes through any more."""
MOST_ROUNDS: Final = 2
"""How many of each kind walk at once. Whoever finds none to get on waits for the next one, together with all others who
do."""
RESTS: Final = 2.0
MOST_REST_S: Final = 1.0
"""Before the next round sets off, twice the time of the last one is left to gather, but no more than this. In a crowd
that comes back at once, everybody would walk in a small group of their own, and hold up those who are still to come."""
ROOM_POLL_S: Final = 0.02


class Plan(Struct, frozen=True):
    """Where each binding goes on, by its id, and where those that did not say; or the `reason` why they cannot."""

    starts: Mapping[int, StreamPosition] = {}
    otherwise: StreamPosition | None = None
    position: StreamPosition | None = None
    """Everything behind it will be told."""
    goes_back: bool = False
    """Whether there is a past to be told before the present."""
    beginning: Beginning = Beginning()
    """What the client is told of that; by default, that nobody was here before."""

    @property
    def shown(self) -> str | None:
        """The position as clients know it."""
        return None if self.position is None else str(self.position)


NO_PLAN: Final = Plan()


class _Line:
    """Those who wait for a round, and the rounds that are under way."""

    def __init__(self, *, most_rest_s: float = MOST_REST_S) -> None:
        self.most_rest_s = most_rest_s
        self.waiting: list[Traveller] = []
        self.rounds: list[Round] = []
        self.is_gathering = False
        self.last_s = 0.0
        """How long the last round took."""

    @property
    def may_begin(self) -> bool:
        """Whether another round may set off."""
        return bool(self.waiting) and not self.is_gathering and len(self.rounds) < MOST_ROUNDS


class CatchUp:
    """First `plan`; then `run`, and in the step in which that returns let the channel follow what comes next."""

    def __init__(self, parts: Parts, subscriptions: Subscriptions, tasks: Tasks) -> None:
        self._parts = parts
        self._subscriptions = subscriptions
        self._tasks = tasks
        self._near = _Line()
        self._far = _Line()
        self._slow = _Line(most_rest_s=0.0)
        """Of those who missed much and could not take all of it at once. They will be full again soon, and if they had
        to wait for those who can, they would come no faster to the present than it goes on."""
        self._running: dict[tuple[int, int], asyncio.Event] = {}
        self._under_way: dict[tuple[int, int], Traveller] = {}

    async def plan(self, question: Subscribe, since: Lsn, *, otherwise: StreamPosition | None = None) -> Plan:
        """Say where the bindings of a join go on; those that were not here before hear of what commits from `since`.

        Those that do not say where they were go on from `otherwise`, if there is such a place.
        """
        now = self._parts.history.start(since)
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
                return Plan(position=now, beginning=Beginning(recovered=False, reason=error.message))
            assert position is not None  # noqa: S101 - as was asked first
            if (refusal := await self._parts.history.refuses(position)) is not None:
                here = self._parts.history.start(since)
                return Plan(position=here, beginning=Beginning(recovered=False, reason=refusal))
            starts[binding.id] = position
            earliest = _earlier(earliest, position)
        return Plan(starts, now, earliest, bool(starts), Beginning(recovered=True if starts else None))

    async def run(
        self, question: Subscribe, judged: Judged, plan: Plan, receiver: Receiver, *, arrive: Callable[[Place], None]
    ) -> None:
        """Tell what was missed, in its order. Raises SubscriberLagged when that is gone.

        In the step in which nothing is left to tell, `arrive` is called with the place that this is up to: let the
        channel follow what comes behind it. It is not called if the channel has gone.
        """
        assert plan.position is not None  # noqa: S101 - a plan with starts has one
        starts = list(self._starts(question, judged, plan, receiver.connection))
        if not starts:  # nothing can be had, which the reply has said
            arrive(_place(plan.position))
            return
        sequence = self._parts.history.before(plan.position)
        traveller = Traveller(receiver, PREFIX + question.channel.subtopic, starts, sequence, arrive)
        key = (receiver.connection, question.channel.number)
        self._under_way[key] = traveller
        was_full = False
        try:
            while receiver.is_there():
                self._send_off(traveller, was_full=was_full)
                if await traveller.out():
                    return
                was_full = True
                while receiver.is_full and receiver.is_there():  # noqa: ASYNC110 - a transport tells of room only after it was full
                    await asyncio.sleep(ROOM_POLL_S)
        finally:
            del self._under_way[key]

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

    def position_of(self, connection: int, channel: int) -> StreamPosition | None:
        """Return up to where a channel has been told what it missed, while it is; None where no one place says that."""
        traveller = self._under_way.get((connection, channel))
        if traveller is None:
            return None
        found = (each.position_of(traveller) for each in self._rounds())
        return next((position for position in found if position is not None), None)

    async def over(self, connection: int, channel: int) -> None:
        """Return as soon as nobody catches up for a channel."""
        while (over := self._running.get((connection, channel))) is not None:
            await over.wait()

    def _starts(self, question: Subscribe, judged: Judged, plan: Plan, connection: int) -> Iterator[Start]:
        for binding, wish, made in self._subscriptions.make(connection, question, judged):
            position = plan.starts.get(binding.id, plan.otherwise)
            assert position is not None  # noqa: S101 - as above
            for wanted in made:
                yield Start(_place(position), wanted, wish.compile, position.seen)

    def _rounds(self) -> Iterator[Round]:
        return chain(self._near.rounds, self._far.rounds, self._slow.rounds)

    def _send_off(self, traveller: Traveller, *, was_full: bool) -> None:
        """Have it taken along by whoever has not passed where it is, or else by the next round."""
        is_near = self._parts.history.behind(traveller.sequence) <= NEAR
        is_slow = was_full and not is_near
        for each in self._rounds() if is_slow else chain(self._near.rounds, self._far.rounds):
            if each.takes(traveller, within=NEAR if is_near or is_slow else None):
                each.board(traveller)
                return
        line = self._near if is_near else self._slow if is_slow else self._far
        line.waiting.append(traveller)
        self._begin_round(line)

    def _begin_round(self, line: _Line) -> None:
        if line.may_begin:
            line.is_gathering = True
            self._tasks.start(self._walk(line), name="catch up")

    async def _walk(self, line: _Line) -> None:
        await asyncio.sleep(min(line.last_s * RESTS, line.most_rest_s))
        waiting, line.waiting = line.waiting, []
        one = Round(self._parts, min(each.sequence for each in waiting))
        for traveller in waiting:
            one.board(traveller)
        line.rounds.append(one)
        line.is_gathering = False
        began_s = asyncio.get_running_loop().time()
        try:
            await one.run()
        finally:
            line.last_s = asyncio.get_running_loop().time() - began_s
            line.rounds.remove(one)
            self._begin_round(line)


def _place(position: StreamPosition) -> Place:
    return position.lsn, position.index


def _earlier(one: StreamPosition | None, other: StreamPosition) -> StreamPosition:
    return other if one is None or one.follows(other) else one
