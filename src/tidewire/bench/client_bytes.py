"""What WebSocket clients write, as ready-made bytes: the request of a handshake, and masked frames."""

import struct
from typing import Final

KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455's example: the send loop knows only its answer."""

TEXT, BINARY = 1, 2

_FINAL, _MASKED = 0x80, 0x80
_NO_MASK = bytes(4)  # a mask of zeros is a mask, and leaves the payload as it is


def upgrade_request(target: str, port: int, *, headers: dict[str, str] | None = None) -> bytes:
    """Write a handshake for the path and query `target`."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def client_frame(payload: bytes, *, opcode: int = TEXT) -> bytes:
    """Write a whole message as a client does."""
    size = len(payload)
    if size < 126:
        head = bytes((_FINAL | opcode, _MASKED | size))
    elif size < 1 << 16:
        head = struct.pack(">BBH", _FINAL | opcode, _MASKED | 126, size)
    else:
        head = struct.pack(">BBQ", _FINAL | opcode, _MASKED | 127, size)
    return head + _NO_MASK + payload
