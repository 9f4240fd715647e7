"""One audience before one table: who is in it, and how rows are judged for it."""

from msgspec import Struct

from tidewire.match.policy_compile import Place, RowJudge
from tidewire.match.rule import Rule
from tidewire.match.subscription import Audience, Cohort, Cohorts, Receivers


class Seat(Struct, frozen=True, gc=False):
    """Who is in an audience at one moment: its cohorts, and the receivers in them in the same order."""

    audience: Audience
    still: tuple[Cohort, ...]
    moving: tuple[Cohort, ...]
    receivers: tuple[Receivers, ...]


class Stand:
    """Its `place` says where rows find it; where only Postgres can judge there is none."""

    __slots__ = ("audience", "cohorts", "judge", "place", "rule")

    def __init__(self, audience: Audience, rule: Rule) -> None:
        self.audience = audience
        self.cohorts = Cohorts()
        self.rule = rule
        self.judge: RowJudge | None = None
        """For any row; None: sees them all, or only Postgres can tell."""
        self.place = Place(None, None)
        if rule.compiled is not None:
            self.judge = rule.compiled.judge(audience)
            self.place = rule.compiled.place(audience)

    def seat(self) -> Seat:
        """Return who is here now."""
        still, moving = self.cohorts.still, self.cohorts.moving
        receivers = tuple(cohort.receivers() for cohort in (*still, *moving))
        return Seat(self.audience, still, moving, receivers)
