"""What becomes of messages for a slow reader, for every kind and every amount that waits."""

from hypothesis import given
from hypothesis import strategies as st

from tidewire.wire.pressure import Held, Kind, PressurePolicy, decide

KINDS: tuple[Kind, ...] = ("change", "broadcast", "presence")
amounts = st.integers(0, 2000)
policies = st.builds(PressurePolicy, outbox_bytes=st.integers(2, 1000), drops_broadcasts=st.booleans())
packets = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.integers(1, 60)), max_size=60)


@given(kind=st.sampled_from(KINDS), waiting=amounts, policy=policies, holding=st.booleans())
def test_what_cannot_be_made_up_for_is_written_or_ends_the_connection(
    *, kind: Kind, waiting: int, policy: PressurePolicy, holding: bool
) -> None:
    verdict = decide(kind, waiting, policy, holding=holding)
    may_be_held = kind == "presence" or (kind == "broadcast" and policy.drops_broadcasts)
    assert verdict in ({"write", "hold"} if may_be_held else {"write", "close"})
    if verdict == "write":
        assert waiting <= policy.outbox_bytes


@given(kind=st.sampled_from(KINDS), waiting=amounts, policy=policies, holding=st.booleans())
def test_a_reader_for_whom_nothing_waits_is_written_to(
    *, kind: Kind, waiting: int, policy: PressurePolicy, holding: bool
) -> None:
    if waiting <= policy.hold_bytes and not holding:
        assert decide(kind, waiting, policy, holding=holding) == "write"


@given(amounts, policies)
def test_nothing_overtakes_what_is_held(waiting: int, policy: PressurePolicy) -> None:
    assert decide("presence", waiting, policy, holding=True) == "hold"
    if policy.drops_broadcasts:
        assert decide("broadcast", waiting, policy, holding=True) == "hold"


@given(
    kind=st.sampled_from(KINDS),
    policy=policies,
    holding=st.booleans(),
    waiting=st.lists(amounts, min_size=2, max_size=2).map(sorted),
)
def test_more_waiting_never_makes_it_milder(
    *, kind: Kind, policy: PressurePolicy, holding: bool, waiting: list[int]
) -> None:
    less, more = (("write", "hold", "close").index(decide(kind, each, policy, holding=holding)) for each in waiting)
    assert less <= more


@given(packets, st.integers(1, 200))
def test_the_newest_are_held_within_bounds_and_the_others_counted(sent: list[tuple[str, int, int]], limit: int) -> None:
    held = Held(limit)
    gone = sum(held.add(who, place, messages=many, size=size) for place, (who, many, size) in enumerate(sent))
    kept = held.packets()
    assert kept == [(who, place) for place, (who, _, _) in enumerate(sent)][len(sent) - len(kept) :]
    assert held.held_bytes == sum(size for _, _, size in sent[len(sent) - len(kept) :])
    assert held.held_bytes <= limit or len(kept) == 1
    lost = sent[: len(sent) - len(kept)]
    assert held.dropped == {who: sum(many for other, many, _ in lost if other == who) for who, _, _ in lost}
    assert gone == sum(held.dropped.values())


@given(packets, st.integers(1, 200))
def test_nothing_is_dropped_that_would_have_fitted(sent: list[tuple[str, int, int]], limit: int) -> None:
    held = Held(limit)
    for who, many, size in sent:
        held.add(who, None, messages=many, size=size)
    if sum(size for _, _, size in sent) <= limit:
        assert (len(held.packets()), held.dropped) == (len(sent), {})
    assert bool(held) == bool(sent)
