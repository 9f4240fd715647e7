"""Why a row does or does not reach somebody: publication, privileges, each policy, the filter, and all of it at once.

Whether it would be delivered is decided by the code that delivers: a matcher of its own, with one subscription in it,
is shown a change that nobody has made.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tidewire.hub.admission import admit
from tidewire.hub.guards import Guards
from tidewire.hub.subscriptions import Subscriptions
from tidewire.hub.wishes import Wish
from tidewire.match.candidates import Candidates
from tidewire.match.guard import Guard
from tidewire.match.matcher import Matcher
from tidewire.match.rule import Rule
from tidewire.match.sight import Sight, told_as
from tidewire.match.subscription import Subscription
from tidewire.model.change import ABSENT, Change, Operation, Row, Rows
from tidewire.model.claims import Claims
from tidewire.model.position import Lsn
from tidewire.model.relation import Relation
from tidewire.ports import Visibility
from tidewire.postgres.pasted_rows import columns_of, read_pasted
from tidewire.postgres.policy_answers import PolicyAnswers
from tidewire.postgres.pool import Pool
from tidewire.postgres.rules import PostgresRules
from tidewire.postgres.tables import PostgresTables
from tidewire.services.policy_verdicts import PolicyJudge, PolicyVerdict
from tidewire.services.verdict_values import NO_RECORD, Step, Verdict, VerdictWish
from tidewire.wire.binding import Binding
from tidewire.wire.session_effects import ChannelRef, Grant, Subscribe

NOBODY: Final = 0
_CHANNEL: Final = ChannelRef(1, "verdict", private=False)


class _Pasted(Struct, frozen=True):
    """The shape of a change that was not read out of the log."""

    relation: Relation

    def read(self, _operation: Operation, _data: bytes) -> Rows:
        return None, None


class VerdictParts(Struct, frozen=True):
    """What the server itself decides with."""

    pool: Pool
    tables: PostgresTables
    guards: Guards
    rules: PostgresRules
    visibility: Visibility
    policies: PolicyAnswers


class Verdicts:
    """Ask it for a `verdict`; raises our errors when the database cannot be asked or the row is none of the table."""

    def __init__(self, parts: VerdictParts) -> None:
        self._parts = parts
        self._policies = PolicyJudge(parts.policies)

    async def verdict(self, wish: VerdictWish) -> Verdict:
        """Find out."""
        parts = self._parts
        parts.tables.forget()  # an operator who has just changed something asks about what it is now
        relations = await parts.tables.published(wish.schema, wish.table)
        relation = next((each for each in relations if (each.schema, each.name) == (wish.schema, wish.table)), None)
        if relation is None:
            others = ", ".join(each.qualified_name for each in relations[:5])
            reason = f"its partitions are published by themselves: {others}" if relations else "it is not published"
            return Verdict(delivered=False, publication=Step(False, f"{wish.schema}.{wish.table}: {reason}"))
        told = Verdict(delivered=False, publication=Step(True), assumed_null=columns_of(bytes(wish.record), relation))
        change = await self._change(wish, relation)
        claims = _claims(wish)
        binding = Binding(
            b"{}", 1, wish.wanted, wish.schema, wish.table, wish.filter.strip(), wish.select, moves=wish.moves
        )
        question = Subscribe(_CHANNEL, Grant(claims), (binding,), None, legacy=False)
        subscriptions = Subscriptions(matcher := Matcher(), parts.tables, parts.guards)
        (judged,) = await subscriptions.judge(question)
        if not isinstance(judged, Wish):
            return replace(told, wish=Step(False, judged), privilege=await self._privilege(claims.role, relation))
        ((_, _, (subscription, *_)),) = subscriptions.make(NOBODY, question, [judged])
        matcher.add(subscription, judged.compile)
        await parts.guards.load_for([change], matcher.roles)
        guard = parts.guards.find(relation)
        rule = guard.rules.get(claims.role) if guard is not None else None
        told = replace(told, wish=Step(True), privilege=await self._privilege(claims.role, relation))
        told = await self._decide(told, matcher, change)
        if rule is None:
            return told
        by_filter = await self._passes(judged, subscription, rule, change)
        told = replace(told, filter=by_filter, policies_bind=rule.restriction is not None)
        return replace(told, policies=await self._judge_policies(relation, change, subscription))

    async def _change(self, wish: VerdictWish, relation: Relation) -> Change:
        row = await read_pasted(self._parts.pool, relation, bytes(wish.record))
        old: Row | None = None
        if bytes(wish.old_record) != bytes(NO_RECORD):
            columns_of(bytes(wish.old_record), relation)
            old = await read_pasted(self._parts.pool, relation, bytes(wish.old_record))
        rows: Rows = (row, None) if wish.event == "INSERT" else (row, _logged(old or row, relation))
        if wish.event == "DELETE":
            rows = (None, _logged(row, relation))
        return Change(Lsn(1), 0, wish.event, _Pasted(relation), b"", rows)

    async def _privilege(self, role: str, relation: Relation) -> Step:
        access = await self._parts.tables.access(role, relation)
        if access is None:
            return Step(False, f"there is no role {role}")
        hidden = [column.name for column in relation.columns if column.name not in access.columns]
        if not access.columns:
            return Step(False, f"{role} may not SELECT from {relation.qualified_name}")
        if not access.has_key:
            return Step(False, f"{relation.qualified_name} has no primary key")
        if not access.sees_key:
            return Step(False, f"{role} may not SELECT the primary key")
        return Step(True, f"{role} may not SELECT {', '.join(hidden)}" if hidden else "")

    async def _decide(self, told: Verdict, matcher: Matcher, change: Change) -> Verdict:
        """Decide as for a real change."""
        for sight, moves in await self._sights(matcher.match([change], self._parts.guards.find)):
            operation = told_as(change, sight, moves=moves)
            if operation is not None:
                told = replace(told, delivered=True, told_as=operation, columns=sight.columns, errors=sight.errors)
        return told

    async def _sights(self, candidates: Candidates) -> list[tuple[Sight, str]]:
        await admit(candidates.findings, self._parts.visibility)
        answers = await self._parts.visibility.visible(candidates.asks)
        return [(each.answer, each.moves) for each in candidates.deliveries(answers)]

    async def _passes(self, wish: Wish, subscription: Subscription, rule: Rule, change: Change) -> Step:
        """Decide as if no policy was there: what is left is the event that was asked for, and the filter."""
        matcher, guard = Matcher(), Guard(change.relation)
        matcher.add(subscription, wish.compile)
        guard.add(rule.role, Rule(rule.role, rule.access))
        candidates = matcher.match([change], lambda _: guard)
        if candidates.broken:
            return Step(False, "the filter cannot be applied to the table as it is now")
        if await self._sights(candidates):
            return Step(True)
        return Step(False, "the filter is not true" if wish.filter else f"only {wish.event} was asked for")

    async def _judge_policies(
        self, relation: Relation, change: Change, subscription: Subscription
    ) -> Sequence[PolicyVerdict]:
        row = change.old if change.operation == "DELETE" else change.new
        if row is None:
            return ()
        apart = await self._parts.rules.read_apart(subscription.audience.role, relation)
        return [await self._policies.judge(each, relation, row, subscription) for each in apart]


def _claims(wish: VerdictWish) -> Claims:
    values = {**wish.claims, "role": wish.role}
    if wish.user is not None:
        values["sub"] = wish.user
    subject = values.get("sub")
    return Claims(wish.role, subject if isinstance(subject, str) else None, float("inf"), values)


def _logged(row: Row, relation: Relation) -> Row:
    """Return as much of an old row as the log would have of it."""
    if relation.identity == "full":
        return row
    return tuple(value if column.identity else ABSENT for value, column in zip(row, relation.columns, strict=True))
