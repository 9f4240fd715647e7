"""The contracts between the floors. Each fits on a screen and has one shared test suite for all its implementations."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, Self

from msgspec import Struct

from tidewire.filters.grammar import Condition
from tidewire.match.candidates import Ask
from tidewire.match.rule import Rule, TableAccess
from tidewire.match.sight import Sight
from tidewire.match.subscription import Audience
from tidewire.model.change import Row, Transaction
from tidewire.model.claims import Claims
from tidewire.model.position import Lsn
from tidewire.model.reasons import Reason, WriteRefusal
from tidewire.model.relation import Relation
from tidewire.model.snapshot import Snapshot


class ChangeSource(Protocol):
    """Committed transactions in commit order; whoever iterates must confirm each once it is safe."""

    @property
    def epoch(self) -> str:
        """Name of the unbroken history that positions belong to; known once `transactions()` has started."""
        ...

    def transactions(self) -> AsyncGenerator[Transaction, None]:
        """Yield parts in order, at least once, without a gap; close it when you stop. Raises SlotLost if it cannot."""
        ...

    def confirm(self, lsn: Lsn) -> None:
        """Allow Postgres to forget everything up to `lsn`. Call it only after the transaction is held elsewhere."""
        ...

    async def restart(self) -> str:
        """Begin a new history after SlotLost and return its epoch. Announce it, then call `transactions()` again."""
        ...


class PastListener(Protocol):
    """Is told by a source from where on it tells news, and how much of what lies before Postgres has kept."""

    def begin(self, epoch: str, since: Lsn, *, news_from: Lsn) -> None:
        """Expect everything that commits at `news_from` or behind it; what lies between `since` and that is kept."""
        ...


CHANGES: Final = "changes"
"""The topic that carries every committed transaction, as written by `tidewire.wal.envelope`."""
PAST: Final = "past"
"""The topic for what was committed before this server followed the log, in the same form. Nobody follows it."""


class Envelope(Struct, frozen=True, gc=False):
    """One message on the bus. On a kept topic `sequence` counts from 1 without holes; elsewhere it is 0.

    `key` is the sender's own increasing mark, or empty.
    """

    topic: str
    sequence: int
    key: str
    payload: bytes


class Bus(Protocol):
    """Ordered topics. Some are kept: they have a bounded past. All others reach only those who are subscribed.

    On a kept topic a `key` that is not greater (as text) than the last key is a repeat and is ignored, so a publisher
    that restarts, or that was cancelled and does not know how far it came, simply publishes again.
    """

    async def publish(self, topic: str, payload: bytes, *, key: str = "") -> None:
        """Return once the bus holds the message. Waits for slow subscribers, but not for ever: those are cut off."""
        ...

    async def subscribe(self, topics: Sequence[str], *, after: int | None = None) -> "Subscription":
        """Follow topics: everything published once this has returned, or from just after `after` on one kept topic.

        Raises SubscriberLagged when the past does not reach back to `after`, or never held it.
        """
        ...

    async def history(self, topic: str, *, after: int | None = None, limit: int = 1000) -> Sequence[Envelope]:
        """Return kept messages, oldest first: all, or those after `after`. Raises SubscriberLagged as above."""
        ...

    async def last_key(self, topic: str) -> str:
        """Return the greatest key that the kept topic has seen, or an empty text; it outlives the bounded past."""
        ...

    async def close(self) -> None:
        """End every subscription after what it already holds; publishing and subscribing raise BusError from now on."""
        ...


class Subscription(Protocol):
    """A place in some topics: iterate it in one task, and close it when done."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Envelope:
        """Wait for the next message. Raises SubscriberLagged, after what was held, when cut off for being slow."""
        ...

    def close(self) -> None:
        """Stop now: what is still held is dropped and the iterator ends."""
        ...


