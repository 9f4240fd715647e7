"""Readers with PyPI's client, as it is, in a process of their own: `tests/parity/pypi/followers.py`.

They name their sessions, so they hear things twice and miss nothing, until a server is killed: what it knew of their
sessions is gone with it, and what they miss then is counted apart.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

from tests.support.chaos_history import Gap, Journal
from tests.support.tokens import SECRET, sign
from tidewire.model.position import parse_position

PROGRAM: Final = Path(__file__).parents[1] / "parity" / "pypi" / "followers.py"
TABLES: Final = ("own_rows", "near_rows", "team_rows")
LATE_S: Final = 5.0
"""How long after a server was killed something that it said may still be under way."""
TOKEN_S: Final = (8, 20)
KEY_S: Final = 86400.0
LINE_BYTES: Final = 2**20


class StockFollower:
    """One of them, as the test sees it."""

    def __init__(self, journal: Journal, killed_s: Sequence[float]) -> None:
        """`killed_s` says when servers were killed, and may become more."""
        self.journal = journal
        self.tables = TABLES
        self.done: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._killed_s = killed_s
        self._joined_s = 0.0

    @property
    def is_ready(self) -> bool:
        return self._joined_s > 0

    def hear(self, message: Mapping[str, Any]) -> None:
        if "data" in message:
            self.journal.note(message["data"])
        elif "joined" in message:
            self._join(message["joined"])
        else:
            self.done["token_renewed"] += "renewed" in message
            self.done["token_expired"] += "expired" in message

    def _join(self, response: Mapping[str, Any]) -> None:
        """After a server was killed nothing is promised of what lies before the new place."""
        self.journal.begin()
        self.done["connections"] += 1
        before_s, self._joined_s = self._joined_s, response["at_s"]
        was_killed = any(before_s - LATE_S < killed_s < self._joined_s for killed_s in self._killed_s)
        self.done["resumed"] += bool(response.get("recovered"))
        if not before_s:
            return
        if was_killed:
            self.done["sessions_forgotten"] += not response.get("recovered")
            here, last = parse_position(response["position"]), self.journal.last
            self.journal.gaps += [Gap(table, last.get(table), here) for table in self.tables]
        elif response.get("recovered") is False:
            self.journal.tally["gaps"] += 1
            self.complaints.append(str(response.get("reason")))


class StockFollowers:
    """All of them. `run` them until that is cancelled; nothing is left of them then."""

    def __init__(self, journals: Sequence[Journal], killed_s: Sequence[float]) -> None:
        self.each = {journal.reader.number: StockFollower(journal, killed_s) for journal in journals}

    async def run(self, python: Path, port: int) -> None:
        wanted = {
            "url": f"http://127.0.0.1:{port}/realtime/v1",
            "key": sign(role="anon", exp=int(time.time() + KEY_S), iat=..., sub=...),
            "secret": SECRET,
            "token_s": TOKEN_S,
            "readers": [
                {"number": number, "claims": each.journal.reader.claims, "tables": TABLES}
                for number, each in self.each.items()
            ],
        }
        process = await asyncio.create_subprocess_exec(
            python, PROGRAM, json.dumps(wanted), stdout=PIPE, limit=LINE_BYTES
        )
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                message = json.loads(line)
                self.each[message["reader"]].hear(message)
            raise AssertionError("the process of the stock clients has ended")
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
