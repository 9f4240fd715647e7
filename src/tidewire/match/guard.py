"""The rules of one table by role, from one point of the log until they may have changed. Reads none itself."""

from tidewire.match.rule import Rule
from tidewire.model.change import ABSENT, Row
from tidewire.model.relation import Relation


class Guard:
    """Add the rules of every role before its changes are matched, and put a new guard in its place when one changes."""

    __slots__ = ("_read", "announced", "hides_deletions", "open", "relation", "rules")

    def __init__(self, relation: Relation, *, hides_deletions: bool = True) -> None:
        """`hides_deletions`: a deleted row is judged where the log carries what that takes."""
        self.relation = relation
        self.hides_deletions = hides_deletions
        self.rules: dict[str, Rule | None] = {}
        """None for roles that are gone."""
        self.open = True
        """Whether nothing is hidden from any of the roles."""
        self.announced = True
        """Whether the log has a message for every change of these rules."""
        self._read: dict[str, tuple[int, ...]] = {}

    def add(self, role: str, rule: Rule | None) -> None:
        """Say how a role stands to the table."""
        self.rules[role] = rule
        self.announced = self.announced and rule is not None and rule.announced
        names = [column.name for column in self.relation.columns]
        if rule is None or rule.restriction is not None or not rule.access.columns.issuperset(names):
            self.open = False
        if rule is not None and rule.restriction is not None:
            read = rule.restriction.columns
            self._read[role] = tuple(place for place, name in enumerate(names) if name in read)

    def carries(self, role: str, row: Row) -> bool:
        """Tell whether a row of the log has all that the policies of a role read."""
        return all(row[place] is not ABSENT for place in self._read[role])
