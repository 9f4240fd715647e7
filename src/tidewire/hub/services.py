"""What all connections of a node share. Holds it, and does nothing."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection

from tidewire.hub.catch_up import CatchUp
from tidewire.hub.gate import Gate
from tidewire.hub.keeper import Keeper
from tidewire.hub.permissions import Permissions
from tidewire.hub.replays import Replays
from tidewire.hub.resumable import Resumable
from tidewire.hub.subscriptions import Subscriptions
from tidewire.hub.tasks import Tasks
from tidewire.hub.topics import Topics
from tidewire.hub.tracker import Tracker
from tidewire.match.subscription import TablePattern
from tidewire.model.position import StreamPosition
from tidewire.ports import KeptBroadcasts
from tidewire.wire.pressure import PressurePolicy


class Services:
    """Made once by the node; `live` is set as soon as every change that commits will be matched."""

    def __init__(
        self,
        *,
        catch_up: CatchUp | None,
        clock: Callable[[], float],
        gate: Gate,
        kept: KeptBroadcasts,
        permissions: Permissions,
        pressure: PressurePolicy,
        resumable: Resumable,
        settled: Callable[[Collection[TablePattern]], StreamPosition | None],
        subscriptions: Subscriptions,
        tasks: Tasks,
        topics: Topics,
        tracker: Tracker,
    ) -> None:
        """Take Unix time from `clock`. `tasks` must survive the failure of one of them.

        `settled` returns up to where all row changes of some tables have been written to whom they concern.
        """
        self.catch_up = catch_up
        """None where positions have no meaning, because nobody keeps a history."""
        self.clock = clock
        self.gate = gate
        self.kept = kept
        self.permissions = permissions
        self.pressure = pressure
        self.resumable = resumable
        self.settled = settled
        self.subscriptions = subscriptions
        self.tasks = tasks
        self.topics = topics
        self.tracker = tracker
        self.replays = Replays(clock)
        self.live = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self.keeper = Keeper(kept, self.replays, self.counts, tasks)
