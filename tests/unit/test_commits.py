"""From the order of commits and a snapshot comes a place that nothing lies before which the snapshot does not see."""

from itertools import count, islice

from hypothesis import given
from hypothesis import strategies as st

from tidewire.hub.commits import Commits
from tidewire.model.snapshot import Snapshot

XIDS = 2**32


def commits_of(*xids: int) -> Commits:
    commits = Commits()
    for xid in xids:
        commits.add(xid % XIDS)
    return commits


def test_everything_before_the_first_that_is_not_seen() -> None:
    commits = commits_of(10, 12, 11, 14)
    assert commits.first_unseen(0, Snapshot(13, frozenset({12}))) == 1
    assert commits.first_unseen(0, Snapshot(15, frozenset({13}))) == 4
    assert commits.first_unseen(0, Snapshot(10)) == 0


def test_what_somebody_saw_need_not_be_looked_at_again() -> None:
    commits = commits_of(10, 11, 12)
    before = commits.visible
    assert commits.first_unseen(before, Snapshot(12)) == 2
    assert commits.visible == 2
    assert commits.first_unseen(before, Snapshot(11)) == 1, "asked for before, and answered later"
    assert commits.visible == 2


def test_what_was_dropped_unseen_leaves_no_place() -> None:
    commits = commits_of(10, 11, 12)
    commits.drop(2)
    assert commits.first_unseen(0, Snapshot(20, frozenset({9}))) is None
    assert commits.first_unseen(0, Snapshot(20, frozenset({12}))) == 0
    assert commits.first_unseen(2, Snapshot(20, frozenset({9}))) == 1


def test_another_history_begins_with_its_first_commit() -> None:
    commits = commits_of(10, 11)
    before = commits.visible
    commits.begin_anew()
    commits.add(5)
    assert commits.first_unseen(before, Snapshot(5)) == 0
    assert commits.first_unseen(commits.visible, Snapshot(6)) == 1


@given(
    start=st.sampled_from([1000, XIDS - 20, 3 * XIDS - 5]),
    order=st.permutations(range(30)),
    known=st.integers(0, 30),
    ended=st.integers(0, 30),
    more=st.integers(0, 10),
    data=st.data(),
)
def test_no_commit_before_the_place_is_unseen(  # noqa: PLR0917 - hypothesis passes them by name
    start: int, order: list[int], known: int, ended: int, more: int, data: st.DataObject
) -> None:
    usual = list(islice((xid for xid in count(start) if xid % XIDS > 2), 30))  # Postgres leaves 0 to 2 out
    xids = [usual[each] for each in order]
    seen = set(xids[:ended]) | set(data.draw(st.sets(st.sampled_from(xids))))
    known = min(known, ended)  # what was visible before is seen
    end = max(seen, default=start) + 1 + more
    running = frozenset(xid for xid in range(start, end) if xid not in seen and xid % XIDS > 2)
    commits = commits_of(*xids)
    place = commits.first_unseen(known, Snapshot(end, running))
    assert place is not None
    assert set(xids[:place]) <= seen
    assert place == len(xids) or xids[place] not in seen
