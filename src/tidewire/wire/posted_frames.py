"""Takes the body of an HTTP request apart into the frames that a WebSocket would have carried. Reads no message."""

from binascii import Error as NoBase64
from binascii import a2b_base64
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw

from tidewire.model.errors import DecodeError
from tidewire.wire.message import Frame
from tidewire.wire.untrusted import read_json

LINES: Final = "application/x-ndjson"
"""The content type of a body with a frame on each line."""

MOST_FRAMES: Final = 100
"""What official clients send at once; they are all taken in within one turn of the loop."""

_decode_items = msgspec.json.Decoder(list[Raw]).decode


def read_posted(body: bytes, content_type: str) -> list[Frame]:
    """Return the frames of a body: one on each line, or else one message in JSON or a list of them.

    A line that is no JSON object or array is a binary frame in base64. Raises DecodeError for what cannot be parted.
    """
    is_lines = content_type.partition(";")[0].strip().lower() == LINES
    frames = list(_lines(body) if is_lines else _messages(body))
    if not 0 < len(frames) <= MOST_FRAMES:
        raise DecodeError(f"reading posted messages: expected 1 to {MOST_FRAMES}, got {len(frames)}")
    return frames


def _lines(body: bytes) -> Iterator[Frame]:
    for line in body.split(b"\n", MOST_FRAMES + 1):
        text = line.strip()
        if text.startswith((b"[", b"{")):
            yield Frame(text)
        elif text:
            yield Frame(_binary(text), binary=True)


def _messages(body: bytes) -> Iterator[Frame]:
    text = body.strip()
    if text.startswith(b"["):
        items = read_json(_decode_items, text, "reading posted messages")
        # A message of version 2 is an array too, but it begins with a ref.
        if items and bytes(items[0]).startswith((b"[", b"{")):
            yield from (Frame(bytes(item)) for item in items)
            return
    if text:
        yield Frame(text)


def _binary(text: bytes) -> bytes:
    try:
        return a2b_base64(text, strict_mode=True)
    except NoBase64 as error:
        raise DecodeError("reading posted messages: expected JSON or base64 on each line, got neither") from error
