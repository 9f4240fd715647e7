"""A `ChangeSource` that plays a script, for tests of whatever follows one. It keeps the promises of a real source."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from tidewire.model.change import Row, Transaction
from tidewire.model.errors import SlotLost
from tidewire.model.position import Lsn
from tidewire.model.relation import Relation
from tidewire.testing.rows import inserted as make_insert


def inserted(
    relation: Relation, rows: Sequence[Row], *, lsn: int, first_index: int = 0, complete: bool = True
) -> Transaction:
    """Build a transaction that inserts rows, or with `complete=False` one part of it. It ends at `lsn + 1`."""
    changes = tuple(make_insert(relation, row, lsn=lsn, index=first_index + offset) for offset, row in enumerate(rows))
    return Transaction(lsn, Lsn(lsn), 0, changes, Lsn(lsn + 1) if complete else None)


class ScriptedSource:
    """Plays transactions, and raises each error among them once. Who iterates again gets what was not confirmed.

    After a SlotLost nothing more is played until `restart()`, which names the next epoch and goes on behind it.
    """

    def __init__(self, *steps: Transaction | Exception, epoch: str = "epoch") -> None:
        self.confirmed = Lsn(0)
        """The greatest LSN confirmed in this epoch."""
        self._steps = list(steps)
        self._first_epoch = epoch
        self._restarts = 0
        self._lost = False
        self._finished = False
        self._moved = asyncio.Event()

    @property
    def epoch(self) -> str:
        """Name of the current history: the given name and the number of restarts."""
        return f"{self._first_epoch}{self._restarts}"

    def play(self, *steps: Transaction | Exception) -> None:
        """Add to the end of the script."""
        self._steps.extend(steps)
        self._moved.set()

    def finish(self) -> None:
        """End `transactions()` when everything was played; without this it waits for more."""
        self._finished = True
        self._moved.set()

    async def transactions(self) -> AsyncGenerator[Transaction, None]:
        """Yield what is not confirmed yet, from the start of its transaction, then whatever is added."""
        if self._lost:
            raise SlotLost("continuing the script: restart() comes first")
        self._steps = [step for step in self._steps if not self._is_confirmed(step)]
        at = 0
        while True:
            while at < len(self._steps):
                step = self._steps[at]
                if isinstance(step, Transaction):
                    at += 1
                    yield step
                    continue
                self._lost = isinstance(step, SlotLost)
                del self._steps[0 if self._lost else at : at + 1]  # the unconfirmed is gone with the slot
                raise step
            if self._finished:
                return
            self._moved.clear()
            await self._moved.wait()

    def confirm(self, lsn: Lsn) -> None:
        """Note that everything up to `lsn` is safe elsewhere. An LSN further back changes nothing."""
        self.confirmed = max(self.confirmed, lsn)
        self._moved.set()

    async def restart(self) -> str:
        """Begin the next epoch; its LSNs may be lower than before."""
        self._restarts += 1
        self._lost = False
        self.confirmed = Lsn(0)
        return self.epoch

    async def until_confirmed(self, lsn: int) -> None:
        """Wait until `lsn` is confirmed; bound the wait with a timeout of your own."""
        while self.confirmed < lsn:
            self._moved.clear()
            await self._moved.wait()

    def _is_confirmed(self, step: Transaction | Exception) -> bool:
        return isinstance(step, Transaction) and step.commit_lsn < self.confirmed
