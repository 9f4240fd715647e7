"""Turns what the catalog says of a role and a table into the way in which the role reads it. Asks nothing by itself."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from tidewire.match.rule import TableAccess

MAX_NAME_BYTES: Final = 63


class Way(Struct, frozen=True):
    """How a role reads a table, and the number of the table whose policies then bind it; None when that is gone.

    That is the table itself or one that it is a partition of.
    """

    access: TableAccess
    through: int | None


def choose_way(rows: Sequence[tuple[Any, ...]]) -> Way | None:
    """Choose among the rows of `tables_access.sql`; None when there is no such role.

    A way without policies is open whatever stands on the others. Otherwise the nearest one counts: what can be read
    through another has other policies, and must not be shown under these.
    """
    if not rows:
        return None
    # A way on which nothing can be read is none, unless there is no other: it must not make up for a policy.
    ways = [way for way in rows if way[0]] or rows[:1]
    open_ways = [way for way in ways if way[1]]
    columns = frozenset(column for way in open_ways or ways[:1] for column in way[0])
    key = frozenset(rows[0][2])
    access = TableAccess(columns=columns, has_key=bool(key), sees_key=key <= columns, unrestricted=bool(open_ways))
    return Way(access, ways[0][3])


def can_be_name(text: str) -> bool:
    """Tell whether a thing in the database could have this name: Postgres would refuse, or cut, what could not."""
    try:
        return "\0" not in text and len(text.encode()) <= MAX_NAME_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
