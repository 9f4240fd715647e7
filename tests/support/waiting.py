"""Waits for something another process does, by asking again until it holds or the limit has passed."""

import time
from collections.abc import Callable

PAUSE_S = 0.01


def wait_until(condition: Callable[[], bool], *, limit_s: float = 10.0) -> None:
    """Return as soon as the condition holds. Fails the test when it does not within the limit."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {limit_s} s"
        time.sleep(PAUSE_S)
