"""A tree of resources becomes a query: columns, joins to what is embedded, conditions, order. The heart of reading.

What is embedded is a lateral join whose `body` is its JSON, or NULL when there is none; so inner joins, filters on
being there, and counting treat one row and many alike.
"""

from collections.abc import Callable, Mapping
from itertools import count

from msgspec import Struct, field

from tidewire.query.condition_sql import term_sql
from tidewire.query.conditions import Logic, Term
from tidewire.query.errors import QueryError, exceeded
from tidewire.query.fields import Field, field_sql
from tidewire.query.limits import Limits
from tidewire.query.relationships import Link, find_link
from tidewire.query.resource import Item, OrderTerm, Resource, Star
from tidewire.query.schema import Schema, Table
from tidewire.query.scope import Scope
from tidewire.query.statement import NOTHING, Sql, compose, joined, name, parameter

Columns = list[tuple[str | None, Sql]]  # without a name: all columns of rows that only Postgres knows


class Join(Struct):
    """A lateral join to what is embedded; `counts` says whether it decides which rows there are."""

    alias: str
    query: Sql
    resource: Resource
    counts: bool
    to_one: bool
    spread: list[str] = field(default_factory=list)
    sorted_by: dict[OrderTerm, str] = field(default_factory=dict)

    def sql(self) -> Sql:
        kind, condition = ("join", f"{self.alias}.body is not null") if self.resource.inner else ("left join", "true")
        return compose(f"{kind} lateral ({{}}) as {self.alias} on {condition}", self.query)


class Query(Struct):
    """The parts of a query over one table: put them together with `page` or `rows`."""

    source: Sql
    columns: Columns
    joins: list[Join]
    where: list[Sql]
    order: list[Sql]
    limit: int | None
    offset: int
    groups: tuple[int, ...] | None = None
    """The numbers of the columns, from 1 on, by which rows are put together; None where they are not."""

    def page(self) -> Sql:
        """Return the query for the rows that were asked for."""
        return compose("{}{}", self._selection(self.joins), self.window())

    def selected(self) -> Sql:
        """Return the list of columns under their names."""
        return joined(
            ", ",
            (value if output is None else compose("{} as {}", value, name(output)) for output, value in self.columns),
        )

    def rows(self) -> Sql:
        """Return the query for one empty row each, without a limit: for counting."""
        joins = [join for join in self.joins if join.counts]
        if self.groups is not None:
            return compose("select from ({}) as x", self._selection(joins))
        return compose("select{}", self._from(joins))

    def limited_rows(self) -> Sql:
        """Return the query for one empty row each within the limit."""
        return compose("{}{}", self.rows(), window(self.limit, self.offset))

    def window(self) -> Sql:
        order = compose(" order by {}", joined(", ", self.order)) if self.order else NOTHING
        return compose("{}{}", order, window(self.limit, self.offset))

    def _selection(self, joins: list[Join]) -> Sql:
        groups = Sql(f" group by {', '.join(map(str, self.groups))}") if self.groups else NOTHING
        return compose("select {}{}{}", self.selected(), self._from(joins), groups)

    def _from(self, joins: list[Join]) -> Sql:
        where = compose(" where {}", joined(" and ", self.where)) if self.where else NOTHING
        parts = joined("", (compose(" {}", join.sql()) for join in joins))
        return compose(" from {}{}{}", self.source, parts, where)


def window(limit: int | None, offset: int) -> Sql:
    """Return limit and offset, where there are any."""
    parts = [NOTHING]
    if limit is not None:
        parts.append(compose(" limit {}", parameter(str(limit), "bigint")))
    if offset:
        parts.append(compose(" offset {}", parameter(str(offset), "bigint")))
    return joined("", parts)


def table_sql(table: Table) -> Sql:
    """Return the table's full name."""
    return compose("{}.{}", name(table.schema), name(table.name))


