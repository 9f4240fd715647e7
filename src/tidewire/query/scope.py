"""A table within a statement: finds its columns and remembers which of them the statement mentions."""

from tidewire.query.errors import unknown_column
from tidewire.query.schema import Column, Table
from tidewire.query.statement import Sql, name


class Scope:
    """The rows called `alias`. With no table, they are a function's, and only Postgres knows their columns."""

    def __init__(self, alias: str, table: Table | None, title: str) -> None:
        self.alias = alias
        self.table = table
        self.title = title
        self.mentioned: dict[str, None] = {}
        self._columns = {} if table is None else {column.name: column for column in table.columns}

    @property
    def columns(self) -> tuple[Column, ...]:
        return () if self.table is None else self.table.columns

    def has(self, column: str) -> bool:
        return self.table is None or column in self._columns

    def column(self, column: str) -> Sql:
        """Return the column's value. Raises QueryError when the table has none of this name."""
        if not self.has(column):
            raise unknown_column(self.title, column)
        self.mentioned[column] = None
        return Sql(f"{self.alias}.{name(column).text}")

    def type_of(self, column: str) -> str | None:
        """Return the column's type, or None where only Postgres knows it."""
        found = self._columns.get(column)
        return found.type if found else None
