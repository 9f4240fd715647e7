"""Turns a message for many into as few encodings as there are kinds of connection among them. Sends nothing."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from tidewire.wire.message import Codec, Frame, Message, UserBroadcast


class Form:
    """One kind of connection: a version of the protocol on a kind of transport. Make each once and compare by identity.

    `wrap` makes of a frame what the transport's outbox writes, and `join` makes one or a few packets of several.
    """

    __slots__ = ("_wrap", "codec", "join")

    def __init__(
        self,
        codec: Codec,
        wrap: Callable[[Frame], Any],
        join: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
    ) -> None:
        self.codec = codec
        self._wrap = wrap
        self.join = join or tuple

    def pack(self, message: Message | UserBroadcast) -> Any | None:
        """Return the packet of a message, or None when this version cannot carry it."""
        if isinstance(message, Message):
            return self._wrap(self.codec.encode(message))
        frame = self.codec.encode_broadcast(message)
        return None if frame is None else self._wrap(frame)


_UNPACKED: Final = object()


class Parcel:
    """A message on its way to many: packed at most once for each form, and not before somebody has it."""

    __slots__ = ("_message", "_packets")

    def __init__(self, message: Message | UserBroadcast) -> None:
        self._message = message
        self._packets: dict[Form, Any | None] = {}

    def packet(self, form: Form) -> Any | None:
        """Return the packet for a form, or None when that form cannot carry the message."""
        packet = self._packets.get(form, _UNPACKED)
        if packet is _UNPACKED:
            packet = self._packets[form] = form.pack(self._message)
        return packet
