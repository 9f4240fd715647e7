"""How far one reader has come, over all its connections: what it confirms, where it goes on, what it leaves out."""

from msgspec.structs import replace

from tidewire.model.change import Transaction
from tidewire.model.position import Lsn
from tidewire.model.relation import Column, PgType, Relation
from tidewire.testing import inserted
from tidewire.wal.assembler import Resume
from tidewire.wal.progress import Progress
from tidewire.wal.protocol import Keepalive
from tidewire.wal.retention import Retained, Window

S = 1_000_000
RELATION = Relation(1, "public", "t", "default", (Column("id", PgType(20, "int8")),))
WINDOW = Window(age_s=100, limit_bytes=1000)


def commit(lsn: int, *, complete: bool = True) -> Transaction:
    return inserted(RELATION, [("1",), ("2",)], lsn=lsn, complete=complete)


def keepalive(wal_end: int, sent_us: int = 0) -> Keepalive:
    return Keepalive(Lsn(wal_end), reply_requested=False, sent_us=sent_us)


def test_without_a_window_what_is_safe_is_confirmed() -> None:
    progress = Progress()
    standby = progress.connect(Lsn(100), keep_bytes=-1)
    progress.deliver(commit(200))
    progress.confirm(Lsn(201))
    assert standby.flushed == 201
    progress.idle(keepalive(300))
    assert standby.flushed == 300
    assert progress.retained is None


def test_with_a_window_it_is_confirmed_when_it_leaves_that() -> None:
    progress = Progress(WINDOW)
    standby = progress.connect(Lsn(100), keep_bytes=-1)
    for lsn in (200, 300):
        progress.deliver(commit(lsn))
        progress.confirm(Lsn(lsn + 1))
    progress.idle(keepalive(400, 99 * S))
    assert (standby.flushed, progress.retained) == (100, Retained(300, 99.0))
    progress.idle(keepalive(1201, 99 * S))
    assert standby.flushed == 201
    progress.idle(keepalive(1202, 99 * S))
    assert standby.flushed == 301
    progress.idle(keepalive(1302, 99 * S))
    assert standby.flushed == 1302, "nothing is left to come back to"


def test_what_leaves_the_window_waits_until_it_is_safe() -> None:
    progress = Progress(WINDOW)
    standby = progress.connect(Lsn(100), keep_bytes=-1)
    progress.deliver(commit(200))
    progress.idle(keepalive(5000))
    assert standby.flushed == 100
    progress.confirm(Lsn(201))
    assert standby.flushed == 5000


def test_a_server_that_keeps_little_makes_the_window_small() -> None:
    progress = Progress(WINDOW)
    standby = progress.connect(Lsn(100), keep_bytes=100)
    progress.deliver(commit(200))
    progress.confirm(Lsn(201))
    assert standby.flushed == 201


def test_the_next_connection_goes_on_behind_what_was_handed_out_whole() -> None:
    progress = Progress(WINDOW)
    progress.connect(Lsn(100), keep_bytes=-1)
    progress.deliver(commit(200))
    progress.deliver(commit(300, complete=False))
    progress.confirm(Lsn(201))
    progress.disconnect(streamed=True)
    assert progress.told == 100
    standby = progress.connect(Lsn(100), keep_bytes=-1)
    assert progress.begin_at(Lsn(100)) == 201
    assert progress.after == Resume(Lsn(300), 1)
    assert standby.flushed == 100, "the window is the same as before"


def test_a_connection_that_never_streamed_has_told_nothing() -> None:
    progress = Progress()
    progress.connect(Lsn(100), keep_bytes=-1)
    progress.disconnect(streamed=False)
    assert progress.told == 0


def test_the_past_is_left_out_and_kept() -> None:
    progress = Progress(WINDOW)
    standby = progress.connect(Lsn(100), keep_bytes=-1)
    progress.skip(Lsn(500), 1000 * S)
    assert progress.begin_at(Lsn(100)) == 500
    assert standby.flushed == 100
    progress.deliver(replace(commit(600), commit_time_us=1001 * S))
    progress.idle(keepalive(700, 1100 * S))
    assert standby.flushed == 100
    progress.idle(keepalive(700, 1101 * S))
    assert standby.flushed == 500, "what came next is too old by now"
