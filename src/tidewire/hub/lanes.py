"""Where changes wait for what only Postgres can tell: one lane for each table, so that no other table has to wait.

Those of a table stay in their order. Whatever has gathered while Postgres was asked is asked about at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import islice
from typing import Final

import structlog
from msgspec import Struct

from tidewire.hub.admission import ASKED_AT_ONCE, admit
from tidewire.hub.tasks import Tasks
from tidewire.match.candidates import Candidates
from tidewire.match.sight import Sight
from tidewire.match.subscription import TablePattern, patterns_of
from tidewire.model.relation import Relation
from tidewire.ports import Visibility

log = structlog.get_logger()

RESTS: Final = 1.0
MOST_REST_S: Final = 0.1
"""Between two questions a lane rests for as long as the last one took, but no longer than this. On a machine that is
busy so is Postgres, and each question costs a journey, whether it is about one change or fifty."""
MOST_WAITING: Final = 10_000
"""Changes of one table that may wait before the whole node waits with them."""


class Waiting(Struct, frozen=True):
    """Changes of one table and of one transaction."""

    candidates: Candidates
    commit_time_us: int
    lsn: int
    epoch: str
    """The history that they belong to; when they are sent, another may have begun."""


Answered = tuple[Waiting, list[Sight | None]]

Deliver = Callable[[Waiting, Sequence[Sight | None]], Awaitable[None]]
"""Takes changes of a table with the answers."""


class Lanes:
    """`put` what has asks in doubt, and from then on everything of that table until it is not `busy` any more."""

    def __init__(self, visibility: Visibility, tasks: Tasks, deliver: Deliver) -> None:
        self._visibility = visibility
        self._tasks = tasks
        self._deliver = deliver
        self._lanes: dict[int, deque[Waiting]] = {}
        self._waiting: dict[int, int] = {}
        self._oldest: dict[int, tuple[Relation, int]] = {}
        self._moved = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether any lane has something in it."""
        return bool(self._lanes)

    def oldest_lsn(self, tables: Collection[TablePattern]) -> int | None:
        """Return the earliest commit of which something of these tables has not been sent; None if nothing waits."""
        return min((lsn for relation, lsn in self._oldest.values() if _is_any_of(relation, tables)), default=None)

    def holds(self, oid: int) -> bool:
        """Tell whether changes of a table wait, so that later ones have to queue up behind them."""
        return oid in self._lanes

    async def put(self, relation: Relation, waiting: Waiting) -> None:
        """Queue up. Waits itself while too many wait already."""
        oid = relation.oid
        while self._waiting.get(oid, 0) >= MOST_WAITING:
            self._moved.clear()
            await self._moved.wait()
        self._waiting[oid] = self._waiting.get(oid, 0) + len(waiting.candidates.findings)
        lane = self._lanes.get(oid)
        if lane is not None:
            lane.append(waiting)
            return
        self._lanes[oid] = deque((waiting,))
        self._oldest[oid] = (relation, waiting.lsn)
        self._tasks.start(self._run(relation), name="ask Postgres")

    async def empty(self) -> None:
        """Return once nothing waits any more."""
        while self._lanes:
            self._moved.clear()
            await self._moved.wait()

    async def _run(self, relation: Relation) -> None:
        """Ask and send in turns: asking meanwhile would find less gathered, and took a quarter more time altogether."""
        oid = relation.oid
        lane = self._lanes[oid]
        clock = asyncio.get_running_loop().time
        try:
            while lane:
                self._oldest[oid] = (relation, lane[0].lsn)
                began_s = clock()
                answered = await self._ask(_take(lane))
                took_s = clock() - began_s
                await self._send(oid, answered)
                if lane and self._waiting[oid] < ASKED_AT_ONCE:
                    self._oldest[oid] = (relation, lane[0].lsn)
                    await asyncio.sleep(min(took_s * RESTS, MOST_REST_S))
        finally:
            del self._lanes[oid], self._waiting[oid], self._oldest[oid]
            self._moved.set()

    async def _ask(self, taken: Sequence[Waiting]) -> list[Answered]:
        """Return what was taken with the answers; where there is none because of a defect, nobody sees anything."""
        try:
            await admit([each for waiting in taken for each in waiting.candidates.findings], self._visibility)
            answers = iter(await self._visibility.visible([ask for each in taken for ask in each.candidates.asks]))
            return [(each, list(islice(answers, len(each.candidates.asks)))) for each in taken]
        except Exception:
            log.exception("changes_hidden", table=_table(taken))
            return [(each, [None] * len(each.candidates.asks)) for each in taken]

    async def _send(self, oid: int, answered: Sequence[Answered]) -> None:
        for waiting, answers in answered:
            try:
                await self._deliver(waiting, answers)
            except Exception:
                log.exception("changes_hidden", table=_table([waiting]))
            self._waiting[oid] -= len(waiting.candidates.findings)
            self._moved.set()


def _is_any_of(relation: Relation, tables: Collection[TablePattern]) -> bool:
    return any(pattern in tables for pattern in patterns_of(relation.schema, relation.name))


def _take(lane: deque[Waiting]) -> list[Waiting]:
    """Take what waits, oldest first, but not too many changes unless they are of one transaction."""
    taken: list[Waiting] = []
    changes = 0
    while lane and (not taken or changes + len(lane[0].candidates.findings) <= ASKED_AT_ONCE):
        taken.append(lane.popleft())
        changes += len(taken[-1].candidates.findings)
    return taken


def _table(taken: Sequence[Waiting]) -> str:
    names = (finding.change.relation.qualified_name for each in taken for finding in each.candidates.findings)
    return next(names, "")
