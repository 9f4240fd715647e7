"""Finds out in which sessions Postgres makes a plan for a question, and in which form the question has to be put.

Postgres evaluates some functions when it makes a plan, whether rows would need them or not. Where that is an error,
such as for a subject that is no UUID, the reader's own queries are errors too, and show nothing.
"""

from collections.abc import Hashable, Sequence
from typing import Final, TypeVar

from msgspec.structs import replace

from tidewire.match.rule import Restriction
from tidewire.postgres.policy_judge import CANCELED, Answer, Judge, Session
from tidewire.postgres.policy_statement import Offer, write_rule, write_statement

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_KEPT: Final = 10_000
_FORBIDDEN: Final = "42501"
_NO_ROW: Final = "-1"
"""The place of none."""


class PolicyPlanning:
    """Remembers what it finds out for as long as the restriction counts: each reading of the catalog makes new ones."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._failures: dict[tuple[Restriction, tuple[str, ...]], str | None] = {}
        """Why Postgres makes no plan for a session, or None."""
        self._apart: dict[Restriction, bool] = {}
        """Whether statements can do nothing but call a function that has been parsed before; known where it matters."""

    async def plan(
        self, offer: Offer, role: str, restriction: Restriction, names: Sequence[str], sessions: Sequence[Session]
    ) -> tuple[Offer, list[str | None]]:
        """Return the offer in the form in which it is to be put, and for each session why it is not to be asked."""
        new = [each for each in sessions if (restriction, each.values) not in self._failures]
        offer = replace(offer, apart=self._apart.get(restriction, False))
        await self._try(offer, role, restriction, names, new)
        if restriction not in self._apart and (refused := self._refused(restriction, new)):
            apart = replace(offer, apart=True)
            await self._try(apart, role, restriction, names, refused)
            helps = len(self._refused(restriction, refused)) < len(refused)
            remember(self._apart, restriction, helps)
            offer = apart if helps else offer
        return offer, [self._failures.get((restriction, session.values)) for session in sessions]

    def _refused(self, restriction: Restriction, sessions: Sequence[Session]) -> list[Session]:
        return [each for each in sessions if self._failures.get((restriction, each.values)) == _FORBIDDEN]

    async def _try(
        self, offer: Offer, role: str, restriction: Restriction, names: Sequence[str], sessions: Sequence[Session]
    ) -> None:
        def hear(session: Session, answer: Answer) -> bool:
            _, failure = answer
            if failure != CANCELED:  # which says nothing about the session: it has its turn when it is asked
                remember(self._failures, (restriction, session.values), failure)
            return failure != CANCELED

        if sessions:
            asked = [replace(each, argument=_NO_ROW) for each in sessions]
            statement = write_statement(offer, (0, 0), one=True)  # of a single row it would see that it is not meant
            await self._judge.ask(role, statement, names, asked, hear, making=write_rule(offer), plans_each=True)


def remember(kept: dict[K, V], key: K, value: V) -> None:
    """Keep a value, if need be instead of the oldest."""
    if len(kept) >= MOST_KEPT:
        del kept[next(iter(kept))]
    kept[key] = value
