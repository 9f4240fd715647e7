"""Joins a channel's kept broadcasts to its live ones: none is lost between the two, and none is told twice.

What could be seen when the kept ones were read is replayed or too old, and everything else is live: transactions tell
which is which. What the log brings meanwhile is collected, and so is what clients send that is to be kept.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
import structlog

from tidewire.hub.topics import Member
from tidewire.model.errors import PostgresError, TidewireError
from tidewire.model.position import Lsn
from tidewire.model.reasons import REPLAY_FAILED, Reason
from tidewire.model.snapshot import Snapshot
from tidewire.ports import Keeping, Kept, KeptBroadcasts
from tidewire.wire.join import Replay
from tidewire.wire.message import UserBroadcast
from tidewire.wire.session_address import PREFIX

log = structlog.get_logger()

NOTHING_KEPT: Final = Kept((), Snapshot(0), Lsn(0))
MOST_COLLECTED: Final = 1000
MOST_COLLECTED_BYTES: Final = 1024 * 1024
"""How much a join collects while a query of milliseconds runs. If there is more, it is refused and may come again."""

RECENT_S: Final = 60.0
MOST_RECENT: Final = 1000
MOST_RECENT_BYTES: Final = 4 * 1024 * 1024
"""How much of what was just sent is remembered, over all topics."""

_encode = msgspec.json.Encoder().encode


class Origin:
    """The transaction of a live broadcast. One that a client sent gets its `xid` only when it has been stored."""

    __slots__ = ("_id", "is_lost", "xid")

    def __init__(self, xid: int | None = None, *, id_: str = "") -> None:
        self.xid = xid
        self.is_lost = False
        """Whether it turned out that it cannot be stored."""
        self._id = id_

    def is_news(self, kept: Kept) -> bool:
        """Say whether whoever was replayed these has still to be told."""
        if self.xid is not None:
            return not kept.snapshot.sees(self.xid)
        # Perhaps it has just been committed, and could be seen.
        return not self.is_lost and all(each.id != self._id for each in kept.broadcasts)


Live = tuple[Origin, UserBroadcast]


class Collector:
    """What was sent to a topic, and is kept, since a join asked for its kept broadcasts."""

    __slots__ = ("_bytes", "_live", "_recent")

    def __init__(self, recent: Sequence[Live]) -> None:
        """Begin with what was sent just before: its transactions may be in the log already and visible only later."""
        self._recent = recent
        self._live: list[Live] = []
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether something may be missing."""
        return len(self._live) >= MOST_COLLECTED or self._bytes >= MOST_COLLECTED_BYTES

    def add(self, live: Live) -> None:
        """Take a broadcast, unless there is no room."""
        if not self.is_full:
            self._live.append(live)
            self._bytes += len(live[1].payload)

    def missed(self, kept: Kept) -> list[UserBroadcast]:
        """Return, in their order, those that came too late to be kept ones: send them behind these."""
        return [broadcast for origin, broadcast in (*self._recent, *self._live) if origin.is_news(kept)]


class Replays:
    """All replays of a node that are going on, or so young that the log is still behind them. Private topics only."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._recent: deque[tuple[float, str, Live]] = deque()
        self._recent_bytes = 0
        self._collectors: dict[str, list[Collector]] = {}
        self._told: dict[Member, tuple[str, Lsn]] = {}
        self._topics: dict[str, dict[Member, Snapshot]] = {}

    def __len__(self) -> int:
        return len(self._told)

    @contextmanager
    def collecting(self, subtopic: str) -> Iterator[Collector]:
        """Collect live broadcasts for the time of the block: enter it before the kept ones are read."""
        since_s = self._clock() - RECENT_S
        recent = [live for at_s, topic, live in self._recent if topic == subtopic and at_s >= since_s]
        collector = Collector(recent)
        collectors = self._collectors.setdefault(subtopic, [])
        collectors.append(collector)
        try:
            yield collector
        finally:
            collectors.remove(collector)
            if not collectors:
                del self._collectors[subtopic]

    def told(self, member: Member, subtopic: str, kept: Kept) -> None:
        """Remember what a member could be replayed. Call `forget` when it leaves."""
        self._told[member] = (subtopic, kept.lsn)
        self._topics.setdefault(subtopic, {})[member] = kept.snapshot

    def forget(self, member: Member) -> None:
        """Forget a member."""
        if (told := self._told.pop(member, None)) is not None:
            subtopic, _ = told
            del self._topics[subtopic][member]
            if not self._topics[subtopic]:
                del self._topics[subtopic]

    def passed(self, lsn: Lsn) -> None:
        """Take note that the log has come to a commit at `lsn`: what was read before it comes no more."""
        while self._told:
            member, (_, end) = next(iter(self._told.items()))
            if lsn < end:
                return
            self.forget(member)

    def restart(self) -> None:
        """Begin a new history: its positions cannot be compared with the old ones."""
        self._told.clear()
        self._topics.clear()
        self._recent.clear()
        self._recent_bytes = 0

    def take(self, subtopic: str, xid: int, broadcast: UserBroadcast) -> list[Member]:
        """Collect a live broadcast for those who are joining; return the members for which it is an old one."""
        self._collect(subtopic, (Origin(xid), broadcast))
        return [member for member, snapshot in self._topics.get(subtopic, {}).items() if snapshot.sees(xid)]

    def take_sent(self, subtopic: str, id_: str, broadcast: UserBroadcast) -> Origin:
        """Collect what a client sends now and what will be stored under this id; tell the origin what came of that."""
        origin = Origin(id_=id_)
        self._collect(subtopic, (origin, broadcast))
        return origin

    def _collect(self, subtopic: str, live: Live) -> None:
        for collector in self._collectors.get(subtopic, ()):
            collector.add(live)
        self._recent.append((self._clock(), subtopic, live))
        self._recent_bytes += len(live[1].payload)
        while len(self._recent) > MOST_RECENT or self._recent_bytes > MOST_RECENT_BYTES:
            _, _, (_, oldest) = self._recent.popleft()
            self._recent_bytes -= len(oldest.payload)


class NothingKept:
    """The kept broadcasts of a database that keeps none."""

    async def read(self, topic: str, *, since_ms: int, limit: int, most_bytes: int) -> Kept:  # noqa: ARG002 - the contract's parameters
        return NOTHING_KEPT

    async def keep(self, broadcasts: Sequence[Keeping]) -> int:
        raise PostgresError(
            f"keeping {len(broadcasts)} broadcasts: expected a database that does, got one that does not"
        )


async def read_kept(
    source: KeptBroadcasts, subtopic: str, replay: Replay, collector: Collector, *, most_bytes: int
) -> Kept | Reason:
    """Read what a join asks for while the collector collects; return why not if that fails."""
    try:
        kept = await source.read(subtopic, since_ms=replay.since_ms, limit=replay.limit, most_bytes=most_bytes)
    except TidewireError as error:
        log.warning("replay_failed", code=error.code, reason=error.message, hint=error.hint)
        return REPLAY_FAILED
    return REPLAY_FAILED if collector.is_full else kept


def replayed(subtopic: str, kept: Kept) -> tuple[UserBroadcast, ...]:
    """Return the kept broadcasts as a client is told them."""
    return tuple(
        UserBroadcast(PREFIX + subtopic, each.event, each.body, each.binary, _encode({"replayed": True, "id": each.id}))
        for each in kept.broadcasts
    )
