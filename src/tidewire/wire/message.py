"""The five fields that every message has, in whatever way a client writes them, and the frames that carry them."""

from typing import Protocol

from msgspec import Struct


class Message(Struct, frozen=True):
    """One message. `payload` is JSON text of an object, already encoded, so that it is encoded once for everybody.

    `position` is where in the log a row change stands, for transports that keep places; frames say it in the payload.
    """

    topic: str
    event: str
    payload: bytes
    ref: str | None = None
    join_ref: str | None = None
    position: str | None = None


class UserBroadcast(Struct, frozen=True):
    """A broadcast whose body is passed on byte by byte; `binary` bodies exist only in protocol version 2."""

    topic: str
    event: str
    payload: bytes
    binary: bool
    meta: bytes = b""
    ref: str | None = None
    join_ref: str | None = None


class Frame(Struct, frozen=True):
    """What goes over the socket: the bytes of one text or binary frame."""

    data: bytes
    binary: bool = False


Inbound = Message | UserBroadcast


class Codec(Protocol):
    """One per protocol version; pure, and shared by all connections."""

    def encode(self, message: Message) -> Frame:
        """Write a message for this version."""
        ...

    def encode_broadcast(self, broadcast: UserBroadcast) -> Frame | None:
        """Write a user's broadcast for this version, or None when it cannot carry one (a binary body in version 1)."""
        ...

    def decode(self, frame: Frame) -> Inbound:
        """Read a frame. Raises DecodeError; the caller logs it, drops the frame and keeps the connection."""
        ...
