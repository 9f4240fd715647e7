"""What is understood of a policy: conditions over values that come from the row, from the claims or are constant.

A value of a row or a claim is the text that Postgres would print for it, or None for NULL. Nothing is evaluated here.
"""

from typing import Literal

from msgspec import Struct

from tidewire.filters.scalars import Scalar
from tidewire.model.relation import PgType

Path = tuple[str, ...]
"""The keys that lead from the claims to a value; () is all of them."""


class ColumnValue(Struct, frozen=True):
    """The value at a place of the row. `type` is what it counts as: casts that keep the text change only this."""

    place: int
    type: PgType


class ConstantValue(Struct, frozen=True):
    """A text in its canonical form, or NULL."""

    text: str | None
    type: PgType


class ClaimText(Struct, frozen=True):
    """A claim as `->>` and `#>>` give it."""

    path: Path
    type: PgType


class ClaimSetting(Struct, frozen=True):
    """The setting `request.jwt.claim.NAME`: the claim as text, empty where there is none."""

    name: str
    type: PgType


class ClaimDocument(Struct, frozen=True):
    """A part of the claims as JSON, as `->` gives it; with an empty path all of them."""

    path: Path
    type: PgType


class ClaimsAsText(Struct, frozen=True):
    """The setting `request.jwt.claims` before it is read as JSON. Only good for that."""

    type: PgType


Conversion = Literal["read", "same", "word", "unpadded", "flag"]
"""How a text becomes another: `read` by the type's input function, `word` as a boolean becomes true or false,
`unpadded` as char(n) becomes text, `flag` as JSON becomes a boolean; `same` changes the type only."""


class Converted(Struct, frozen=True):
    value: "Value"
    how: Conversion
    type: PgType


class FirstOf(Struct, frozen=True):
    """COALESCE."""

    values: tuple["Value", ...]
    type: PgType


class NullIf(Struct, frozen=True):
    """NULLIF: the left value unless the two are equal."""

    left: "Value"
    right: "Value"
    rules: Scalar
    type: PgType


Value = (
    ColumnValue | ConstantValue | ClaimText | ClaimSetting | ClaimDocument | ClaimsAsText | Converted | FirstOf | NullIf
)


def reads_row(value: Value) -> bool:
    """Tell whether a value depends on the row."""
    match value:
        case ColumnValue():
            return True
        case Converted():
            return reads_row(value.value)
        case FirstOf():
            return any(reads_row(each) for each in value.values)
        case NullIf():
            return reads_row(value.left) or reads_row(value.right)
    return False


class Values(Struct, frozen=True):
    """The elements of an array, one by one."""

    items: tuple[Value, ...]
    type: PgType


class ClaimList(Struct, frozen=True):
    """A claim that is a list: its elements as texts, read as `type`. With a `separator` it is a text to split."""

    path: Path
    type: PgType
    separator: str | None = None


class ColumnList(Struct, frozen=True):
    """A column that is an array; `type` is that of its elements."""

    place: int
    type: PgType


class Compare(Struct, frozen=True):
    """A comparison of two values of one type; `distinct` is IS DISTINCT FROM, which knows no NULL."""

    operator: Literal["=", "<>", "<", "<=", ">", ">=", "distinct"]
    left: Value
    right: Value
    rules: Scalar


class Member(Struct, frozen=True):
    """`item = ANY (values)`, or, where not `wanted`, `item <> ALL (values)`."""

    item: Value
    values: Values | ClaimList | ColumnList
    rules: Scalar
    wanted: bool


class HasKey(Struct, frozen=True):
    """`document ? key`: a text is an element or a key of a part of the claims."""

    document: ClaimDocument
    key: Value


class IsNull(Struct, frozen=True):
    value: Value
    wanted: bool


class Truth(Struct, frozen=True):
    """IS TRUE, IS FALSE or IS UNKNOWN; or IS NOT, where not `wanted`."""

    condition: "Condition"
    state: bool | None
    wanted: bool


class Flag(Struct, frozen=True):
    """A boolean value."""

    value: Value


class FirstKnown(Struct, frozen=True):
    """COALESCE of conditions: the first that is not NULL."""

    conditions: tuple["Condition", ...]


class Not(Struct, frozen=True):
    condition: "Condition"


class And(Struct, frozen=True):
    conditions: tuple["Condition", ...]


class Or(Struct, frozen=True):
    conditions: tuple["Condition", ...]


Condition = Compare | Member | HasKey | IsNull | Truth | Flag | FirstKnown | Not | And | Or
