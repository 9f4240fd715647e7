"""What is certain of a client that only sends heartbeats, and how long and of how many that is remembered."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.support.node import Clock
from tidewire.hub.resumable import Resumable, ResumeLimits
from tidewire.model.position import Lsn, StreamPosition
from tidewire.wire.progress import MOST_PLACES, Beginning, Place, Progress

NOTES = Place("notes", private=False, role="authenticated", subject="ada")
SESSION, OTHER = "one-session-of-a-client", "another-one-of-somebody"


def at(lsn: int, epoch: str = "e") -> StreamPosition:
    return StreamPosition(epoch, Lsn(lsn), 0)


def begun(*subtopics: str) -> Progress:
    progress = Progress()
    for subtopic in subtopics:
        progress.begin(Place(subtopic, private=False, role="anon", subject=None), at(1), Beginning())
    return progress


@given(st.lists(st.sampled_from(["commit", "beat", "catching up"])))
def test_what_was_sent_before_the_last_answered_heartbeat_is_certain_and_no_more(events: Sequence[str]) -> None:
    progress, sent, answered = Progress(), 10, [10]
    progress.begin(NOTES, at(sent))
    for event in events:
        if event == "commit":
            sent += 1
        elif event == "beat":
            progress.beat(at(sent), [NOTES])
            answered.append(sent)
        else:  # nothing is known of a channel that is told what it missed
            progress.beat(at(sent + 100), [])
            answered.append(answered[-1])
    assert progress.certain[NOTES] == at(answered[-2] if len(answered) > 1 else 10)


def test_a_channel_that_begins_anew_is_not_moved_by_what_was_noted_before() -> None:
    progress = begun()
    progress.begin(NOTES, at(5))
    progress.beat(at(9), [NOTES])
    progress.begin(NOTES, at(7))
    progress.beat(at(11), [NOTES])
    assert progress.certain == {NOTES: at(7)}


def test_nothing_goes_back_within_a_history_and_another_history_counts() -> None:
    progress = Progress()
    progress.begin(NOTES, at(20))
    progress.beat(at(9), [NOTES])
    progress.beat(at(3, "f"), [NOTES])
    assert progress.certain == {NOTES: at(20)}
    progress.beat(None, [NOTES])
    assert progress.certain == {NOTES: at(3, "f")}
    progress.beat(at(30, "f"), [NOTES])
    assert progress.certain == {NOTES: at(3, "f")}


def test_a_channel_whose_beginning_was_not_known_is_certain_after_two_heartbeats() -> None:
    progress = Progress()
    progress.beat(at(4), [NOTES])
    assert not progress.certain
    progress.beat(at(6), [NOTES])
    assert progress.certain == {NOTES: at(4)}
    progress.end(NOTES)
    progress.beat(at(8), [])
    assert not progress.certain


def test_what_a_client_was_told_at_the_beginning_is_said_again_until_it_is_certain() -> None:
    progress, missed = Progress(), Beginning(recovered=False, reason="too long ago")
    progress.begin(NOTES, at(1), missed)
    progress.beat(at(2), [NOTES])
    progress = progress.successor()
    assert progress.unheard(NOTES) == missed
    progress.begin(NOTES, at(1), missed)
    progress.beat(at(3), [], [NOTES])  # it is still told what it missed, but the reply came before that
    assert progress.unheard(NOTES) == missed
    progress.beat(None, [NOTES])
    assert progress.unheard(NOTES) is None
    progress.begin(NOTES, at(3), Beginning(recovered=True))
    assert progress.unheard(NOTES) is None


def test_the_channels_of_one_client_are_bounded() -> None:
    progress = begun(*(f"topic {number}" for number in range(MOST_PLACES + 5)))
    assert len(progress) == MOST_PLACES
    assert next(iter(progress.certain)).subtopic == "topic 5"
    assert len(progress._unheard) == MOST_PLACES


def test_a_client_that_comes_back_begins_where_it_was(clock: Clock) -> None:
    resumable = Resumable(ResumeLimits(age_s=60), clock)
    first = resumable.enter(SESSION)
    first.begin(NOTES, at(5))
    resumable.leave(SESSION, first)
    clock.now_s += 60
    second = resumable.enter(SESSION)
    assert second.certain == {NOTES: at(5)}
    assert not resumable.enter(OTHER).certain
    resumable.leave(SESSION, second)
    clock.now_s += 61
    assert not resumable.enter(SESSION).certain


def test_the_newest_connection_of_a_session_counts(clock: Clock) -> None:
    resumable = Resumable(ResumeLimits(), clock)
    first = resumable.enter(SESSION)
    first.begin(NOTES, at(5))
    second = resumable.enter(SESSION)
    first.begin(NOTES, at(99))  # a black hole that is still written to
    resumable.leave(SESSION, first)
    assert second.certain == {NOTES: at(5)}
    resumable.leave(SESSION, second)
    assert resumable.enter(SESSION).certain == {NOTES: at(5)}


def test_the_oldest_are_forgotten_first(clock: Clock) -> None:
    resumable = Resumable(ResumeLimits(channels=3), clock)
    for session in "abc":
        progress = resumable.enter(session)
        for subtopic in ("x", "y"):
            progress.begin(Place(subtopic, private=False, role="anon", subject=None), at(1))
        resumable.leave(session, progress)
    assert [len(resumable.enter(session)) for session in "abc"] == [0, 0, 2]
