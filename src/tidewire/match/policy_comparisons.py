"""Finds the rules by which two values of a policy compare: those of the operator, under the collation it names."""

from typing import Final

from tidewire.filters.checks import BPCHAR, NAME, TEXT, spoken_name
from tidewire.filters.collation import NONDETERMINISTIC
from tidewire.filters.scalars import Scalar
from tidewire.filters.texts import rules
from tidewire.filters.unsure import Unsure
from tidewire.match.policy import Names, PolicyUnprovable
from tidewire.match.policy_constants import INT2, INT4, INT8
from tidewire.match.policy_nodes import Node
from tidewire.match.policy_tree import ConstantValue, Value, reads_row
from tidewire.model.relation import PgType

COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})
ANY_ENUM: Final = 3500
_INTEGERS: Final = frozenset({INT2, INT4, INT8})
_COLLATED: Final = frozenset({TEXT, BPCHAR, NAME})


def comparison(node: Node, left: Value, right: Value, names: Names) -> tuple[str, Scalar]:
    """Return the name of a comparison and the rules of the type that it compares in. Raises PolicyUnprovable."""
    name, found = comparison_of_types(node, left.type, right.type, names)
    if left == right and not isinstance(left, ConstantValue) and not reads_row(left):
        # The planner of some versions fails on `x = x` without a column: "cannot cope with variable-free clause".
        raise PolicyUnprovable(f"operator {name}", "of a claim with itself is not compiled")
    for value in (left, right):
        if isinstance(value, ConstantValue) and value.text is not None and found.key is not None:
            try:
                found.key(value.text)
            except Unsure:
                raise PolicyUnprovable("a constant", "it cannot be compared here") from None
    return name, found


def comparison_of_types(node: Node, left: PgType, right: PgType, names: Names) -> tuple[str, Scalar]:
    """Return the same where only the types of the values are known."""
    operator = names.operators.get(node.number("opno"))
    if operator is None or operator.name not in COMPARISONS:
        raise PolicyUnprovable(f"operator {operator.name if operator else node.text('opno')}", "not compiled")
    what = f"operator {operator.name}"
    if operator.left == operator.right == ANY_ENUM:
        if left.oid != right.oid or left.kind != "enum":
            raise PolicyUnprovable(what, "of these enums is not compiled")
    elif {operator.left, operator.right, left.oid, right.oid} <= _INTEGERS:
        left = PgType(INT8, "int8")
    elif not operator.left == operator.right == left.oid == right.oid:
        raise PolicyUnprovable(what, f"of {spoken_name(left)} and {spoken_name(right)} is not compiled")
    found = _rules(left, node, names, what)
    if operator.name not in {"=", "<>"} and not found.ordered:
        raise PolicyUnprovable(what, "the order of these values is known to Postgres only")
    return operator.name, found


def _rules(type_: PgType, node: Node, names: Names, what: str) -> Scalar:
    locale = ""
    if type_.oid in _COLLATED:
        locale = names.collations.get(node.number("inputcollid"), NONDETERMINISTIC)
    try:
        return rules(type_, locale)
    except Unsure:
        raise PolicyUnprovable(
            what, f"how values of type {spoken_name(type_)} compare is known to Postgres only"
        ) from None
