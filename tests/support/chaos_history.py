"""What each reader was owed, by the history that the database itself has, against what it was told. Does no waiting."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from msgspec import Struct

from tests.support.chaos_tables import Reader
from tidewire.model.position import StreamPosition, parse_position

FULL: Final = "f"
"""The replica identity under which the log has the whole old row."""


MOST_COMPLAINTS: Final = 3


class Owed(Struct, frozen=True, gc=False):
    """A change that somebody was owed, unlike any other: ids are used once. Deletions are told without versions."""

    table: str
    operation: str
    id: int
    version: int | None


Places = dict[Owed, tuple[Owed, StreamPosition]]
"""Where all changes lie that anybody was told of: the same place for everybody."""


class Gap(Struct, frozen=True):
    """What a table's reader was not promised: all behind one place, up to another."""

    table: str
    behind: StreamPosition | None
    up_to: StreamPosition

    def holds(self, table: str, position: StreamPosition) -> bool:
        within = self.behind is None or position.follows(self.behind)
        return table == self.table and within and not position.follows(self.up_to)


class History(Struct, frozen=True):
    """All that was committed: table, operation, id, version, owner before and after, and the replica identity."""

    rows: Sequence[tuple[str, str, int, int, str | None, str | None, str]]

    @classmethod
    def read(cls, dsn: str) -> "History":
        with psycopg.connect(dsn) as connection:
            found = connection.execute(
                "select tab, op, id, version, old_owner::text, new_owner::text, identity::text from history"
            ).fetchall()
        return cls(found)

    def owed(self, reader: Reader, tables: Sequence[str]) -> list[Owed]:
        """Return what a reader of these tables was to be told.

        Of a deletion whose owner is not in the log everybody is told who follows the table.
        """
        return [
            Owed(table, operation, id_, None if operation == "DELETE" else version)
            for table, operation, id_, version, old, new, identity in self.rows
            if table in tables
            and (
                reader.sees(table, (old if operation == "DELETE" else new) or "")
                or (operation == "DELETE" and identity != FULL)
            )
        ]


class Journal:
    """What one reader was told. `note` every change as it comes, and at the end compare with `found`."""

    def __init__(self, reader: Reader, places: Places, *, hears_twice: bool = False) -> None:
        """One that `hears_twice` drops what is not beyond the last it was told, as a client without places must."""
        self.reader = reader
        self.told: set[Owed] = set()
        self.last: dict[str, StreamPosition] = {}
        self.gaps: list[Gap] = []
        self.tally: Counter[str] = Counter()
        self.complaints: list[str] = []
        """What was wrong, in words: the first few."""
        self._places = places
        self._hears_twice = hears_twice
        self._newest: dict[tuple[str, int], int] = {}
        self._in_line: dict[str, StreamPosition] = {}

    def begin(self) -> None:
        """Take note that a new line has begun."""
        self._in_line = {}

    def note(self, data: Mapping[str, Any]) -> None:
        table, kind, position = data["table"], data["type"], parse_position(data["position"])
        row = data["old_record"] if kind == "DELETE" else data["record"]
        for record in (data.get("record"), data.get("old_record")):
            if record and not self.reader.may_hold(table, record):
                self._complain("leaked", table, position)
        before, self._in_line[table] = self._in_line.get(table), position
        if before is not None and not position.follows(before):
            self._complain("out_of_order", table, position, before)
        if self._hears_twice and table in self.last and not position.follows(self.last[table]):
            self.tally["repeats_dropped"] += 1
        else:
            self._keep(Owed(table, kind, row["id"], None if kind == "DELETE" else row["version"]), position)

    def _keep(self, change: Owed, position: StreamPosition) -> None:
        change, place = self._places.setdefault(change, (change, position))  # one object for everybody
        last, self.last[change.table] = self.last.get(change.table), position
        self.tally["told"] += 1
        is_older = last is not None and not position.follows(last)
        if change.version is not None:
            is_older |= change.version < self._newest.get((change.table, change.id), 0)
            self._newest[change.table, change.id] = change.version
        if place != position:
            self._complain("misplaced", change.table, position, place)
        if change in self.told:
            self._complain("repeated", change.table, position)
        if is_older:
            self._complain("out_of_order", change.table, position, last)
        self.told.add(change)

    def _complain(self, kind: str, table: str, position: StreamPosition, other: StreamPosition | None = None) -> None:
        self.tally[kind] += 1
        if len(self.complaints) < MOST_COMPLAINTS:
            about = "" if other is None else f", other place {other}"
            self.complaints.append(
                f"reader {self.reader.number} ({self.reader.role}): {kind} in {table} at {position}{about}"
            )

    def found(self, expected: Sequence[Owed]) -> Counter[str]:
        """Compare what was told with what was owed."""
        wanted = set(expected)
        missing = wanted - self.told
        excused = sum(map(self._may_miss, missing))
        return self.tally + Counter(lost=len(missing) - excused, missed=excused, leaked=len(self.told - wanted))

    def _may_miss(self, change: Owed) -> bool:
        _, position = self._places.get(change, (change, None))
        return position is not None and any(gap.holds(change.table, position) for gap in self.gaps)
