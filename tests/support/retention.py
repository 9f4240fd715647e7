"""Histories of a log for the rules about what of it is kept: commits, idle traffic, and what was kept after each."""

from collections.abc import Iterator, Sequence

from hypothesis import strategies as st
from msgspec import Struct

from tidewire.model.position import Lsn
from tidewire.wal.retention import Retention, Window


class Committed(Struct, frozen=True):
    """A transaction of so many bytes, so long after the step before."""

    size_bytes: int
    pause_us: int


class Idle(Struct, frozen=True):
    """Traffic that nobody follows."""

    size_bytes: int
    pause_us: int


Step = Committed | Idle

_sizes = st.one_of(st.integers(1, 50), st.integers(1, 12_000))
_pauses = st.one_of(st.integers(0, 1000), st.integers(0, 120_000_000), st.integers(20_000_000, 120_000_000))
STEPS = st.lists(st.one_of(st.builds(Committed, _sizes, _pauses), st.builds(Idle, _sizes, _pauses)), max_size=80)


class Place(Struct, frozen=True):
    """Where a transaction ended, and when."""

    end: int
    at_us: int


class Seen(Struct, frozen=True):
    """How things stand after a step; `cut` when bytes alone have decided at some time."""

    committed: Sequence[Place]
    newest: int
    now_us: int
    before: int
    released: int
    count: int
    cut: bool


def play(steps: Sequence[Step], window: Window) -> Iterator[Seen]:
    """Yield how things stand after every step."""
    retention = Retention(Lsn(1000), window)
    committed: list[Place] = []
    newest, now_us, cut = 1000, 0, False
    for step in steps:
        newest += step.size_bytes
        now_us += step.pause_us
        before = retention.released
        cut = cut or newest - before > window.limit_bytes
        if isinstance(step, Committed):
            committed.append(Place(newest, now_us))
            retention.hold(Lsn(newest), now_us)
        else:
            retention.passed(Lsn(newest), now_us)
        yield Seen(tuple(committed), newest, now_us, before, retention.released, len(retention), cut)
