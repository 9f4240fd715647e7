"""Shows a client's wish the way clients of this protocol know it from error messages. Decides nothing."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tidewire.filters.grammar import Condition, inspect_text
from tidewire.wire.binding import Binding

MAX_CHARS: Final = 4000
MAX_WISH_CHARS: Final = 1000
"""A client wrote most of what is shown, so it is not repeated at any length."""


def show_wish(binding: Binding, conditions: Sequence[Condition]) -> str:
    """Return `[event: *, schema: public, table: t, filters: [...], select: nil]`."""
    schema, table = binding.target or ("", "")
    filters = ", ".join(map(str, conditions))
    select = "nil" if binding.select is None else _inspect(list(binding.select))
    return shortened(
        f"[event: {binding.event}, schema: {schema}, table: {table}, filters: [{filters}], select: {select}]",
        MAX_WISH_CHARS,
    )


def show_params(raw: bytes) -> str:
    """Return the client's own object, such as `%{"event" => "*"}`."""
    try:
        return shortened(_inspect(msgspec.json.decode(raw)), MAX_WISH_CHARS)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # a number beyond what can be held, for example
        return "%{}"


def _inspect(value: Any) -> str:
    match value:
        case dict():
            members = (f"{inspect_text(name)} => {_inspect(member)}" for name, member in sorted(value.items()))
            return f"%{{{', '.join(members)}}}"
        case list():
            return f"[{', '.join(map(_inspect, value))}]"
        case str():
            return inspect_text(value)
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def shortened(text: str, limit: int = MAX_CHARS) -> str:
    """Return the text itself, or its beginning."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
