"""Clients that behave and stay: whatever others do, they must get everything, in order, once, and soon."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import psycopg

from tests.support.server import SocketClient
from tests.support.soak_server import SoakServer
from tests.support.waiting import wait_until

TOPIC = "realtime:home"
COUNT = 4
PACE_S = 0.1
ANSWER_LIMIT_S = 5.0
"""Between a broadcast and its arrival, on a machine that is busy with the trouble as well. Normally a millisecond."""


class Resident:
    """Joins, tells everybody a growing number, and keeps what it hears from others and of its rows."""

    def __init__(self, server: SoakServer, number: int) -> None:
        self.number = number
        self.client: SocketClient = server.connect()
        binding = {"event": "*", "schema": "public", "table": "watched", "filter": f"resident=eq.{number}"}
        self.client.join(
            TOPIC,
            broadcast={"self": True},
            presence={"enabled": True, "key": f"resident-{number}"},
            postgres_changes=[binding],
        )
        self.heard: dict[int, list[int]] = defaultdict(list)
        self.rows: list[int] = []
        self.longest_s = 0.0
        self.failure: BaseException | None = None
        self._reader = threading.Thread(target=self._read, name=f"resident {number}")
        self._leaving = False
        self._reader.start()

    def speak(self, number: int) -> None:
        body = {"from": self.number, "number": number, "sent_s": time.monotonic()}
        self.client.broadcast(TOPIC, "count", json.dumps(body).encode(), binary=False)

    def leave(self) -> None:
        """Leave the topic, wait for the answer, and hang up."""
        self._leaving = True
        self.client.push(TOPIC, "phx_leave", {})
        self._reader.join(ANSWER_LIMIT_S)
        self.client.raw.__exit__()
        assert not self._reader.is_alive(), "the server did not answer"

    def _read(self) -> None:
        try:
            while True:
                self._take(self.client.receive())
                if self._leaving:
                    return
        except BaseException as error:  # noqa: BLE001 - told by the thread that asks
            self.failure = error

    def _take(self, message: dict[str, Any]) -> None:
        payload = message["payload"]
        if message["event"] == "broadcast":
            body = payload["payload"]
            self.heard[body["from"]].append(body["number"])
            if body["from"] == self.number:
                self.longest_s = max(self.longest_s, time.monotonic() - body["sent_s"])
        elif message["event"] == "postgres_changes":
            record = payload["data"]["record"]
            assert record["resident"] == self.number, record
            self.rows.append(record["number"])
        elif message["event"] in {"phx_error", "phx_close"} and not self._leaving:
            raise AssertionError(f"resident {self.number} was sent away: {message}")


class Residents:
    """All of them. `check` says whether they have noticed anything."""

    def __init__(self, server: SoakServer, everyone: list[Resident]) -> None:
        self._server = server
        self._everyone = everyone
        self._spoken = 0
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._speaker = threading.Thread(target=self._speak, name="residents speak")
        self._speaker.start()

    def fall_silent(self) -> None:
        self._stop.set()
        self._speaker.join()

    def check(self) -> float:
        """Check that each has heard everything that was said so far; returns the longest that something took."""
        assert self._failure is None, repr(self._failure)
        spoken = self._spoken
        for each in self._everyone:
            wait_until(partial(_has, each, spoken), limit_s=ANSWER_LIMIT_S)
            assert each.failure is None, repr(each.failure)
        for each in self._everyone:
            told = [each.rows, *each.heard.values()]
            for numbers in told:
                assert numbers[:spoken] == list(range(spoken)), f"resident {each.number}: {numbers[:spoken]}"
            assert len(told) == COUNT + 1
        longest_s = max(each.longest_s for each in self._everyone)
        assert longest_s < ANSWER_LIMIT_S
        return longest_s

    def _speak(self) -> None:
        try:
            with psycopg.connect(self._server.dsn, autocommit=True) as writer:
                while not self._stop.wait(PACE_S):
                    number = self._spoken
                    for each in self._everyone:
                        each.speak(number)
                    writer.execute(
                        "insert into watched (resident, number) select n, %s from generate_series(0, %s) n",
                        [number, COUNT - 1],
                    )
                    self._spoken += 1
        except BaseException as error:  # noqa: BLE001 - told by `check`
            self._failure = error


def _has(resident: Resident, spoken: int) -> bool:
    """Say whether there is nothing left to wait for, good or bad."""
    if resident.failure is not None:
        return True
    heard = resident.heard
    return len(resident.rows) >= spoken and all(len(heard[number]) >= spoken for number in range(COUNT))


@contextmanager
def residents(server: SoakServer) -> Iterator[Residents]:
    """Let them move in and speak until the block ends; then they leave."""
    with ExitStack() as stack:
        everyone = []
        for number in range(COUNT):
            everyone.append(Resident(server, number))
            stack.callback(everyone[-1].leave)
        together = Residents(server, everyone)
        stack.callback(together.fall_silent)
        yield together
