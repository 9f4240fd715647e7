"""The JSON body of a write becomes the columns it sets and the text from which Postgres reads the rows."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from tidewire.query.errors import QueryError, exceeded, invalid_body
from tidewire.query.limits import Limits
from tidewire.query.schema import Table

Object = dict[str, Raw]


class Payload(Struct, frozen=True):
    """Rows to write. `columns` are set in every row; where `objects` is there, rows differ in what they set."""

    columns: tuple[str, ...]
    text: str
    size: int
    objects: tuple[Object, ...] | None = None


def parse_payload(
    body: bytes, table: Table, columns: tuple[str, ...] | None, limits: Limits, *, missing_default: bool
) -> Payload:
    """Read one object or a list of them. Raises QueryError for anything else and for columns that are not the table's.

    Without `columns`, all objects must have the same keys. With them, other keys are ignored, and a key that an object
    lacks is NULL, or with `missing_default` what the table says.
    """
    objects = decode_objects(body)
    if columns is None:
        columns = tuple(objects[0]) if objects else ()
        keys = frozenset(columns)
        if any(each.keys() != keys for each in objects):
            raise QueryError(400, "PGRST102", "All object keys must match")
    check_columns(columns, table)
    text = _as_text(body, one=len(objects) == 1)
    if not missing_default:
        return Payload(columns, text, len(objects))
    given = [tuple(column for column in columns if column in each) for each in objects]
    if len(set(given)) <= 1:  # what nobody sets needs no DEFAULT
        return Payload(given[0] if given else columns, text, len(objects))
    if len(objects) * len(columns) > limits.max_default_cells:
        raise exceeded("values of rows that differ in their keys", limits.max_default_cells)
    return Payload(columns, text, len(objects), tuple(objects))


def check_columns(columns: Sequence[str], table: Table) -> None:
    """Raise QueryError for the first name that is not a column of the table."""
    known = {column.name for column in table.columns}
    for column in columns:
        if column not in known:
            raise QueryError(
                400, "PGRST204", f"Could not find the '{column[:63]}' column of '{table.name}' in the schema cache"
            )


def decode_objects(body: bytes) -> list[Object]:
    """Read a list of objects, or one object as a list of one."""
    try:
        decoded = msgspec.json.decode(body, type=list[Object] | Object)
        body.decode()  # strings of the body are not looked at above
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid_body("expected a JSON object, or a list of objects") from None
    return decoded if isinstance(decoded, list) else [decoded]


def _as_text(body: bytes, *, one: bool) -> str:
    text = body.decode().strip()
    return f"[{text}]" if one and text.startswith("{") else text
