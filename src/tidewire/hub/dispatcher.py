"""The other half of the loop that begins in pump.py: transactions become frames for those who may and want to see."""

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence

import structlog

from tidewire.hub.connection import ClientConnection
from tidewire.hub.database_broadcasts import DatabaseBroadcasts
from tidewire.hub.fanout import TURN
from tidewire.hub.forms import Parcel
from tidewire.hub.subscriptions import LEGACY, Subscriptions
from tidewire.match.candidates import Delivery
from tidewire.match.matcher import Matcher
from tidewire.match.plan import Broken
from tidewire.match.subscription import Receivers
from tidewire.model.change import Change, Resync, Transaction
from tidewire.model.errors import DecodeError
from tidewire.model.position import format_lsn
from tidewire.ports import Sight, Visibility
from tidewire.wire import payloads
from tidewire.wire.change_body import MAX_RECORD_BYTES, ChangeBodies
from tidewire.wire.message import Message
from tidewire.wire.session_address import PREFIX

log = structlog.get_logger()


class Dispatcher:
    """Run it once per node. Row changes leave in commit order, and those of one transaction in theirs."""

    def __init__(
        self,
        matcher: Matcher,
        visibility: Visibility,
        subscriptions: Subscriptions,
        broadcasts: DatabaseBroadcasts,
        *,
        find: Callable[[int], ClientConnection | None],
        clock: Callable[[], float],
        change_bytes: int = MAX_RECORD_BYTES,
    ) -> None:
        """`find` returns a connection of this node by its number, and `clock` Unix time."""
        self._matcher = matcher
        self._visibility = visibility
        self._subscriptions = subscriptions
        self._broadcasts = broadcasts
        self._find = find
        self._clock = clock
        self._bodies = ChangeBodies(max_record_bytes=change_bytes)
        self._last = (0, -1)
        self.changes = 0
        """How many changes came by."""
        self.deliveries = 0
        """How many frames they made, over all connections."""
        self.commit_time_us = 0
        """When the last of them was committed."""
        self.lag_s = 0.0
        """How long after that it was handed to everybody."""

    async def run(self, items: AsyncIterable[Transaction | Resync]) -> None:
        """Deliver everything until the items end."""
        async for item in items:
            await self._broadcasts.take(item)
            if isinstance(item, Resync):
                self._last = (0, -1)
                log.warning("history_broken", reason=item.reason, epoch=item.epoch)
            else:
                await self._dispatch(item)

    async def _dispatch(self, transaction: Transaction) -> None:
        # A part that comes again after a reconnection repeats what was sent.
        changes = [change for change in transaction.changes if (change.lsn, change.index) > self._last]
        if not changes:
            return
        self._last = (changes[-1].lsn, changes[-1].index)
        self.changes += len(changes)
        self.commit_time_us = transaction.commit_time_us
        try:
            candidates = self._matcher.match(changes)
        except DecodeError:
            candidates = self._matcher.match([change for change in changes if _is_whole(change)])
        if candidates.broken:
            self._report(candidates.broken)
        answers: Sequence[Sight | None] = ()
        if candidates.asks:
            answers = await self._visibility.visible(candidates.asks)
        for delivery in candidates.deliveries(answers):
            await self._deliver(delivery, transaction.commit_time_us)
        self.lag_s = max(0.0, self._clock() - transaction.commit_time_us / 1_000_000)

    async def _deliver(self, delivery: Delivery[Sight], commit_time_us: int) -> None:
        """Write the change once, frame it for each set of ids, and give others a turn after every hundred writes."""
        sight = delivery.answer
        if not _is_whole(delivery.change):
            return
        data = self._bodies.write(
            delivery.change, commit_time_us, columns=_columns(delivery.select, sight), errors=sight.errors
        )
        for receivers in delivery.receivers:
            parcel, topic = _frame(receivers, data, delivery.change.operation)
            for number in receivers.connections:
                connection = self._find(number)
                found = connection.members.get(topic) if connection is not None else None
                if found is None:
                    continue  # it left while this change was on its way
                member = found[2]
                if delivery.change.lsn < member.since:
                    continue  # we are behind, and it joined later
                member.changes += 1
                member.write(parcel.packet(member.form))
                self.deliveries += 1
                if self.deliveries % TURN == 0:  # counted over all changes: each of very many may have one reader
                    await asyncio.sleep(0)

    def _report(self, broken: Sequence[Broken]) -> None:
        """Tell those whose filter cannot be applied any more; their channels stay open."""
        for number, channel, text in self._subscriptions.drop_broken(broken):
            if (connection := self._find(number)) is not None:
                payload = payloads.system(
                    channel=channel.subtopic, extension="postgres_changes", status="error", message=text
                )
                connection.tell(channel, Message(PREFIX + channel.subtopic, "system", payload))


def _is_whole(change: Change) -> bool:
    """Read a row, once for all its readers. A damaged one is told to the log and to nobody else: it says nothing."""
    try:
        _ = change.new
    except DecodeError as error:
        log.error("row_unreadable", table=change.relation.qualified_name, lsn=format_lsn(change.lsn), code=error.code)  # noqa: TRY400 - the traceback would say no more
        return False
    return True


def _columns(select: tuple[str, ...] | None, sight: Sight) -> tuple[str, ...] | None:
    """Return what is both wanted and allowed."""
    if select is None or sight.columns is None:
        return sight.columns if select is None else select
    return tuple(name for name in sight.columns if name in select)


def _frame(receivers: Receivers, data: bytes, operation: str) -> tuple[Parcel, str]:
    """Return the message for one set of receivers, and their topic on the wire."""
    if receivers.topic.startswith(LEGACY):
        topic = receivers.topic.removeprefix(LEGACY)
        return Parcel(Message(topic, operation, data)), topic
    return Parcel(Message(receivers.topic, "postgres_changes", payloads.change(receivers.ids, data))), receivers.topic
