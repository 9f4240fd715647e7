"""Finds out which claims policies read that are not compiled, so that readers who agree in them share a question.

Nothing else that a policy depends on may differ between two readers of a role: rows, other tables, constants and the
time do not. Whatever might read more of the session, such as a function with a body of its own, is refused.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from msgspec import Struct

from tidewire.match.policy import (
    Names,
    PolicyUnprovable,
    Standing,
    TablePolicies,
    check_readable,
    policies_bind,
    policies_for_reading,
)
from tidewire.match.policy_keys import claims_read, reads_all_claims, settings_read
from tidewire.match.policy_nodes import Node, read_tree
from tidewire.match.policy_scalars import Surroundings, read_value
from tidewire.match.policy_tree import Path, Value

FIRST_OF_USERS: Final = 16384
"""Types with smaller numbers came with Postgres: comparing or printing their values calls nobody's functions."""
_SELECT: Final = 1
_PLAIN_TABLE: Final = "r"
_RELATION, _SUBQUERY, _JOIN, _NOTHING = 0, 1, 2, 8
"""What stands in a FROM: `rtekind`."""
_OF_SUB_SELECT: Final = 2
"""`paramkind` of what a sub-select gives to the comparison around it."""

_CLOCK: Final = "now"
"""The one function of Postgres that is the same for all readers of a question, though not for ever."""

_OPERATORS: Final = frozenset({"OPEXPR", "DISTINCTEXPR", "NULLIFEXPR", "SCALARARRAYOPEXPR"})
_TYPES: Final = {
    "VAR": "vartype",
    "CONST": "consttype",
    "RELABELTYPE": "resulttype",
    "COERCEVIAIO": "resulttype",
    "PARAM": "paramtype",
    "ARRAYEXPR": "array_typeid",
    "ARRAY": "array_typeid",
    "CASEEXPR": "casetype",
    "CASE": "casetype",
    "COALESCEEXPR": "coalescetype",
    "COALESCE": "coalescetype",
    "OPEXPR": "opresulttype",
    "FUNCEXPR": "funcresulttype",
}
_HARMLESS: Final = frozenset(
    {
        *_OPERATORS,
        *_TYPES,
        "BOOLEXPR",
        "NULLTEST",
        "BOOLEANTEST",
        "COLLATEEXPR",
        "COLLATE",
        "CASEWHEN",
        "WHEN",
        "SUBLINK",
        "QUERY",
        "FROMEXPR",
        "JOINEXPR",
        "RANGETBLREF",
        "RANGETBLENTRY",
        "RTE",
        "RTEPERMISSIONINFO",
        "TARGETENTRY",
        "ALIAS",
    }
)
"""Nodes that do nothing but what stands in them does. Versions before 16 shorten some of the names."""


class Reads(Struct, frozen=True):
    """What an answer of Postgres depends on, besides rows and tables: these claims, and settings of single ones."""

    claims: tuple[Path, ...]
    settings: tuple[str, ...]


class Reading:
    """`take` the policies of every table that is in `tables`, more and more of them; then ask for `reads`."""

    def __init__(self) -> None:
        self.tables: dict[int, None] = {}
        """Those that are read in sub-selects, in the order in which they were met: under their own policies."""
        self._claims: set[Path] = set()
        self._settings: set[str] = set()

    @property
    def reads(self) -> Reads:
        """What has been found."""
        return Reads(tuple(sorted(self._claims)), tuple(sorted(self._settings)))

    def take(self, table: TablePolicies, standing: Standing) -> None:
        """Add what the policies read that bind a role to a table. Raises PolicyUnprovable where nobody knows that."""
        if not policies_bind(table, standing):
            return
        check_readable(table)
        try:
            for policy in chain(*policies_for_reading(table, standing)):
                self._look(read_tree(policy.tree or ""), table.names)
        except RecursionError:
            raise PolicyUnprovable("the expression", "nested too deep") from None

    def _look(self, node: Node, names: Names) -> None:
        if (value := _asked_of_reader(node, names)) is not None:
            self._claims.update(claims_read(value))
            self._settings.update(settings_read(value))
            return
        _check(node, names)
        if node.kind in {"RANGETBLENTRY", "RTE"} and node.number("rtekind") == _RELATION:
            self.tables[node.number("relid")] = None
        for each in _inside(list(node.fields.values())):
            self._look(each, names)


def _asked_of_reader(node: Node, names: Names) -> Value | None:
    """Return what is understood of a node that depends on who reads and on nothing else; None for any other node."""
    try:
        value = read_value(node, Surroundings(names, None))
    except PolicyUnprovable:
        return None
    return None if reads_all_claims(value) else value


def _check(node: Node, names: Names) -> None:
    """Raise PolicyUnprovable for a node that may do more than what stands in it."""
    if node.kind not in _HARMLESS:
        raise PolicyUnprovable(node.kind, "nobody knows what it reads")
    if (field := _TYPES.get(node.kind)) is not None and node.number(field) >= FIRST_OF_USERS:
        raise PolicyUnprovable(f"the type with OID {node.text(field)}", "it did not come with Postgres")
    if node.kind in _OPERATORS and node.number("opno") not in names.operators:
        raise PolicyUnprovable(f"operator {node.text('opno')}", "it did not come with Postgres")
    if node.kind == "FUNCEXPR":
        function = names.functions.get(node.number("funcid"))
        if function is None or not function.builtin or not (function.immutable or function.name == _CLOCK):
            raise PolicyUnprovable(
                f"function {function.name if function else node.text('funcid')}", "nobody knows what it reads"
            )
    if node.kind == "PARAM" and node.number("paramkind") != _OF_SUB_SELECT:
        raise PolicyUnprovable("a parameter", "nobody knows what it is")
    if node.kind == "QUERY" and (node.number("commandType") != _SELECT or node.fields.get("utilityStmt") is not None):
        raise PolicyUnprovable("a sub-select", "it is another command")
    if node.kind in {"RANGETBLENTRY", "RTE"}:
        _check_source(node)


def _check_source(node: Node) -> None:
    kind = node.number("rtekind")
    if kind not in {_RELATION, _SUBQUERY, _JOIN, _NOTHING} or (
        kind == _RELATION and node.text("relkind") != _PLAIN_TABLE
    ):
        raise PolicyUnprovable("a sub-select", "it reads something that is not a table")


def _inside(values: list[Any]) -> Iterator[Node]:
    for value in values:
        if isinstance(value, Node):
            yield value
        elif isinstance(value, list):
            yield from _inside(value)
