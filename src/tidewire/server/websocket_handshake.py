"""The HTTP side of a WebSocket: a request head to a checked handshake, and the responses that accept or refuse it.

Pure text work; whether the origin and the caller are welcome is for the application to say.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from hashlib import sha1
from http import HTTPStatus

from msgspec import Struct
from msgspec.json import encode

Headers = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_OURS_ON_ACCEPT = frozenset(
    {b"upgrade", b"connection", b"content-length", b"transfer-encoding", b"sec-websocket-accept"}
    | {b"sec-websocket-extensions", b"sec-websocket-protocol", b"sec-websocket-version"}
)
_OURS_ON_REFUSAL = frozenset({b"connection", b"content-length", b"transfer-encoding", b"upgrade"})


class Handshake(Struct, frozen=True):
    """A request that may become a WebSocket."""

    target: bytes
    headers: Headers
    key: bytes
    subprotocols: list[str]


class Refusal(Struct, frozen=True):
    """A request that may not, and what to answer."""

    status: int
    message: str
    headers: Headers = []


def read_handshake(head: bytes) -> Handshake | Refusal:
    """Check a request head whose header names are in lower case, as uvicorn's HTTP classes hand it over."""
    request, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, version = [*request.split(b" "), b"", b""][:3]
    headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    if version != b"HTTP/1.1" or not target.startswith(b"/") or not target.isascii():
        return Refusal(400, "expected a path and HTTP/1.1")
    if method != b"GET":
        return Refusal(405, "expected GET", [(b"allow", b"GET")])
    if len(_values(headers, b"host")) != 1:
        return Refusal(400, "expected one Host header")
    if _values(headers, b"sec-websocket-version") != [b"13"]:
        return Refusal(426, "expected WebSocket version 13", [(b"sec-websocket-version", b"13")])
    keys = _values(headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return Refusal(400, "expected one Sec-WebSocket-Key of 16 bytes in base64")
    offers = b",".join(_values(headers, b"sec-websocket-protocol")).split(b",")
    subprotocols = [offer.strip().decode("latin-1") for offer in offers if offer.strip()]
    return Handshake(target, headers, keys[0], subprotocols)


def accept_response(handshake: Handshake, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write the 101 that opens the connection. Extensions the client offered are not taken up."""
    extra = _checked(headers, _OURS_ON_ACCEPT, strict=True)
    if subprotocol is not None:
        extra += _checked([(b"sec-websocket-protocol", subprotocol.encode("latin-1"))], frozenset(), strict=True)
    digest = sha1(handshake.key + _GUID, usedforsecurity=False).digest()
    fixed = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", b64encode(digest))]
    return _head(101, fixed + extra)


def http_response(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Write a whole response instead of a WebSocket; the connection closes after it."""
    if not 200 <= status < 600:
        raise ValueError(f"refusing a WebSocket: expected a status from 200 to 599, got {status}")
    fixed = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    return _head(status, _checked(headers, _OURS_ON_REFUSAL, strict=False) + fixed) + body


def refusal_response(refusal: Refusal, headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """Write our own refusal, with its message as JSON."""
    return http_response(refusal.status, [*headers, *refusal.headers, JSON_TYPE], encode({"error": refusal.message}))


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _is_key(value: bytes) -> bool:
    try:
        return len(b64decode(value, validate=True)) == _KEY_BYTES
    except Base64Error:
        return False


def _checked(headers: Iterable[tuple[bytes, bytes]], ours: frozenset[bytes], *, strict: bool) -> Headers:
    """Refuse what would smuggle headers in; those that are ours to set are left out or, if strict, refused."""
    checked = []
    for raw_name, raw_value in headers:
        name, value = bytes(raw_name).lower(), bytes(raw_value)
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("answering a WebSocket handshake: expected a header without control characters")
        if name not in ours:
            checked.append((name, value))
        elif strict:
            raise ValueError(f"accepting a WebSocket: the header {name.decode()} is set by the server")
    return checked


def _head(status: int, headers: Headers) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:  # a status nobody registered is still a status
        phrase = "Unregistered"
    lines = [b"HTTP/1.1 %d %s" % (status, phrase.encode()), *(b"%s: %s" % header for header in headers)]
    return b"\r\n".join([*lines, b"", b""])
