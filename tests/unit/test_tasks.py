"""Background tasks end with their block, fail aloud and once, and leave cancellation alone."""

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn

import pytest
from structlog.testing import capture_logs

from tidewire.hub.tasks import Report, Tasks


class Broken(Exception):  # noqa: N818 - a failure of this test's own
    pass


async def fail() -> NoReturn:
    raise Broken


async def fail_on_the_way_out() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise Broken


async def wait_for_ever(ended: list[str], name: str = "waiting") -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)  # cleaning up may take a while, and is waited for
        ended.append(name)


class Reports:
    def __init__(self) -> None:
        self.seen: list[tuple[str, type[Exception]]] = []
        self.first = asyncio.Event()

    def __call__(self, name: str, error: Exception) -> None:
        self.seen.append((name, type(error)))
        self.first.set()


async def run(*work: Coroutine[Any, Any, object], report: Report) -> None:
    """Own these tasks until one of them brings the block down."""
    async with Tasks(report=report) as tasks:
        for number, each in enumerate(work):
            tasks.start(each, name=f"task {number}")
        await asyncio.Event().wait()


async def test_leaving_the_block_ends_every_task_and_waits_for_it() -> None:
    ended: list[str] = []
    async with Tasks() as tasks:
        tasks.start(wait_for_ever(ended, "a"), name="a")
        tasks.start(wait_for_ever(ended, "b"), name="b")
        await asyncio.sleep(0)
    assert sorted(ended) == ["a", "b"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_task_that_never_ran_is_ended_without_a_complaint() -> None:
    ended: list[str] = []
    async with Tasks() as tasks:
        tasks.start(wait_for_ever(ended), name="never")
    assert ended == []


async def test_a_failure_is_reported_once_and_ends_block_and_siblings() -> None:
    reports, ended = Reports(), list[str]()
    with pytest.raises(Broken):
        await run(wait_for_ever(ended), fail(), report=reports)
    assert reports.seen == [("task 1", Broken)]
    assert ended == ["waiting"]


async def test_the_first_failure_is_raised_and_later_ones_are_reported() -> None:
    async def fail_later() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError

    reports = Reports()
    with pytest.raises(Broken):
        await run(fail_later(), fail(), report=reports)
    assert reports.seen == [("task 1", Broken), ("task 0", KeyError)]


async def test_a_failure_may_concern_nobody_else() -> None:
    reports = Reports()
    async with Tasks(report=reports, fail_together=False) as tasks:
        tasks.start(fail(), name="bad")
        await reports.first.wait()
        done = asyncio.Event()

        async def work() -> None:
            done.set()

        tasks.start(work(), name="next")
        await done.wait()
    assert reports.seen == [("bad", Broken)]


async def test_failures_are_logged_with_the_name_of_the_task() -> None:
    with capture_logs() as logs:
        async with Tasks(fail_together=False) as tasks:
            tasks.start(fail(), name="bad")
            await asyncio.sleep(0)
    assert [(entry["event"], entry["task"], entry["log_level"]) for entry in logs] == [("task_failed", "bad", "error")]
    assert isinstance(logs[0]["exc_info"], Broken)


async def test_the_blocks_own_error_comes_first() -> None:
    async def own() -> None:
        async with Tasks(report=reports) as tasks:
            tasks.start(fail_on_the_way_out(), name="bad")
            await asyncio.sleep(0)
            raise ZeroDivisionError

    reports = Reports()
    with pytest.raises(ZeroDivisionError):
        await own()
    assert reports.seen == [("bad", Broken)]


async def test_a_failure_on_the_way_out_lets_the_others_clean_up_and_is_raised() -> None:
    reports, ended = Reports(), list[str]()

    async def own() -> None:
        async with Tasks(report=reports) as tasks:
            tasks.start(fail_on_the_way_out(), name="bad")
            tasks.start(wait_for_ever(ended), name="good")
            await asyncio.sleep(0)

    with pytest.raises(Broken):
        await own()
    assert reports.seen == [("bad", Broken)]
    assert ended == ["waiting"]


async def test_the_cause_of_a_failure_is_kept() -> None:
    async def fail_because() -> None:
        raise Broken from KeyError("why")

    with pytest.raises(Broken) as caught:
        await run(fail_because(), report=Reports())
    assert isinstance(caught.value.__cause__, KeyError)


async def test_cancelling_the_owner_ends_its_tasks_and_is_not_swallowed() -> None:
    ended: list[str] = []
    reports = Reports()
    started = asyncio.Event()

    async def own() -> None:
        async with Tasks(report=reports) as tasks:
            tasks.start(wait_for_ever(ended), name="inner")
            await asyncio.sleep(0)
            started.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        owner = group.create_task(own())
        await started.wait()
        owner.cancel()
    assert owner.cancelled()
    assert ended == ["waiting"]
    assert reports.seen == []


async def test_a_task_that_returns_ends_nothing() -> None:
    async def answer() -> int:
        return 42

    async with Tasks() as tasks:
        tasks.start(answer(), name="short")
        for _ in range(3):
            await asyncio.sleep(0)


async def test_nothing_starts_outside_of_the_block() -> None:
    tasks = Tasks()
    ended: list[str] = []
    with pytest.raises(RuntimeError, match="starting task early"):
        tasks.start(wait_for_ever(ended), name="early")
    async with tasks:
        pass
    with pytest.raises(RuntimeError, match="starting task late"):
        tasks.start(wait_for_ever(ended), name="late")


async def test_nothing_starts_once_the_group_is_failing() -> None:
    async def own() -> None:
        async with Tasks(report=Reports()) as tasks:
            tasks.start(fail(), name="bad")
            try:
                await asyncio.Event().wait()
            finally:
                with pytest.raises(RuntimeError, match="starting task late"):
                    tasks.start(wait_for_ever([]), name="late")

    with pytest.raises(Broken):
        await own()
