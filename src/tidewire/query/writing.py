"""Inserts, updates and deletes become one statement each, which also reads what it changed, if that was asked for."""

from typing import Literal

from msgspec import Struct

from tidewire.query.condition_sql import term_sql
from tidewire.query.envelope import count_of, with_body, without_body
from tidewire.query.errors import QueryError
from tidewire.query.limits import Limits
from tidewire.query.parameters import Parameters
from tidewire.query.payload import Payload, check_columns
from tidewire.query.preferences import Media, Preferences
from tidewire.query.reading import Reader, table_sql
from tidewire.query.schema import Schema, Table
from tidewire.query.scope import Scope
from tidewire.query.statement import NOTHING, Sql, compose, joined, name, names, parameter, type_text

Kind = Literal["insert", "update", "delete"]


class Asked(Struct, frozen=True):
    """A write as it was asked for."""

    table: Table
    parameters: Parameters
    preferences: Preferences
    media: Media
    schema: Schema
    limits: Limits


def insert_statement(asked: Asked, payload: Payload) -> Sql:
    """Return the statement that adds the rows, or changes those that are there already."""
    columns = payload.columns or (() if payload.size else (asked.table.columns[0].name,))
    rows = _row_values(payload, columns, asked.table)
    conflict = _conflict(asked, columns or payload.columns)
    insert = compose("insert into {} as r {}{}", table_sql(asked.table), rows, conflict)
    return _returning(asked, insert, with_location=payload.size == 1)


def update_statement(asked: Asked, payload: Payload, missing: tuple[str, ...]) -> Sql:
    """Return the statement that changes the rows that the filters find; `missing` columns get their defaults."""
    assignments = [compose("{} = body.{}", name(column), name(column)) for column in payload.columns]
    assignments += [compose("{} = default", name(column)) for column in missing]
    if not assignments:
        raise QueryError(400, "PGRST102", "updating rows: expected at least one column in the body")
    table, body = table_sql(asked.table), _record_set(payload, payload.columns, asked.table)
    where = _where(asked, "UPDATE")
    return _returning(
        asked, compose("update {} as r set {} from {} where {}", table, joined(", ", assignments), body, where)
    )


def delete_statement(asked: Asked) -> Sql:
    """Return the statement that deletes the rows that the filters find."""
    where = _where(asked, "DELETE")
    return _returning(asked, compose("delete from {} as r where {}", table_sql(asked.table), where))


def _where(asked: Asked, verb: str) -> Sql:
    """Return the conditions; without any, somebody forgot them."""
    conditions = asked.parameters.root.conditions
    if not conditions:
        raise QueryError(
            400, "21000", f"{verb} requires a WHERE clause", hint="add a filter that finds the rows to change"
        )
    scope = Scope("r", asked.table, asked.table.name)
    return joined(" and ", [term_sql(term, scope) for term in conditions])


def _returning(asked: Asked, change: Sql, *, with_location: bool = False) -> Sql:
    """Put the change in front of a query that reads what it returned.

    Only columns that are read are returned, because returning needs the right to select them.
    """
    preferences = asked.preferences
    reader = Reader(asked.schema, asked.limits)
    counting = preferences.count or preferences.max_affected is not None
    counted = count_of(Sql("select from changed")) if counting else Sql("null")
    if preferences.returns == "representation":
        scope = Scope(reader.alias("r"), asked.table, asked.table.name)
        query = reader.query(asked.parameters.root, scope, Sql(f"changed as {scope.alias}"), filtered=False)
        query.limit = asked.parameters.root.limit
        returned = list(scope.mentioned)
        result = with_body(query, counted, asked.media)
    else:
        _refuse_window(asked)
        primary = [column.name for column in asked.table.columns if column.primary]
        locating = with_location and preferences.returns == "headers-only" and bool(primary)
        returned = primary if locating else []
        location = _location(primary) if locating else Sql("null")
        result = without_body(Sql("select * from changed"), counted, location)
    columns = joined(", ", (compose("r.{}", name(column)) for column in returned)) if returned else Sql("1")
    return compose("with changed as ({} returning {}) {}", change, columns, result)


def _refuse_window(asked: Asked) -> None:
    """A limit that nothing would obey must not look as if it limited the change."""
    if asked.parameters.root.limit is not None or asked.parameters.root.offset:
        raise QueryError(
            400, "PGRST100", "limit and offset choose what is returned, not what is changed",
            hint="use Prefer: handling=strict, max-affected=N to bound a change",
        )  # fmt: skip


def _location(primary: list[str]) -> Sql:
    pairs = joined(", ", (compose("{}, x.{}::text", parameter(column, "text"), name(column)) for column in primary))
    return compose("(pg_catalog.json_agg(pg_catalog.json_build_object({})) -> 0)", pairs)


def _row_values(payload: Payload, columns: tuple[str, ...], table: Table) -> Sql:
    if payload.objects is not None or (payload.size and not columns):
        return _values_with_defaults(payload, columns, table)
    return compose("({}) select {} from {}", names(columns), names(columns), _record_set(payload, columns, table))


def _values_with_defaults(payload: Payload, columns: tuple[str, ...], table: Table) -> Sql:
    """Return rows of which some leave columns to their defaults, which only a list of VALUES can say."""
    if not columns and payload.size == 1:
        return Sql("default values")
    columns = columns or (table.columns[0].name,)
    types = {column.name: column.type for column in table.columns}
    objects = payload.objects or ({},) * payload.size
    rows: list[Sql] = []
    for each in objects:
        cells = [
            _cell(column, types[column], bytes(each[column]).decode()) if column in each else Sql("default")
            for column in columns
        ]
        rows.append(compose("({})", joined(", ", cells)))
    return compose("({}) values {}", names(columns), joined(", ", rows))


def _cell(column: str, type_name: str, text: str) -> Sql:
    """Return one value of the body, read by Postgres as it reads whole rows."""
    record = compose("body({} {})", name(column), type_text(type_name))
    return compose(
        "(select body.{} from pg_catalog.json_to_record(pg_catalog.json_build_object({}, {})) as {})",
        name(column), parameter(column, "text"), parameter(text, "json"), record,
    )  # fmt: skip


def _record_set(payload: Payload, columns: tuple[str, ...], table: Table) -> Sql:
    types = {column.name: column.type for column in table.columns}
    record = joined(", ", (compose("{} {}", name(column), type_text(types[column])) for column in columns))
    if not columns:
        return Sql("(values (null)) as body")
    return compose("pg_catalog.json_to_recordset({}) as body({})", parameter(payload.text, "json"), record)


def _conflict(asked: Asked, columns: tuple[str, ...]) -> Sql:
    """Return what happens to rows that are there already."""
    resolution = asked.preferences.resolution
    keys = asked.parameters.on_conflict or tuple(column.name for column in asked.table.columns if column.primary)
    if not resolution or not keys:
        return NOTHING
    check_columns(keys, asked.table)
    # The keys are equal already; to set them would only need rights that the caller may lack.
    changed = [column for column in columns if column not in keys] or list(keys)
    if resolution == "ignore-duplicates":
        return compose(" on conflict ({}) do nothing", names(keys))
    assignments = joined(", ", (compose("{} = excluded.{}", name(column), name(column)) for column in changed))
    return compose(" on conflict ({}) do update set {}", names(keys), assignments)
