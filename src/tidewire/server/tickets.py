"""Sessions that outlive a request, each by an id that may be seen and a secret that may not."""

import secrets
from collections.abc import Iterator
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Ticket(Struct, frozen=True):
    """By what a client names its session: the id may stand in addresses and logs, the secret is 256 random bits."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"Ticket(id={self.id!r})"


class Tickets(Generic[T]):
    """Hand a session in, and give the ticket to its client alone. Withdraw it when the session is over."""

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[bytes, T]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[T]:
        return (session for _, session in self._sessions.values())

    def issue(self, session: T) -> Ticket:
        """Make a ticket that nobody can guess."""
        ticket = Ticket(secrets.token_urlsafe(16), secrets.token_urlsafe(32))
        self._sessions[ticket.id] = ticket.secret.encode(), session
        return ticket

    def find(self, id_: str, secret: str) -> T | None:
        """Return the session, or None: one that is over and a secret that is wrong look the same from outside."""
        known, session = self._sessions.get(id_, (b"", None))
        return session if secrets.compare_digest(known, secret.encode()) else None

    def withdraw(self, id_: str) -> None:
        """Forget a session; again is nothing."""
        self._sessions.pop(id_, None)
