"""What was found out about one change: who is concerned, and what of it only Postgres can tell. Decides nothing."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tidewire.match.guard import Guard
from tidewire.match.rule import Rule
from tidewire.match.stand import Seat
from tidewire.match.subscription import Cohort, Cohorts, Receivers
from tidewire.model.change import Change, Row
from tidewire.model.relation import Relation

CERTAIN: Final = 0
BY_FILTER: Final = 1
BY_POLICY: Final = 2

Doubt = int
"""What only Postgres can tell of a row, CERTAIN or the sum of others: whether it fits the filter or the policies."""

NEW: Final = 0
OLD: Final = 1


class Broken(Struct, frozen=True):
    """A filter that cannot be applied to a table as it is now. Tell these subscriptions and remove them.

    Those left in get nothing of this table, and no further report, until its shape changes or others join them. Of an
    error that is not a TidewireError log the type only: its text may quote a row.
    """

    subscriptions: tuple[int, ...]
    relation: Relation
    error: Exception


_NO_RULES: Final[Mapping[str, Rule | None]] = {}

Sides = list[Doubt | None]
"""What is in doubt about the NEW and the OLD row; None for a row that is not to be seen."""


class Deferred(Struct, frozen=True, eq=False, gc=False):
    """Ask Postgres which of the `seats` see a `row` under their rule, and the `old` one if there is one."""

    rule: Rule
    seats: tuple[Seat, ...]
    row: Row
    old: Row | None
    doubt: Doubt
    side: int
    moving_only: bool


class Finding:
    """Collects who is concerned by one change.

    `cohorts` are to hear of it for certain; `sides` has those about whom there is more to say.
    """

    __slots__ = (
        "_moving_only",
        "broken",
        "change",
        "cohorts",
        "deferred",
        "earlier",
        "failed",
        "guard",
        "rules",
        "side",
        "sides",
    )

    def __init__(self, change: Change, guard: Guard | None, broken: list[Broken], failed: dict[Rule, None]) -> None:
        """Without a `guard` everybody may see everything. `failed` gathers rules that raise for somebody."""
        self.change = change
        self.guard = guard if guard is not None and not guard.open else None
        """None where nothing is hidden from anybody."""
        self.rules: Mapping[str, Rule | None] = guard.rules if guard is not None else _NO_RULES
        self.broken = broken
        self.failed = failed
        self.cohorts: list[Cohort] = []
        self.sides: dict[Cohort, Sides] = {}
        self.deferred: list[Deferred] = []
        self.earlier: dict[Cohort, Receivers] = {}
        """Who was in a cohort when the change came, where that is some time ago."""
        self.side = OLD if change.operation == "DELETE" else NEW
        self._moving_only = False

    def __bool__(self) -> bool:
        return bool(self.cohorts or self.sides or self.deferred)

    @property
    def follows_moves(self) -> bool:
        """Whether the log says enough to tell that a row has moved into or out of sight."""
        return self.change.operation == "UPDATE" and self.change.relation.identity == "full"

    @property
    def row(self) -> Row | None:
        """The row that filters are held against now."""
        return self.change.old if self.side == OLD else self.change.new

    def look(self, side: int, *, moving_only: bool) -> None:
        """Hold filters against one of the rows from now on; with `moving_only` for those who follow moves."""
        self.side = side
        self._moving_only = moving_only

    def take(self, cohorts: Cohorts | Seat, doubt: Doubt, old: Doubt | None = CERTAIN) -> None:
        """Add those who may see the row. `old` is the doubt about the old row of an UPDATE, which is shown as well."""
        moving = cohorts.moving
        if not self._moving_only:
            if doubt == CERTAIN and old == CERTAIN:
                self.cohorts += cohorts.still
            else:
                self._note(cohorts.still, doubt, old)
        if not moving:
            return
        if self.follows_moves:
            for cohort in moving:
                self.sides.setdefault(cohort, [None, None])[self.side] = doubt
        elif not self._moving_only:
            self._note(moving, doubt, old)

    def defer(self, rule: Rule, seats: tuple[Seat, ...], doubt: Doubt, row: Row, old: Row | None) -> None:
        """Leave it to Postgres which audiences of a rule may see the row."""
        self.deferred.append(Deferred(rule, seats, row, old, doubt, self.side, self._moving_only))

    def admit(self, deferred: Deferred, seat: Seat, *, sees_old: bool) -> None:
        """Add an audience that sees the row, as Postgres says."""
        self.look(deferred.side, moving_only=deferred.moving_only)
        self.take(seat, deferred.doubt, CERTAIN if sees_old else None)
        self.earlier.update(zip((*seat.still, *seat.moving), seat.receivers, strict=True))

    def hold(self) -> None:
        """Remember who is concerned now, so that those who come before Postgres has answered are not among them."""
        for cohort in (*self.cohorts, *self.sides):
            self.earlier[cohort] = cohort.receivers()

    def _note(self, cohorts: tuple[Cohort, ...], doubt: Doubt, old: Doubt | None) -> None:
        sides: Sides = [None, doubt] if self.side == OLD else [doubt, old]
        for cohort in cohorts:
            self.sides[cohort] = sides