class Reader:
    """Builds the queries of one statement; every list of rows, and of columns, is as long as the limits allow."""

    def __init__(self, schema: Schema, limits: Limits) -> None:
        self._schema = schema
        self._limits = limits
        self._numbers = count()

    def alias(self, kind: str) -> str:
        """Return a name that nothing else in the statement has."""
        return f"{kind}{next(self._numbers)}"

    def query(self, resource: Resource, scope: Scope, source: Sql, *, filtered: bool = True) -> Query:
        """Return the query for a resource over `source`; unless `filtered`, its own conditions are left out."""
        joins = [self._join(each, scope, resource) for each in resource.embedded]
        where = [term_sql(term, scope, _finder(joins)) for term in resource.conditions] if filtered else []
        columns = self._columns(resource, scope, joins)
        fields = _grouped_fields(resource, scope)
        places = {each: number for number, each in enumerate(fields or (), 1) if each is not None}
        return Query(
            source=source,
            columns=columns,
            joins=joins,
            where=where,
            order=[_order_sql(term, scope, joins, places) for term in resource.order],
            limit=self._limits.max_rows if resource.limit is None else min(resource.limit, self._limits.max_rows),
            offset=resource.offset,
            groups=None if fields is None else tuple(number for number, each in enumerate(fields, 1) if each),
        )

    def _columns(self, resource: Resource, scope: Scope, joins: list[Join]) -> Columns:
        columns: Columns = []
        remaining = iter(joins)
        for item in resource.items:
            if isinstance(item, Star) and scope.table is None:
                columns.append((None, Sql(f"{scope.alias}.*")))
            elif isinstance(item, Star):
                columns += [(column.name, scope.column(column.name)) for column in scope.columns]
            elif isinstance(item, Item) and resource.items == [item] and _is_count(item, scope):
                columns.append((item.output, Sql("pg_catalog.count(*)")))
            elif isinstance(item, Item):
                columns.append((item.output, _item_sql(item, scope)))
            else:
                columns += _joined_columns(next(remaining))
            if len(columns) > self._limits.max_fields:
                raise exceeded("selected fields", self._limits.max_fields)
        return columns

    def _join(self, resource: Resource, parent: Scope, asking: Resource) -> Join:
        """Return the join to an embedded resource, seen from its parent's rows."""
        if parent.table is None:
            raise QueryError(400, "PGRST200", f"Could not find a relationship between '{parent.title}' and "
                             f"'{resource.name}' in the schema cache")  # fmt: skip
        link = find_link(self._schema, parent.table, resource.name, resource.hint)
        scope = Scope(self.alias("r"), link.target, link.target.name)
        query = self.query(resource, scope, compose(f"{{}} as {scope.alias}", table_sql(link.target)))
        self._connect(query, link, parent, scope)
        sorting = [term for term in asking.order if term.relation in {resource.output, resource.name}]
        counts = resource.inner or any(_asks(term, resource.output) for term in asking.conditions)
        if not link.to_one:
            if sorting:
                raise QueryError(400, "PGRST118", f"A related order on '{resource.name}' is not possible",
                                 details=f"'{parent.title}' and '{resource.name}' do not form a many-to-one or "
                                 "one-to-one relationship")  # fmt: skip
            return _join_many(self.alias("e"), query, resource, counts=counts)
        if query.groups is not None:
            raise _no_aggregates_here()
        return _join_one(self.alias("e"), query, resource, [(term, scope) for term in sorting], counts=counts)

    def _connect(self, query: Query, link: Link, parent: Scope, scope: Scope) -> None:
        """Bind the rows of the target to the parent's row, through a junction if there is one."""
        if link.junction is None:
            query.where[:0] = [compose("{} = {}", scope.column(far), parent.column(near)) for near, far in link.pairs]
            return
        between = Scope(self.alias("r"), link.junction, link.junction.name)
        query.source = compose(f"{{}}, {{}} as {between.alias}", query.source, table_sql(link.junction))
        query.where[:0] = [
            *(compose("{} = {}", between.column(far), parent.column(near)) for near, far in link.pairs),
            *(compose("{} = {}", scope.column(far), between.column(near)) for near, far in link.onward),
        ]


def _join_many(alias: str, query: Query, resource: Resource, *, counts: bool) -> Join:
    """All rows as one JSON array; spread, one array for each column."""
    if not resource.spread:
        return Join(
            alias,
            compose("select pg_catalog.json_agg(x.*) as body from ({}) as x", query.page()),
            resource,
            counts,
            to_one=False,
        )
    spread = _outputs(query)
    query.columns = [(f"c{number}", value) for number, (_, value) in enumerate(query.columns)]
    arrays = [Sql(f"coalesce(pg_catalog.json_agg(x.c{number}), '[]') as c{number}") for number in range(len(spread))]
    columns = joined(", ", [*arrays, Sql("nullif(pg_catalog.count(*), 0) as body")])
    return Join(
        alias, compose("select {} from ({}) as x", columns, query.page()), resource, counts, to_one=False, spread=spread
    )


