"""The contract of whoever is told what happens on a WebSocket. Implemented by what takes a connection over."""

from typing import Protocol


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
