"""What nodes tell each other about a roster, as values and as MessagePack bytes. Does not send anything."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from tidewire.model.errors import DecodeError

Number = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One meta of one channel. `number` is the change of its node that made it; with the node it is unique."""

    number: Number
    key: str
    ref: str
    previous_ref: str
    meta: bytes


class Delta(Struct, frozen=True, array_like=True):
    """The changes since+1..until of one node: what is left of what they added, and which older entries they removed.

    From since = 0 it is all that the node has, whatever the receiver knew before.
    """

    node: str
    life: Count
    since: Count
    until: Count
    entries: tuple[Entry, ...]
    removed: tuple[Number, ...]

    def __post_init__(self) -> None:
        if self.since > self.until:
            raise ValueError("a delta ends before it begins")
        if any(not self.since < entry.number <= self.until for entry in self.entries):
            raise ValueError("an entry of a delta was not made by its changes")
        if any(number > self.since for number in self.removed):
            raise ValueError("a delta removes what its own changes made")


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Delta)


def encode_delta(delta: Delta) -> bytes:
    """Write a delta for the bus."""
    return _ENCODER.encode(delta)


def decode_delta(data: bytes) -> Delta:
    """Read what `encode_delta` wrote. Raises DecodeError; drop the message and ask its sender for everything."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec names the field and the expected type, never the value, so the message cannot leak a payload.
        raise DecodeError(f"reading a presence delta: expected one of this version, got other bytes: {error}") from None
