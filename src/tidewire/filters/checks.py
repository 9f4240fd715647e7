"""Checks conditions against a table as Postgres would at subscribe time. Does not look at constants."""

from collections.abc import Sequence

from tidewire.filters.grammar import Condition
from tidewire.model.errors import ConfigurationError
from tidewire.model.relation import Column, PgType, Relation

MAX_LIST_VALUES = 100
_KEYWORDS = frozenset({"null", "true", "false", "unknown"})
_FIRST_OID_OF_USERS = 16384

BOOL, BYTEA, NAME, TEXT, BPCHAR, VARCHAR, SINGLE_CHAR = 16, 17, 19, 25, 1042, 1043, 18
TEXTS = frozenset({NAME, TEXT, BPCHAR, VARCHAR})

_SPOKEN_NAMES = {
    16: "boolean",
    18: '"char"',
    20: "bigint",
    21: "smallint",
    23: "integer",
    700: "real",
    701: "double precision",
    1042: "character",
    1043: "character varying",
    1083: "time without time zone",
    1114: "timestamp without time zone",
    1184: "timestamp with time zone",
    1266: "time with time zone",
    1562: "bit varying",
}
"""Where the name in messages is not the one in pg_type."""


def base_type(type_: PgType) -> PgType:
    """Return what a domain is made of in the end; other types are themselves."""
    while type_.kind == "domain" and type_.base is not None:
        type_ = type_.base
    return type_


def spoken_name(type_: PgType) -> str:
    """Return the type's name as Postgres's messages say it."""
    if type_.kind == "array" and type_.element is not None:
        return spoken_name(type_.element) + "[]"
    return _SPOKEN_NAMES.get(type_.oid, type_.name)


def find_column(condition: Condition, relation: Relation) -> tuple[int, Column]:
    """Return the place and column that the condition is about. Raises ConfigurationError when there is none."""
    for place, column in enumerate(relation.columns):
        if column.name == condition.column:
            return place, column
    raise ConfigurationError(
        f"invalid column for filter {condition.column}", hint="name a column of the table that your role may read"
    )


def check_conditions(conditions: Sequence[Condition], relation: Relation) -> None:
    """Raise ConfigurationError for a column, list, keyword or operator that Postgres would refuse for this table."""
    for condition in conditions:
        _, column = find_column(condition, relation)
        type_ = base_type(column.type)
        if isinstance(condition.value, tuple):
            _check_list(condition.value)
        elif condition.operator == "is":
            _check_keyword(condition.value, column.type)
        elif condition.operator in {"like", "ilike", "match", "imatch"} and not _may_match(condition.operator, type_):
            raise ConfigurationError(
                f"operator {condition.operator} requires a text-compatible column type, got {spoken_name(column.type)}",
                hint="compare with eq, neq, lt, lte, gt, gte, in or isdistinct",
            )


def expression_error(operator: str, reason: str) -> ConfigurationError:
    """Build the error for a regular expression that Postgres, when probed, did not accept (SQLSTATE 2201B)."""
    return ConfigurationError(
        f"invalid regular expression for {operator} filter: {reason}", hint="correct the regular expression"
    )


def _check_list(values: tuple[str | None, ...]) -> None:
    if len(values) > MAX_LIST_VALUES:
        raise ConfigurationError(
            f"too many values for `in` filter. Maximum {MAX_LIST_VALUES}", hint="use several subscriptions"
        )


def _check_keyword(keyword: str, type_: PgType) -> None:
    if keyword not in _KEYWORDS:
        raise ConfigurationError(
            "invalid value for is filter: must be null, true, false, or unknown", hint="write it in lower case"
        )
    if keyword != "null" and base_type(type_).oid != BOOL:
        raise ConfigurationError(
            f"is {keyword} filter requires a boolean column, got {spoken_name(type_)}", hint="compare with eq instead"
        )


def _may_match(operator: str, type_: PgType) -> bool:
    """Tell whether Postgres has the operator; of types that extensions bring, nothing is known: not refused here."""
    if type_.oid in TEXTS or type_.oid == SINGLE_CHAR:
        return True
    if type_.oid == BYTEA:
        return operator == "like"
    return type_.kind == "base" and type_.oid >= _FIRST_OID_OF_USERS