class Tables(Protocol):
    """What the database says of its tables and roles. Answers may be a few seconds old. Raises our errors only."""

    async def published(self, schema: str, table: str) -> Sequence[Relation]:
        """Return the tables whose changes are in the log; `*` stands for any name.

        For the parent of partitions that are in the log by themselves it returns these partitions.
        """
        ...

    async def access(self, role: str, relation: Relation) -> TableAccess | None:
        """Return what the role may see; None when there is no such role."""
        ...

    async def bypasses_policies(self, role: str) -> bool:
        """Say whether row-level security does not concern the role at all; no when there is no such role."""
        ...

    async def log_end(self) -> Lsn:
        """Return a position of the log that no transaction lies before which commits after the question."""
        ...

    async def locales(self, relation: Relation) -> Mapping[str, str]:
        """Return the locales of its text columns, as `tidewire.filters.collation` understands them."""
        ...

    async def probe(self, role: str, relation: Relation, conditions: Sequence[Condition]) -> str | None:
        """Have Postgres read a filter's constants as this role, which must exist.

        Returns its complaint in the form `ERROR code (name) text`, or None.
        """
        ...


class Rules(Protocol):
    """Who may see what of a table by its privileges and policies. Raises our errors when Postgres cannot be asked."""

    async def read(self, role: str, relation: Relation, *, after_xid: int | None = None) -> Rule | None:
        """Return how things stand now, with what transaction `after_xid` has changed; None when role or table is gone.

        Nothing is kept: ask again after every transaction that may have changed rules.
        """
        ...


class Visibility(Protocol):
    """What only Postgres can tell: filters and policies that nobody else can judge."""

    async def visible(self, asks: Sequence[Ask]) -> Sequence[Sight | None]:
        """Answer each question as `see` does; None hides the change. What cannot be decided is hidden and reported."""
        ...

    async def seers(
        self, rule: Rule, relation: Relation, rows: Sequence[Row], audiences: Sequence[Audience]
    ) -> list[list[int]]:
        """Return for each row the places of the audiences that see it under a rule that only Postgres can judge by."""
        ...


Extension = Literal["broadcast", "presence", "persistence"]
"""The ways to use a private channel, each with policies of its own; the last is to have broadcasts kept."""


class ChannelReads(Struct, frozen=True):
    """What of a private channel may be read."""

    broadcasts: bool
    presence: bool


class ChannelPolicies(Protocol):
    """What the policies on messages allow a role that they bind. Answers may be a few seconds old.

    Raises our errors only, when the database cannot be asked; a policy that fails allows nothing and is reported.
    """

    async def read(self, claims: Claims, topic: str, *, presence: bool) -> ChannelReads | Reason:
        """Return what may be read, presence only if asked about; or why there is nothing to judge by."""
        ...

    async def write(self, claims: Claims, topic: str, extension: Extension) -> WriteRefusal | None:
        """Return why nothing may be written, or None when it may."""
        ...


class KeptBroadcast(Struct, frozen=True):
    """A broadcast that the database still has; `body` is JSON text, or bytes as they were sent if `binary`."""

    id: str
    event: str
    body: bytes
    binary: bool


class Kept(Struct, frozen=True):
    """Some kept broadcasts, oldest first, and what could be seen when they were read.

    No transaction that commits at `lsn` or behind it could.
    """

    broadcasts: tuple[KeptBroadcast, ...]
    snapshot: Snapshot
    lsn: Lsn


class Keeping(Struct, frozen=True):
    """A broadcast to be kept under a private topic: for `ttl_s` seconds, or for as long as any is."""

    topic: str
    broadcast: KeptBroadcast
    ttl_s: int | None


class KeptBroadcasts(Protocol):
    """Private broadcasts of the last days. Raises our errors only."""

    async def read(self, topic: str, *, since_ms: int, limit: int, most_bytes: int) -> Kept:
        """Return the newest since then: at most `limit`, and no more than fit, but the newest in any case."""
        ...

    async def keep(self, broadcasts: Sequence[Keeping]) -> int:
        """Store all or none, in their order, as ones that were sent already; return the number of the transaction."""
        ...


class Outbox(Protocol):
    """Where the packets of one connection go. It never waits, so whoever writes must look at `waiting_bytes`."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes written that the operating system has not taken yet."""
        ...

    @property
    def round_trip_s(self) -> float | None:
        """How long a packet and its acknowledgement take to whoever holds the other end; None where nobody knows."""
        ...

    def write(self, packet: Any, /) -> None:
        """Send what the connection's form has made of a message. After a close it is dropped."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close the connection after what was written."""
        ...
