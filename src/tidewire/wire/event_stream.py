"""Writes messages and the rest of a stream in the form that browsers call text/event-stream. Reads nothing.

A text frame is an unnamed event whose data is the frame. A binary frame is an event `binary` in base64, because the
form knows only text.
"""

from binascii import b2a_base64
from typing import Final

from msgspec import Struct

from tidewire.wire.message import Frame, Message

HEARTBEAT: Final = b":\n\n"
"""A comment: readers pass over it, and whatever lies between sees that the stream lives."""

_LEAST_PADDING: Final = len(b":\n\n")


class StreamEvent(Struct, frozen=True):
    """A message as an event, shared by all streams that get it; `message` is what it was made of, if that is needed."""

    text: bytes
    message: Message | None = None

    def __len__(self) -> int:
        return len(self.text)


def frame_event(frame: Frame) -> bytes:
    """Write a frame as an event."""
    if frame.binary:
        return named_event("binary", b2a_base64(frame.data, newline=False))
    return b"data: %b\n\n" % _one_field(frame.data)


def named_event(name: str, data: bytes) -> bytes:
    """Write an event that is not a message; `data` is text."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _one_field(data))


def with_id(position: str, event: bytes) -> bytes:
    """Have a browser remember where it stood when it had taken this event."""
    return b"id: %b\n%b" % (position.encode(), event)


def only_id(position: str) -> bytes:
    """Have a browser remember where it stands, and hand out nothing: an event without data is not dispatched."""
    return b"id: %b\n\n" % position.encode()


def retry(after_ms: int) -> bytes:
    """Say how long a browser waits before it connects again."""
    return b"retry: %d\n\n" % after_ms


def padding(size: int) -> bytes:
    """Write a comment of at least so many bytes, for those in between who pass on nothing less."""
    return b":%b\n\n" % (b" " * max(0, size - _LEAST_PADDING))


def _one_field(data: bytes) -> bytes:
    """Keep line breaks within the field: in JSON they stand between tokens only, where any of them is as good."""
    if b"\n" not in data and b"\r" not in data:
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
