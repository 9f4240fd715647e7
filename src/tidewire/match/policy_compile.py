"""Compiles the policies that a role reads a table under. What comes out judges rows of the log as Postgres would.

A row is visible where one permissive policy and every restrictive one is true. What cannot be proven is refused as a
whole: then let Postgres judge this table for this role.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from tidewire.filters.answer import UNDECIDED, Predicate
from tidewire.match.policy import (
    Names,
    Policy,
    PolicyUnprovable,
    Standing,
    TablePolicies,
    check_readable,
    policies_bind,
    policies_for_reading,
)
from tidewire.match.policy_bind import bind_condition
from tidewire.match.policy_claims import Fails, KnownClaims, audience_of, session_settings
from tidewire.match.policy_conditions import read_condition
from tidewire.match.policy_keys import EqualityKey, claims_read, keys_of, settings_read
from tidewire.match.policy_nodes import read_tree
from tidewire.match.policy_scalars import Surroundings
from tidewire.match.policy_tree import And, Condition, Or, Path
from tidewire.match.policy_values import Fixed, Unclear
from tidewire.match.subscription import Audience
from tidewire.model.change import Row
from tidewire.model.relation import Relation


class Judgement(Enum):
    """What is to be done with a row. `RAISES`: Postgres would fail with these claims, so hide the row and report it.

    `UNDECIDED`: only Postgres can tell, or nobody where the log does not carry what the policy reads.
    """

    VISIBLE = "visible"
    HIDDEN = "hidden"
    RAISES = "raises"
    UNDECIDED = "undecided"


RowJudge = Callable[[Row], Judgement]
"""Takes a row aligned with the relation's columns."""


class Place(Struct, frozen=True):
    """Where an audience is to be found: under `entries`, pairs of a key's number and a text, or always, where None.

    Without any entry it sees nothing. Of the rows that find it, `judge` says which it sees; all of them, where None.
    """

    entries: tuple[tuple[int, str], ...] | None
    judge: RowJudge | None


class CompiledPolicies(Struct, frozen=True):
    """The policies of a table for a role. Compile again when the table, its policies or the role change.

    Take the `audience` of a token once, and its `place` or its `judge` once for each audience.
    """

    role: str
    conditions: tuple[Condition, ...]
    """A row is visible where all are true; without any, every row is."""
    reads: tuple[Path, ...] = ()
    settings: tuple[str, ...] = ()
    keys: tuple[EqualityKey, ...] = ()
    residual: tuple[Condition, ...] = ()
    """What is left to be true of a row that was found by a key."""

    def audience(self, claims: Mapping[str, Any]) -> Audience:
        """Return everyone whom these policies cannot tell apart. Raises ConfigurationError for unusable claims."""
        return audience_of(self.role, claims, self.reads)

    def session(self, audience: Audience) -> dict[str, str]:
        """Return the settings under which Postgres gives the same answers, besides the role."""
        return session_settings(audience, self.settings)

    def judge(self, audience: Audience) -> RowJudge:
        """Return what judges rows for an audience of these policies."""
        return _judge(self.conditions, KnownClaims(audience))

    def place(self, audience: Audience) -> Place:
        """Return where rows are to find an audience of these policies."""
        claims = KnownClaims(audience)
        if not self.keys:
            return Place(None, _judge(self.conditions, claims))
        try:
            entries = tuple((number, text) for number, key in enumerate(self.keys) for text in key.values(claims))
        except (Fails, Unclear):
            return Place(None, _judge(self.conditions, claims))
        return Place(entries, _judge(self.residual, claims) if self.residual else None)


_NOTHING: Final = Or(())
"""A condition that is true of no row."""


def compile_policies(table: TablePolicies, standing: Standing, relation: Relation) -> CompiledPolicies:
    """Compile what the role reads the table under. Raises PolicyUnprovable where only Postgres can judge."""
    if not policies_bind(table, standing):
        return CompiledPolicies(standing.role, ())
    check_readable(table)
    if not _same_shape(table.names, relation):
        raise PolicyUnprovable("the table", "the catalog has it in another shape than the log at this point")
    around = Surroundings(table.names, relation)
    permissive, restrictive = policies_for_reading(table, standing)
    admitted = tuple(_read(each, around) for each in permissive)
    parts = [*(_read(each, around) for each in restrictive), admitted[0] if len(admitted) == 1 else Or(admitted)]
    conditions = tuple(each for part in parts for each in _flat(part)) if admitted else (_NOTHING,)
    return with_keys(standing.role, conditions)


def nothing_for(role: str) -> CompiledPolicies:
    """Return policies that show a role nothing at all."""
    return with_keys(role, (_NOTHING,))


def with_keys(role: str, conditions: tuple[Condition, ...]) -> CompiledPolicies:
    """Return conditions of which all must be true, with what they read and how rows find their audiences."""
    everything = And(conditions)
    keys = keys_of(everything)
    # A single key may answer one of the conditions in full; an OR of keys says only where to look.
    answered = keys[0].condition if len(keys) == 1 else None
    return CompiledPolicies(
        role,
        conditions,
        reads=tuple(sorted(set(claims_read(everything)))),
        settings=tuple(sorted(set(settings_read(everything)))),
        keys=keys,
        residual=tuple(each for each in conditions if each is not answered),
    )


def _same_shape(names: Names, relation: Relation) -> bool:
    """Tell whether the log's columns are the catalog's, in its order: trees name them by number, and names change."""
    left = iter(names.columns[number] for number in sorted(names.columns))
    return all(column.name in left for column in relation.columns)  # each search goes on where the last one ended


def _read(policy: Policy, around: Surroundings) -> Condition:
    try:
        return read_condition(read_tree(policy.tree or ""), around)
    except PolicyUnprovable as refusal:
        raise PolicyUnprovable(refusal.what, refusal.why, policy=policy.name) from None
    except RecursionError:
        raise PolicyUnprovable("the expression", "nested too deep", policy=policy.name) from None


def _flat(condition: Condition) -> Sequence[Condition]:
    if not isinstance(condition, And):
        return (condition,)
    return [inner for each in condition.conditions for inner in _flat(each)]


def _judge(conditions: Sequence[Condition], claims: KnownClaims) -> RowJudge:
    """Put the claims in. Every condition has to be true, so a false one hides whatever becomes of the others."""
    predicates: list[Predicate] = []
    otherwise = Judgement.VISIBLE
    for condition in conditions:
        try:
            bound = bind_condition(condition, claims)
        except Fails:
            otherwise = Judgement.RAISES
        except Unclear:
            if otherwise is Judgement.VISIBLE:
                otherwise = Judgement.UNDECIDED
        else:
            if not isinstance(bound, Fixed):
                predicates.append(bound)
            elif bound.answer is not True:
                return lambda _: Judgement.HIDDEN
    return _all(tuple(predicates), otherwise)


def _all(predicates: tuple[Predicate, ...], otherwise: Judgement) -> RowJudge:
    def judge(row: Row) -> Judgement:
        answer = otherwise
        for predicate in predicates:
            found = predicate(row)
            if found is UNDECIDED:
                if answer is Judgement.VISIBLE:
                    answer = Judgement.UNDECIDED
            elif found is not True:
                return Judgement.HIDDEN
        return answer

    return judge
