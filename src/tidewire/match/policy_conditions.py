"""Turns nodes of Postgres's tree that are true, false or NULL into conditions of `policy_tree`."""

from collections.abc import Callable
from typing import Final, Literal, cast

from tidewire.filters.checks import BOOL, TEXT
from tidewire.match.policy import PolicyUnprovable
from tidewire.match.policy_comparisons import comparison, comparison_of_types
from tidewire.match.policy_functions import ANY_VALUE, SINGLE_VALUE
from tidewire.match.policy_lists import read_list, read_set
from tidewire.match.policy_nodes import Node
from tidewire.match.policy_queries import only_value
from tidewire.match.policy_scalars import JSONB, Surroundings, read_value, refuse
from tidewire.match.policy_tree import (
    And,
    ClaimDocument,
    ClaimList,
    ClaimsAsText,
    ColumnList,
    Compare,
    Condition,
    FirstKnown,
    Flag,
    HasKey,
    IsNull,
    Member,
    Not,
    Or,
    Truth,
    Value,
    Values,
)

_STATES: Final = (True, True, False, False, None, None)
"""What IS TRUE, IS NOT TRUE, IS FALSE, ... ask for, in the order of their numbers; the odd ones are negated."""

_Comparison = Literal["=", "<>", "<", "<=", ">", ">=", "distinct"]


def read_condition(node: Node, around: Surroundings) -> Condition:
    """Return the condition that a node stands for. Raises PolicyUnprovable."""
    if (read := _READERS.get(node.kind)) is not None:
        return read(node, around)
    value = read_value(node, around)
    if value.type.oid != BOOL:
        refuse(node)
    return Flag(value)


def _logic(node: Node, around: Surroundings) -> Condition:
    parts = tuple(read_condition(each, around) for each in node.nodes("args"))
    operator = node.text("boolop")
    if operator == "not" and len(parts) == 1:
        return Not(parts[0])
    if operator not in {"and", "or"}:
        refuse(node)
    return And(parts) if operator == "and" else Or(parts)


def _first_known(node: Node, around: Surroundings) -> Condition:
    if node.number("coalescetype") != BOOL:
        refuse(node)
    return FirstKnown(tuple(read_condition(each, around) for each in node.nodes("args")))


def _operation(node: Node, around: Surroundings) -> Condition:
    left, right = (read_value(each, around) for each in _two(node))
    operator = around.names.operators.get(node.number("opno"))
    if operator is not None and (operator.name, operator.left, operator.right) == ("?", JSONB, TEXT):
        if not isinstance(left, ClaimDocument) or not left.path or right.type.oid != TEXT:
            raise PolicyUnprovable("operator ?", "only of a part of the claims is it compiled")
        return HasKey(left, right)
    name, rules = comparison(node, _comparable(left), _comparable(right), around.names)
    return Compare(cast(_Comparison, name), left, right, rules)


def _distinction(node: Node, around: Surroundings) -> Condition:
    left, right = (_comparable(read_value(each, around)) for each in _two(node))
    name, rules = comparison(node, left, right, around.names)
    if name != "=":
        refuse(node)
    return Compare("distinct", left, right, rules)


def _membership(node: Node, around: Surroundings) -> Condition:
    wanted = node.flag("useOr")
    item_node, list_node = _two(node)
    return _member(node, read_value(item_node, around), read_list(list_node, around), around, wanted=wanted)


def _member(
    node: Node, item: Value, values: Values | ClaimList | ColumnList, around: Surroundings, *, wanted: bool
) -> Member:
    name, rules = comparison_of_types(node, _comparable(item).type, values.type, around.names)
    for each in values.items if isinstance(values, Values) else ():
        comparison(node, item, _comparable(each), around.names)
    if name != ("=" if wanted else "<>"):
        raise PolicyUnprovable(f"operator {name}", "only = ANY and <> ALL are compiled")
    return Member(item, values, rules, wanted)


def _null_test(node: Node, around: Surroundings) -> Condition:
    argument, wanted = node.node("arg"), node.text("nulltesttype") == "0"
    if node.flag("argisrow"):
        raise PolicyUnprovable("IS NULL", "of a composite value is not compiled")
    if argument.kind in _READERS and not _may_be_value(argument):
        return Truth(read_condition(argument, around), None, wanted)
    value = read_value(argument, around)
    if value.type.kind == "composite" or isinstance(value, ClaimsAsText):
        raise PolicyUnprovable("IS NULL", "of a composite value, or of the claims as text, is not compiled")
    return IsNull(value, wanted)


def _may_be_value(node: Node) -> bool:
    """Tell whether something that can be a condition is a value here: not where it is an OPEXPR such as `->>`."""
    if node.kind == "OPEXPR":
        return node.number("opresulttype") != BOOL
    if node.kind in {"COALESCEEXPR", "COALESCE"}:
        return node.number("coalescetype") != BOOL
    return node.kind == "SUBLINK" and node.number("subLinkType") == SINGLE_VALUE


def _truth_test(node: Node, around: Surroundings) -> Condition:
    kind = node.number("booltesttype")
    if not 0 <= kind < len(_STATES):
        refuse(node)
    return Truth(read_condition(node.node("arg"), around), _STATES[kind], kind % 2 == 0)


def _sub_select(node: Node, around: Surroundings) -> Condition:
    inside = Surroundings(around.names, None, around.calls)
    if node.number("subLinkType") == SINGLE_VALUE:
        return read_condition(only_value(node.node("subselect")), inside)
    if node.number("subLinkType") != ANY_VALUE:
        refuse(node)
    test = node.node("testexpr")
    item_node, parameter = _two(test) if test.kind == "OPEXPR" else (test, test)
    if parameter.kind != "PARAM" or (parameter.number("paramkind"), parameter.number("paramid")) != (2, 1):
        raise PolicyUnprovable("IN (select ...)", "only with = and a single value is it compiled")
    return _member(test, read_value(item_node, around), read_set(node.node("subselect"), inside), around, wanted=True)


def _two(node: Node) -> tuple[Node, Node]:
    arguments = node.nodes("args")
    if len(arguments) != 2:
        refuse(node)
    return arguments[0], arguments[1]


def _comparable(value: Value) -> Value:
    if isinstance(value, ClaimDocument | ClaimsAsText):
        raise PolicyUnprovable("the claims", "only their parts as text (->>) compare")
    return value


_READERS: Final[dict[str, Callable[[Node, Surroundings], Condition]]] = {
    "BOOLEXPR": _logic,
    "COALESCEEXPR": _first_known,
    "COALESCE": _first_known,
    "OPEXPR": _operation,
    "DISTINCTEXPR": _distinction,
    "SCALARARRAYOPEXPR": _membership,
    "NULLTEST": _null_test,
    "BOOLEANTEST": _truth_test,
    "SUBLINK": _sub_select,
}
