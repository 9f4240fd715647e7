"""The door of this package: one request of the data API becomes a statement and what to make of its row."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from tidewire.query import calling, writing
from tidewire.query.answer import Listing, Reply
from tidewire.query.envelope import counted_once, in_rows, total_sql, with_body, with_place, without_body
from tidewire.query.errors import QueryError
from tidewire.query.limits import Limits
from tidewire.query.ordering import parse_range
from tidewire.query.parameters import Pair, Parameters, parse_parameters
from tidewire.query.payload import parse_payload
from tidewire.query.preferences import Media, Preferences, choose_schema, parse_accept, parse_preferences
from tidewire.query.reading import Query, Reader, table_sql
from tidewire.query.schema import Schema, Table
from tidewire.query.scope import Scope
from tidewire.query.statement import Sql, Statement, compose

__all__ = ["Limits", "Planned", "Request", "plan"]


LISTED_FROM: Final = 100
"""A list that may be longer is returned row by row, since it may be large. A short one is quicker in one piece."""


class Request(Struct, frozen=True):
    """One HTTP request: `path` is what follows /rest/v1/, `query` its decoded pairs, `headers` in lower case.

    A header that was sent several times has its values joined by commas.
    """

    method: str
    path: tuple[str, ...]
    query: Sequence[Pair]
    headers: Mapping[str, str]
    body: bytes = b""


class Planned(Struct, frozen=True):
    """What to run. Make a `Row` of the statement's four columns and ask `reply.answer` what to send.

    With a `listing` the statement returns one row for each row of the list, however many: take them as they come, put
    their bodies into the listing, and ask `reply.answer` with the first of them.
    With `estimate`, run it as well: the first value of its row is an EXPLAIN in JSON, whose "Plan Rows" answer() wants.
    Where `conditional`, commit only after answer() returned: it may refuse what the statement did.
    `rollback` means that nothing may stay; `read_only`, that the transaction is to be read-only.
    """

    statement: Statement
    reply: Reply
    read_only: bool
    rollback: bool
    conditional: bool
    schema: str
    estimate: Statement | None = None
    listing: Listing | None = None


class _Asked(Struct, frozen=True):
    request: Request
    schema: Schema
    limits: Limits
    schema_name: str
    media: Media
    preferences: Preferences
    head: bool

    def planned(
        self,
        statement: Sql,
        reply: Reply,
        *,
        read_only: bool,
        conditional: bool = False,
        estimate: Sql | None = None,
        listing: Listing | None = None,
    ) -> Planned:
        return Planned(
            statement=statement.statement(),
            reply=reply,
            read_only=read_only,
            rollback=self.preferences.tx == "rollback",
            conditional=conditional,
            schema=self.schema_name,
            estimate=None if estimate is None else estimate.statement(),
            listing=listing,
        )


def plan(request: Request, schema: Schema, limits: Limits) -> Planned:
    """Return what to run for a request. Raises QueryError, which says what to answer instead."""
    check_request(request, limits)
    return plan_checked(request, schema, limits)


def plan_checked(request: Request, schema: Schema, limits: Limits) -> Planned:
    """Return what to run for a request that `check_request` lets pass. Raises QueryError as well."""
    asked = _Asked(
        request=request,
        schema=schema,
        limits=limits,
        schema_name=choose_schema(request.method, request.headers, limits.schemas),
        media=parse_accept(request.headers.get("accept", "")),
        preferences=parse_preferences(request.headers.get("prefer", "")),
        head=request.method == "HEAD",
    )
    if len(request.path) == 2 and request.path[0] == "rpc":
        return _plan_call(asked, request.path[1])
    if len(request.path) != 1:
        raise QueryError(404, "PGRST125", "Invalid path specified in request URL")
    table = _find_table(asked, request.path[0])
    parameters = parse_parameters(request.query, table.name, limits, with_arguments=False)
    if request.method in {"GET", "HEAD"}:
        return _plan_read(asked, table, parameters)
    if request.method in {"POST", "PATCH", "DELETE"}:
        return _plan_write(asked, table, parameters)
    raise _unsupported_method()


def check_request(request: Request, limits: Limits) -> None:
    """Raise QueryError for a request that is too large, or holds text that is none to Postgres."""
    if len(request.body) > limits.max_body_bytes:
        raise QueryError(413, "PGRST102", f"body: expected at most {limits.max_body_bytes} bytes")
    if sum(len(key) + len(value) for key, value in request.query) > limits.max_query_chars:
        raise QueryError(414, "PGRST100", f"query of the URL: expected at most {limits.max_query_chars} characters")
    texts = [*request.path, *(text for pair in request.query for text in pair)]
    if any("\0" in text or (not text.isascii() and _has_surrogates(text)) for text in texts):
        raise QueryError(400, "PGRST100", "text must be Unicode without the zero character")


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _find_table(asked: _Asked, name: str) -> Table:
    table = asked.schema.tables.get((asked.schema_name, name))
    if table is None:
        title = f"{asked.schema_name}.{name[:63]}"
        raise QueryError(404, "PGRST205", f"Could not find the table '{title}' in the schema cache")
    return table


def _plan_read(asked: _Asked, table: Table, parameters: Parameters) -> Planned:
    _apply_range(asked, parameters)
    reader = Reader(asked.schema, asked.limits)
    scope = Scope(reader.alias("r"), table, table.name)
    query = reader.query(parameters.root, scope, compose(f"{{}} as {scope.alias}", table_sql(table)))
    count = asked.preferences.count
    total = total_sql(query, count, asked.limits.max_rows)
    listing = None
    if not asked.head and asked.media.form != "object" and (query.limit is None or query.limit > LISTED_FROM):
        statement, listing = in_rows(query, total, asked.media)
    elif not asked.head:
        statement = with_place(with_body(query, total, asked.media))
    elif count == "exact":
        statement = with_place(counted_once(query.rows(), query.limit, query.offset))
    else:
        statement = with_place(without_body(query.limited_rows(), total))
    reply = Reply(
        kind="read",
        media=asked.media,
        preferences=asked.preferences,
        path=table.name,
        offset=query.offset,
        with_body=not asked.head,
        counted_to=asked.limits.max_rows,
    )
    return asked.planned(statement, reply, read_only=True, estimate=_estimate(query, count), listing=listing)


def _estimate(query: Query, count: str) -> Sql | None:
    return compose("explain (format json) {}", query.rows()) if count in {"planned", "estimated"} else None


def _apply_range(asked: _Asked, parameters: Parameters) -> None:
    """Narrow the rows by the header Range, which only reading knows; parameters go before it."""
    header = asked.request.headers.get("range")
    root = parameters.root
    if header is None or root.limit is not None or root.offset:
        return
    root.offset, root.limit = parse_range(header)


def _plan_write(asked: _Asked, table: Table, parameters: Parameters) -> Planned:
    written = writing.Asked(table, parameters, asked.preferences, asked.media, asked.schema, asked.limits)
    kind, statement = _write(asked, written)
    representation = asked.preferences.returns == "representation"
    reply = Reply(
        kind=kind,
        media=asked.media,
        preferences=asked.preferences,
        path=table.name,
        with_body=representation,
    )
    conditional = (representation and asked.media.form == "object") or asked.preferences.max_affected is not None
    return asked.planned(statement, reply, read_only=False, conditional=conditional)


def _write(asked: _Asked, written: writing.Asked) -> tuple[writing.Kind, Sql]:
    if asked.request.method == "DELETE":
        return "delete", writing.delete_statement(written)
    _check_content_type(asked.request)
    missing_default = asked.preferences.missing == "default"
    columns = written.parameters.columns
    payload = parse_payload(asked.request.body, written.table, columns, asked.limits, missing_default=missing_default)
    if asked.request.method == "POST":
        return "insert", writing.insert_statement(written, payload)
    if payload.size != 1:
        raise QueryError(400, "PGRST102", "updating rows: expected one JSON object")
    missing = tuple(each for each in columns or () if missing_default and each not in payload.columns)
    return "update", writing.update_statement(written, payload, missing)


def _plan_call(asked: _Asked, function_name: str) -> Planned:
    request = asked.request
    by_url = request.method in {"GET", "HEAD"}
    if not by_url and request.method != "POST":
        raise _unsupported_method()
    parameters = parse_parameters(request.query, function_name, asked.limits, with_arguments=True)
    key = (asked.schema_name, function_name)
    if by_url:
        _apply_range(asked, parameters)
        call = calling.call_by_url(asked.schema, key, parameters.arguments)
    else:
        _check_content_type(request)
        call = calling.call_by_body(asked.schema, key, request.body, parameters.columns)
    silent = asked.head or asked.preferences.returns in {"minimal", "headers-only"}
    statement, media, rows = calling.call_statement(
        call, calling.Asked(parameters, asked.preferences, asked.media, asked.schema, asked.limits, silent)
    )
    reply = Reply(
        kind="call",
        media=media,
        preferences=asked.preferences,
        path=function_name,
        offset=parameters.root.offset,
        with_body=not silent and not call.function.is_void,
        rows=rows,
        void=call.function.is_void or (silent and not asked.head),
    )
    conditional = (rows and asked.media.form == "object") or asked.preferences.max_affected is not None
    read_only = by_url or call.function.volatility != "volatile"
    return asked.planned(statement, reply, read_only=read_only, conditional=conditional and not read_only)


def _check_content_type(request: Request) -> None:
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if kind not in {"application/json", "application/vnd.pgrst.object+json", "application/vnd.pgrst.array+json"}:
        raise QueryError(415, "PGRST102", "Content-Type not acceptable", hint="send application/json")


def _unsupported_method() -> QueryError:
    return QueryError(405, "PGRST117", "Unsupported HTTP method")
