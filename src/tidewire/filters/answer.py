"""What a predicate says about a row: SQL's three truth values, and the admission that only Postgres can tell."""

from collections.abc import Callable
from enum import Enum
from typing import Final, Literal

from tidewire.model.change import Row


class Undecided(Enum):
    """The type of `UNDECIDED`, which is its only value."""

    UNDECIDED = "undecided"


UNDECIDED: Final = Undecided.UNDECIDED
"""For this row only Postgres can tell: run the query that `tidewire.filters.sql` builds."""

Answer = bool | Literal[Undecided.UNDECIDED] | None
"""SQL's true, false and NULL, or UNDECIDED. Deliver only when `answer is True`: UNDECIDED is truthy, too."""

Predicate = Callable[[Row], Answer]
"""Takes a row aligned with the relation's columns. Answers None also when a column it needs is ABSENT."""
