"""Clients that stay connected while others come and go: in a process of their own, so that nothing holds them up."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Self

from tidewire.bench.crowd import LIMIT_S, Arrival, Crowd
from tidewire.bench.follower import Words
from tidewire.model.errors import BenchmarkFailed, TidewireError


class Bystanders:
    """They follow until they are asked for their `arrivals`, which ends them."""

    def __init__(self, port: int, everybody: Sequence[Words]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_follow, args=(theirs, port, list(everybody)), daemon=True)
        self._theirs = theirs

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        self._answer()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(_END_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()

    def arrivals(self, rows: int, *, limit_s: float = LIMIT_S) -> list[Arrival]:
        """Wait until each has so many rows, and return when which row came to whom."""
        self._pipe.send((rows, limit_s))
        found: list[Arrival] = self._answer(limit_s + LIMIT_S)
        return found

    def _answer(self, limit_s: float = LIMIT_S) -> Any:
        if not self._pipe.poll(limit_s):
            raise BenchmarkFailed(f"asking the bystanders: expected an answer within {limit_s:g} s, got none")
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise BenchmarkFailed("asking the bystanders: expected an answer, got the end of their process") from None
        if isinstance(answer, str):
            raise BenchmarkFailed(f"asking the bystanders: {answer}")
        return answer


_END_S: Final = 5.0


def _follow(pipe: Connection, port: int, everybody: Sequence[Words]) -> None:
    """Say that all have joined, follow until a number of rows comes, and answer with all that arrived."""
    with Crowd(port, everybody) as crowd:
        try:
            crowd.let_in()
            pipe.send([])
            crowd.run_until(pipe.poll, doing="standing by", limit_s=10 * LIMIT_S)
            rows, limit_s = pipe.recv()
            due = rows * len(everybody)
            crowd.run_until(lambda: len(crowd.arrivals) >= due, doing="standing by", limit_s=limit_s)
            pipe.send(crowd.arrivals)
        except EOFError:
            return  # whoever started this has gone
        except TidewireError as error:
            pipe.send(error.message)
