"""The subscriptions that share a filter, found by what a row has in common with those whom policies let see it."""

from collections.abc import Iterable, Iterator

from tidewire.match.finding import BY_POLICY, CERTAIN, Doubt, Finding
from tidewire.match.guard import Guard
from tidewire.match.policy_compile import Judgement, RowJudge
from tidewire.match.policy_keys import EqualityKey
from tidewire.match.rule import Rule
from tidewire.match.session import audience_in_full
from tidewire.match.stand import Seat, Stand
from tidewire.match.subscription import Audience, Subscription
from tidewire.model.change import ABSENT, Row
from tidewire.model.errors import ConfigurationError


class Opaque:
    """The audiences of a rule that only Postgres can judge by: it is asked about all of them at once."""

    __slots__ = ("_listed", "_stands", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._stands: dict[Stand, None] = {}
        self._listed: tuple[Seat, ...] | None = None

    @property
    def listed(self) -> tuple[Seat, ...]:
        """Those who are here now; the same object until that changes."""
        if self._listed is None:
            self._listed = tuple(stand.seat() for stand in self._stands)
        return self._listed

    def add(self, stand: Stand) -> None:
        self._stands[stand] = None

    def remove(self, stand: Stand) -> None:
        del self._stands[stand]

    def forget_list(self) -> None:
        """List everybody anew: somebody came or went."""
        self._listed = None


class KeyIndex:
    """The audiences of one role that are entered under one key of its policies."""

    __slots__ = ("by_text", "everybody", "key")

    def __init__(self, key: EqualityKey) -> None:
        self.key = key
        self.by_text: dict[str, dict[Stand, None]] = {}
        self.everybody: dict[Stand, None] = {}


class AudienceIndex:
    """Made for one guard; the cost of a row grows with those who may see it, as far as the policies have keys."""

    __slots__ = ("_always", "_keys", "_known_roles", "_opaque", "_stands", "_stands_of", "_waiting", "guard")

    def __init__(self, guard: Guard, wishes: Iterable[Subscription]) -> None:
        self.guard = guard
        self._stands: dict[Audience, Stand] = {}
        self._stands_of: dict[int, Stand] = {}
        self._always: dict[Stand, None] = {}
        self._keys: dict[tuple[str, int], KeyIndex] = {}
        self._opaque: dict[Rule, Opaque] = {}
        self._waiting: dict[int, Subscription] = {}
        self._known_roles = len(guard.rules)
        for wish in wishes:
            self.add(wish)

    @property
    def audiences(self) -> set[Audience]:
        """Those who may be told of something."""
        return set(self._stands)

    def add(self, wish: Subscription) -> None:
        """Place a subscription; one whose role may not filter as it does, or has unusable claims, hears nothing."""
        role = wish.audience.role
        if role not in self.guard.rules:
            self._waiting[wish.id] = wish
            return
        rule = self.guard.rules[role]
        if rule is None or not rule.access.columns.issuperset(wish.reads):
            return
        try:
            audience = audience_in_full(rule, wish)
        except ConfigurationError:
            return
        stand = self._stands.get(audience)
        if stand is None:
            stand = self._stands[audience] = Stand(audience, rule)
            self._enter(stand)
        stand.cohorts.add(wish, audience)
        self._stands_of[wish.id] = stand
        if (opaque := self._opaque.get(rule)) is not None:
            opaque.forget_list()

    def remove(self, wish: Subscription, *, renewed: bool) -> None:
        """Forget a subscription, if it has a place; one that is `renewed` still gets what is on its way."""
        self._waiting.pop(wish.id, None)
        stand = self._stands_of.pop(wish.id, None)
        if stand is None:
            return
        stand.cohorts.remove(wish, stand.audience, renewed=renewed)
        if (opaque := self._opaque.get(stand.rule)) is not None:
            opaque.forget_list()
        if not stand.cohorts:
            del self._stands[stand.audience]
            self._leave(stand)

    def collect(self, finding: Finding, doubt: Doubt) -> None:
        """Add those who may see the row that the finding looks at, all of whom have the same `doubt` about it."""
        if len(self.guard.rules) != self._known_roles:
            self._known_roles = len(self.guard.rules)
            waiting, self._waiting = self._waiting, {}
            for wish in waiting.values():
                self.add(wish)
        change, row = finding.change, finding.row
        if row is None:
            return
        deleted = change.operation == "DELETE"
        old = change.old if change.operation == "UPDATE" and finding.row is not change.old else None
        if deleted and not self.guard.hides_deletions:
            for stand in self._stands.values():
                finding.take(stand.cohorts, doubt)
            return
        for stand, judge in self._look_up(row):
            policy = self._doubt(stand, judge, row, finding, deleted=deleted)
            if policy is None:
                continue
            before: Doubt | None = CERTAIN
            if old is not None and stand.judge is not None:
                before = self._doubt(stand, stand.judge, old, finding, deleted=False)
            finding.take(stand.cohorts, doubt | policy, before)
        for opaque in self._opaque.values():
            self._defer(opaque, finding, doubt, row, old)

    def _defer(self, opaque: Opaque, finding: Finding, doubt: Doubt, row: Row, old: Row | None) -> None:
        role = opaque.rule.role
        if self.guard.carries(role, row):
            shown = old if old is not None and self.guard.carries(role, old) else None
            finding.defer(opaque.rule, opaque.listed, doubt, row, shown)
        elif finding.change.operation == "DELETE":
            for seat in opaque.listed:
                finding.take(seat, doubt)

    def _doubt(
        self, stand: Stand, judge: RowJudge | None, row: Row, finding: Finding, *, deleted: bool
    ) -> Doubt | None:
        """Return whether this audience may see a row: None for no, and BY_POLICY where only Postgres can tell.

        Of a deleted row that the log does not carry only the key is shown, and that to all who wish to hear of it.
        """
        if judge is None:
            return CERTAIN
        judgement = judge(row)
        if judgement is Judgement.VISIBLE:
            return CERTAIN
        if judgement is Judgement.UNDECIDED:
            if self.guard.carries(stand.rule.role, row):
                return BY_POLICY
            return CERTAIN if deleted else None
        if judgement is Judgement.RAISES:
            finding.failed[stand.rule] = None
        return None

    def _look_up(self, row: Row) -> Iterator[tuple[Stand, RowJudge | None]]:
        """Yield those who may see a row, once each, and what is left to judge."""
        found: dict[Stand, RowJudge | None] = {}
        for stand in self._always:
            found[stand] = stand.place.judge
        for index in self._keys.values():
            value = row[index.key.column]
            if value is ABSENT:  # says nothing about anybody
                for stand in index.everybody:
                    found[stand] = stand.judge
            elif isinstance(value, str):
                text = value if index.key.canonical is None else index.key.canonical(value)
                for stand in index.by_text.get(text, ()):
                    found.setdefault(stand, stand.place.judge)
        yield from found.items()

    def _enter(self, stand: Stand) -> None:
        if stand.rule.restriction is not None and stand.rule.compiled is None:
            opaque = self._opaque.get(stand.rule)
            if opaque is None:
                opaque = self._opaque[stand.rule] = Opaque(stand.rule)
            opaque.add(stand)
        elif stand.place.entries is None:
            self._always[stand] = None
        else:
            for number, text in stand.place.entries:
                index = self._key_index(stand, number)
                index.by_text.setdefault(text, {})[stand] = None
                index.everybody[stand] = None

    def _leave(self, stand: Stand) -> None:
        if (opaque := self._opaque.get(stand.rule)) is not None:
            opaque.remove(stand)
        elif stand.place.entries is None:
            del self._always[stand]
        else:
            for number, text in stand.place.entries:
                index = self._key_index(stand, number)
                under = index.by_text[text]
                del under[stand]
                if not under:
                    del index.by_text[text]
                index.everybody.pop(stand, None)

    def _key_index(self, stand: Stand, number: int) -> KeyIndex:
        name = (stand.rule.role, number)
        index = self._keys.get(name)
        if index is None:
            keys = stand.rule.compiled.keys if stand.rule.compiled is not None else ()
            index = self._keys[name] = KeyIndex(keys[number])
        return index
