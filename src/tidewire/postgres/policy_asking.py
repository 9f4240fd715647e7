"""Leads one question about rows and sessions to its answers, whatever fails or takes too long on the way."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from tidewire.postgres.policy_judge import CANCELED, Answer, Judge, Session
from tidewire.postgres.policy_statement import Offer, parts_of, write_rule, write_statement

MOST_SLOW: Final = 3
"""How many sessions may take too long before nobody is asked for any more."""
RETRIES: Final = 20
"""How often a session may be asked again, on average: enough to find one bad row among those asked about at once."""
LEAST_RETRIES: Final = 4096
"""How often all of them may in any case; that takes less than 100 ms."""
ONE_BY_ONE: Final = 2048
"""Of how many pairs of a session and a row each may be asked about by itself."""

Show = Callable[[int, int], None]
"""Takes the number of a session and the place of a row that it sees."""


class PolicyAsking:
    """Finds out who sees what of an offer. The other attributes tell how it went once it has run."""

    def __init__(
        self, judge: Judge, offer: Offer, role: str, names: Sequence[str], *, in_time: Callable[[], bool], show: Show
    ) -> None:
        """`names` are those of the sessions' settings, and `in_time` says whether there is any left."""
        self._judge = judge
        self._offer = offer
        self._role = role
        self._names = names
        self._in_time = in_time
        self._show = show
        self._retries = 0
        self._slow = 0
        self.failures: dict[str, set[int]] = {}
        """By SQLSTATE, the numbers of the sessions that have failed with it for some row."""
        self.tiresome: set[int] = set()
        """The sessions that took too long, or failed too often."""
        self.overdue = False
        """Whether all of it took too long."""

    async def run(self, sessions: Sequence[Session]) -> None:
        """Ask about all rows. Raises our errors when Postgres cannot be asked."""
        self._retries = max(LEAST_RETRIES, RETRIES * len(sessions))
        for rows in parts_of(self._offer):
            await self._ask(rows, sessions)

    async def _ask(self, rows: Sequence[int], sessions: Sequence[Session]) -> None:
        """Ask about several rows at once; where that fails, about fewer of them in the sessions concerned."""
        failed = await self._put(rows, [session for session in sessions if session.number not in self.tiresome])
        if not failed or len(rows) == 1:
            return
        middle = len(rows) // 2
        one_by_one = len(failed) * len(rows) <= ONE_BY_ONE
        self._retries -= len(failed) * (len(rows) if one_by_one else 2)
        if self._retries < 0:
            self.tiresome.update(session.number for session in failed)
        elif one_by_one:
            await self._put(rows, [replace(each, argument=str(row)) for each in failed for row in rows])
        else:
            await self._ask(rows[:middle], failed)
            await self._ask(rows[middle:], failed)

    async def _put(self, rows: Sequence[int], sessions: Sequence[Session]) -> list[Session]:
        """Put one statement, and return the sessions in which it has failed but may not do so for fewer rows."""
        failed: list[Session] = []

        def hear(session: Session, answer: Answer) -> bool:
            shown, failure = answer
            if failure == CANCELED:
                self._slow += 1
                self.tiresome.add(session.number)
            elif failure is not None:
                failed.append(session)
            if failure is not None:
                self.failures.setdefault(failure, set()).add(session.number)
            elif shown:
                self._hand_over(session, shown)
            return self._goes_on()

        if sessions and self._goes_on():
            statement = write_statement(self._offer, rows, one=sessions[0].argument is not None)
            making = write_rule(self._offer)
            if not await self._judge.ask(self._role, statement, self._names, sessions, hear, making=making):
                self.failures.setdefault(CANCELED, set()).update(session.number for session in sessions)
                self.overdue = True
        return failed

    def _hand_over(self, session: Session, shown: str) -> None:
        for row in shown.split(","):
            for place in self._offer.places[int(row)]:
                self._show(session.number, place)

    def _goes_on(self) -> bool:
        self.overdue = self.overdue or self._slow >= MOST_SLOW or not self._in_time()
        return not self.overdue
