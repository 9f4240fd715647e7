"""Turns nodes of Postgres's tree that stand for a value into values of `policy_tree`. Refuses whatever might differ."""

from collections.abc import Callable
from typing import Final, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from tidewire.filters.checks import BOOL, TEXT, VARCHAR, base_type, spoken_name
from tidewire.filters.scalars import scalar
from tidewire.filters.unsure import Unsure
from tidewire.match import policy_functions as functions
from tidewire.match.policy import Names, PolicyUnprovable
from tidewire.match.policy_comparisons import comparison
from tidewire.match.policy_constants import FLOAT8, INT2, INT4, INT8, NUMERIC, UUID_, constant_bytes, constant_text
from tidewire.match.policy_nodes import Node, read_tree
from tidewire.match.policy_queries import only_value
from tidewire.match.policy_tree import (
    ClaimDocument,
    ClaimsAsText,
    ClaimText,
    ColumnValue,
    ConstantValue,
    Converted,
    FirstOf,
    NullIf,
    Path,
    Value,
    reads_row,
)
from tidewire.model.errors import ConfigurationError
from tidewire.model.relation import PgType, Relation

MAX_CALLS: Final = 8
"""How deep functions may call each other."""

JSON, JSONB = 114, 3802
_INTEGERS: Final = frozenset({INT2, INT4, INT8})
_SHARE_A_TEXT: Final = frozenset({TEXT, VARCHAR})
_READABLE: Final = frozenset({BOOL, INT2, INT4, INT8, FLOAT8, NUMERIC, UUID_, 1082, 1114, 1184})
_NAMES: Final = {19: "name", 25: "text", 114: "json", 1082: "date", 1700: "numeric", 2950: "uuid", 3802: "jsonb"}
"""Names of types that `spoken_name` does not know by their number."""
_WORDS: Final = {
    "CASEEXPR": "CASE",
    "SUBLINK": "a sub-select",
    "MINMAXEXPR": "GREATEST or LEAST",
    "ROWEXPR": "ROW",
    "SQLVALUEFUNCTION": "a current user, date or time",
    "COERCETODOMAIN": "a cast to a domain",
    "SUBSCRIPTINGREF": "an element of an array",
    "ARRAYEXPR": "an array as a value",
    "ROWCOMPAREEXPR": "a comparison of rows",
}


class Surroundings(Struct, frozen=True):
    """What a tree is read in: the names it uses and the table, which is None where columns cannot be meant."""

    names: Names
    relation: Relation | None
    calls: int = 0


def read_value(node: Node, around: Surroundings) -> Value:
    """Return the value that a node stands for. Raises PolicyUnprovable."""
    read = _READERS.get(node.kind)
    if read is None:
        refuse(node)
    return read(node, around)


def refuse(node: Node) -> NoReturn:
    """Say that a kind of expression is not understood."""
    raise PolicyUnprovable(_WORDS.get(node.kind, node.kind), "not among the expressions that are compiled")


def column_at(node: Node, around: Surroundings) -> tuple[int, PgType]:
    """Return the place and the type of the column that a VAR names."""
    if around.relation is None or (node.number("varno"), node.number("varlevelsup")) != (1, 0):
        raise PolicyUnprovable("a column", "it belongs to another query level")
    name = around.names.columns.get(node.number("varattno"))
    for place, column in enumerate(around.relation.columns):
        if column.name == name:
            if column.type.oid != node.number("vartype"):
                break
            return place, base_type(column.type)
    raise PolicyUnprovable(f"column {name or node.text('varattno')}", "it is not in the log, or not with this type")


def type_of(oid: int, around: Surroundings) -> PgType:
    """Return a type by its number: one that came with Postgres, or an enum of one of the table's columns."""
    if oid in _READABLE | _SHARE_A_TEXT | {1042, 19, JSON, JSONB}:
        return PgType(oid, _NAMES.get(oid, str(oid)))
    for column in around.relation.columns if around.relation is not None else ():
        if (found := base_type(column.type)).oid == oid and found.kind == "enum":
            return found
    raise PolicyUnprovable(f"the type with OID {oid}", "its values cannot be read here")


def cast(value: Value, target: PgType) -> Value:
    """Return a value read as another type by way of its text."""
    if isinstance(value, ClaimsAsText) and target.oid in {JSON, JSONB}:
        return ClaimDocument((), target)
    if isinstance(value, ClaimsAsText):
        raise PolicyUnprovable("the claims", "only their parts as text (->>) are compiled as values")
    if target.oid in _SHARE_A_TEXT and (value.type.oid in _INTEGERS | {UUID_} or value.type.kind == "enum"):
        return counted_as(value, target)
    if value.type.oid not in _SHARE_A_TEXT or target.oid not in _READABLE:
        raise _no_cast(value.type, target)
    if reads_row(value):
        raise PolicyUnprovable("a cast", "of a column's text may fail for some rows")
    return Converted(value, "read", target)


def counted_as(value: Value, type_: PgType) -> Value:
    """Return a value whose text stays what it is under another type."""
    if isinstance(value, ColumnValue | ConstantValue):
        return replace(value, type=type_)
    return Converted(value, "same", type_)


def _column(node: Node, around: Surroundings) -> Value:
    return ColumnValue(*column_at(node, around))


