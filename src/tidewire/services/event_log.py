"""Keeps the last operational events that were logged, and counts the bad ones by their code. Shows no other values.

What is kept is named in a list, so that a new key of a log line is seen by nobody before somebody has thought about it.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, Final

import structlog
from msgspec import Struct

MOST_KEPT: Final = 500
MOST_CODES: Final = 200
LONGEST_CHARS: Final = 500
_SHOWN: Final = (
    "reason",
    "hint",
    "table",
    "role",
    "sqlstate",
    "status",
    "connection",
    "epoch",
    "task",
    "sessions",
    "signal",
    "finding",
    "request_id",
)
_BAD: Final = frozenset({"warning", "error", "critical", "exception"})


class LoggedEvent(Struct, frozen=True):
    """One event. `code` is that of the error, or else the name of the event; `details` are texts and numbers."""

    number: int
    at: float
    level: str
    event: str
    code: str
    details: dict[str, str | int | float]


class EventLog:
    """`listening` makes one that hears what is logged; read `events` and `errors` at any time."""

    def __init__(self) -> None:
        self._events: deque[LoggedEvent] = deque(maxlen=MOST_KEPT)
        self._numbers = count(1)
        self.errors: Counter[str] = Counter()
        """How often there was a warning or an error, by its code."""

    def events(self, *, after: int = 0) -> list[LoggedEvent]:
        """Return what is kept and came after a number, oldest first."""
        return [each for each in tuple(self._events) if each.number > after]

    def hear(self, _logger: Any, method: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Take note of an event and pass it on. Called by whichever thread logs."""
        event = str(said.get("event", ""))[:LONGEST_CHARS]
        code = str(said.get("code", event))[:LONGEST_CHARS]
        details = {name: _shown(said[name]) for name in _SHOWN if name in said}
        level = "error" if method == "exception" else method
        self._events.append(LoggedEvent(next(self._numbers), time.time(), level, event, code, details))
        if method in _BAD and (code in self.errors or len(self.errors) < MOST_CODES):
            self.errors[code] += 1
        return said


@contextmanager
def listening() -> Iterator[EventLog]:
    """Hear what passes structlog's processors, which loggers that exist already share, until the block ends."""
    heard = EventLog()
    processors: Sequence[Any] = structlog.get_config()["processors"]
    if not isinstance(processors, list):  # somebody's own configuration; a list can be changed in its place
        processors = list(processors)
        structlog.configure(processors=processors)
    processors.insert(0, heard.hear)
    try:
        yield heard
    finally:
        with suppress(ValueError):  # somebody has put other processors into the list meanwhile
            processors.remove(heard.hear)


def _shown(value: Any) -> str | int | float:
    return value if isinstance(value, int | float) else str(value)[:LONGEST_CHARS]
