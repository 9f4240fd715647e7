"""The other half of the loop that begins in pump.py: transactions become frames for those who may and want to see."""

import asyncio
from collections.abc import AsyncIterable, Callable, Collection, Sequence
from typing import Final

import structlog

from tidewire.hub.bulk import Bulk
from tidewire.hub.change_frames import ChangeFrames, is_whole
from tidewire.hub.connection import ClientConnection
from tidewire.hub.database_broadcasts import DatabaseBroadcasts
from tidewire.hub.fanout import TURN
from tidewire.hub.guards import Guards
from tidewire.hub.lanes import Lanes, Waiting
from tidewire.hub.subscriptions import Subscriptions
from tidewire.hub.tasks import Tasks
from tidewire.hub.topics import Member
from tidewire.hub.travellers import Place
from tidewire.match.candidates import Candidates, Delivery
from tidewire.match.finding import Broken
from tidewire.match.matcher import Matcher
from tidewire.match.rule import Rule
from tidewire.match.sight import Sight, Sights
from tidewire.match.subscription import TablePattern
from tidewire.model.change import Change, Resync, Transaction
from tidewire.model.errors import DecodeError
from tidewire.model.latency import Latencies
from tidewire.model.position import MAX_INDEX, Lsn, StreamPosition
from tidewire.model.relation import Relation
from tidewire.ports import Visibility
from tidewire.wire import payloads
from tidewire.wire.message import Message
from tidewire.wire.session_address import PREFIX
from tidewire.wire.session_effects import ChannelRef

log = structlog.get_logger()

MOST_TOLD: Final = 1000
"""Rules that were reported once, because they are an error with the claims of somebody."""


