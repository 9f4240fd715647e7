"""Bytes of a WebSocket (RFC 6455) to messages, and messages to frames, on the server's side. No socket, no HTTP.

A frame may arrive in any number of pieces, and a message in any number of frames with control frames between them. What
is known to be wrong is refused at once: a header as soon as it is complete, text at the first frame that is not UTF-8.
Extensions are not negotiated, so the reserved bits must be zero; compression would begin where `_FIRST_BYTES` is read.
"""

from codecs import IncrementalDecoder, getincrementaldecoder
from struct import Struct as Layout
from typing import Final

from msgspec import Struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # an interpreter without the C extension: slower by far on large messages, otherwise the same
    from websockets.utils import apply_mask

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

NO_CODE: Final = 1005
"""What a close without a code counts as; never sent."""
ABNORMAL: Final = 1006
"""What a connection that ended without a close counts as; never sent."""
PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
TOO_BIG: Final = 1009

MESSAGE_LIMIT_BYTES: Final = 5_000_000
CONTROL_LIMIT_BYTES: Final = 125
REASON_LIMIT_BYTES: Final = CONTROL_LIMIT_BYTES - 2

_FINAL: Final = 0x80
_MASKED: Final = 0x80
_RESERVED: Final = 0x70
_FIRST_BYTES: Final = frozenset(
    {CONTINUATION, TEXT, BINARY, *(_FINAL | opcode for opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))}
)
_U16 = Layout(">H")
_U64 = Layout(">Q")
_HEAD_16 = Layout(">BBH")
_HEAD_64 = Layout(">BBQ")
_MASK_BYTES: Final = 4
_Utf8Decoder = getincrementaldecoder("utf-8")


class Text(Struct, frozen=True, gc=False):
    """A whole text message; the bytes are valid UTF-8."""

    data: bytes


class Binary(Struct, frozen=True, gc=False):
    """A whole binary message."""

    data: bytes


class Ping(Struct, frozen=True, gc=False):
    """Answer with a pong of the same data."""

    data: bytes


class Pong(Struct, frozen=True, gc=False):
    """An answer to a ping, or a sign of life; needs no answer."""

    data: bytes


class Close(Struct, frozen=True, gc=False):
    """The peer will send no more. Answer with a close of the same code, then close the socket."""

    code: int
    reason: str


class Violation(Struct, frozen=True, gc=False):
    """The peer broke the protocol. Send a close with this code and reason, then close the socket."""

    code: int
    reason: str


Event = Text | Binary | Ping | Pong | Close | Violation


class _Frame(Struct, frozen=True, gc=False):
    first: int
    payload: bytes
    end: int


