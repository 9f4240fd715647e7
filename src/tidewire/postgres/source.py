"""The change source: keeps a replication stream going through restarts, takeovers and overflow, without gap or repeat.

bytes (replication) → messages → relation shapes (catalog) → transactions (wal.streams) → whoever iterates.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import psycopg
import structlog

from tidewire.model.change import Transaction
from tidewire.model.errors import PostgresError, SlotBusy, SlotLost, TidewireError
from tidewire.model.position import Lsn, format_lsn
from tidewire.ports import PastListener
from tidewire.postgres.catalog import Catalog
from tidewire.postgres.connection import bounded, connect_async
from tidewire.postgres.replication import BLOCK_KIB, PROBES, SILENCE_S, ReplicationStream, connect_replication
from tidewire.postgres.slot import SlotStart
from tidewire.postgres.spool import FileSpool
from tidewire.postgres.stream_conditions import existing_publications, explain, read_surroundings
from tidewire.wal.assembler import Assembler, Resume
from tidewire.wal.backoff import backoff_s
from tidewire.wal.pgoutput import RelationMessage
from tidewire.wal.progress import Progress
from tidewire.wal.protocol import Keepalive
from tidewire.wal.retention import Retained, Window
from tidewire.wal.standby import Standby
from tidewire.wal.streams import NotKept, Streams
from tidewire.wal.uptime import Aged

log = structlog.get_logger()

STANDBY_POLL_S = 0.5
"""How often a node that waits as standby tries to take the slot."""


class SlotKeeper(Protocol):
    """Where a stream may start: a durable slot, or a temporary one for looking on."""

    @property
    def name(self) -> str:
        """Name of the slot, once it is prepared."""
        ...

    async def prepare(self, sql: psycopg.AsyncConnection[Any], walsender: psycopg.AsyncConnection[Any], /) -> SlotStart:
        """Return a slot that can be streamed from. Raises SlotLost when its history has a hole."""
        ...

    async def replace(self, sql: psycopg.AsyncConnection[Any], lost_epoch: str, /) -> SlotStart:
        """Give the old history up and begin a new epoch."""
        ...


class PostgresSource:
    """A ChangeSource on one slot. Iterate `transactions()`, confirm each complete one, `close()` at the end.

    With a `window` Postgres is told later than it is confirmed here, so that whoever starts anew finds a past to read;
    `past` is told of it. This source itself tells news only: what was committed after its first stream had begun.
    """

    def __init__(
        self,
        dsn: str,
        slot: SlotKeeper,
        publications: tuple[str, ...],
        *,
        queue_bytes: int,
        after: Resume | None = None,
        until: Lsn | None = None,
        silence_s: float = SILENCE_S,
        window: Window | None = None,
        past: PastListener | None = None,
        spool_bytes: int = 0,
        block_kib: int = BLOCK_KIB,
    ) -> None:
        """`spool_bytes` may lie on disk of transactions that are still running; with 0 they come when they commit."""
        self.epoch = ""
        self.status = "starting"
        """starting, streaming, standby, reconnecting or lost: what this source is doing right now."""
        self._dsn = dsn
        self._slot = slot
        self._publications = publications
        self._queue_bytes = queue_bytes
        self._silence_s = silence_s
        self._window = window
        self._progress = Progress(window, after=after)
        self._past = past
        self._spool_bytes = spool_bytes
        self._block_kib = block_kib
        self._whole_to: Lsn | None = None
        """Until something commits there or behind it, transactions are read in one piece; None is in blocks."""
        self.began_at = Lsn(0)
        """Where the slot stood when this history was first streamed: everything behind that is kept."""
        self._begun = ""
        self._until = until
        self._finished = False
        self._started = asyncio.Event()
        self._stream: ReplicationStream | None = None

    async def ready(self) -> None:
        """Wait until the first stream has begun: what commits from now on will be seen."""
        await self._started.wait()

    @property
    def safe(self) -> int:
        """How far of the log everything that committed has been handed out and confirmed."""
        return self._progress.safe

    @property
    def retained(self) -> Retained | None:
        """Return what is kept of the log on purpose, or None where nothing is."""
        return self._progress.retained

    def confirm(self, lsn: Lsn) -> None:
        """Let Postgres forget everything up to `lsn`; it is told with a later status message."""
        self._progress.confirm(lsn)

    def remember(self, ages: Sequence[Aged]) -> None:
        """Take note how old places are in the past, which this source does not read."""
        self._progress.remember(ages)

    async def restart(self) -> str:
        """After SlotLost: begin a new history, waiting for Postgres, and return its epoch. Then iterate again."""
        attempt = 0
        while (start := await self._replace_slot(attempt)) is None:
            attempt += 1
        self._progress = Progress(self._window)
        self._whole_to = None
        self.epoch = start.epoch
        return start.epoch

    async def transactions(self) -> AsyncGenerator[Transaction, None]:
        """Yield transactions, for ever or `until`. Errors before the first stream are raised, later ones retried."""
        attempt, streamed = 0, False
        while not self._finished:
            delay_s = 0.0
            try:
                async with aclosing(self._stream_once()) as parts:
                    async for part in parts:
                        attempt, streamed = 0, True
                        if part is not None:
                            yield part
            except SlotBusy:
                streamed = True  # the way to the slot works, so waiting must outlast a restart of Postgres
                self._note("standby")
                delay_s = STANDBY_POLL_S * (0.5 + random.random())  # noqa: S311 - spreading load, not hiding anything
            except TidewireError as error:
                if isinstance(error, SlotLost):
                    self._note("lost", reason=error.message)
                    raise
                if not streamed or not error.retryable:
                    raise
                self._note("reconnecting", reason=error.message, attempt=attempt)
                delay_s = backoff_s(attempt, random.random())  # noqa: S311 - spreading load, not hiding anything
                attempt += 1
            await asyncio.sleep(delay_s)

    async def _replace_slot(self, attempt: int) -> SlotStart | None:
        """Try once; None after waiting, when trying again can help."""
        try:
            async with await connect_async(self._dsn) as sql:
                return await self._slot.replace(sql, self.epoch)
        except PostgresError as error:
            if not error.retryable:
                raise
            self._note("reconnecting", reason=error.message, attempt=attempt)
            await asyncio.sleep(backoff_s(attempt, random.random()))  # noqa: S311 - spreading load, not hiding anything
            return None

    async def _stream_once(self) -> AsyncGenerator[Transaction | None, None]:
        """Follow one connection until it ends. Yields None once when streaming has begun."""
        in_blocks = self._spool_bytes > 0 and self._whole_to is None
        async with (
            await connect_async(self._dsn, **PROBES) as sql,
            await connect_replication(self._dsn, block_kib=self._block_kib if in_blocks else None) as walsender,
        ):
            # Before the slot is made: without a reader it would hold back the log for ever.
            publications = await existing_publications(sql, self._publications)
            start = await self._prepare(sql, walsender)
            standby = await self._connect(start, sql)
            stream = ReplicationStream(walsender, standby, queue_bytes=self._queue_bytes, silence_s=self._silence_s)
            streams = Streams(Assembler(after=self._progress.after), FileSpool, limit_bytes=self._spool_bytes)
            try:
                await self._begin(stream, start, publications, in_blocks=in_blocks)
                yield None
                catalog = Catalog(sql)
                async for batch in stream.batches():
                    for item in streams.read(batch):
                        if isinstance(item, Transaction):
                            self._progress.deliver(item)
                            yield item
                            if self._whole_to is not None and self._turn_to_blocks(item, self._whole_to):
                                return
                        elif isinstance(item, RelationMessage):
                            with bounded(sql, self._silence_s):
                                streams.define(await catalog.describe(item))
                        elif self._take_keepalive(item):
                            return
            except NotKept as transaction:
                self._read_whole(transaction.commit_lsn, transaction.reason)
            except PostgresError as error:
                await self._explain_or_read_whole(error, sql, in_blocks=in_blocks)
            finally:
                streams.close()
                self._progress.disconnect(streamed=self._stream is not None)
                self._stream = None
                await stream.close()

    def _read_whole(self, to: Lsn, reason: str) -> None:
        """Have the next connection ask for transactions in one piece, up to what commits at `to`."""
        self._whole_to = to
        log.warning("transaction_read_again", to=format_lsn(to), reason=reason)

    async def _explain_or_read_whole(
        self, error: PostgresError, sql: psycopg.AsyncConnection[Any], *, in_blocks: bool
    ) -> None:
        """Raise what the error means, or try in one piece what failed in blocks.

        It does fail in blocks where tables are made and altered beside each other.
        """
        explained = await explain(error, sql, self._slot.name)
        if not in_blocks or explained.retryable or isinstance(explained, SlotLost):
            raise explained from None
        self._read_whole((await read_surroundings(sql)).end, explained.message)

    def _turn_to_blocks(self, part: Transaction, place: Lsn) -> bool:
        """Ask for blocks again if this was the last that had to be read in one piece; return whether it was."""
        if not part.complete or part.commit_lsn < place:
            return False
        self._whole_to = None
        return True

    def _take_keepalive(self, keepalive: Keepalive) -> bool:
        """Note that nothing is missing up to here; return whether that is as far as was asked for."""
        self._progress.idle(keepalive)
        if self._until is None or keepalive.wal_end < self._until:
            return False
        self._finished = True
        return True

    async def _connect(self, start: SlotStart, sql: psycopg.AsyncConnection[Any]) -> Standby:
        """Begin to report from where a slot stands; with the first connection to an old one all before now is past."""
        here = await read_surroundings(sql)
        standby = self._progress.connect(start.confirmed, keep_bytes=here.keep_bytes)
        if self._past is not None and not self._started.is_set() and not start.is_new:
            self._progress.skip(here.end, here.now_us)
        return standby

    async def _begin(
        self, stream: ReplicationStream, start: SlotStart, publications: tuple[str, ...], *, in_blocks: bool
    ) -> None:
        """Start the stream and say so, and with the first of a history where that can be read from."""
        at = self._progress.begin_at(start.confirmed)
        await stream.start(start.name, publications, at, in_blocks=in_blocks)
        self._stream = stream
        if self._begun != start.epoch:
            self._begun, self.began_at = start.epoch, start.confirmed
            if self._past is not None:
                self._past.begin(start.epoch, start.confirmed, news_from=at)
        self._note("streaming", slot=start.name, at=format_lsn(start.confirmed))
        self._started.set()

    async def _prepare(self, sql: psycopg.AsyncConnection[Any], walsender: psycopg.AsyncConnection[Any]) -> SlotStart:
        start = await self._slot.prepare(sql, walsender)
        if self.epoch and self.epoch != start.epoch:
            raise SlotLost(f"continuing slot {start.name}: another node began a new history")
        told = self._progress.told
        if start.confirmed > told > 0:
            raise SlotLost(
                f"continuing slot {start.name}: it stands at {format_lsn(start.confirmed)},"
                f" beyond what was confirmed here ({format_lsn(told)})"
            )
        self.epoch = start.epoch
        return start

    async def close(self) -> None:
        """Send the last confirmation and hang up; whoever iterates `transactions()` comes to its end."""
        self._finished = True
        if self._stream is not None:
            await self._stream.close()

    def _note(self, status: str, **details: Any) -> None:
        if status != self.status or status == "reconnecting":
            self.status = status
            level = logging.WARNING if status in {"standby", "reconnecting"} else logging.INFO
            log.log(level, "source_status_changed", status=status, **details)