class Dispatcher:
    """Run it once per node. Row changes leave in commit order, and those of one transaction in theirs."""

    def __init__(
        self,
        matcher: Matcher,
        guards: Guards,
        visibility: Visibility,
        subscriptions: Subscriptions,
        broadcasts: DatabaseBroadcasts,
        *,
        frames: ChangeFrames,
        bulk: Bulk,
        tasks: Tasks,
        find: Callable[[int], ClientConnection | None],
        clock: Callable[[], float],
        epoch: Callable[[], str],
    ) -> None:
        """`find` returns a connection of this node by its number, and `clock` Unix time.

        `epoch` names the history of what is being dispatched.
        """
        self._matcher = matcher
        self._guards = guards
        self._sights = Sights()
        self._lanes = Lanes(visibility, tasks, self._deliver_all)
        self._subscriptions = subscriptions
        self._broadcasts = broadcasts
        self._find = find
        self._clock = clock
        self._frames = frames
        self._epoch = epoch
        self._bulk = bulk
        self._last = (0, -1)
        self._handed: StreamPosition | None = None  # all up to it has been sent, or waits in a lane
        self._told_failed: set[Rule] = set()
        self.changes = 0
        """How many changes came by."""
        self.deliveries = 0
        """How many frames they made, over all connections."""
        self.commit_time_us = 0
        """When the last of them was committed."""
        self.lag_s = 0.0
        """How long after that it was handed to everybody."""
        self.latencies = Latencies()
        """From the commit until all who were concerned had been written to, of transactions that concerned anybody."""

    def settled(self, tables: Collection[TablePattern]) -> StreamPosition | None:
        """Return up to where everything of some tables has been written to all whom it concerns.

        That does not hold for those who are still catching up.
        """
        handed, oldest_lsn = self._handed, self._lanes.oldest_lsn(tables)
        if handed is None or oldest_lsn is None or oldest_lsn > handed.lsn:
            return handed
        return StreamPosition(handed.epoch, Lsn(oldest_lsn - 1), MAX_INDEX)

    async def run(self, items: AsyncIterable[Transaction | Resync]) -> None:
        """Deliver everything until the items end."""
        async for item in items:
            await self._broadcasts.take(item)
            self._guards.observe(item)
            if isinstance(item, Resync):
                await self._lanes.empty()  # positions of two histories cannot be compared
                self._last, self._handed = (0, -1), None
                log.warning("history_broken", reason=item.reason, epoch=item.epoch)
                await self._break_off()
            else:
                await self._dispatch(item)
                self._hand(item)
        await self._lanes.empty()

    async def _dispatch(self, transaction: Transaction) -> None:
        if transaction.shapes is not None and not self._matcher.follows(transaction.shapes):
            self._pass(transaction)
            return
        # A part that comes again after a reconnection repeats what was sent.
        changes = [change for change in transaction.changes if (change.lsn, change.index) > self._last]
        if not changes:
            return
        self._last = (changes[-1].lsn, changes[-1].index)
        self.changes += len(changes)
        self.commit_time_us = transaction.commit_time_us
        await self._guards.load_for(changes, self._matcher.roles)
        at_once = changes
        if self._lanes.busy:
            at_once = [change for change in changes if not self._lanes.holds(change.relation.oid)]
        candidates = self._match(at_once)
        doubtful = candidates.doubtful
        if doubtful:
            at_once = [change for change in at_once if change.relation.oid not in doubtful]
            candidates = self._match(at_once)
        waiting = [] if at_once is changes else self._apart(changes, doubtful)
        answers = [self._sights.answer(ask) for ask in candidates.asks]
        common = (transaction.commit_time_us, changes[0].lsn, self._epoch())
        await self._deliver_all(Waiting(candidates, *common), answers)
        for relation, held in waiting:
            await self._lanes.put(relation, Waiting(held, *common))
        self.lag_s = max(0.0, self._clock() - transaction.commit_time_us / 1_000_000)

    def _pass(self, transaction: Transaction) -> None:
        """Let rows of a large transaction go by that nobody follows, without looking at them."""
        last = transaction.events[-1]
        if (last.lsn, last.index) > self._last:
            self._last = (last.lsn, last.index)
            self.changes += len(transaction.events)
            self.commit_time_us = transaction.commit_time_us
            self.lag_s = max(0.0, self._clock() - transaction.commit_time_us / 1_000_000)

    def _hand(self, transaction: Transaction) -> None:
        """Take note that a transaction has been dealt with, or a part of it; one that says nothing counts as well."""
        index = MAX_INDEX if transaction.complete else transaction.events[-1].index
        position = self._position(transaction.commit_lsn, index)
        if self._handed is None or position is None or position.follows(self._handed):  # parts may come again
            self._handed = position

    async def _break_off(self) -> None:
        """End the channels that follow row changes: they join again, and those who say where they were hear of it."""
        for turn, (number, channel) in enumerate(self._subscriptions.channels(), 1):
            if (connection := self._find(number)) is not None:
                connection.break_off(channel)
            if turn % TURN == 0:
                await asyncio.sleep(0)

    def _match(self, changes: Sequence[Change]) -> Candidates:
        try:
            candidates = self._matcher.match(changes, self._guards.find)
        except DecodeError:
            candidates = self._matcher.match([each for each in changes if is_whole(each)], self._guards.find)
        if candidates.broken:
            self._report(candidates.broken)
        for rule in candidates.failed:
            if rule not in self._told_failed:
                if len(self._told_failed) == MOST_TOLD:
                    self._told_failed.clear()
                self._told_failed.add(rule)
                log.warning("policy_failed", role=rule.role, reason="with the claims of somebody it is an error")
        return candidates

    def _apart(self, changes: Sequence[Change], doubtful: Collection[int]) -> list[tuple[Relation, Candidates]]:
        """Return who wishes to hear of those tables whose changes have to wait."""
        held: dict[int, list[Change]] = {}
        for change in changes:
            oid = change.relation.oid
            if oid in doubtful or self._lanes.holds(oid):
                held.setdefault(oid, []).append(change)
        return [(each[0].relation, self._match(each)) for each in held.values()]

    def _position(self, lsn: int, index: int) -> StreamPosition | None:
        epoch = self._epoch()
        return StreamPosition(epoch, Lsn(lsn), index) if epoch else None

    async def _deliver_all(self, told: Waiting, answers: Sequence[Sight | None]) -> None:
        deliveries = self.deliveries
        for delivery in told.candidates.deliveries(answers):
            await self._deliver(delivery, told.commit_time_us, told.epoch)
        if self.deliveries != deliveries:
            self.latencies.add(self._clock() - told.commit_time_us / 1_000_000)

    async def _deliver(self, delivery: Delivery[Sight], commit_time_us: int, epoch: str) -> None:
        """Write the change once, frame it for each set of ids, and give others a turn after every hundred writes."""
        change = delivery.change
        place = (change.lsn, change.index)
        for parcel, topic, connections in self._frames.frames(delivery, commit_time_us, epoch):
            for number in connections:
                connection = self._find(number)
                if connection is None or (found := connection.members.get(topic)) is None:
                    continue  # it left while this change was on its way
                member = found[2]
                if place <= member.since:
                    continue  # we are behind: it joined later, or was told already
                if change.index >= self._bulk.most and self._sets_back(connection, found[0], member, place):
                    continue
                member.changes += 1
                member.told = max(member.told, place)  # what had to wait in a lane comes later than others
                connection.write(parcel.packet(member.form))
                self.deliveries += 1
                if self.deliveries % TURN == 0:  # counted over all changes: each of very many may have one reader
                    await asyncio.sleep(0)

    def _sets_back(self, connection: ClientConnection, channel: ChannelRef, member: Member, place: Place) -> bool:
        """Let a reader of very many changes of one transaction hear the rest from the past: nobody waits for it then.

        Not while a lane is busy: the channel may not have been told yet of everything before this place.
        """
        lsn, index = place
        if self._lanes.busy or not self._bulk.is_too_much(member, lsn, index):
            return False
        position = self._position(lsn, index - 1)
        return position is not None and connection.set_back(channel, position)

    def _report(self, broken: Sequence[Broken]) -> None:
        """Tell those whose filter cannot be applied any more; their channels stay open."""
        for number, channel, text in self._subscriptions.drop_broken(broken):
            if (connection := self._find(number)) is not None:
                payload = payloads.system(
                    channel=channel.subtopic, extension="postgres_changes", status="error", message=text
                )
                connection.tell(channel, Message(PREFIX + channel.subtopic, "system", payload))