class FrameParser:
    """One per connection. Holds at most one message of `limit_bytes`, and nothing at all between messages."""

    __slots__ = ("_buffer", "_decoder", "_done", "_kind", "_limit_bytes", "_message")

    def __init__(self, *, limit_bytes: int = MESSAGE_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._buffer: bytearray | None = None
        self._message: bytearray | None = None  # what has come of a message in several frames
        self._kind = TEXT
        self._decoder: IncrementalDecoder | None = None
        self._done = False

    def feed(self, data: bytes) -> list[Event]:
        """Read the next bytes. A Close or a Violation is the last event; all bytes after it are ignored."""
        events: list[Event] = []
        if self._done:
            return events
        source: bytes | bytearray = data
        if self._buffer is not None:
            self._buffer += data
            source = self._buffer
        start = 0
        while (frame := self._next_frame(source, start)) is not None:
            event: Event | None
            if isinstance(frame, Violation):
                event = frame
            else:
                start = frame.end
                event = self._accept(frame.first, frame.payload)
            if event is None:
                continue
            events.append(event)
            if isinstance(event, (Close, Violation)):
                self._done = True
                self._buffer = self._message = self._decoder = None
                return events
        self._keep(source, start)
        return events

    def _keep(self, source: bytes | bytearray, start: int) -> None:
        if start == len(source):
            self._buffer = None
        elif self._buffer is None:
            self._buffer = bytearray(source[start:])
        else:
            del self._buffer[:start]

    def _next_frame(self, source: bytes | bytearray, start: int) -> _Frame | Violation | None:
        """Cut the next frame out of `source`, or return None when more bytes are needed."""
        available = len(source) - start
        if available < 2:
            return None
        first, second = source[start], source[start + 1]
        head, length = start + 2, second & 0x7F
        if (wrong := self._check_head(first, second, length)) is not None:
            return wrong
        if length >= 126:
            extended = _read_length(source, head, _U16 if length == 126 else _U64)
            if not isinstance(extended, int):
                return extended
            head += 2 if length == 126 else 8
            length = extended
        if not first & CLOSE and length + len(self._message or b"") > self._limit_bytes:
            return Violation(TOO_BIG, f"message over {self._limit_bytes} bytes")
        body = head + _MASK_BYTES
        end = body + length
        if len(source) < end:
            return None
        return _Frame(first, apply_mask(source[body:end], source[head:body]), end)

    def _check_head(self, first: int, second: int, length: int) -> Violation | None:
        opcode = first & 0x0F
        if first not in _FIRST_BYTES:
            return Violation(PROTOCOL_ERROR, _explain(first))
        if not second & _MASKED:
            return Violation(PROTOCOL_ERROR, "frame not masked")
        if opcode & CLOSE:
            return Violation(PROTOCOL_ERROR, "control frame over 125 bytes") if length > CONTROL_LIMIT_BYTES else None
        if opcode == CONTINUATION and self._message is None:
            return Violation(PROTOCOL_ERROR, "continuation of nothing")
        if opcode != CONTINUATION and self._message is not None:
            return Violation(PROTOCOL_ERROR, "new message inside another")
        return None

    def _accept(self, first: int, payload: bytes) -> Event | None:
        """Turn a frame into an event, or None when its message goes on."""
        opcode = first & 0x0F
        if opcode & CLOSE:
            if opcode == CLOSE:
                return _read_close(payload)
            return Ping(payload) if opcode == PING else Pong(payload)
        if first & _FINAL and opcode != CONTINUATION:
            if opcode == BINARY:
                return Binary(payload)
            return Text(payload) if _is_utf8(payload) else Violation(INVALID_TEXT, "text is not UTF-8")
        return self._continue_message(opcode, payload, final=bool(first & _FINAL))

    def _continue_message(self, opcode: int, payload: bytes, *, final: bool) -> Event | None:
        if self._message is None:
            self._message, self._kind = bytearray(), opcode
            self._decoder = _Utf8Decoder() if opcode == TEXT else None
        self._message += payload
        if self._decoder is not None:
            try:
                self._decoder.decode(payload, final)
            except UnicodeDecodeError:
                return Violation(INVALID_TEXT, "text is not UTF-8")
        if not final:
            return None
        data = bytes(self._message)
        self._message = self._decoder = None
        return Text(data) if self._kind == TEXT else Binary(data)


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Write a whole message, or a control frame, as one frame. Share the bytes among all connections that get it."""
    length = len(payload)
    if length < 126:
        return bytes((_FINAL | opcode, length)) + payload
    if length < 1 << 16:
        return _HEAD_16.pack(_FINAL | opcode, 126, length) + payload
    return _HEAD_64.pack(_FINAL | opcode, 127, length) + payload


def count_frames(data: bytes) -> int:
    """Return of how many frames, as `encode_frame` writes them, a text of whole ones is."""
    at = count = 0
    while at < len(data):
        length = data[at + 1]
        at += 2
        if length == 126:
            at += _U16.size + _U16.unpack_from(data, at)[0]
        elif length == 127:
            at += _U64.size + _U64.unpack_from(data, at)[0]
        else:
            at += length
        count += 1
    return count


def encode_close(code: int, reason: str = "") -> bytes:
    """Write a close frame; a long reason is cut between two characters. NO_CODE writes one without a code."""
    if code == NO_CODE:
        return encode_frame(CLOSE, b"")
    if not is_close_code(code):
        raise ValueError(f"closing a WebSocket: expected a code that may be sent, got {code}")
    words = reason.encode()[:REASON_LIMIT_BYTES].decode(errors="ignore").encode()
    return encode_frame(CLOSE, _U16.pack(code) + words)


def is_close_code(code: int) -> bool:
    """Say whether a close frame may carry the code: registered ones, and those free for libraries and applications."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def _read_length(source: bytes | bytearray, start: int, layout: Layout) -> int | Violation | None:
    if len(source) < start + layout.size:
        return None
    (length,) = layout.unpack_from(source, start)
    least = 126 if layout is _U16 else 1 << 16
    if length < least or length >> 63:
        return Violation(PROTOCOL_ERROR, "length not in its shortest form")
    return int(length)


def _read_close(payload: bytes) -> Close | Violation:
    if not payload:
        return Close(NO_CODE, "")
    if len(payload) == 1:
        return Violation(PROTOCOL_ERROR, "close with half a code")
    (code,) = _U16.unpack_from(payload)
    if not is_close_code(code):
        return Violation(PROTOCOL_ERROR, "close with a code that may not be sent")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        return Violation(INVALID_TEXT, "close reason is not UTF-8")


def _is_utf8(data: bytes) -> bool:
    if data.isascii():  # most messages; needs no second copy
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _explain(first: int) -> str:
    if first & _RESERVED:
        return "reserved bit set"
    if first & 0x0F in (CLOSE, PING, PONG):
        return "control frame in pieces"
    return "unknown opcode"
