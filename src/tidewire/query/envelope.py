"""Wraps a query for rows into the one row that every statement of the data API returns."""

from tidewire.query.answer import Listing
from tidewire.query.errors import QueryError
from tidewire.query.preferences import Media
from tidewire.query.reading import Query
from tidewire.query.statement import NOTHING, Sql, compose, joined, parameter

# The order of the columns is that of answer.Row.
_ROW = "select {}::bigint, {}::bigint, {}::text, {}::text"
_NULL = Sql("null")
_PLACE = Sql(
    "case when not pg_catalog.pg_is_in_recovery() then pg_catalog.pg_current_snapshot()::text"
    " || '@' || pg_catalog.pg_current_wal_insert_lsn()::text end"
)
"""What the statement can see. A transaction that it sees has its commit record before that place of the log."""


def with_body(query: Query, total: Sql, media: Media, location: Sql = _NULL) -> Sql:
    """Return total, size of the page and the page itself as text."""
    if media.form == "csv":
        header = csv_header(query)
        body = compose("{} || coalesce(pg_catalog.string_agg({}, E'\\n'), '')", header, csv_line(query))
    else:
        body = Sql("pg_catalog.json_agg(x.*)")
        body = compose("{} -> 0", body) if media.form == "object" else compose("coalesce({}, '[]')", body)
        body = compose("pg_catalog.json_strip_nulls({})", body) if media.strip_nulls else body
    row = compose(_ROW, total, Sql("pg_catalog.count(*)"), compose("({})", body), location)
    return compose("{} from ({}) as x", row, query.page())


def in_rows(query: Query, total: Sql, media: Media) -> tuple[Sql, Listing]:
    """Return one row for each row of the page, and what its text is put between; one row when there is none."""
    if media.form == "csv":
        listing = Listing(csv_header_text(query), "\n", "")
        line = csv_line(query)
    else:
        listing = Listing("[", ",\n ", "]")
        line = Sql("pg_catalog.row_to_json(x.*)")
        line = compose("pg_catalog.json_strip_nulls({})", line) if media.strip_nulls else line
    once = compose("select {}::bigint as total, {} as place", total, _PLACE)
    lines = compose("select ({})::text as body from ({}) as x", line, query.page())
    return compose(
        "select t.total, pg_catalog.count(x.body) over (), x.body, null::text, t.place "
        "from ({}) as t left join ({}) as x on true",
        once, lines,
    ), listing  # fmt: skip


def with_place(statement: Sql) -> Sql:
    """Add the column that tells what a statement of one row has seen."""
    return compose("select x.*, {} from ({}) as x", _PLACE, statement)


def without_body(rows: Sql, total: Sql, location: Sql = _NULL) -> Sql:
    """Return total and number of the rows."""
    return compose("{} from ({}) as x", compose(_ROW, total, Sql("pg_catalog.count(*)"), _NULL, location), rows)


def counted_once(rows: Sql, limit: int | None, offset: int) -> Sql:
    """Return total and size of the page from one scan, which does without a second one for the page."""
    rest = compose("x.total - {}", parameter(str(offset), "bigint"))
    page = rest if limit is None else compose("least({}, {})", rest, parameter(str(limit), "bigint"))
    row = compose(_ROW, Sql("x.total"), compose("greatest(0, {})", page), _NULL, _NULL)
    return compose("{} from (select pg_catalog.count(*) as total from ({}) as x) as x", row, rows)


def count_of(rows: Sql) -> Sql:
    """Return the number of the rows as a value."""
    return compose("(select pg_catalog.count(*) from ({}) as x)", rows)


def total_sql(query: Query, count: str, counted_to: int) -> Sql:
    """Return how many rows there are without a limit, as far as the preference asks for it."""
    if count == "exact":
        return count_of(query.rows())
    if count == "estimated":
        return count_of(compose("{} limit {}", query.rows(), parameter(str(counted_to + 1), "bigint")))
    return _NULL


def csv_header(query: Query) -> Sql:
    """Return the first line as a value."""
    return parameter(csv_header_text(query), "text")


def csv_header_text(query: Query) -> str:
    """Return the first line. From here on the columns have numbers, because their names need not differ."""
    if any(output is None for output, _ in query.columns):
        raise QueryError(406, "PGRST107", "CSV of a function's rows needs a list of columns", hint="add a select list")
    line = ",".join(_cell(output or "") for output, _ in query.columns)
    query.columns = [(f"c{number}", value) for number, (_, value) in enumerate(query.columns)]
    return f"{line}\n"


def csv_line(query: Query) -> Sql:
    """Return the line of one row: NULL is nothing, an empty text is a pair of quotes."""
    cells = [_quoted_cell(f"x.c{number}::text") for number in range(len(query.columns))]
    return joined(" || ',' || ", map(Sql, cells)) if cells else compose("''{}", NOTHING)


def _quoted_cell(value: str) -> str:
    quoted = f"""'"' || pg_catalog.replace({value}, '"', '""') || '"'"""
    return f"""(case when {value} ~ '[",\\n\\r]|^$' then {quoted} else coalesce({value}, '') end)"""


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(each in text for each in '",\n\r') else text
