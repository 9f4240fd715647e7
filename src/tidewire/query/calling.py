"""A call of a function becomes one statement: the overload that takes the arguments, its rows filtered and paged."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from tidewire.query.condition_sql import array_literal
from tidewire.query.cursor import MAX_NAME_BYTES
from tidewire.query.envelope import count_of, total_sql, with_body, without_body
from tidewire.query.errors import QueryError, invalid_body
from tidewire.query.limits import Limits
from tidewire.query.parameters import Pair, Parameters
from tidewire.query.preferences import Media, Preferences
from tidewire.query.reading import Reader
from tidewire.query.schema import Argument, Function, Schema
from tidewire.query.scope import Scope
from tidewire.query.statement import NOTHING, Sql, compose, joined, name, parameter, type_text

SHOWN_ARGUMENTS = 20


class Call(Struct, frozen=True):
    """A function with the SQL of its arguments; `source` is what they are read from, if not parameters alone."""

    function: Function
    arguments: Sql
    source: Sql = NOTHING


class Asked(Struct, frozen=True):
    """A call as it was asked for."""

    parameters: Parameters
    preferences: Preferences
    media: Media
    schema: Schema
    limits: Limits
    head: bool

    @property
    def counting(self) -> bool:
        return bool(self.preferences.count) or self.preferences.max_affected is not None


def call_by_url(schema: Schema, key: tuple[str, str], pairs: Sequence[Pair]) -> Call:
    """Find the function for the arguments of a URL; a variadic one takes a name several times."""
    given: dict[str, list[str]] = {}
    for key_text, text in pairs:
        given.setdefault(key_text, []).append(text)
    function = _choose(schema, key, tuple(given))
    parts = []
    for argument in function.arguments:
        texts = given.get(argument.name)
        if texts is None:
            continue
        text = array_literal(tuple(texts)) if argument.variadic and not texts[0].startswith("{") else texts[-1]
        parts.append(_named(argument, parameter(text, argument.type)))
    return Call(function, joined(", ", parts))


def call_by_body(schema: Schema, key: tuple[str, str], body: bytes, columns: tuple[str, ...] | None) -> Call:
    """Find the function for the members of a JSON object, or one that takes any JSON as its only, unnamed argument."""
    text = _decode(body)
    overloads = schema.functions.get(key, ())
    try:
        members = msgspec.json.decode(text, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        members = None
    given = columns if columns is not None else None if members is None else tuple(members)
    named = [function for function in overloads if given is not None and _takes(function, given)]
    raw = [function for function in overloads if function.takes_json]
    if not named and raw:
        return Call(raw[0], parameter(text, raw[0].arguments[0].type))
    if given is None:
        raise invalid_body("expected a JSON object with the function's arguments")
    function = _choose(schema, key, given)
    taken = [argument for argument in function.arguments if argument.name in given]
    record = joined(", ", (compose("{} {}", name(each.name), type_text(each.type)) for each in taken))
    arguments = joined(", ", (_named(each, compose("body.{}", name(each.name))) for each in taken))
    if not taken:
        return Call(function, arguments)
    return Call(
        function, arguments, compose("pg_catalog.json_to_record({}) as body({})", parameter(text, "json"), record)
    )


def call_statement(call: Call, asked: Asked) -> tuple[Sql, Media, bool]:
    """Return the statement, the form of its answer, and whether that is rows rather than one value."""
    function = call.function
    called = compose("{}.{}({})", name(function.schema), name(function.name), call.arguments)
    lateral = compose("{}, lateral ", call.source) if call.source.text else NOTHING
    composite = function.returns_table is not None or function.returns == "record"
    if not composite and not function.returns_set:
        return _single_value(compose("select {} as value{}", called, _from(call.source)), function), Media(), False
    if not composite:
        media = asked.media if asked.media.form == "object" else Media()
        return _many_values(compose("select {} as value{}", called, _from(call.source)), asked), media, True
    rows = compose("select r.* from {}{} as r", lateral, called)
    media = asked.media if function.returns_set or asked.media.form == "csv" else Media()
    return _rows(rows, function, asked), media, function.returns_set


def _rows(called: Sql, function: Function, asked: Asked) -> Sql:
    table = asked.schema.tables.get(function.returns_table) if function.returns_table else None
    reader = Reader(asked.schema, asked.limits)
    scope = Scope(reader.alias("r"), table, function.name)
    query = reader.query(asked.parameters.root, scope, Sql(f"called as {scope.alias}"))
    total = total_sql(query, "exact", 0) if asked.counting else Sql("null")
    result = (
        without_body(query.limited_rows(), total) if asked.head else with_body(query, total, _form(function, asked))
    )
    return compose("with called as ({}) {}", called, result)


def _form(function: Function, asked: Asked) -> Media:
    """One row of a function that returns one is an object, as if it had been asked for."""
    if function.returns_set or asked.media.form == "csv":
        return asked.media
    return Media("object", asked.media.strip_nulls)


def _many_values(called: Sql, asked: Asked) -> Sql:
    """Values of a set, which have no names and so no filters."""
    root = asked.parameters.root
    if root.conditions or root.order or asked.parameters.selected:
        raise QueryError(400, "PGRST100", "filtering a set of values: expected a function whose rows have columns")
    limit = asked.limits.max_rows if root.limit is None else min(root.limit, asked.limits.max_rows)
    bounds = compose("limit {} offset {}", parameter(str(limit), "bigint"), parameter(str(root.offset), "bigint"))
    total = count_of(Sql("select from called")) if asked.counting else Sql("null")
    body = Sql("null") if asked.head else Sql("coalesce(pg_catalog.json_agg(x.value), '[]')")
    if asked.media.form == "object":
        body = Sql("pg_catalog.json_agg(x.value) -> 0")
    return compose(
        "with called as ({}) select {}::bigint, pg_catalog.count(*)::bigint, ({})::text, null::text "
        "from (select value from called {}) as x",
        called, total, body, bounds,
    )  # fmt: skip


def _single_value(called: Sql, function: Function) -> Sql:
    """The value itself; a function without one is called all the same."""
    body = Sql("null::text" if function.is_void else "coalesce(pg_catalog.to_json(x.value)::text, 'null')")
    return compose("with called as materialized ({}) select null::bigint, 1::bigint, {}, "
                   "pg_catalog.left(x.value::text, 0) from called as x", called, body)  # fmt: skip


def _from(source: Sql) -> Sql:
    return compose(" from {}", source) if source.text else NOTHING


def _named(argument: Argument, value: Sql) -> Sql:
    variadic = Sql("variadic ") if argument.variadic else NOTHING
    return compose("{}{} := {}", variadic, name(argument.name), value)


def _takes(function: Function, given: Sequence[str]) -> bool:
    names = {argument.name for argument in function.arguments if argument.name}
    return set(function.required) <= set(given) <= names


def _choose(schema: Schema, key: tuple[str, str], given: Sequence[str]) -> Function:
    """Return the only overload that takes exactly these arguments, defaults aside."""
    found = [function for function in schema.functions.get(key, ()) if _takes(function, given)]
    if len(found) == 1:
        return found[0]
    title = f"{key[0]}.{key[1][:MAX_NAME_BYTES]}"
    if not found:
        shown = ", ".join(argument[:MAX_NAME_BYTES] for argument in given[:SHOWN_ARGUMENTS])
        raise QueryError(
            404, "PGRST202", f"Could not find the function {title}({shown}) in the schema cache",
            details="Searched for a function with these parameters, but no matches were found in the schema cache.",
        )  # fmt: skip
    candidates = ", ".join(
        f"{title}({', '.join(f'{each.name} => {each.type}' for each in function.arguments)})" for function in found
    )
    raise QueryError(
        300, "PGRST203", f"Could not choose the best candidate function between: {candidates}",
        hint="Try renaming the parameters or the function, so that its overloads can be told apart",
    )  # fmt: skip


def _decode(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise invalid_body("expected UTF-8") from None
    return text if text.strip() else "{}"
