"""Turns one element of a join's `postgres_changes` into a Binding with a stable id. Does not look at any table.

What narrows a wish is never widened by being malformed: a filter that is no text is kept as its JSON text, which no
parser of filters accepts, and a `select` that is no list of names refuses the binding.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from tidewire.model.reasons import SELECT_NOT_A_LIST
from tidewire.wire.untrusted import lenient_flag, lenient_value, read_members, strict_text

MAX_BINDING_ID: Final = 2**27 - 1
EventName = Literal["*", "INSERT", "UPDATE", "DELETE"]
EVENTS: Final[tuple[EventName, ...]] = ("*", "INSERT", "UPDATE", "DELETE")

_encode = msgspec.json.Encoder().encode


class Binding(Struct, frozen=True):
    """One wish for row changes. `raw` is the client's own object: echo it with `id` added.

    `schema` and `table` are None where not given. `refusal` is the text to answer with instead of subscribing.
    `after`, `moves` and `truncate` are our own additions to the protocol.
    """

    raw: bytes
    id: int
    event: EventName = "*"
    schema: str | None = None
    table: str | None = None
    filter: str = ""
    select: tuple[str, ...] | None = None
    after: str | None = None
    moves: bool = False
    truncate: bool = False
    refusal: str | None = None

    @property
    def target(self) -> tuple[str, str] | None:
        """Schema and table, `*` for any; None when neither was given, which must be refused."""
        if self.schema is None and self.table is None:
            return None
        return self.schema or "public", self.table or "*"


def parse_binding(raw: bytes) -> Binding:
    """Read one element. Raises DecodeError only when it is no object."""
    members = read_members(raw, "reading a binding")
    event, schema, table = _event(members), _name(members, "schema"), _name(members, "table")
    filter_text = (strict_text(members, "filter") or "").strip()
    select, refusal = _select(members)
    return Binding(
        raw=raw,
        id=_id(event, schema, table, filter_text, select),
        event=event,
        schema=schema,
        table=table,
        filter=filter_text,
        select=select,
        after=strict_text(members, "after"),
        moves=lenient_flag(members, "moves"),
        truncate=lenient_flag(members, "truncate"),
        refusal=refusal,
    )


def binding_id(raw_params: bytes) -> int:
    """Return the id of a binding, 1 to MAX_BINDING_ID: the same for the same wish in every process and release.

    Raises DecodeError when the parameters are no object.
    """
    return parse_binding(raw_params).id


def legacy_bindings(subtopic: str) -> tuple[Binding, ...]:
    """Read the wish that clients without a `config` put into their topic: `schema[:table[:filter]]`."""
    names = ("schema", "table", "filter")
    given = {name: part for name, part in zip(names, subtopic.split(":", 2), strict=False) if part}
    return (parse_binding(_encode(given)),) if given else ()


def _id(event: str, schema: str | None, table: str | None, filter_text: str, select: tuple[str, ...] | None) -> int:
    wish = _encode((event, schema, table, filter_text, select))
    number = int.from_bytes(blake2b(wish, digest_size=8).digest(), "big")
    return number % MAX_BINDING_ID + 1  # clients take 0 for no id


def _event(members: Mapping[str, Raw]) -> EventName:
    event = lenient_value(members, "event")
    name = event.upper() if isinstance(event, str) else "*"
    return next((known for known in EVENTS if known == name), "*")


def _name(members: Mapping[str, Raw], key: str) -> str | None:
    name = lenient_value(members, key)
    return name if isinstance(name, str) and name else None


def _select(members: Mapping[str, Raw]) -> tuple[tuple[str, ...] | None, str | None]:
    """Return the columns, None for all of them, and the text that refuses what is neither."""
    if bytes(members.get("select", b"null")) == b"null":
        return None, None
    names = lenient_value(members, "select")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names), None
    return None, SELECT_NOT_A_LIST
