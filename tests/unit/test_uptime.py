"""How old the past is counts the time in which it was served, over all lives of servers, and no other."""

import pytest

from tidewire.model.change import LogicalMessage, Transaction
from tidewire.model.position import Lsn
from tidewire.wal.progress import Progress
from tidewire.wal.protocol import Keepalive
from tidewire.wal.retention import Window
from tidewire.wal.uptime import UPTIME_PREFIX, Uptimes

S = 1_000_000


def mark(lsn: int, at_s: int, content: str, *, prefix: str = UPTIME_PREFIX, complete: bool = True) -> Transaction:
    message = LogicalMessage(Lsn(lsn), 0, prefix, content.encode())
    return Transaction(1, Lsn(lsn), at_s * S, (message,), Lsn(lsn + 1) if complete else None)


def read(*marks: tuple[int, int, int]) -> Uptimes:
    """Each has its place, when it was written, and the seconds that it says."""
    uptimes = Uptimes()
    for lsn, at_s, uptime_s in marks:
        uptimes.note(mark(lsn, at_s, str(uptime_s * S)))
    return uptimes


def test_time_in_which_nobody_could_come_back_does_not_count() -> None:
    uptimes = read((10, 1000, 50), (20, 1010, 60), (30, 9000, 65))
    assert uptimes.ages() == [(11, 15 * S), (21, 5 * S), (31, 0)]
    assert uptimes.last_us == 65 * S


def test_no_time_passes_faster_than_by_the_clock_or_backwards() -> None:
    uptimes = read((10, 1000, 50), (20, 1001, 99_999), (30, 1002, 3), (40, 1004, 5))
    assert uptimes.ages() == [(11, 3 * S), (21, 2 * S), (31, 2 * S), (41, 0)]


@pytest.mark.parametrize("content", ["", "-5", "1e3", "١٢", "9" * 16, "x", "\udcff"])
def test_what_is_no_time_is_left_out(content: str) -> None:
    uptimes = Uptimes()
    message = LogicalMessage(Lsn(1), 0, UPTIME_PREFIX, content.encode("utf-8", errors="surrogateescape"))
    uptimes.note(Transaction(1, Lsn(1), 0, (message,), Lsn(2)))
    assert (uptimes.ages(), uptimes.last_us) == ([], 0)


def test_others_messages_and_parts_are_left_out() -> None:
    uptimes = Uptimes()
    uptimes.note(mark(1, 0, "5", prefix="tidewire.rules"))
    uptimes.note(mark(2, 0, "5", complete=False))
    assert uptimes.ages() == []


def test_a_server_that_lives_for_less_than_the_window_lets_the_past_go_all_the_same() -> None:
    progress = Progress(Window(age_s=100, limit_bytes=10**9))
    standby = progress.connect(Lsn(0), keep_bytes=-1)
    progress.skip(Lsn(1000), 5000 * S)
    progress.remember([(Lsn(100), 130 * S), (Lsn(200), 90 * S), (Lsn(300), 60 * S)])
    assert standby.flushed == 0, "who stood at 100 was up to date 90 s ago"
    progress.idle(Keepalive(wal_end=Lsn(1000), sent_us=5009 * S, reply_requested=False))
    assert standby.flushed == 0
    progress.idle(Keepalive(wal_end=Lsn(1000), sent_us=5010 * S, reply_requested=False))
    assert standby.flushed == 100
    progress.idle(Keepalive(wal_end=Lsn(1000), sent_us=5040 * S, reply_requested=False))
    assert standby.flushed == 200


def test_places_that_are_gone_or_held_already_are_not_remembered() -> None:
    progress = Progress(Window(age_s=100, limit_bytes=10**9))
    standby = progress.connect(Lsn(150), keep_bytes=-1)
    progress.skip(Lsn(1000), 5000 * S)
    progress.remember([(Lsn(100), 500 * S), (Lsn(1500), 400 * S)])
    assert standby.flushed == 150
