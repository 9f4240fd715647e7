"""What is said when an answer cannot be proven here: `Unsure` within this package, `Unprovable` to its callers."""

from tidewire.filters.grammar import Condition


class Unsure(Exception):  # noqa: N818 - not an error: the question goes to Postgres
    """Only Postgres can tell. Becomes `Unprovable` while compiling and `UNDECIDED` for a row."""


class Unprovable(Exception):  # noqa: N818 - not an error: the question goes to Postgres
    """The answers to `condition` cannot be proven here: ask Postgres with the query of `tidewire.filters.sql`."""

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        super().__init__(f"{condition.operator} on column {condition.column} is for Postgres to answer")
