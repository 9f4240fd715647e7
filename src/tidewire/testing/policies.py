"""ChannelPolicies and KeptBroadcasts from memory: what a database would say, without one."""

import asyncio
from collections.abc import Mapping, Sequence

from tidewire.model.claims import Claims
from tidewire.model.errors import TidewireError
from tidewire.model.position import Lsn
from tidewire.model.reasons import Reason, WriteRefusal
from tidewire.model.snapshot import Snapshot
from tidewire.ports import ChannelReads, Extension, Keeping, Kept, KeptBroadcast


class ScriptedPolicies:
    """Allows what `reads` and `refusals` say. An error among the answers is raised.

    Clear `reading` or `writing` to let such questions wait until it is set again.
    """

    def __init__(self) -> None:
        self.reads: ChannelReads | Reason | TidewireError = ChannelReads(broadcasts=True, presence=True)
        self.refusals: dict[Extension, WriteRefusal | TidewireError] = {}
        self.reading, self.writing = asyncio.Event(), asyncio.Event()
        self.reading.set()
        self.writing.set()
        self.asked: list[tuple[str | None, str, str]] = []
        """Subject, topic, and what about."""

    async def read(self, claims: Claims, topic: str, *, presence: bool) -> ChannelReads | Reason:
        self.asked.append((claims.subject, topic, "read both" if presence else "read"))
        await self.reading.wait()
        if isinstance(self.reads, TidewireError):
            raise self.reads
        if isinstance(self.reads, Reason):
            return self.reads
        return ChannelReads(self.reads.broadcasts, self.reads.presence and presence)

    async def write(self, claims: Claims, topic: str, extension: Extension) -> WriteRefusal | None:
        self.asked.append((claims.subject, topic, extension))
        await self.writing.wait()
        answer = self.refusals.get(extension)
        if isinstance(answer, TidewireError):
            raise answer
        return answer


class ScriptedKept:
    """Has kept what `topics` hold, oldest first, as `snapshot` saw it before `lsn`; answers once `go` is set."""

    def __init__(
        self, topics: Mapping[str, Sequence[KeptBroadcast]] | None = None, *, snapshot: Snapshot, lsn: int
    ) -> None:
        self.topics = dict(topics or {})
        self.snapshot = snapshot
        self.lsn = lsn
        self.failure: TidewireError | None = None
        self.added: list[tuple[Keeping, ...]] = []
        """What was to be kept, by transaction; those get the numbers from the snapshot's end upwards."""
        self.refused: dict[str, TidewireError] = {}
        """Event to the error that comes of keeping it."""
        self.keeping = asyncio.Event()
        """Clear it to let keeping wait."""
        self.keeping.set()
        self.go = asyncio.Event()
        self.go.set()

    async def read(self, topic: str, *, since_ms: int, limit: int, most_bytes: int) -> Kept:  # noqa: ARG002 - the contract's parameters
        found = tuple(self.topics.get(topic, ())[-limit:])
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return Kept(found, self.snapshot, Lsn(self.lsn))

    async def keep(self, broadcasts: Sequence[Keeping]) -> int:
        await self.keeping.wait()
        for each in broadcasts:
            if each.broadcast.event in self.refused:
                raise self.refused[each.broadcast.event]
        self.added.append(tuple(broadcasts))
        return self.snapshot.end + len(self.added) - 1
