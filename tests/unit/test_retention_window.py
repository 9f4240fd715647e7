"""How long the slot keeps the log: as the window says, exactly enough for whoever comes back, and never more bytes."""

from itertools import pairwise

from hypothesis import example, given

from tests.support.retention import STEPS, Committed, Idle, Step, play
from tidewire.model.position import Lsn
from tidewire.wal.retention import GRAINS, Retained, Retention, Window

S = 1_000_000
WINDOW = Window(age_s=100, limit_bytes=10_000)


def retention() -> Retention:
    return Retention(Lsn(1000), WINDOW)


def test_a_transaction_goes_when_the_next_one_is_too_old() -> None:
    r = retention()
    r.hold(Lsn(2000), 0)
    r.hold(Lsn(3000), 50 * S)
    r.passed(Lsn(3000), 149 * S)
    assert r.released == 1000, "who stood behind the first one was up to date 99 s ago"
    r.passed(Lsn(3000), 150 * S)
    assert r.released == 2000


def test_the_newest_stays_however_old_it_is() -> None:
    r = retention()
    r.hold(Lsn(2000), 0)
    r.passed(Lsn(2000), 10_000 * S)
    assert r.released == 1000
    assert r.retained == Retained(1000, 10_000.0)


def test_too_many_bytes_drop_the_oldest_first() -> None:
    r = retention()
    for number in range(1, 13):
        r.hold(Lsn(1000 + number * 1000), number * S)
    assert r.released == 3000
    assert r.retained.size_bytes == 10_000


def test_traffic_that_nobody_follows_counts_as_bytes() -> None:
    r = retention()
    r.hold(Lsn(2000), 0)
    r.passed(Lsn(11_001), S)
    assert r.released == 2000
    r.passed(Lsn(12_000), S)
    assert r.released == 2000
    r.passed(Lsn(12_001), S)
    assert r.released == 12_001


def test_half_of_what_the_server_lets_a_slot_keep() -> None:
    assert WINDOW.within(-1) == WINDOW
    assert WINDOW.within(10**9) == WINDOW
    assert WINDOW.within(5000) == Window(age_s=100, limit_bytes=2500)


def test_nothing_is_kept_where_nothing_may_be() -> None:
    r = Retention(Lsn(1000), Window(age_s=100, limit_bytes=0))
    r.hold(Lsn(2000), 0)
    assert r.released == 2000


@given(STEPS)
def test_what_is_kept_is_what_the_window_says(steps: list[Step]) -> None:
    for seen in play(steps, WINDOW):
        size_bytes = seen.newest - seen.released
        assert size_bytes <= WINDOW.limit_bytes
        assert seen.released >= seen.before, "what was released is gone"
        assert seen.count <= 2 * GRAINS + 3
        needed = [
            one.end
            for one, next_ in pairwise([*seen.committed, None])
            if one is not None and (next_ is None or next_.at_us > seen.now_us - WINDOW.age_s * S)
        ]
        if needed and not seen.cut:
            assert seen.released < needed[0], "somebody may come back to it"


@given(STEPS)
@example([Committed(5000, 0), Committed(1000, 10 * S), Idle(1, 120 * S)])
@example([Committed(size_bytes, 0) for size_bytes in (1, 1, 1, 41, 1, 1)] + [Idle(1, 120 * S)])
@example([Committed(20, S // 10)] * 20 + [Idle(1, 120 * S)])
def test_nothing_is_kept_for_much_longer(steps: list[Step]) -> None:
    """What has outlived the window, and is kept all the same, waits for the next stretch to begin.

    A stretch is released as soon as the one behind it has outlived the window, so all that is kept for too long is of
    one stretch, whose first transaction is the oldest of it. Whoever of that stretch has outlived the window has a
    successor, by which that is told, and the successor did not begin a stretch: it ends less than a grain of bytes,
    and less than a grain of age, behind the first. How large that first one is, nothing bounds.
    """
    for seen in play(steps, WINDOW):
        successors = [
            (one, next_)
            for one, next_ in pairwise(seen.committed)
            if one.end > seen.released and next_.at_us <= seen.now_us - WINDOW.age_s * S
        ]
        if successors:
            first, last = successors[0][0], successors[-1][1]
            assert (last.end - first.end) * GRAINS < WINDOW.limit_bytes
            assert (last.at_us - first.at_us) * GRAINS < WINDOW.age_s * S
