"""Finds out which columns of a row policies read, from their trees: also those that cannot be compiled. Judges nothing.

The dependencies that Postgres keeps would not do: they leave out references to the whole row, and count what is read by
the WITH CHECK of a policy as well.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tidewire.match.policy import PolicyUnprovable
from tidewire.match.policy_nodes import Node, read_tree

_WHOLE_ROW: Final = 0


def columns_read(trees: Iterable[str], columns: Mapping[int, str]) -> frozenset[str] | None:
    """Return the names of the columns that USING expressions read of their table; None when it may be any of them.

    `columns` are those of the table by their number. Columns that every table has, such as `ctid`, are left out.
    """
    numbers: set[int] = set()
    try:
        for tree in trees:
            numbers.update(_columns(read_tree(tree), 0))
    except (PolicyUnprovable, RecursionError):
        return None
    named = {number for number in numbers if number >= _WHOLE_ROW}
    return frozenset(columns[number] for number in named) if named <= columns.keys() else None


def _columns(value: Any, depth: int) -> Iterator[int]:
    """Yield the number of each column of the table, 0 for the whole row, as seen from `depth` queries within."""
    if isinstance(value, list):
        for each in value:
            yield from _columns(each, depth)
    elif isinstance(value, Node):
        if value.kind == "VAR" and value.number("varlevelsup") == depth:
            yield value.number("varattno")
        inside = depth + (value.kind == "QUERY")
        for each in value.fields.values():
            yield from _columns(each, inside)
