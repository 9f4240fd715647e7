"""Says of each policy by itself whether it is true for a row and a token, by the code that decides deliveries."""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tidewire.match.policy import Policy
from tidewire.match.policy_compile import Judgement
from tidewire.match.rule import Restriction, Rule
from tidewire.match.session import audience_in_full, session_of
from tidewire.match.subscription import Subscription
from tidewire.model.change import ABSENT, Row
from tidewire.model.relation import Relation
from tidewire.postgres.policy_answers import PolicyAnswers, PolicyQuestion
from tidewire.postgres.rules import PolicyApart

Answer = Literal["true", "false", "unknown", "error"]
"""As in SQL: `unknown` is NULL, and lets nothing through either."""


JudgedBy = Literal["compiled", "postgres"]


class PolicyVerdict(Struct, frozen=True):
    """What one policy says. `why` tells why it is left to Postgres or cannot be judged; errors have an `sqlstate`."""

    name: str
    permissive: bool
    command: str
    expression: str
    judged_by: JudgedBy
    why: str
    answer: Answer
    sqlstate: str | None = None


class PolicyJudge:
    """Judge with what the server judges with."""

    def __init__(self, policies: PolicyAnswers) -> None:
        self._policies = policies

    async def judge(self, apart: PolicyApart, relation: Relation, row: Row, wish: Subscription) -> PolicyVerdict:
        """Return what one policy says to a row. Raises our errors when Postgres cannot be asked."""
        policy, rule = apart.policy, apart.rule
        judged_by: JudgedBy = "compiled"
        why, sqlstate = rule.left_to_postgres, None
        judgement = Judgement.UNDECIDED
        if not _carries(relation, row, rule):
            return _verdict(policy, judged_by, "the log does not carry what it reads", "unknown", None)
        if rule.compiled is not None:
            judgement = rule.compiled.judge(rule.compiled.audience(wish.claims))(row)
        if judgement is Judgement.UNDECIDED:
            judged_by = "postgres"
            why = why or "what it compares cannot be compared here"
            answer, sqlstate = await self._ask(rule, relation, row, wish)
        elif judgement is Judgement.HIDDEN:
            answer, _ = await self._tell_apart(rule, relation, row, wish)
        else:
            answer = "true" if judgement is Judgement.VISIBLE else "error"
        return _verdict(policy, judged_by, why, answer, sqlstate)

    async def _ask(self, rule: Rule, relation: Relation, row: Row, wish: Subscription) -> tuple[Answer, str | None]:
        """Have Postgres judge."""
        failures: list[str] = []
        if await self._holds(rule, relation, row, wish, failures):
            return "true", None
        return ("error", failures[0]) if failures else await self._tell_apart(rule, relation, row, wish)

    async def _tell_apart(
        self, rule: Rule, relation: Relation, row: Row, wish: Subscription
    ) -> tuple[Answer, str | None]:
        """Say of what is not true whether it is false or unknown; only Postgres knows."""
        restriction = rule.restriction
        if restriction is None:
            return "false", None
        is_null = Restriction(f"({restriction.expression}) is null", restriction.columns)
        unknown = await self._holds(replace(rule, restriction=is_null), relation, row, wish, [])
        return ("unknown" if unknown else "false"), None

    async def _holds(self, rule: Rule, relation: Relation, row: Row, wish: Subscription, failures: list[str]) -> bool:
        restriction = rule.restriction
        if restriction is None:
            return True
        session = session_of(rule, audience_in_full(rule, wish))
        question = PolicyQuestion(rule.role, relation, restriction, [row], [session])
        return (await self._policies.answer(question, failed=failures.append))[0][0]


def _carries(relation: Relation, row: Row, rule: Rule) -> bool:
    """Tell whether the row has all that the policy reads: of one that is deleted there may be no more than the key."""
    read = rule.restriction.columns if rule.restriction is not None else ()
    return all(value is not ABSENT for value, column in zip(row, relation.columns, strict=True) if column.name in read)


def _verdict(policy: Policy, judged_by: JudgedBy, why: str, answer: Answer, sqlstate: str | None) -> PolicyVerdict:
    return PolicyVerdict(
        policy.name, policy.permissive, policy.command, policy.expression or "", judged_by, why, answer, sqlstate
    )
