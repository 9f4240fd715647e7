"""One process's share of the live side: its connections, topics and subscriptions, and what the server may ask of it.

Knows neither HTTP nor Postgres: both come from outside. Run `dispatch` and `tick` for as long as the node serves.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncIterable, Callable, Collection
from functools import partial
from itertools import count, repeat
from typing import Final

import structlog
from msgspec import Struct

from tidewire.hub.bulk import Bulk
from tidewire.hub.catch_up import CatchUp
from tidewire.hub.change_frames import ChangeFrames
from tidewire.hub.connection import ClientConnection
from tidewire.hub.connection_rows import Arrival, ConnectionDetail, ConnectionRow, detail_of, page_of
from tidewire.hub.database_broadcasts import DatabaseBroadcast, DatabaseBroadcasts
from tidewire.hub.dispatcher import Dispatcher
from tidewire.hub.fanout import Fanout
from tidewire.hub.feeds import Feed, Told
from tidewire.hub.forms import Form
from tidewire.hub.gate import Gate, NodeLimits
from tidewire.hub.guards import Guards
from tidewire.hub.history import History
from tidewire.hub.permissions import Permissions
from tidewire.hub.replays import NothingKept
from tidewire.hub.reserved_topics import is_reserved
from tidewire.hub.resumable import Resumable, ResumeLimits
from tidewire.hub.rounds import Parts
from tidewire.hub.services import Services
from tidewire.hub.subscriptions import Subscriptions
from tidewire.hub.tasks import Tasks
from tidewire.hub.topics import Member, Topics
from tidewire.hub.tracker import Tracker
from tidewire.hub.wheel import Wheel
from tidewire.match.matcher import Matcher
from tidewire.model.change import Resync, Transaction
from tidewire.model.claims import Claims
from tidewire.model.reasons import RESTARTING, Reason, WriteRefusal
from tidewire.model.relation import Relation
from tidewire.ports import Extension, KeptBroadcasts, Outbox, Tables, Visibility
from tidewire.presence.roster import Roster
from tidewire.wire.message import Message, UserBroadcast
from tidewire.wire.pressure import PressurePolicy
from tidewire.wire.progress import Progress
from tidewire.wire.requests import Persist
from tidewire.wire.session import SessionProtocol
from tidewire.wire.session_limits import SessionLimits

log = structlog.get_logger()

WAVES_PER_S: Final = 20
"""So often some clients are sent away while the node drains."""


class Figures(Struct, frozen=True, kw_only=True):
    """How the node is doing. Counts only grow; everything else is what it is now.

    `last_commit_s` is Unix time, 0 before the first change; `lag_s` how long after its commit that one was handed out.
    """

    connections: int
    channels: int
    topics: int
    subscriptions: int
    presences: int
    live: bool
    draining: bool
    last_commit_s: float
    """Unix time of the last change's commit; 0 before the first."""
    lag_s: float
    """How long after its commit that change was handed to everybody."""
    latencies: tuple[int, ...] = ()
    """How long transactions took from their commit until all concerned were written to, as `Latencies` counts."""
    counts: dict[str, int]


