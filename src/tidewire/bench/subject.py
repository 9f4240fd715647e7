"""What can be compared: a server that can be started, and what its clients say, as bytes. Knows no server by name."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from tidewire.bench.process import ServerProcess

MESSAGE_BYTES = 300
"""The payload of the frame that a subscriber receives, whoever sends it."""


class Dialogue(Struct, frozen=True, kw_only=True):
    """What clients write to one server. Where there are several topics, each text is the one of a topic."""

    request: bytes
    """A subscriber's handshake."""
    join: Sequence[bytes] = ()
    """What a subscriber sends to receive messages."""
    join_replies: int = 0
    """How many messages answer that."""
    publisher_request: bytes | None = None
    """A publisher's handshake; None where publishers speak something else than WebSocket."""
    publisher_join: Sequence[bytes] = ()
    publisher_replies: int = 0
    publish: Sequence[bytes]
    """One message to everybody in a topic. The same bytes every time."""
    settle_s: float = 0.3
    """How long the server goes on talking after all that; what it says then must not fall into a round."""
    payload_bytes: int = MESSAGE_BYTES
    """What arrives for each message, by which messages are counted."""


class Running(Struct, frozen=True):
    """A server that listens."""

    process: ServerProcess
    port: int
    dialogue: Dialogue


class Subject(Protocol):
    """One of the compared servers."""

    @property
    def name(self) -> str:
        """Return what stands in the names of figures."""
        ...

    def start(self, folder: Path, *, connections: int) -> AbstractContextManager[Running]:
        """Run the server with room for so many connections; the folder is empty, and goes afterwards."""
        ...


class Peer(Subject, Protocol):
    """A subject that people use instead of us."""

    @property
    def needs(self) -> Mapping[int, float | None]:
        """Return, by number of subscribers, how many times its saturated deliveries ours must be.

        None asks for nothing. Only these sizes are measured.
        """
        ...
