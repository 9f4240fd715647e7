"""Writes what happened to a row, once for all who may see the same of it. Decides nothing about who may.

The result goes into `payloads.change` together with the ids of each channel's bindings.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from tidewire.model.change import Change, Operation
from tidewire.model.line import timestamp_text
from tidewire.model.record import RecordEncoder, record_encoder
from tidewire.model.relation import Relation
from tidewire.wire import payloads
from tidewire.wire.untrusted import read_members

MAX_RECORD_BYTES: Final = 1024 * 1024
"""A larger change is sent without its large values, and says so."""

KEPT_VALUE_BYTES: Final = 64
TOO_LARGE: Final = "Error 413: Payload Too Large"

_KEPT_SHAPES: Final = 4096

_encode = msgspec.json.Encoder().encode


class _Shape(Struct, frozen=True):
    """What of a relation's rows is written, and how. Holding the relation keeps its identity from being reused."""

    relation: Relation
    columns: bytes
    encode: RecordEncoder


class ChangeBodies:
    """Give it one change after the other; what belongs to a table's shape is worked out once."""

    def __init__(self, *, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self._shapes: dict[tuple[int, tuple[str, ...] | None], _Shape] = {}
        self._max_record_bytes = max_record_bytes
        self._stamp = (0, "")

    def write(
        self,
        change: Change,
        commit_time_us: int,
        *,
        operation: Operation | None = None,
        columns: tuple[str, ...] | None = None,
        old_columns: tuple[str, ...] | None = None,
        errors: Sequence[str] = (),
        position: str | None = None,
    ) -> bytes:
        """Write the data of a change with these columns, or all; with `errors` only that there was one.

        Another `operation` than the change's own says what an UPDATE is to readers for whom the row has moved.
        """
        relation = change.relation
        told = operation or change.operation
        record: str | None
        old_record: str | None
        if errors:
            written, record, old_record = b"[]", "{}", None
        else:
            shape = self._shape(relation, columns)
            written = shape.columns
            new = None if told == "DELETE" else change.new
            old = None if told == "INSERT" else change.old
            record = None if new is None else shape.encode(new)
            old_record = None if old is None else self._shape(relation, old_columns).encode(old)
            size = len(record or "") + len(old_record or "")
            if size > self._max_record_bytes:
                errors = (TOO_LARGE,)
                record, old_record = _without_large_values(record), _without_large_values(old_record)
        return payloads.change_data(
            schema=relation.schema,
            table=relation.name,
            operation=told,
            commit_timestamp=self._timestamp(commit_time_us),
            columns=written,
            record=record,
            old_record=old_record,
            errors=errors or None,
            position=position,
            moved=None if told == change.operation else "in" if told == "INSERT" else "out",
        )

    def _shape(self, relation: Relation, columns: tuple[str, ...] | None) -> _Shape:
        key = (id(relation), columns)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= _KEPT_SHAPES:
                self._shapes.clear()
            shown = [
                (column.name, column.type.name)
                for column in relation.columns
                if columns is None or column.name in columns
            ]
            shape = _Shape(relation, payloads.change_columns(shown), record_encoder(relation, columns))
            self._shapes[key] = shape
        return shape

    def _timestamp(self, commit_time_us: int) -> str:
        """Write UTC with milliseconds; all rows of a transaction have the same."""
        if self._stamp[0] != commit_time_us:
            self._stamp = (commit_time_us, timestamp_text(commit_time_us))
        return self._stamp[1]


def _without_large_values(record: str | None) -> str | None:
    if record is None:
        return None
    members = read_members(record.encode(), "shortening a record")
    return _encode({name: value for name, value in members.items() if len(value) <= KEPT_VALUE_BYTES}).decode()
