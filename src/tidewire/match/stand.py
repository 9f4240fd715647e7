"""One audience before one table: who is in it, and how rows are judged for it."""

from tidewire.match.policy_compile import Place, RowJudge
from tidewire.match.rule import Rule
from tidewire.match.subscription import Audience, Cohorts


class Stand:
    """Its `place` says where rows find it; where only Postgres can judge there is none."""

    __slots__ = ("cohorts", "judge", "place", "rule")

    def __init__(self, audience: Audience, rule: Rule) -> None:
        self.cohorts = Cohorts(audience)
        self.rule = rule
        self.judge: RowJudge | None = None
        """For any row; None: sees them all, or only Postgres can tell."""
        self.place = Place(None, None)
        if rule.compiled is not None:
            self.judge = rule.compiled.judge(audience)
            self.place = rule.compiled.place(audience)
