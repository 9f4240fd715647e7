"""The one place that starts background tasks: each has an owner that waits for its end and reports its failure."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import structlog

log = structlog.get_logger()

Report = Callable[[str, Exception], None]


def log_failure(name: str, error: Exception) -> None:
    """Report a failed task to the log."""
    log.error("task_failed", task=name, exc_info=error)


class Tasks:
    """Services that live as long as an `async with` block; leaving it cancels them all and waits until they have ended.

    A task that fails is reported once. With `fail_together` the block is then cancelled and raises the first failure,
    unless it ends with an error of its own; without it the others go on. A task that returns is simply done.
    """

    def __init__(self, *, report: Report = log_failure, fail_together: bool = True) -> None:
        self._report = report
        self._fail_together = fail_together
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._failure: Exception | None = None
        self._open = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._open = True
        return self

    def start(self, work: Coroutine[Any, Any, object], *, name: str) -> None:
        """Run `work` until it returns, fails or the block ends. `name` is what reports and debuggers call it."""
        if not self._open:
            work.close()
            raise RuntimeError(f"starting task {name}: expected an open group, got one that is ending or not entered")
        task = self._group.create_task(self._run(work, name), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # A task cancelled before its first step never reaches `work`, which would complain of not being awaited.
        task.add_done_callback(lambda _: work.close())

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._open = False
        for task in tuple(self._running):
            if not task.cancelling():  # a second cancellation would cut short what it does to clean up
                task.cancel()
        with suppress(BaseExceptionGroup):  # holds what we know: failures already reported
            # Not told of the block's error: it would cancel the tasks a second time, and cut short what they clean up.
            await self._group.__aexit__(None, None, None)
        if self._failure is not None and (error is None or isinstance(error, asyncio.CancelledError)):
            raise self._failure

    async def _run(self, work: Coroutine[Any, Any, object], name: str) -> None:
        try:
            await work
        except Exception as error:
            self._report(name, error)
            if not self._fail_together:
                return
            self._failure = self._failure or error
            if self._open:  # while the block ends its tasks anyway, one failure must not disturb the others
                self._open = False
                raise
