"""The contract of whoever is told what happens on a connection. Implemented by what takes a connection over."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from tidewire.model.position import StreamPosition
from tidewire.wire.message import Frame


class Receiver(Protocol):
    """All calls come from the event loop and must not block."""

    def on_text(self, data: bytes) -> None:
        """Take a text message; the bytes are valid UTF-8."""
        ...

    def on_binary(self, data: bytes) -> None:
        """Take a binary message."""
        ...

    def on_closed(self, code: int) -> None:
        """Forget the connection. Comes exactly once, whoever closed it, and nothing comes after it."""
        ...

    def on_pause(self) -> None:
        """Write less: the peer does not keep up and the transport's buffer is over its high-water mark."""
        ...

    def on_resume(self) -> None:
        """Write again: the peer has caught up."""
        ...


class LiveReceiver(Receiver, Protocol):
    """Is told besides when the peer is known to be there: over HTTP it sends nothing only to say so."""

    def on_alive(self) -> None:
        """Take a sign of life that is no message."""
        ...

    def positions(self) -> Mapping[str, StreamPosition]:
        """Return up to where channels have been told all there was, by topic: of what has been written so far."""
        ...


def hand_in(receiver: Receiver, frames: Iterable[Frame]) -> None:
    """Give a receiver frames that came together, in order."""
    for frame in frames:
        if frame.binary:
            receiver.on_binary(frame.data)
        else:
            receiver.on_text(frame.data)