def _join_one(
    alias: str, query: Query, resource: Resource, sorting: list[tuple[OrderTerm, Scope]], *, counts: bool
) -> Join:
    """One row as one JSON object; spread, its columns. Beside it stands what the parent's rows are sorted by."""
    sorted_by = {term: f"o{number}" for number, (term, _) in enumerate(sorting)}
    extra = [(f"o{number}", field_sql(term.field, scope)) for number, (term, scope) in enumerate(sorting)]
    spread: list[str] = []
    if resource.spread:
        spread = _outputs(query)
        columns: Columns = [(f"c{number}", value) for number, (_, value) in enumerate(query.columns)]
        query.columns = [*columns, ("body", Sql("true")), *extra]
    else:
        body = compose("(select pg_catalog.row_to_json(x.*) from (select {}) as x)", query.selected())
        query.columns = [("body", body), *extra]
    query.order, query.limit, query.offset = [], None, 0  # one row: without a limit Postgres can join as it likes
    return Join(alias, query.page(), resource, counts, to_one=True, spread=spread, sorted_by=sorted_by)


def _outputs(query: Query) -> list[str]:
    return [output for output, _ in query.columns if output is not None]


def _joined_columns(join: Join) -> Columns:
    if join.resource.spread:
        return [(output, Sql(f"{join.alias}.c{number}")) for number, output in enumerate(join.spread)]
    if not join.resource.items:  # embedded only to filter by it
        return []
    body = f"{join.alias}.body" if join.to_one else f"coalesce({join.alias}.body, '[]')"
    return [(join.resource.output, Sql(body))]


def _is_count(item: Item, scope: Scope) -> bool:
    """Tell whether `clients(count)` asks how many there are; where a column has that name, it asks for the column."""
    plain = item.field == Field("count") and item.cast is None and item.aggregate is None
    return plain and not scope.has("count")


def _item_sql(item: Item, scope: Scope) -> Sql:
    value = Sql("*") if item.field is None else field_sql(item.field, scope)
    value = value if item.cast is None else compose(f"{{}}::{item.cast}", value)
    if item.aggregate is not None:
        value = compose(f"pg_catalog.{item.aggregate}({{}})", value)
    return value if item.result_cast is None else compose(f"{{}}::{item.result_cast}", value)


def _grouped_fields(resource: Resource, scope: Scope) -> list[Field | None] | None:
    """Return what each column is by which rows are put together, None for an aggregate; None if there is none of these.

    Columns go by their numbers then: a place within JSON is a parameter, and to Postgres two of them are not the same.
    """
    if not any(isinstance(item, Item) and item.aggregate for item in resource.items):
        return None
    if resource.embedded or resource.spread or scope.table is None:
        raise _no_aggregates_here()
    fields: list[Field | None] = []
    for item in resource.items:
        if isinstance(item, Star):
            fields += [Field(column.name) for column in scope.columns]
        elif isinstance(item, Item):
            fields.append(None if item.aggregate else item.field)
    return fields


def _no_aggregates_here() -> QueryError:
    return QueryError(400, "PGRST127", "Feature not implemented", details="aggregate functions beside what is embedded,"
                      " in a single embedded row, in spread columns and in the rows of functions")  # fmt: skip


def _order_sql(term: OrderTerm, scope: Scope, joins: list[Join], places: Mapping[Field, int]) -> Sql:
    suffix = f" {term.direction} {term.nulls}".rstrip().replace("  ", " ")
    if term.relation is None and term.field in places:
        return Sql(f"{places[term.field]}{suffix}")
    if term.relation is None:
        return compose(f"{{}}{suffix}", field_sql(term.field, scope))
    for join in joins:
        if term in join.sorted_by:
            return Sql(f"{join.alias}.{join.sorted_by[term]}{suffix}")
    raise QueryError(
        400,
        "PGRST108",
        f"'{term.relation}' is not an embedded resource in this request",
        hint=f"Verify that '{term.relation}' is included in the 'select' query parameter.",
    )


def _finder(joins: list[Join]) -> Callable[[str], Sql | None]:
    def find(wanted: str) -> Sql | None:
        return next((Sql(f"{join.alias}.body") for join in joins if wanted == join.resource.output), None)

    return find


def _asks(term: Term, output: str) -> bool:
    """Tell whether a condition may ask if an embedded resource is there."""
    if isinstance(term, Logic):
        return any(_asks(each, output) for each in term.terms)
    return term.field.name == output
