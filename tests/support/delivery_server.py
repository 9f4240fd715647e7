"""One life of a server without a network or a database: a node on a bus, filled from a `Log` at the test's pace."""

import asyncio
from contextlib import aclosing

from tests.support.client import Client
from tests.support.delivery_database import Database
from tests.support.delivery_log import Break, Log
from tests.support.paced_bus import PacedBus
from tests.support.tokens import NOW_S, SECRET
from tidewire.hub import pump
from tidewire.hub.authorize import Authorizer
from tidewire.hub.guards import Guards
from tidewire.hub.history import History
from tidewire.hub.node import Node
from tidewire.hub.permissions import Permissions
from tidewire.hub.tasks import Tasks
from tidewire.model.change import Resync, Transaction
from tidewire.model.position import MAX_INDEX, Lsn, StreamPosition
from tidewire.ports import CHANGES
from tidewire.wal.envelope import Era, encode
from tidewire.wire.session_limits import SessionLimits


class Server:
    """Run `serve`, and cancel it to kill it. `first` is the oldest item of the log that is still to be had."""

    def __init__(self, log: Log, *, first: int, history_bytes: int) -> None:
        self.log = log
        self.next = first
        """The item that is relayed next."""
        self.database = Database(log)
        self.bus = PacedBus(history_bytes=history_bytes)
        self.history = History(self.bus, written=lambda: self._written)
        self.failures: list[str] = []
        self.node: Node
        self.clients: list[Client] = []
        self.is_up = asyncio.Event()
        self._sent = 0
        self._places: list[tuple[int, int, int]] = []
        self._permitted = 0
        self._open_history(first)

    def _open_history(self, first: int) -> None:
        """Say from where on everything that was committed is there, or will be."""
        before = self.log.items[first - 1] if first else None
        following = self.log.items[first] if first < len(self.log.items) else None
        number = len(self.log.epochs) - 1
        if following is not None:
            number = self.log.epochs.index(following.epoch) - isinstance(following, Break)
        self._era = Era(1, self.log.epochs[number])
        self._floor = 101
        if before is not None:
            self._floor = before.lsn + (0 if isinstance(before, Break) else 1)
        self._first_epoch = number
        self._written = self._floor - 1
        self.history.begin(self._era.epoch, Lsn(self._floor), news_from=Lsn(self._floor))

    async def serve(self) -> None:
        async with Tasks(
            fail_together=False, report=lambda name, error: self.failures.append(f"{name}: {error!r}")
        ) as tasks:
            self.node = Node(
                permissions=Permissions(Authorizer(clock=lambda: NOW_S, secrets=(SECRET,)), self.database),
                tables=self.database,
                guards=Guards(self.database),
                visibility=self.database,
                history=self.history,
                tasks=tasks,
                clock=lambda: NOW_S,
                session_limits=SessionLimits(token_interval_s=0.0),
            )
            self.node.is_live = True
            tasks.start(self._dispatch(), name="dispatch")
            self.is_up.set()
            await asyncio.Event().wait()

    async def _dispatch(self) -> None:
        async with aclosing(pump.transactions(self.bus, after=0, mark=self.history.mark)) as items:
            await self.node.dispatch(items)

    def dispatch(self, messages: int) -> None:
        """Let so many more messages of those on the bus be dispatched."""
        for _ in range(min(messages, len(self._places) - self._permitted)):
            self._permitted += 1
            self.bus.permits.release()

    @property
    def has_more(self) -> bool:
        """Whether something in the log has not been relayed."""
        return self.next < len(self.log.items)

    async def relay(self, most_events: int) -> None:
        """Put the next part of the log onto the bus."""
        item = self.log.items[self.next]
        if isinstance(item, Break):
            self._era = Era(self._era.number + 1, item.epoch)
            await self._publish(Resync(item.epoch, "the slot was lost"), self._era.key(), (item.lsn, -1))
            self.next, self._written = self.next + 1, item.lsn
            return
        events = item.events[self._sent : self._sent + most_events]
        self._sent += len(events)
        is_last = self._sent == len(item.events)
        part = Transaction(item.xid, Lsn(item.lsn), 0, events, Lsn(item.lsn + 1) if is_last else None)
        await self._publish(part, self._era.key(part), (item.lsn, events[-1].index if events else MAX_INDEX))
        if is_last:
            self.next, self._sent, self._written = self.next + 1, 0, item.lsn

    async def _publish(self, item: Transaction | Resync, key: str, place: tuple[int, int]) -> None:
        if key > await self.bus.last_key(CHANGES):
            self._places.append((self.log.epochs.index(self._era.epoch), *place))
        await self.bus.publish(CHANGES, encode(item), key=key)

    def reconnect(self) -> None:
        """Have the log sent again from the beginning of the transaction that is being relayed."""
        self._sent = 0

    async def reaches(self, position: StreamPosition, *, taken: int) -> bool:
        """Say whether everything behind a position is there, if so many messages had been taken when it was asked."""
        if position.epoch != self.history.epoch:
            return False
        place = self.log.place(position)
        if place[0] == self._first_epoch and place < (place[0], self._floor - 1, MAX_INDEX):
            return False
        kept = await self.bus.history(CHANGES, limit=1)
        gone = kept[0].sequence - 1 if kept else len(self._places)
        if gone > taken:
            return False  # where it lies is not known before it is dispatched
        return gone == 0 or self._places[gone - 1] <= place

    async def has_forgotten(self) -> bool:
        """Whether the bounds of the past were reached."""
        kept = await self.bus.history(CHANGES, limit=1)
        return bool(kept) and kept[0].sequence > 1
