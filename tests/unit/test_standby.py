"""What is confirmed to Postgres: never more than was confirmed to us, never less than keeps an idle slot moving."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from tidewire.model.position import Lsn
from tidewire.wal.protocol import POSTGRES_EPOCH_US, parse_keepalive, status_update
from tidewire.wal.standby import Standby


def standby() -> Standby:
    return Standby(Lsn(100))


def test_nothing_is_flushed_before_it_is_confirmed() -> None:
    s = standby()
    s.receive(500)
    s.deliver(300)
    assert s.flushed == 100
    s.confirm(300)
    assert s.flushed == 300


def test_an_idle_stream_follows_the_server() -> None:
    s = standby()
    s.idle(400)
    assert s.flushed == 400


def test_a_keepalive_behind_an_unconfirmed_transaction_waits_for_it() -> None:
    s = standby()
    s.deliver(300)
    s.idle(400)
    assert s.flushed == 100
    s.confirm(300)
    assert s.flushed == 400


def test_a_later_transaction_holds_back_what_an_earlier_keepalive_allowed() -> None:
    s = standby()
    s.deliver(300)
    s.idle(350)
    s.deliver(500)
    s.confirm(300)
    assert s.flushed == 300
    s.confirm(500)
    assert s.flushed == 500


def test_confirming_beyond_what_was_delivered_is_cut() -> None:
    s = standby()
    s.deliver(300)
    s.confirm(10_000)
    assert s.flushed == 300


def test_who_asks_is_not_told_of_a_place_that_it_would_wait_behind() -> None:
    """A server that shuts down waits until all is flushed; left out, the place counts as far as was received."""
    s = standby()
    s.receive(500)
    s.deliver(500)
    assert s.status(now_us=0) == status_update(written=500, flushed=100, now_us=0)
    assert s.status(now_us=0, asked=True) == status_update(written=500, flushed=0, now_us=0)
    s.confirm(500)
    assert s.status(now_us=0, asked=True) == status_update(written=500, flushed=500, now_us=0)


def test_status_message_field_by_field() -> None:
    message = status_update(written=3, flushed=2, now_us=POSTGRES_EPOCH_US + 9)
    assert message == b"r" + struct.pack(">QQQqB", 3, 2, 2, 9, 1)


def test_keepalive_field_by_field() -> None:
    keepalive = parse_keepalive(b"k" + struct.pack(">QqB", 77, 5, 1))
    assert keepalive.wal_end == 77
    assert keepalive.sent_us == POSTGRES_EPOCH_US + 5
    assert keepalive.reply_requested


@given(st.lists(st.tuples(st.sampled_from(["deliver", "idle", "confirm"]), st.integers(1, 1000)), max_size=60))
def test_flushed_never_passes_an_unconfirmed_transaction(steps: list[tuple[str, int]]) -> None:
    s = Standby(Lsn(0))
    place, outstanding = 0, []
    for step, distance in steps:
        before = s.flushed
        if step == "deliver":
            place += distance
            outstanding.append(place)
            s.deliver(place)
        elif step == "idle":
            place += distance
            s.idle(place)
        elif outstanding:
            s.confirm(outstanding.pop(0))
        assert s.flushed >= before
        assert all(s.flushed < lsn for lsn in outstanding)
        if not outstanding:
            assert s.flushed >= before
