"""Keeps the rules of the tables that somebody follows, from the position at which they came into force.

Rules are read once and then believed until the log says that they may have changed, so a change that was committed
before is still judged by the old ones. What they say is for match/ to know.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

import structlog

from tidewire.match.guard import Guard
from tidewire.match.rule import Rule
from tidewire.match.subscription import ANY
from tidewire.model.change import Change, Resync, Transaction
from tidewire.model.errors import DatabaseUnreachable, TidewireError
from tidewire.model.relation import Relation
from tidewire.ports import Rules
from tidewire.wal.backoff import backoff_s

log = structlog.get_logger()

RULES_PREFIX: Final = "tidewire.rules"
"""The prefix of messages in the log that say: who may see what may have changed."""
PATIENCE_S: Final = 10.0
"""How long changes wait for a database that is away: a restart should cost nobody a change."""

VISIBLE_AFTER_S: Final = 3600.0
"""By then every commit in the log is visible. Numbers of transactions come round again, so none is kept for ever."""


MOST_SHAPES: Final = 8
"""Of one table: those who catch up read rows of before it was altered, and others those of today at the same time."""


class Guards:
    """`observe` every transaction, have what is `missing` loaded, and then match with `find`."""

    def __init__(self, rules: Rules, *, hides_deletions: bool = True, patience_s: float = PATIENCE_S) -> None:
        self._rules = rules
        self._hides_deletions = hides_deletions
        self._patience_s = patience_s
        self._guards: dict[int, list[Guard]] = {}
        """One for each shape of a table that rows came in, first the one that was made last."""
        self._unsure: set[int] = set()
        self._after: dict[int | None, tuple[int, float]] = {}
        self._age = 0
        self._loading: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    def find(self, relation: Relation) -> Guard | None:
        """Return the guard of a table in this shape, if its rules have been read."""
        for guard in self._guards.get(relation.oid, ()):
            if guard.relation is relation:
                return guard
            if guard.relation == relation:
                guard.relation = relation  # so that the next comparison is by identity
                return guard
        return None

    def of(self, schema: str, table: str) -> Iterator[Guard]:
        """Yield the newest guards that hide something of the tables that a subscription names; `*` is any."""
        for guard, *_ in self._guards.values():
            relation = guard.relation
            if not guard.open and table in {relation.name, ANY} and schema in {relation.schema, ANY}:
                yield guard

    def observe(self, item: Transaction | Resync) -> None:
        """Forget the rules that this may have changed: they count for its own rows already."""
        if isinstance(item, Resync):
            self.forget_all()
            return
        for oid in (*item.renewed, *self._unsure):
            guards = self._guards.get(oid, [])
            if any(not guard.announced for guard in guards):
                del self._guards[oid]
                self._note(oid, item.xid)
            else:  # not sooner: one transaction may have rows in more of them
                del guards[MOST_SHAPES:]
        self._unsure.clear()
        if item.emits(RULES_PREFIX):
            self.forget_all(item.xid)

    def forget_all(self, xid: int | None = None) -> None:
        """Forget all rules, because of a transaction or of something that the log does not say."""
        self._guards.clear()
        self._after.clear()
        self._age += 1
        if xid is not None:
            self._note(None, xid)

    def missing(self, relation: Relation, roles: Iterable[str]) -> list[str]:
        """Return the roles whose rules for a table have to be loaded."""
        guard = self.find(relation)
        return [role for role in roles if guard is None or role not in guard.rules]

    async def load_for(self, changes: Iterable[Change], roles: Callable[[Relation], Iterable[str]]) -> None:
        """Have the rules of these tables at hand for all who follow them; mostly they are, and nothing waits."""
        relations = {id(change.shape): change.relation for change in changes}
        complete = False
        while not complete:  # somebody may come with another role while rules are read
            complete = True
            for relation in relations.values():
                if missing := self.missing(relation, roles(relation)):
                    await self.load(relation, missing)
                    complete = False

    async def load(self, relation: Relation, roles: Iterable[str]) -> None:
        """Read how these roles stand to a table. Where that fails they see nothing of it until it succeeds.

        Many who come at once wait for the first of them and then find nothing missing.
        """
        loading = self._loading.setdefault(relation.oid, asyncio.Lock())
        async with loading:
            if missing := self.missing(relation, roles):
                await self._load(relation, missing)

    async def _load(self, relation: Relation, roles: Iterable[str]) -> None:
        age, oid = self._age, relation.oid
        after_xid = self._after_xid(oid)
        deadline_s = asyncio.get_running_loop().time() + self._patience_s
        found: dict[str, Rule | None] = {}
        failed = False
        for role in roles:
            try:
                read = partial(self._rules.read, role, relation, after_xid=after_xid)
                found[role] = await _patiently(read, deadline_s)
            except TidewireError as error:
                log.error("changes_hidden", role=role, table=relation.qualified_name, reason=error.message)  # noqa: TRY400 - the traceback would say no more
                found[role] = None
                failed = True
        if age != self._age:
            return  # what was read may be out of date already: it is missing still
        guard = self.find(relation)
        if guard is None:
            guard = Guard(relation, hides_deletions=self._hides_deletions)
            self._guards.setdefault(oid, []).insert(0, guard)
        for role, rule in found.items():
            guard.add(role, rule)
        if failed:
            self._unsure.add(oid)

    def _note(self, oid: int | None, xid: int) -> None:
        """Remember for a table, or all with None, which transaction has to be visible to whoever reads its rules."""
        self._after[oid] = (xid, asyncio.get_running_loop().time())
        self._age += 1

    def _after_xid(self, oid: int) -> int | None:
        """Return the transaction to wait for. A commit in the log may not be visible yet, but it is not long before."""
        xid, noted_s = self._after.get(oid) or self._after.get(None) or (None, 0.0)
        return xid if asyncio.get_running_loop().time() - noted_s < VISIBLE_AFTER_S else None


async def _patiently(ask: Callable[[], Awaitable[Rule | None]], deadline_s: float) -> Rule | None:
    """Ask again while the database is away, until the deadline."""
    loop = asyncio.get_running_loop()
    attempt = 0
    while True:
        try:
            return await ask()
        except DatabaseUnreachable:
            left_s = deadline_s - loop.time()
            if left_s <= 0:
                raise
        await asyncio.sleep(min(left_s, backoff_s(attempt, random.random(), most_s=1.0)))  # noqa: S311 - spreads load
        attempt += 1
