"""A server with its subscribers: started, connected, joined, and then asked for one round after the other."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tidewire.bench.generator import Generator, Outcome
from tidewire.bench.process import ServerProcess
from tidewire.bench.subject import Dialogue, Running, Subject


class Round(Struct, frozen=True):
    """One measurement of one server, with the CPU time that the server took for it."""

    outcome: Outcome
    cpu_s: float


class Memory(Struct, frozen=True):
    """Resident memory of the server for each connection: before it joins anything, and with one topic."""

    idle_kib: float
    joined_kib: float


class Station:
    """One server with one generator. Rounds of two stations can be taken in turn: the one not asked is idle."""

    def __init__(self, process: ServerProcess, generator: Generator, dialogue: Dialogue, memory: Memory) -> None:
        self.memory = memory
        self._process = process
        self._generator = generator
        self._dialogue = dialogue

    def single(self) -> Round:
        """Send one message and wait until the last subscriber has it."""
        texts, size = self._dialogue.publish, self._dialogue.payload_bytes
        return self._timed(lambda: self._generator.publish(texts, 1, payload_bytes=size))

    def saturated(self, *, in_flight: int, seconds: float) -> Round:
        """Send a new message for each that has reached everybody, with so many under way."""
        texts, size = self._dialogue.publish, self._dialogue.payload_bytes
        return self._timed(
            lambda: self._generator.saturate(texts, in_flight=in_flight, seconds=seconds, payload_bytes=size)
        )

    def paced(self, *, per_s: float, seconds: float) -> Round:
        """Send so many messages a second, to the topics in turn."""
        texts, size = self._dialogue.publish, self._dialogue.payload_bytes
        return self._timed(lambda: self._generator.pace(texts, per_s=per_s, seconds=seconds, payload_bytes=size))

    def _timed(self, order: Callable[[], Outcome]) -> Round:
        before_s = self._process.cpu_s()
        outcome = order()
        return Round(outcome, self._process.cpu_s() - before_s)


@contextmanager
def station(subject: Subject, receiver: Path, subscribers: int) -> Iterator[Station]:
    """Run a server with so many subscribers, who have all joined, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="tidewire-bench-") as folder:
        Path(folder).chmod(0o755)  # servers that were started as root give it up
        with subject.start(Path(folder), connections=subscribers) as running:
            dialogue, process = running.dialogue, running.process
            publishers = len(dialogue.publish)
            with Generator(receiver, subscribers=subscribers, publishers=publishers) as generator:
                generator.open_publishers(running.port, dialogue.publisher_request)  # and so the server is warm
                if dialogue.publisher_join:
                    generator.tell_publishers(dialogue.publisher_join, replies=dialogue.publisher_replies)
                levels = [_settled_kib(running)]
                generator.open_subscribers(running.port, dialogue.request)
                levels.append(_settled_kib(running))
                if dialogue.join:
                    generator.tell_subscribers(dialogue.join, replies=dialogue.join_replies)
                levels.append(_settled_kib(running))
                empty, idle, joined = levels
                memory = Memory((idle - empty) / subscribers, (joined - empty) / subscribers)
                yield Station(process, generator, dialogue, memory)


def _settled_kib(running: Running) -> float:
    time.sleep(running.dialogue.settle_s)
    return running.process.rss_kib()
