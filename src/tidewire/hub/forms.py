"""Turns a message for many into as few encodings as there are kinds of connection among them, and knows what each kind
can do for many at once. Whom to send what, and when, is decided elsewhere.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from tidewire.wire.message import Codec, Frame, Message, UserBroadcast


class Form:
    """One kind of connection: a version of the protocol on a kind of transport. Make each once and compare by identity.

    `wrap` makes of a frame what the transport's outbox writes, `join` one or a few packets of several, and `group` of
    many recipients something that writes to all of them for less than to each. `weigh` tells of how many messages and
    bytes a packet is.
    """

    __slots__ = ("_group", "_wrap", "codec", "join", "weigh")

    def __init__(
        self,
        codec: Codec,
        wrap: Callable[[Frame], Any],
        join: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
        group: "Callable[[Form, Sequence[Recipient]], Group] | None" = None,
        weigh: Callable[[Any], tuple[int, int]] | None = None,
    ) -> None:
        self.codec = codec
        self._wrap = wrap
        self.join = join or tuple
        self._group = group or Group
        self.weigh = weigh or _weigh_one

    def pack(self, message: Message | UserBroadcast) -> Any | None:
        """Return the packet of a message, or None when this version cannot carry it."""
        if isinstance(message, Message):
            return self._wrap(self.codec.encode(message))
        frame = self.codec.encode_broadcast(message)
        return None if frame is None else self._wrap(frame)

    def group(self, recipients: "Sequence[Recipient]") -> "Group":
        """Return recipients of this form as a group; keep it for as long as they stay the same."""
        return self._group(self, recipients)


class Recipient(Protocol):
    """Whoever gets packets of one form."""

    form: Form
    write: Callable[[Any], None]


class Group:
    """Recipients of one form, as they were at one moment. This one writes to each in turn."""

    __slots__ = ("form", "recipients")

    def __init__(self, form: Form, recipients: Sequence[Recipient]) -> None:
        self.form = form
        self.recipients = recipients

    def __len__(self) -> int:
        return len(self.recipients)

    def write(self, packet: Any, start: int, stop: int) -> None:
        """Write to those from `start` to `stop`, none of whom may have left since: a group need not ask them again."""
        for recipient in self.recipients[start:stop]:
            recipient.write(packet)


def _weigh_one(packet: Any) -> tuple[int, int]:
    return 1, len(packet)


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
