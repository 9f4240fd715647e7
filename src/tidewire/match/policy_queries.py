"""Finds the one value that a sub-select or the body of a function gives. Anything more than a value is refused."""

from typing import Final

from tidewire.match.policy import PolicyUnprovable
from tidewire.match.policy_nodes import Node

_HARMLESS: Final = frozenset(
    {"canSetTag", "hasTargetSRFs", "hasSubLinks", "isReturn", "stmt_location", "stmt_len", "targetList", "jointree"}
)


def only_value(query: Node) -> Node:
    """Return the expression of a query `select <expression>` without a table or any other clause."""
    return _only_target(query, sets=False)


def only_values(query: Node) -> Node:
    """Return the expression of a query whose one expression gives a set of values."""
    return _only_target(query, sets=True)


def _only_target(query: Node, *, sets: bool) -> Node:
    source = query.node("jointree")
    more = [name for name, value in query.fields.items() if name not in _HARMLESS and value not in (None, "false", "0")]
    targets = query.nodes("targetList")
    if (
        query.kind != "QUERY"
        or more != ["commandType"]
        or query.text("commandType") != "1"
        or source.fields.get("fromlist") is not None
        or source.fields.get("quals") is not None
        or len(targets) != 1
        or query.flag("hasTargetSRFs") is not sets
    ):
        raise PolicyUnprovable("a sub-select", "only one without a table, such as (select auth.uid()), is compiled")
    return targets[0].node("expr")
