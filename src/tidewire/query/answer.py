"""The one row that a statement returns becomes status, headers and body of an answer."""

from collections.abc import Iterable
from typing import Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from tidewire.query.errors import QueryError
from tidewire.query.ordering import not_satisfiable
from tidewire.query.preferences import Media, Preferences

Kind = Literal["read", "insert", "update", "delete", "call"]
Headers = tuple[tuple[str, str], ...]
Text = str | bytes
"""What Postgres wrote, decoded or as it came: nothing here looks into it."""

_APPLIED: dict[Kind, tuple[str, ...]] = {
    "read": ("count", "handling", "tx"),
    "insert": ("count", "return", "resolution", "missing", "handling", "tx"),
    "update": ("count", "return", "missing", "handling", "tx", "max-affected"),
    "delete": ("count", "return", "handling", "tx", "max-affected"),
    "call": ("count", "handling", "tx", "max-affected"),
}


class Row(Struct, frozen=True):
    """What the statement's one row says, in the order of its columns."""

    total: int | None
    page: int
    body: Text | None
    location: Text | None
    place: Text | None = None
    """For a list: what it was read from, as `Reply.answer` hands it on."""


class Listing(Struct, frozen=True):
    """What stands before, between and behind the rows of a list."""

    opening: str
    separator: str
    closing: str

    def whole(self, rows: Iterable[str | None]) -> str:
        """Return the list as one text; the one row that stands for none has no text."""
        return f"{self.opening}{self.separator.join(row for row in rows if row is not None)}{self.closing}"


class Answer(Struct, frozen=True):
    """What to send. No body means none at all, not even an empty one."""

    status: int
    headers: Headers
    body: Text | None
    place: Text | None = None
    """The snapshot that was read, and behind an `@` a place in the log that nothing it sees lies behind."""


class Reply(Struct, frozen=True):
    """How to answer one request, decided before it runs."""

    kind: Kind
    media: Media
    preferences: Preferences
    path: str
    offset: int = 0
    with_body: bool = True
    rows: bool = True  # False for the single value of a function
    void: bool = False
    counted_to: int = 0  # with count=estimated, how far rows were counted

    def answer(self, row: Row, estimate: int | None = None) -> Answer:
        """Return the answer. Raises QueryError when the rows are not what was asked for: then undo the statement."""
        self._check(row)
        total = self._total(row.total, estimate)
        headers = self.preferences.applied(*_APPLIED[self.kind])
        if self.rows:
            headers += (("Content-Range", self._content_range(row, total)),)
        if self.kind == "insert" and row.location:
            headers += (("Location", f"/{quote(self.path)}?{_key(row.location)}"),)
        if not self.with_body:
            return Answer(self._status_without_body(row, total), headers, None, row.place)
        headers += (("Content-Type", self.media.content_type),)
        return Answer(self._status(row, total), headers, "null" if row.body is None else row.body, row.place)

    def _check(self, row: Row) -> None:
        if self.rows and self.media.form == "object" and row.page != 1 and (self.with_body or self.kind == "read"):
            raise QueryError(
                406,
                "PGRST116",
                "Cannot coerce the result to a single JSON object",
                details=f"The result contains {row.page} rows",
            )
        limit = self.preferences.max_affected
        affected = row.page if row.total is None else row.total  # a page may show only some of them
        if limit is not None and self.kind in {"update", "delete", "call"} and affected > limit:
            raise QueryError(
                400,
                "PGRST124",
                "Query result exceeds max-affected preference constraint",
                details=f"The query affects {affected} rows",
            )

    def _total(self, counted: int | None, estimate: int | None) -> int | None:
        """An estimate stands where nobody counted, and where counting stopped early."""
        if self.preferences.count == "planned" and self.kind == "read":
            return estimate
        if not self.preferences.count:
            return None
        if counted is not None and estimate is not None and counted > self.counted_to:
            return max(counted, estimate)
        return counted

    def _status(self, row: Row, total: int | None) -> int:
        if self.kind == "insert":
            return 201
        if self.kind in {"update", "delete"} or total is None or not self.rows:
            return 200
        if self.offset > total:
            raise not_satisfiable(f"An offset of {self.offset} was requested, but there are only {total} rows.")
        return 206 if row.page < total else 200

    def _status_without_body(self, row: Row, total: int | None) -> int:
        if self.kind in {"read", "call"}:
            return 204 if self.void else self._status(row, total)
        return 201 if self.kind == "insert" else 204

    def _content_range(self, row: Row, total: int | None) -> str:
        empty = row.page == 0 or self.kind in {"insert", "delete"}
        known = "*" if total is None else str(total)
        return f"*/{known}" if empty else f"{self.offset}-{self.offset + row.page - 1}/{known}"


def _key(location: Text) -> str:
    """Return the condition that finds the row whose key, as a JSON object, Postgres returned."""
    values: dict[str, str | None] = msgspec.json.decode(location, type=dict[str, str | None])
    return "&".join(f"{quote(column)}=eq.{quote(value or '')}" for column, value in values.items())