def _constant(node: Node, around: Surroundings) -> Value:
    type_ = type_of(node.number("consttype"), around)
    data = constant_bytes(node)
    if data is None:
        return ConstantValue(None, type_)
    labels = around.names.labels if type_.kind == "enum" else None
    text = constant_text(type_.oid, data, labels)
    rules = scalar(type_)
    try:
        canonical = text if rules is None else rules.constant(text)
    except (Unsure, ConfigurationError):
        canonical = "\ufffd"
    if "\ufffd" in canonical:  # also stands for bytes of the log that were not UTF-8
        raise PolicyUnprovable("a constant", "it cannot be written in one certain way")
    return ConstantValue(canonical, type_)


def _relabeled(node: Node, around: Surroundings) -> Value:
    value = read_value(node.node("arg"), around)
    oid = node.number("resulttype")
    if value.type.oid != oid and not {value.type.oid, oid} <= _SHARE_A_TEXT:
        raise _no_cast(value.type, type_of(oid, around))
    return value if value.type.oid == oid else counted_as(value, type_of(oid, around))


def _no_cast(source: PgType, target: PgType) -> PolicyUnprovable:
    return PolicyUnprovable("a cast", f"from {spoken_name(source)} to {spoken_name(target)} is not compiled")


def _cast(node: Node, around: Surroundings) -> Value:
    return cast(read_value(node.node("arg"), around), type_of(node.number("resulttype"), around))


def _first_of(node: Node, around: Surroundings) -> Value:
    values = tuple(read_value(each, around) for each in node.nodes("args"))
    oid = node.number("coalescetype")
    if any(value.type.oid != oid or isinstance(value, ClaimsAsText | ClaimDocument) for value in values):
        raise PolicyUnprovable("COALESCE", "of these values is not compiled")
    return FirstOf(values, type_of(oid, around))


def _null_if(node: Node, around: Surroundings) -> Value:
    left, right = (read_value(each, around) for each in node.nodes("args"))
    if isinstance(left, ClaimsAsText) and isinstance(right, ConstantValue) and right.text == "":
        return left  # there are always claims
    name, rules = comparison(node, left, right, around.names)
    if name != "=" or isinstance(left, ClaimsAsText) or left.type.oid != node.number("opresulttype"):
        raise PolicyUnprovable("NULLIF", "of these values is not compiled")
    return NullIf(left, right, rules, left.type)


def _operation(node: Node, around: Surroundings) -> Value:
    operator = around.names.operators.get(node.number("opno"))
    arguments = node.nodes("args")
    if operator is None or operator.name not in {"->", "->>", "#>", "#>>"} or operator.right not in {TEXT, 1009}:
        raise PolicyUnprovable(
            f"operator {operator.name if operator else node.text('opno')}", "not compiled as a value"
        )
    document = read_value(arguments[0], around)
    if not isinstance(document, ClaimDocument):
        raise PolicyUnprovable(f"operator {operator.name}", "only of the claims is it compiled")
    path = document.path + _keys(arguments[1], around, single=operator.right == TEXT)
    if operator.name in {"->>", "#>>"}:
        return ClaimText(path, PgType(TEXT, "text"))
    return ClaimDocument(path, document.type)


def _keys(node: Node, around: Surroundings, *, single: bool) -> Path:
    if single:
        key = read_value(node, around)
        keys = [key.text if isinstance(key, ConstantValue) else None]
    else:
        keys = functions.constant_path(node)
    path = tuple(key for key in keys if key is not None)
    if not keys or len(path) != len(keys):
        raise PolicyUnprovable("a path into the claims", "only constant keys are compiled")
    return path


def _call(node: Node, around: Surroundings) -> Value:
    function = functions.callable_function(node, around.names)
    arguments = [read_value(each, around) for each in node.nodes("args")]
    if function.builtin:
        return functions.builtin_call(function, arguments, counted_as)
    if arguments or not function.plain or around.calls >= MAX_CALLS:
        raise PolicyUnprovable(f"function {function.name}", "only plain SQL functions without arguments are compiled")
    inside = Surroundings(around.names, None, around.calls + 1)
    if function.body is not None:
        value = read_value(only_value(read_tree(function.body)), inside)
    else:
        value = functions.known_source(function, type_of(function.result, inside), cast)
    if value.type.oid != function.result:
        raise PolicyUnprovable(f"function {function.name}", "its result has another type than its body")
    return value


def _sub_select(node: Node, around: Surroundings) -> Value:
    if node.number("subLinkType") != functions.SINGLE_VALUE:
        refuse(node)
    return read_value(only_value(node.node("subselect")), Surroundings(around.names, None, around.calls))


def _collated(node: Node, around: Surroundings) -> Value:
    return read_value(node.node("arg"), around)  # the comparison around it names the collation as well


_READERS: Final[dict[str, Callable[[Node, Surroundings], Value]]] = {
    "VAR": _column,
    "CONST": _constant,
    "RELABELTYPE": _relabeled,
    "COERCEVIAIO": _cast,
    "COALESCEEXPR": _first_of,
    "COALESCE": _first_of,
    "NULLIFEXPR": _null_if,
    "OPEXPR": _operation,
    "FUNCEXPR": _call,
    "SUBLINK": _sub_select,
    "COLLATEEXPR": _collated,
    "COLLATE": _collated,
}
"""Versions before 16 shorten some names of nodes."""
