"""Turns nodes that stand for an array into its elements, or into the claim or column that has them."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from tidewire.filters.checks import TEXT, VARCHAR
from tidewire.match import policy_functions as functions
from tidewire.match.policy import PolicyUnprovable
from tidewire.match.policy_constants import ELEMENTS, array_texts, constant_bytes
from tidewire.match.policy_nodes import Node
from tidewire.match.policy_queries import only_value, only_values
from tidewire.match.policy_scalars import Surroundings, cast, column_at, read_value, type_of
from tidewire.match.policy_tree import (
    ClaimDocument,
    ClaimList,
    ClaimText,
    ColumnList,
    ConstantValue,
    Converted,
    Value,
    Values,
)
from tidewire.model.relation import PgType

MAX_VALUES: Final = 10_000

_TEXT: Final = PgType(TEXT, "text")
_ELEMENTS_AS_TEXT: Final = {("jsonb_array_elements_text", (3802,)), ("json_array_elements_text", (114,))}


def read_list(node: Node, around: Surroundings) -> Values | ClaimList | ColumnList:
    """Return what the elements of an array are. Raises PolicyUnprovable."""
    read = _READERS.get(node.kind)
    if read is None:
        raise PolicyUnprovable("an array", "not among the arrays that are compiled")
    return read(node, around)


def read_set(query: Node, around: Surroundings) -> ClaimList:
    """Return the list that a sub-select takes apart into rows."""
    return _elements(only_values(query), around)


def _elements(node: Node, around: Surroundings) -> ClaimList:
    if node.kind == "COERCEVIAIO":
        return _read_as(_elements(node.node("arg"), around), type_of(node.number("resulttype"), around))
    function = around.names.functions.get(node.number("funcid")) if node.kind == "FUNCEXPR" else None
    if function is None or not function.builtin or not function.executable:
        raise PolicyUnprovable("a sub-select", "only jsonb_array_elements_text of a claim gives a set that is compiled")
    values = [read_value(each, Surroundings(around.names, None, around.calls)) for each in node.nodes("args")]
    if (function.name, function.arguments) not in _ELEMENTS_AS_TEXT or not isinstance(values[0], ClaimDocument):
        raise PolicyUnprovable(f"function {function.name}", "not compiled as a set")
    if not values[0].path:
        raise PolicyUnprovable(f"function {function.name}", "the claims themselves are no list")
    return ClaimList(values[0].path, _TEXT)


def _read_as(values: ClaimList, type_: PgType) -> ClaimList:
    if values.type.oid != TEXT:
        raise PolicyUnprovable("an array", "cast more than once")
    if type_.oid in {TEXT, VARCHAR}:
        return replace(values, type=type_)
    cast(ConstantValue(None, _TEXT), type_)  # refuses what it would refuse of a single value
    return replace(values, type=type_)


def _written(node: Node, around: Surroundings) -> Values:
    nodes = node.nodes("elements")
    if node.flag("multidims") or len(nodes) > MAX_VALUES:
        raise PolicyUnprovable("an array", "of several dimensions or too many elements")
    return Values(tuple(read_value(each, around) for each in nodes), type_of(node.number("element_typeid"), around))


def _constant(node: Node, around: Surroundings) -> Values:
    data = constant_bytes(node)
    element = ELEMENTS.get(node.number("consttype"))
    if data is None or element is None:
        raise PolicyUnprovable("a constant array", "NULL, or of a type that cannot be read here")
    _, texts = array_texts(data)
    if len(texts) > MAX_VALUES or any("\ufffd" in (text or "") for text in texts):
        raise PolicyUnprovable("a constant array", "too many elements, or one that cannot be written in a certain way")
    type_ = type_of(element, around)
    return Values(tuple(ConstantValue(text, type_) for text in texts), type_)


def _column(node: Node, around: Surroundings) -> ColumnList:
    place, type_ = column_at(node, around)
    if type_.kind != "array" or type_.element is None or type_.element.kind != "base":
        raise PolicyUnprovable("an array", "only columns that are plain arrays are compiled")
    return ColumnList(place, type_.element)


def _sub_select(node: Node, around: Surroundings) -> Values | ClaimList | ColumnList:
    inside = Surroundings(around.names, None, around.calls)
    if node.number("subLinkType") == functions.AS_ARRAY:
        return read_set(node.node("subselect"), inside)
    if node.number("subLinkType") == functions.SINGLE_VALUE:
        return read_list(only_value(node.node("subselect")), inside)
    raise PolicyUnprovable("a sub-select", "not compiled as an array")


def _split(node: Node, around: Surroundings) -> ClaimList:
    function = functions.callable_function(node, around.names)
    if not function.builtin or (function.name, function.arguments) != ("string_to_array", (TEXT, TEXT)):
        raise PolicyUnprovable(f"function {function.name}", "not compiled as an array")
    value, separator = (read_value(each, around) for each in node.nodes("args"))
    if not isinstance(value, ClaimText) or not isinstance(separator, ConstantValue) or not separator.text:
        raise PolicyUnprovable("function string_to_array", "only of a claim and a constant separator is it compiled")
    return ClaimList(value.path, _TEXT, separator.text)


def _cast(node: Node, around: Surroundings) -> Values | ClaimList | ColumnList:
    values = read_list(node.node("arg"), around)
    how = node.node("elemexpr")
    target = type_of(how.number("resulttype"), around) if how.kind in {"COERCEVIAIO", "RELABELTYPE"} else None
    if target is None or how.node("arg").kind not in {"CASETESTEXPR", "CASETEST"}:
        raise PolicyUnprovable("a cast of an array", "not compiled")
    if isinstance(values, ClaimList):
        return _read_as(values, target)
    relabels = how.kind == "RELABELTYPE" and {values.type.oid, target.oid} <= {TEXT, VARCHAR}
    if isinstance(values, ColumnList) and relabels:
        return replace(values, type=target)
    if isinstance(values, Values) and (relabels or how.kind == "COERCEVIAIO"):
        return Values(tuple(_item(each, target, relabels=relabels) for each in values.items), target)
    raise PolicyUnprovable("a cast of an array", "not compiled")


def _item(value: Value, target: PgType, *, relabels: bool) -> Value:
    return Converted(value, "same", target) if relabels else cast(value, target)


_READERS: Final[dict[str, Callable[[Node, Surroundings], Values | ClaimList | ColumnList]]] = {
    "ARRAYEXPR": _written,
    "ARRAY": _written,
    "CONST": _constant,
    "VAR": _column,
    "SUBLINK": _sub_select,
    "FUNCEXPR": _split,
    "ARRAYCOERCEEXPR": _cast,
}
