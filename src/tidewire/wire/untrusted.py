"""Reads what strangers wrote: every way in which a client's JSON can be wrong becomes one DecodeError. Writes nothing.

`read_…` insists on the right shape; `lenient_…` takes the wrong one for nothing at all.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from tidewire.model.errors import DecodeError

T = TypeVar("T")

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_value = msgspec.json.Decoder().decode


def read_json(decode: Callable[[bytes], T], text: bytes, doing: str) -> T:
    """Run a msgspec decoder on client data. Raises DecodeError, whose message shows no part of the data."""
    try:
        # msgspec does not look into strings that it only skips, and skipped bytes are later sent to other clients.
        if not text.isascii():
            text.decode()
        return decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"{doing}: expected JSON of the right shape, got an error: {error}") from error
    except RecursionError as error:
        raise DecodeError(f"{doing}: expected a few hundred nested levels at most, got more") from error


def read_members(text: bytes, doing: str) -> dict[str, Raw]:
    """Take an object apart and leave its values as text. Raises DecodeError when it is not an object."""
    return read_json(_decode_members, text, doing)


def object_text(value: Raw) -> bytes:
    """Return a frame's payload as text, a null as an empty object. Raises DecodeError when it is anything else."""
    text = bytes(value)
    if text.startswith(b"{"):
        return text
    if text == b"null":
        return b"{}"
    raise DecodeError("reading a frame: expected an object as payload, got another JSON value")


def ref_text(ref: str | int | None) -> str | None:
    """Return a ref as text, because some clients count with numbers and still compare with what comes back."""
    return str(ref) if isinstance(ref, int) else ref


def lenient_members(parent: Mapping[str, Raw], name: str) -> dict[str, Raw]:
    """Return a member's own members; none when it is missing or no object."""
    try:
        return _decode_members(parent.get(name, b"{}"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def lenient_items(parent: Mapping[str, Raw], name: str) -> list[bytes]:
    """Return the texts of a list's elements; none when it is missing or no list."""
    try:
        return [bytes(item) for item in _decode_items(parent.get(name, b"[]"))]
    except (msgspec.MsgspecError, RecursionError):
        return []


def lenient_value(parent: Mapping[str, Raw], name: str) -> Any:
    """Return a member; None when it is missing, null, or beyond what can be held (1e999)."""
    try:
        return _decode_value(parent.get(name, b"null"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def lenient_flag(parent: Mapping[str, Raw], name: str, *, default: bool = False) -> bool:
    """Return a boolean, which may also be written as a text in any case."""
    value = lenient_value(parent, name)
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), default)
    return value if isinstance(value, bool) else default


def strict_text(parent: Mapping[str, Raw], name: str) -> str | None:
    """Return a text, or the JSON text of whatever else is there, which every parser of it refuses; None for null."""
    value = lenient_value(parent, name)
    if isinstance(value, str):
        return value
    text = bytes(parent.get(name, b"null"))
    return None if text == b"null" else text.decode()
