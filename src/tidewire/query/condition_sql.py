"""Conditions become SQL over the tables of a statement. Values become parameters, whatever they hold."""

from collections.abc import Callable

from tidewire.query.conditions import FULL_TEXT, Condition, Logic, Term
from tidewire.query.fields import field_sql
from tidewire.query.scope import Scope
from tidewire.query.statement import Sql, compose, joined, parameter

_SYMBOLS = {
    "eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=",
    "like": "like", "ilike": "ilike", "match": "~", "imatch": "~*",
    "cs": "@>", "cd": "<@", "ov": "&&", "sl": "<<", "sr": ">>", "nxr": "&<", "nxl": "&>", "adj": "-|-",
    "isdistinct": "is distinct from",
}  # fmt: skip
_TO_QUERY = {
    "fts": "to_tsquery", "plfts": "plainto_tsquery", "phfts": "phraseto_tsquery", "wfts": "websearch_to_tsquery",
}  # fmt: skip
_IS = {"null": "null", "not_null": "not null", "true": "true", "false": "false", "unknown": "unknown"}

FindEmbedded = Callable[[str], Sql | None]


def term_sql(term: Term, scope: Scope, embedded: FindEmbedded = lambda _: None) -> Sql:
    """Return a boolean expression; `embedded` finds what `clients=is.null` asks about. Raises QueryError."""
    if isinstance(term, Logic):
        inner = joined(f" {term.kind} ", (term_sql(each, scope, embedded) for each in term.terms))
        return compose("not ({})" if term.negated else "({})", inner)
    compared = _comparison(term, _value(term, scope, embedded), scope)
    return compose("not ({})" if term.negated else "{}", compared)


def _value(condition: Condition, scope: Scope, embedded: FindEmbedded) -> Sql:
    field = condition.field
    if condition.operator == "is" and condition.value in {"null", "not_null"} and not field.steps:
        found = None if scope.table is not None and scope.has(field.name) else embedded(field.name)
        if found is not None:
            return found
    return field_sql(field, scope)


def _comparison(condition: Condition, value: Sql, scope: Scope) -> Sql:
    operator = condition.operator
    if isinstance(condition.value, tuple):
        return compose("{} = any ({})", value, parameter(array_literal(condition.value)))
    if operator == "is":
        return compose(f"{{}} is {_IS[condition.value]}", value)
    if operator in FULL_TEXT:
        return _full_text(condition, condition.value, value, scope)
    text = condition.value.replace("*", "%") if operator in {"like", "ilike"} else condition.value
    place = f"{condition.quantifier} ({{}})" if condition.quantifier else "{}"
    return compose(f"{{}} {_SYMBOLS[operator]} {place}", value, parameter(text))


def _full_text(condition: Condition, text: str, value: Sql, scope: Scope) -> Sql:
    config = [] if condition.config is None else [parameter(condition.config, "regconfig")]
    query = joined(", ", [*config, parameter(text, "text")])
    if condition.field.steps or scope.type_of(condition.field.name) not in {"tsvector", None}:
        value = compose("pg_catalog.to_tsvector({})", joined(", ", [*config, value]))
    return compose(f"{{}} @@ pg_catalog.{_TO_QUERY[condition.operator]}({{}})", value, query)


def array_literal(values: tuple[str, ...]) -> str:
    """Return the text from which Postgres reads these values as an array; none of them is NULL."""
    return "{" + ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values) + "}"
