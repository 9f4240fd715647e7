"""Puppets: programs that drive one stock client each, by JSON lines in both directions.

A test says the same to every puppet; what the client then tells its user is kept until the test asks for it.
"""

import itertools
import json
import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pytest
from msgspec import Struct

LIMIT_S = 20.0
"""How long a test waits for something that normally takes milliseconds."""
START_LIMIT_S = 60.0
"""For the first answer: a browser has to start, beside other tests."""
ALIVE_CHECK_S = 0.5
SHOWN_BYTES = 1000

Heard = Mapping[str, Any]
Match = Callable[[Heard], bool]


class Puppet(Struct, frozen=True):
    """How to start one."""

    name: str
    command: Sequence[str | Path]


class PuppetProcess:
    """A running puppet. Close it; `complaints` are frames that the client could not read."""

    def __init__(self, puppet: Puppet, errors: IO[bytes]) -> None:
        self.puppet = puppet
        self.complaints: list[str] = []
        self._errors = errors
        self._numbers = itertools.count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._heard: dict[str, list[Heard]] = defaultdict(list)
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            puppet.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        self._reader = threading.Thread(target=self._read, name=puppet.name, daemon=True)
        self._reader.start()

    def ask(self, verb: str, *, limit_s: float = LIMIT_S, **values: Any) -> Any:
        """Return what the client's own function returned; raises what it complained about as RuntimeError."""
        number = next(self._numbers)
        if number == 1:
            limit_s = max(limit_s, START_LIMIT_S)
        assert self._process.stdin is not None
        print(json.dumps({"id": number, "verb": verb, **values}), file=self._process.stdin, flush=True)
        with self._changed:
            self._wait(lambda: number in self._answers, f"{verb} is answered", limit_s)
            answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def hear(self, channel: str, match: Match, what: str, *, limit_s: float = LIMIT_S) -> Heard:
        """Take the first unheard thing that matches off the channel's list, waiting for it if necessary."""
        with self._changed:
            heard = self._heard[channel]
            self._wait(lambda: any(map(match, heard)), what, limit_s, heard)
            found = next(filter(match, heard))
            heard.remove(found)
            return found

    def unheard(self, channel: str) -> list[Heard]:
        with self._changed:
            return list(self._heard[channel])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            with self._changed:
                if "id" in message:
                    self._answers[message["id"]] = message
                elif "complaint" in message:
                    self.complaints.append(message["complaint"])
                else:
                    self._heard[message["channel"]].append(message)
                self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], what: str, limit_s: float, heard: Sequence[Heard] = ()) -> None:
        deadline_s = time.monotonic() + limit_s
        while not condition():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                pytest.fail(f"{self.puppet.name}: not within {limit_s} s: {what}\n{self._state(heard)}")
            self._changed.wait(ALIVE_CHECK_S)

    def _state(self, heard: Sequence[Heard]) -> str:
        file = self._errors.fileno()  # whose position is the puppet's too, so it must not be moved
        said = os.pread(file, SHOWN_BYTES, max(0, os.fstat(file).st_size - SHOWN_BYTES)).decode(errors="replace")
        lines = [f"unheard: {json.dumps(message)[:300]}" for message in heard]
        return "\n".join([*lines, *self.complaints, f"stderr: {said}"])


class Client:
    """One client of a puppet: what `createClient` makes."""

    _names = itertools.count(1)

    def __init__(
        self, process: PuppetProcess, url: str, key: str, *, token: str | None, realtime: Mapping[str, object]
    ) -> None:
        self.process = process
        self.name = f"client-{next(self._names)}"
        process.ask("connect", client=self.name, url=url, key=key, token=token, realtime=dict(realtime))

    def channel(
        self,
        topic: str,
        *,
        config: Mapping[str, Any] | None = None,
        broadcast: Sequence[str] = (),
        presence: bool = False,
        changes: Sequence[Mapping[str, Any]] = (),
    ) -> "Channel":
        """Make a channel with callbacks for these events and bindings; it is not subscribed yet."""
        channel = Channel(self)
        self.process.ask(
            "channel",
            client=self.name,
            channel=channel.name,
            topic=topic,
            config=config or {},
            broadcast=list(broadcast),
            presence=presence,
            changes=list(changes),
        )
        return channel

    def heartbeat(self) -> str:
        """Return what the client says next of its heartbeats: sent, ok, timeout. Only supabase-js tells."""
        heard = self.process.hear(self.name, lambda heard: bool(heard["heard"] == "heartbeat"), "heartbeat")
        return str(heard["status"])

    def set_auth(self, token: str) -> None:
        self.process.ask("set_auth", client=self.name, token=token)

    def query(self, *calls: Sequence[object]) -> dict[str, Any]:
        """Make calls of the data API in a row, such as `["from", "t"], ["select", "*"]`; return what they came to."""
        answered: dict[str, Any] = self.process.ask("query", client=self.name, calls=calls)
        return answered

    def auth(self, method: str, *given: object) -> dict[str, Any]:
        """Call a function of `supabase.auth`, and return its data and error."""
        answered: dict[str, Any] = self.process.ask("auth", client=self.name, method=method, given=given)
        return answered

    def disconnect(self) -> None:
        """Close the socket without leaving any channel, as a closed tab does."""
        self.process.ask("disconnect", client=self.name)

    def close(self) -> None:
        self.process.ask("close", client=self.name)


class Channel:
    """One channel of a client, and what its callbacks were told."""

    _names = itertools.count(1)

    def __init__(self, client: Client) -> None:
        self.name = f"channel-{next(self._names)}"
        self._process = client.process

    def subscribe(self, *, expect: str | None = "SUBSCRIBED", limit_s: float = LIMIT_S) -> str:
        """Subscribe, and wait for the first status, which must be the expected one. Returns its error."""
        self._process.ask("subscribe", channel=self.name)
        return "" if expect is None else self.status(expect, limit_s=limit_s)

    def status(self, expect: str, *, limit_s: float = LIMIT_S) -> str:
        """Wait for the next status, which must be the expected one. Returns its error."""
        heard = self.next("status", limit_s=limit_s)
        assert heard["status"] == expect, heard
        return heard["error"] or ""

    def next(self, kind: str, *, limit_s: float = LIMIT_S, **values: Any) -> Heard:
        """Return the next unheard thing of a kind, and with these values if any are given."""

        def matches(heard: Heard) -> bool:
            return heard["heard"] == kind and all(heard.get(name) == value for name, value in values.items())

        return self._process.hear(self.name, matches, f"{kind} {values or ''}", limit_s=limit_s)

    def find(self, kind: str, what: str, match: Match) -> Heard:
        """Return the next unheard thing of a kind for which `match` holds; what it passes over stays unheard."""
        return self._process.hear(self.name, lambda heard: heard["heard"] == kind and match(heard), what)

    def system(self, status: str = "ok") -> str:
        """Return the text of the next system message, which must have this status."""
        payload = self.next("system")["payload"]
        assert payload["status"] == status, payload
        return str(payload["message"])

    def unheard(self, kind: str) -> list[Heard]:
        return [heard for heard in self._process.unheard(self.name) if heard["heard"] == kind]

    def ask(self, verb: str, **values: Any) -> Any:
        """Call one of the client's own functions: send, http_send, track, untrack, unsubscribe."""
        return self._process.ask(verb, channel=self.name, **values)