class Node:
    """Made on the event loop that it serves on. Tell it when it `is_live`, and `close` it at the end."""

    def __init__(
        self,
        *,
        permissions: Permissions,
        tables: Tables,
        guards: Guards,
        visibility: Visibility,
        tasks: Tasks,
        clock: Callable[[], float],
        history: History | None = None,
        kept: KeptBroadcasts | None = None,
        limits: NodeLimits | None = None,
        session_limits: SessionLimits | None = None,
        make_roster: Callable[[], Roster] | None = None,
        resume: ResumeLimits | None = None,
    ) -> None:
        """Take Unix time from `clock`; `tasks` must survive the failure of one of them. Without `kept`, nothing is."""
        loop = asyncio.get_running_loop()
        limits = limits or NodeLimits()
        self.permissions = permissions
        self._session_limits = session_limits or SessionLimits()
        self._matcher = Matcher()
        self._gate = Gate(limits)
        topics = Topics(Fanout(loop.call_soon))
        refs = map("{}{:x}".format, repeat(uuid.uuid4().hex[:12]), count(1))
        subscriptions = Subscriptions(self._matcher, tables, guards)
        frames = ChangeFrames(change_bytes=limits.change_bytes)
        self._services = Services(
            clock=clock,
            gate=self._gate,
            kept=kept or NothingKept(),
            permissions=permissions,
            pressure=PressurePolicy(outbox_bytes=limits.outbox_bytes, drops_broadcasts=limits.drops_broadcasts),
            resumable=Resumable(resume or ResumeLimits(), clock),
            settled=lambda tables: self._dispatcher.settled(tables),  # noqa: PLW0108 - which is made below
            subscriptions=subscriptions,
            catch_up=None
            if history is None
            else CatchUp(Parts(history, guards, visibility, frames), subscriptions, tasks),
            tasks=tasks,
            topics=topics,
            tracker=Tracker(
                topics,
                make_roster=make_roster or (lambda: Roster("node")),
                make_ref=refs.__next__,
                loop=loop,
            ),
        )
        self._connections: dict[int, ClientConnection] = {}
        self._arrivals: dict[int, Arrival] = {}
        self._numbers = count(1)
        self._wheel = Wheel(clock)
        self._dispatcher = Dispatcher(
            self._matcher,
            guards,
            visibility,
            self._services.subscriptions,
            DatabaseBroadcasts(
                self._publish_from_database,
                self._services.replays,
                self._services.counts,
                payload_bytes=self._session_limits.payload_bytes,
            ),
            frames=frames,
            epoch=lambda: "" if history is None else history.epoch,
            bulk=Bulk(limits.bulk_changes),
            tasks=tasks,
            find=self._connections.get,
            clock=clock,
        )
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    # --- connections -----------------------------------------------------------------------------------------

    def refuses(self) -> Reason | None:
        """Return why nobody may connect now, or None."""
        if self._draining:
            return RESTARTING
        return self._gate.refuses_connection(len(self._connections), self._services.clock())

    def connect(
        self, outbox: Outbox, form: Form, *, token: str, resumes: str | None = None, transport: str = "websocket"
    ) -> ClientConnection:
        """Take in a client whose token is verified. Report to what is returned, ending with `on_closed`.

        `resumes` is what the client calls itself, so that it can come back after a loss of connection; `transport` is
        shown to operators.
        """
        session = SessionProtocol(
            self._session_limits, self._services.clock(), token=token, make_key=lambda: str(uuid.uuid4())
        )
        number = next(self._numbers)
        leave: Callable[[ClientConnection], None] = self._leave
        progress: Progress | None = None
        if resumes is not None and self._services.catch_up is not None:
            progress = self._services.resumable.enter(resumes)
            leave = partial(self._leave_resumable, resumes, progress)
        connection = ClientConnection(number, self._services, session, outbox, form, leave=leave, progress=progress)
        self._connections[number] = connection
        self._arrivals[number] = Arrival(transport, self._services.clock())
        self._wheel.add(connection)
        self._empty.clear()
        self._services.counts["connections"] += 1
        if self._draining:
            connection.retire()
        return connection

    def _leave_resumable(self, name: str, progress: Progress, connection: ClientConnection) -> None:
        self._services.resumable.leave(name, progress)
        self._leave(connection)

    def _leave(self, connection: ClientConnection) -> None:
        self._connections.pop(connection.number, None)
        self._arrivals.pop(connection.number, None)
        self._wheel.discard(connection)
        if not self._connections:
            self._empty.set()

    @property
    def connection_count(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def connection_rows(self, *, after: int = 0, limit: int, user: str | None = None) -> list[ConnectionRow]:
        """Describe the connections behind a number, `limit` at most, in their order."""
        arrived = zip(self._connections.values(), self._arrivals.values(), strict=True)
        return page_of(arrived, after=after, limit=limit, user=user)

    def connection_detail(self, number: int) -> ConnectionDetail | None:
        """Describe a connection and its channels; None when it has gone."""
        connection = self._connections.get(number)
        return None if connection is None else detail_of((connection, self._arrivals[number]))

    def followers(self, relation: Relation) -> tuple[int, int]:
        """Return how many subscriptions follow a table, and how many audiences those are."""
        return self._matcher.followers(relation)

    def disconnect(self, number: int) -> bool:
        """Send a client away, because an operator wants it; tell whether it was there."""
        connection = self._connections.get(number)
        if connection is not None:
            log.info("connection_disconnected", connection=number)
            connection.disconnect()
        return connection is not None

    def open_feed(self, subtopic: str, greeting: Callable[[], Told]) -> Feed:
        """Return where the server may tell operators something: a topic of its own."""
        return Feed(self._services.topics, subtopic, greeting)

    # --- messages from elsewhere -----------------------------------------------------------------------------

    def publish(
        self, message: Message | UserBroadcast, subtopic: str, *, private: bool, spared: Collection[Member] = ()
    ) -> None:
        """Send a broadcast that comes from no channel to everybody who listens to the topic, but to those `spared`."""
        services = self._services
        topic = services.topics.find(subtopic, private=private)
        services.counts["broadcasts"] += 1
        if topic is not None:
            reached = topic.broadcast(message, spared=spared)
            services.counts["deliveries"] += reached
            self._gate.refuses_events(services.clock(), reached)  # only counts: whether to go on is asked before

    @property
    def refuses_to_keep(self) -> bool:
        """Whether too many broadcasts wait to be kept already."""
        return self._services.keeper.is_full

    async def publish_and_keep(self, message: UserBroadcast, subtopic: str, persist: Persist) -> str | None:
        """Send a broadcast to a private topic as `publish` does, and return the id under which it is kept if it is."""
        kept_as: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def done(id_: str | None) -> None:
            if not kept_as.done():  # whoever asked may have gone
                kept_as.set_result(id_)

        self.publish(self._services.keeper.keep(subtopic, message, persist, done), subtopic, private=True)
        return await kept_as

    def refuses_events(self, messages: int) -> bool:
        """Count messages that are to be published, and say whether they are too many."""
        return self._gate.refuses_events(self._services.clock(), messages)

    async def identify(self, token: str) -> Claims:
        """Return who has a token. Raises TokenRefused."""
        return await self.permissions.identify(token)

    async def refuses_write(
        self, claims: Claims, subtopic: str, extension: Extension = "broadcast"
    ) -> WriteRefusal | None:
        """Return why whoever has these claims may not broadcast to a private topic, or None. Raises our errors.

        With the extension `persistence`: why it may not have a broadcast kept.
        """
        return await self.permissions.write(claims, subtopic, extension)

    def _publish_from_database(self, found: DatabaseBroadcast, xid: int) -> None:
        """Send what a transaction wrote to all who listen, but to those for whom a replay has made it an old story."""
        if is_reserved(found.subtopic):  # whoever may write to the table could speak in the server's name
            self._services.counts["broadcasts_reserved"] += 1
            return
        spared: Collection[Member] = ()
        if found.private and found.stored:
            spared = self._services.replays.take(found.subtopic, xid, found.message)
        self.publish(found.message, found.subtopic, private=found.private, spared=spared)

    # --- life ------------------------------------------------------------------------------------------------

    @property
    def is_live(self) -> bool:
        """Whether every change that commits from now on will be delivered."""
        return self._services.live.is_set()

    @is_live.setter
    def is_live(self, live: bool) -> None:
        if live:
            self._services.live.set()
        else:
            self._services.live.clear()

    @property
    def is_draining(self) -> bool:
        return self._draining

    async def dispatch(self, items: AsyncIterable[Transaction | Resync]) -> None:
        """Deliver row changes until the items end."""
        await self._dispatcher.run(items)

    async def tick(self) -> None:
        """Give each connection a tick a second; never returns."""
        await self._wheel.turn()

    async def drain(self, grace_s: float) -> None:
        """Let nobody in and close all connections in waves; return when they are gone, or `grace_s` is over."""
        self._draining = True
        waiting = list(self._connections.values())
        for connection in waiting:
            connection.retire()
        random.shuffle(waiting)  # so that those who came together do not come back together
        until = asyncio.get_running_loop().time() + grace_s
        waves = max(1, min(len(waiting), int(grace_s / 2 * WAVES_PER_S)))
        for wave in range(waves):
            for connection in waiting[wave::waves]:
                connection.drain()
            if wave < waves - 1:
                await asyncio.sleep(1 / WAVES_PER_S)
        try:
            async with asyncio.timeout_at(until):
                await self._empty.wait()
                await self._services.keeper.finish()
        except TimeoutError:
            return

    def close(self) -> None:
        """Stop telling anybody anything."""
        self._services.tracker.close()

    def count(self, event: str) -> None:
        """Count something that was refused before it reached the node; figures show it by this name."""
        self._services.counts[event] += 1

    def figures(self) -> Figures:
        """Return how the node is doing. Costs as much as there are connections and topics."""
        services, dispatcher = self._services, self._dispatcher
        return Figures(
            connections=len(self._connections),
            channels=sum(len(each.members) for each in self._connections.values()),
            topics=len(services.topics),
            subscriptions=len(services.subscriptions),
            presences=services.tracker.presences,
            live=self.is_live,
            draining=self._draining,
            last_commit_s=dispatcher.commit_time_us / 1_000_000,
            lag_s=dispatcher.lag_s,
            latencies=dispatcher.latencies.counts,
            counts={
                **services.counts,
                "changes": dispatcher.changes,
                "change_deliveries": dispatcher.deliveries,
                "presence_diffs": services.tracker.diffs,
            },
        )
