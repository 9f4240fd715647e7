"""The load generator, seen from Python: one process of bench/native/receiver.c, which opens, publishes and counts.

Everything here is an order to it and an answer from it; no message passes through Python.
"""

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from tidewire.model.errors import BenchmarkFailed

IN_FLIGHT_HANDSHAKES = 32
"""Fewer than the shortest queue of connections that any of the compared servers listens with."""

LIMIT_S = 180.0
"""How long opening, joining, or the rest of a round may take."""

NO_PACE = 0.0


class Outcome(Struct, frozen=True):
    """What one order to publish came to. Ages count from when a message went out, or, at a pace, was due."""

    messages: int
    deliveries: int
    missing: int
    frames: int
    payload_bytes: int
    lost: int
    """Connections that the server has closed."""
    seconds: float
    """From the first message to the arrival of the last."""
    p50_ms: float
    p99_ms: float
    cpu_s: float
    """What the generator itself needed."""

    @property
    def per_s(self) -> float:
        """Deliveries per second."""
        return self.deliveries / self.seconds


class Generator:
    """A running generator with room for so many connections. Open the subscribers, then the publishers, then publish.

    Subscribers are shared out evenly: the first publisher reaches the first of them, and so on. Every order raises
    BenchmarkFailed with what the server did instead.
    """

    def __init__(self, program: Path, *, subscribers: int, publishers: int = 1, limit_s: float = LIMIT_S) -> None:
        self.subscribers = subscribers
        self.publishers = publishers
        self._limit_s = limit_s
        self._places: dict[tuple[bytes, ...], int] = {}
        self._texts = 0
        self._process = subprocess.Popen(
            [program, str(subscribers), str(publishers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # it may be in the middle of a round
        self._process.communicate()

    def open_subscribers(self, port: int, request: bytes) -> None:
        """Connect all subscribers, from several loopback addresses, and shake hands."""
        self._open(0, self.subscribers, port, request)

    def open_publishers(self, port: int, request: bytes | None) -> None:
        """Connect all publishers; without a request they speak something else than WebSocket."""
        self._open(self.subscribers, self.publishers, port, request)

    def tell_subscribers(self, texts: Sequence[bytes], *, replies: int) -> None:
        """Have each subscriber send the text of its share, and wait until each has that many messages back."""
        self._send(0, self.subscribers, texts, replies)

    def tell_publishers(self, texts: Sequence[bytes], *, replies: int) -> None:
        """Have each publisher send the text of its share, and wait until each has that many messages back."""
        self._send(self.subscribers, self.publishers, texts, replies)

    def publish(self, texts: Sequence[bytes], messages: int, *, payload_bytes: int) -> Outcome:
        """Send so many messages one after another, each when the one before has reached everybody."""
        return self._run(texts, messages, in_flight=1, rate=NO_PACE, seconds=0, payload_bytes=payload_bytes)

    def saturate(self, texts: Sequence[bytes], *, in_flight: int, seconds: float, payload_bytes: int) -> Outcome:
        """Send for so long, with always so many messages under way, and wait for the rest."""
        return self._run(texts, 0, in_flight=in_flight, rate=NO_PACE, seconds=seconds, payload_bytes=payload_bytes)

    def pace(self, texts: Sequence[bytes], *, per_s: float, seconds: float, payload_bytes: int) -> Outcome:
        """Send so many messages a second, whatever comes back, from the publishers in turn; wait for the rest."""
        return self._run(texts, 0, in_flight=1 << 20, rate=per_s, seconds=seconds, payload_bytes=payload_bytes)

    def _open(self, first: int, count: int, port: int, request: bytes | None) -> None:
        text = -1 if request is None else self._remember([request])
        self._order(f"open {first} {count} {text} {port} {IN_FLIGHT_HANDSHAKES} {self._limit_s}")

    def _send(self, first: int, count: int, texts: Sequence[bytes], replies: int) -> None:
        self._order(f"send {first} {count} {self._remember(texts)} {len(texts)} {replies} {self._limit_s}")

    def _run(
        self,
        texts: Sequence[bytes],
        messages: int,
        *,
        in_flight: int,
        rate: float,
        seconds: float,
        payload_bytes: int,
    ) -> Outcome:
        if len(texts) != self.publishers:
            raise ValueError(f"publishing: expected a text for each of {self.publishers}, got {len(texts)}")
        text = self._remember(texts)
        answer = self._order(f"run {messages} {in_flight} {rate} {seconds} {payload_bytes} {text} {self._limit_s}")
        outcome = msgspec.json.decode(answer, type=Outcome)
        if outcome.missing or outcome.lost:
            raise BenchmarkFailed(
                f"counting deliveries: expected {outcome.deliveries + outcome.missing}, got {outcome.deliveries};"
                f" the server closed {outcome.lost} connections"
            )
        return outcome

    def _remember(self, texts: Sequence[bytes]) -> int:
        """Hand the texts over once, next to each other, and return the place of the first."""
        key = tuple(texts)
        if key not in self._places:
            for text in texts:
                self._order(f"text {self._texts} {text.hex()}")
                self._texts += 1
            self._places[key] = self._texts - len(texts)
        return self._places[key]

    def _order(self, line: str) -> bytes:
        """Say something and wait until it is done."""
        self._say(line)
        return self._answer()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe; tells the type checker
        with suppress(BrokenPipeError):  # its last words are the answer
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _answer(self) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - as above
        answer = self._process.stdout.readline()
        if not answer.startswith("{") or answer.startswith('{"error"'):
            words = msgspec.json.decode(answer).get("error") if answer.startswith("{") else "it ended"
            raise BenchmarkFailed(f"generating load: {words}")
        return answer.encode()
