"""Tells operators once a second how the server is doing, who is connected and what was logged, while anybody listens.

When nobody does, it takes a look every ten seconds for the charts of the last hour, and nothing else.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getpagesize, getrusage
from typing import Final

import msgspec

from tidewire.hub.connection_rows import ConnectionRow
from tidewire.hub.feeds import Told
from tidewire.hub.node import Node
from tidewire.hub.reserved_topics import RESERVED
from tidewire.model.latency import BOUNDS_S
from tidewire.services.event_log import EventLog
from tidewire.services.overview import POINT_S, LastHour, Overview, Stand, overview_of

EVERY_S: Final = 1.0
WINDOW: Final = 10
"""Latencies are told of so many seconds: one alone holds too few of them."""
MOST_ROWS: Final = 200
"""How many connections the feed shows; the others are read page by page over HTTP."""
_PER_POINT: Final = round(POINT_S / EVERY_S)
_encode = msgspec.json.Encoder().encode


class OverviewFeed:
    """The topic `tidewire:overview`: the last hour first, then a second at a time."""

    def __init__(self, node: Node, look: Callable[[], Stand]) -> None:
        self._look = look
        self._hour = LastHour()
        self._recent: deque[Stand] = deque(maxlen=WINDOW + 1)
        self._turns = 0
        self._feed = node.open_feed(f"{RESERVED}overview", self._greeting)

    def turn(self) -> None:
        """Take a look if it is time for one, and tell it if anybody listens."""
        is_due = self._turns % _PER_POINT == 0
        self._turns += 1
        if not (is_due or self._feed.is_heard):
            self._recent.clear()
            return
        stand = self._look()
        self._recent.append(stand)
        if is_due:
            self._hour.add(stand)
        if self._feed.is_heard:
            self._feed.tell(("overview", _encode(self._overview())))

    def _overview(self) -> Overview:
        recent = self._recent
        return overview_of(recent[max(len(recent) - 2, 0)], recent[-1], recent[0])

    def _greeting(self) -> Told:
        if not self._recent:
            self._recent.append(self._look())
        hour = {
            "every_s": POINT_S,
            "points": list(self._hour.points),
            "bounds_ms": [round(bound * 1000, 3) for bound in BOUNDS_S],
            "now": self._overview(),
        }
        return "hour", _encode(hour)


class ConnectionsFeed:
    """The topic `tidewire:connections`: the oldest connections first, then what has changed about them."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._told: dict[int, ConnectionRow] = {}
        self._total = 0
        self._feed = node.open_feed(f"{RESERVED}connections", self._greeting)

    def turn(self) -> None:
        """Tell what has changed, if anything has and anybody listens."""
        if not self._feed.is_heard:
            return
        rows, total = self._rows(), self._node.connection_count
        changed = [row for number, row in rows.items() if self._told.get(number) != row]
        gone = [number for number in self._told if number not in rows]
        if changed or gone or total != self._total:
            self._told, self._total = rows, total
            self._feed.tell(("changes", _encode({"changed": changed, "gone": gone, "total": total})))

    def _rows(self) -> dict[int, ConnectionRow]:
        return {row.number: row for row in self._node.connection_rows(limit=MOST_ROWS)}

    def _greeting(self) -> Told:
        if not self._feed.is_heard:
            self._told, self._total = self._rows(), self._node.connection_count
        shown = {"connections": list(self._told.values()), "total": self._total, "most": MOST_ROWS}
        return "connections", _encode(shown)


class LogFeed:
    """The topic `tidewire:log`: the last events first, then each new one."""

    def __init__(self, node: Node, events: EventLog) -> None:
        self._events = events
        self._told = 0
        self._feed = node.open_feed(f"{RESERVED}log", self._greeting)

    def turn(self) -> None:
        """Tell what was logged, if anybody listens."""
        if self._feed.is_heard and (new := self._events.events(after=self._told)):
            self._told = new[-1].number
            self._feed.tell(("events", _encode({"events": new})))

    def _greeting(self) -> Told:
        kept = self._events.events()
        if self._feed.is_heard:
            kept = [each for each in kept if each.number <= self._told]  # the others are told to all
        elif kept:
            self._told = kept[-1].number
        return "log", _encode({"events": kept})


class ConsoleFeeds:
    """Run it for as long as the node serves."""

    def __init__(self, node: Node, look: Callable[[], Stand], events: EventLog) -> None:
        """Ask `look` for the figures of this moment."""
        self._feeds = (OverviewFeed(node, look), ConnectionsFeed(node), LogFeed(node, events))

    async def run(self) -> None:
        """Tell for ever."""
        while True:
            for feed in self._feeds:
                feed.turn()
            await asyncio.sleep(EVERY_S)


def memory_bytes() -> int:
    """Return how much memory this process has now, or where that is not told, the most that it ever had."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * getpagesize()
    except OSError:
        return getrusage(RUSAGE_SELF).ru_maxrss * 1024
