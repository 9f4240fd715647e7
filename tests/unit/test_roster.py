"""A roster on one node and between two: what each operation tells clients and peers, and what it refuses."""

import json

import msgspec
import pytest

from tidewire.model.errors import DecodeError
from tidewire.presence.clock import Seen, Version
from tidewire.presence.delta import Delta, Entry, decode_delta, encode_delta
from tidewire.presence.diff import Diff, Metas, Pending, encode_meta
from tidewire.presence.roster import Owner, Refusal, Roster
from tidewire.presence.share import MAX_RANGES, PeerShare

PHONE, LAPTOP, TABLET = Owner(1, "1"), Owner(2, "1"), Owner(2, "7")


def joined(result: Diff | Refusal | None) -> Metas:
    assert isinstance(result, Diff)
    return result.joins


def left(result: Diff | Refusal | None) -> Metas:
    assert isinstance(result, Diff)
    return result.leaves


def pair(*, grace_s: float = 0.0) -> tuple[Roster, Roster]:
    one, two = Roster("one", grace_s=grace_s), Roster("two", grace_s=grace_s)
    one.up("two")
    two.up("one")
    return one, two


def tell(sender: Roster, receiver: Roster) -> Diff | None:
    delta = sender.take_delta()
    assert delta is not None
    return receiver.merge(decode_delta(encode_delta(delta)))


# --- channels of this node -----------------------------------------------------------------------------------


def test_track_joins_and_untrack_leaves_with_the_same_meta() -> None:
    roster = Roster("one")
    metas = {"ada": {"r1": b'{"at":"desk","phx_ref":"r1"}'}}
    assert roster.track(PHONE, "ada", b'{"at":"desk"}', "r1") == Diff(joins=metas, leaves={})
    assert roster.state() == metas
    assert roster.untrack(PHONE) == Diff(joins={}, leaves=metas)
    assert roster.state() == {}
    assert roster.size == 0


def test_an_identical_payload_changes_nothing() -> None:
    roster = Roster("one")
    roster.track(PHONE, "ada", b'{"a":1}', "r1")
    assert roster.track(PHONE, "ada", b'{"a":1}', "r2") is None
    roster.track(PHONE, "ada", b'{"a":2}', "r3")
    assert roster.track(PHONE, "ada", b'{"a":2}', "r4") is None
    assert list(roster.state()["ada"]) == ["r3"]


def test_an_update_is_one_diff_that_names_the_previous_meta() -> None:
    roster = Roster("one")
    roster.track(PHONE, "ada", b'{"a":1}', "r1")
    assert roster.track(PHONE, "ada", b'{"a":2}', "r2") == Diff(
        joins={"ada": {"r2": b'{"a":2,"phx_ref":"r2","phx_ref_prev":"r1"}'}},
        leaves={"ada": {"r1": b'{"a":1,"phx_ref":"r1"}'}},
    )


def test_sockets_that_share_a_key_have_a_meta_each() -> None:
    roster = Roster("one")
    roster.track(PHONE, "ada", b"{}", "r1")
    roster.track(LAPTOP, "ada", b"{}", "r2")
    roster.track(TABLET, "ada", b"{}", "r3")
    assert list(roster.state()["ada"]) == ["r1", "r2", "r3"]
    assert left(roster.drop(LAPTOP, now=0)) == {"ada": {"r2": b'{"phx_ref":"r2"}'}}
    assert list(roster.state()["ada"]) == ["r1", "r3"]


def test_a_channel_that_changes_its_key_leaves_the_old_one() -> None:
    roster = Roster("one")
    roster.track(PHONE, "ada", b"{}", "r1")
    diff = roster.track(PHONE, "bob", b"{}", "r2")
    assert joined(diff) == {"bob": {"r2": b'{"phx_ref":"r2"}'}}
    assert list(left(diff)) == ["ada"]
    assert list(roster.state()) == ["bob"]


def test_who_never_tracked_cannot_leave() -> None:
    roster = Roster("one", grace_s=1)
    assert roster.untrack(PHONE) is None
    assert roster.drop(PHONE, now=0) is None
    assert roster.due_at is None
    assert roster.take_delta() is None


# --- payloads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b'"{}"', b'{"a":}', b"{} {}", b'{"a":"\xff"}', b"[" * 9999])
def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    roster = Roster("one")
    assert roster.track(PHONE, "ada", payload, "r1") is Refusal.NOT_AN_OBJECT
    roster.track(PHONE, "ada", b"{}", "r2")
    assert roster.track(PHONE, "ada", payload, "r3") is Refusal.NOT_AN_OBJECT
    assert list(roster.state()["ada"]) == ["r2"]


@pytest.mark.parametrize(
    "payload", [b'{"phx_ref":"x","a":1}', b'{"a":1,"phx\\u005fref":"x"}', b'{"phx_ref_prev":2,"a":1}']
)
def test_users_cannot_smuggle_in_a_ref(payload: bytes) -> None:
    pairs = json.loads(encode_meta(payload, ref="mine"), object_pairs_hook=list)
    assert sorted(pairs) == [("a", 1), ("phx_ref", "mine")]


def test_the_rest_of_a_payload_stays_as_it_was_written() -> None:
    assert (
        encode_meta(b' { "n": 1.50 , "t":"\\u00e9" }\n', ref='q"') == b'{ "n": 1.50 , "t":"\\u00e9" ,"phx_ref":"q\\""}'
    )


# --- limits --------------------------------------------------------------------------------------------------


def test_keys_are_limited_but_more_of_the_same_key_is_not_another() -> None:
    roster = Roster("one", max_keys=1)
    roster.track(PHONE, "ada", b"{}", "r1")
    assert roster.track(LAPTOP, "bob", b"{}", "r2") is Refusal.TOO_MANY_KEYS
    assert isinstance(roster.track(LAPTOP, "ada", b"{}", "r3"), Diff)
    assert roster.track(LAPTOP, "bob", b"{}", "r4") is Refusal.TOO_MANY_KEYS
    roster.untrack(PHONE)
    assert isinstance(roster.track(LAPTOP, "bob", b"{}", "r5"), Diff), "the only key may be exchanged"


def test_metas_are_limited_but_may_always_change() -> None:
    roster = Roster("one", max_metas=1)
    roster.track(PHONE, "ada", b"{}", "r1")
    assert roster.track(LAPTOP, "ada", b"{}", "r2") is Refusal.TOO_MANY_METAS
    assert isinstance(roster.track(PHONE, "ada", b'{"a":1}', "r3"), Diff)
    assert isinstance(roster.track(PHONE, "bob", b"{}", "r4"), Diff)


def test_metas_of_peers_count() -> None:
    one, full = Roster("one"), Roster("two", max_metas=1)
    full.up("one")
    one.track(PHONE, "ada", b"{}", "r1")
    tell(one, full)
    assert full.track(LAPTOP, "bob", b"{}", "r2") is Refusal.TOO_MANY_METAS


@pytest.mark.parametrize("limits", [{"max_keys": 1}, {"max_metas": 1}])
def test_who_waits_gives_way_to_who_is_here(limits: dict[str, int]) -> None:
    roster = Roster("one", grace_s=10, **limits)
    roster.track(PHONE, "ada", b"{}", "r1")
    roster.drop(PHONE, now=0)
    diff = roster.track(LAPTOP, "bob", b"{}", "r2")
    assert (list(joined(diff)), list(left(diff))) == (["bob"], ["ada"])
    assert roster.due_at is None


# --- grace time ----------------------------------------------------------------------------------------------


def test_a_reload_within_the_grace_time_is_not_seen() -> None:
    roster = Roster("one", grace_s=5)
    roster.track(PHONE, "ada", b'{"a":1}', "r1")
    before = roster.state()
    assert roster.drop(PHONE, now=100) is None
    assert roster.due_at == 105
    assert roster.tick(104.9) is None
    assert roster.track(LAPTOP, "ada", b'{"a":1}', "r2") is None
    assert roster.tick(200) is None
    assert roster.state() == before
    assert left(roster.drop(LAPTOP, now=300) or roster.tick(305)) == before


def test_a_reload_with_another_payload_is_an_update() -> None:
    roster = Roster("one", grace_s=5)
    roster.track(PHONE, "ada", b'{"a":1}', "r1")
    roster.drop(PHONE, now=100)
    diff = roster.track(LAPTOP, "ada", b'{"a":2}', "r2")
    assert joined(diff) == {"ada": {"r2": b'{"a":2,"phx_ref":"r2","phx_ref_prev":"r1"}'}}
    assert list(left(diff)["ada"]) == ["r1"]
    assert roster.tick(200) is None


def test_those_who_do_not_come_back_leave_together_when_it_is_time() -> None:
    roster = Roster("one", grace_s=5)
    for owner, key in ((PHONE, "ada"), (LAPTOP, "bob"), (TABLET, "eve")):
        roster.track(owner, key, b"{}", f"r-{key}")
    roster.drop(PHONE, now=1)
    roster.drop(LAPTOP, now=2)
    roster.drop(TABLET, now=3)
    assert list(left(roster.tick(7))) == ["ada", "bob"]
    assert roster.due_at == 8
    assert list(left(roster.tick(8))) == ["eve"]
    assert not roster._waiting._by_key, "nothing is kept of those who are gone"


def test_an_untrack_does_not_wait() -> None:
    roster = Roster("one", grace_s=5)
    roster.track(PHONE, "ada", b"{}", "r1")
    assert list(left(roster.untrack(PHONE))) == ["ada"]


def test_of_two_that_wait_a_return_continues_one() -> None:
    roster = Roster("one", grace_s=5)
    roster.track(PHONE, "ada", b"{}", "r1")
    roster.track(LAPTOP, "ada", b"{}", "r2")
    roster.drop(PHONE, now=1)
    roster.drop(LAPTOP, now=2)
    assert roster.track(TABLET, "ada", b"{}", "r3") is None
    assert list(left(roster.tick(10))["ada"]) == ["r2"]


def test_a_return_at_another_node_ends_the_wait_and_the_key_never_vanishes() -> None:
    one, two = pair(grace_s=60)
    one.track(PHONE, "ada", b"{}", "r1")
    tell(one, two)
    one.drop(PHONE, now=0)
    assert one.take_delta() is None, "nobody is told of a leave that may not be one"
    two.track(PHONE, "ada", b"{}", "r2")
    diff = tell(two, one)
    assert (list(joined(diff)["ada"]), list(left(diff)["ada"])) == (["r2"], ["r1"])
    assert list(left(tell(one, two))["ada"]) == ["r1"]
    assert one.state() == two.state()
    assert one.tick(100) is None


def test_an_update_elsewhere_does_not_end_the_wait() -> None:
    one, two = pair(grace_s=60)
    one.track(PHONE, "ada", b"{}", "r1")
    two.track(LAPTOP, "ada", b"{}", "r2")
    tell(two, one)
    one.drop(PHONE, now=0)
    two.track(LAPTOP, "ada", b'{"a":1}', "r3")
    assert list(left(tell(two, one))["ada"]) == ["r2"]
    assert one.due_at == 60


# --- between nodes -------------------------------------------------------------------------------------------


def test_a_lost_removal_is_noticed_and_healed() -> None:
    one, two = pair()
    one.track(PHONE, "ada", b"{}", "r1")
    tell(one, two)
    one.untrack(PHONE)
    one.take_delta()  # lost on the way
    assert list(two.lagging()) == []
    two.announced("one", one.version)
    assert list(two.lagging()) == ["one"]
    assert list(left(two.merge(one.everything()))) == ["ada"]
    assert list(two.lagging()) == []


def test_a_removal_that_overtakes_its_join_wins() -> None:
    one, two = pair()
    one.track(PHONE, "ada", b"{}", "r1")
    join = one.take_delta()
    one.untrack(PHONE)
    leave = one.take_delta()
    assert join is not None
    assert leave is not None
    assert two.merge(leave) is None
    assert list(two.lagging()) == [], "both changes are known: a join, of what is no more"
    assert two.merge(join) is None
    assert two.state() == {}


def test_what_joined_and_left_between_two_deltas_is_not_sent() -> None:
    one, two = pair()
    one.track(PHONE, "ada", b"{}", "r1")
    one.untrack(PHONE)
    delta = one.take_delta()
    assert delta is not None
    assert (delta.entries, delta.removed) == ((), ())
    assert two.merge(delta) is None
    two.announced("one", one.version)
    assert list(two.lagging()) == []


def test_a_node_that_is_down_takes_its_metas_along_and_brings_them_back() -> None:
    one, two = pair()
    one.track(PHONE, "ada", b"{}", "r1")
    tell(one, two)
    assert list(left(two.down("one"))) == ["ada"]
    assert two.down("one") is None
    assert two.merge(one.everything()) is None, "who is down is not listened to"
    two.up("one")
    assert list(joined(two.merge(one.everything()))) == ["ada"]


def test_up_again_without_down_keeps_what_was_heard() -> None:
    one, two = pair()
    one.track(PHONE, "ada", b"{}", "r1")
    tell(one, two)
    two.up("one")
    assert two.state() == one.state()


def test_a_new_life_replaces_the_old_one_for_good() -> None:
    one, two = pair()
    one.track(PHONE, "ada", b"{}", "r1")
    old = one.everything()
    two.merge(old)
    reborn = Roster("one", life=2)
    reborn.track(LAPTOP, "bob", b"{}", "r2")
    diff = tell(reborn, two)
    assert (list(joined(diff)), list(left(diff))) == (["bob"], ["ada"])
    assert two.merge(old) is None
    assert two.state() == reborn.state()


def test_an_echo_of_its_own_delta_changes_nothing() -> None:
    one, _ = pair()
    one.up("one")
    one.track(PHONE, "ada", b"{}", "r1")
    assert one.merge(one.everything()) is None
    assert one.size == 1


def test_a_share_that_is_too_broken_up_waits_for_everything() -> None:
    peer = PeerShare()
    entries = [Entry(number, f"k{number}", f"r{number}", "", b"{}") for number in range(2, 400, 2)]
    for entry in entries:
        peer.merge(Delta("one", 1, entry.number - 1, entry.number, (entry,), ()))
    assert len(peer.entries) == MAX_RANGES
    assert peer.lagging
    peer.merge(Delta("one", 1, 0, 399, tuple(entries), ()))
    assert len(peer.entries) == len(entries)
    assert not peer.lagging


def test_a_share_with_a_long_past_costs_no_more_than_its_entries() -> None:
    peer = PeerShare()
    entry = Entry(2**50, "ada", "r1", "", b"{}")
    assert peer.merge(Delta("one", 1, 0, 2**51, (entry,), ())) == ([entry], [])
    assert peer.merge(Delta("one", 1, 0, 2**52, (), ())) == ([], [entry])


@pytest.mark.parametrize(
    "delta",
    [
        Delta("n", 1, 0, 1, (Entry(1, "k", "r", "", b"{}"),), ()),
        Delta("n", 2, 9, 12, (), (4, 9)),
    ],
)
def test_deltas_survive_the_bus(delta: Delta) -> None:
    assert decode_delta(encode_delta(delta)) == delta


@pytest.mark.parametrize(
    ("since", "until", "number", "removed"),
    [(2, 1, None, ()), (0, 1, 2, ()), (3, 4, 3, ()), (3, 4, None, (4,)), (0, 0, None, (0,)), (-1, 0, None, ())],
)
def test_deltas_that_lie_are_not_read(since: int, until: int, number: int | None, removed: tuple[int, ...]) -> None:
    entries = [[number, "k", "r", "", b"secret"]] if number is not None else []
    lie = ["n", 1, since, until, entries, list(removed)]
    with pytest.raises(DecodeError) as caught:
        decode_delta(msgspec.msgpack.encode(lie))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"{}", b"\x96\xa1\xff"])
def test_other_bytes_are_not_read(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_delta(data)


# --- many diffs become one -----------------------------------------------------------------------------------


def test_pending_forgets_what_nobody_was_told() -> None:
    roster, pending = Roster("one"), Pending()
    for result in (
        roster.track(PHONE, "ada", b'{"a":1}', "r1"),
        roster.track(LAPTOP, "bob", b"{}", "r2"),
        roster.track(PHONE, "ada", b'{"a":2}', "r3"),
        roster.untrack(LAPTOP),
    ):
        assert isinstance(result, Diff)
        pending.add(result)
    diff = pending.take()
    assert (list(joined(diff)["ada"]), left(diff)) == (["r3"], {})
    assert "bob" not in joined(diff)
    assert pending.take() is None


def test_a_peer_that_flaps_is_nothing_to_tell() -> None:
    one, two = pair()
    one.track(PHONE, "ada", b"{}", "r1")
    tell(one, two)
    pending = Pending()
    pending.add(two.down("one"))
    two.up("one")
    pending.add(two.merge(one.everything()))
    assert pending.take() is None


def test_rewind_gives_what_others_were_told() -> None:
    roster, pending = Roster("one"), Pending()
    roster.track(PHONE, "ada", b"{}", "r1")
    told = roster.state()
    for result in (roster.untrack(PHONE), roster.track(LAPTOP, "bob", b"{}", "r2")):
        assert isinstance(result, Diff)
        pending.add(result)
    assert pending.rewind(roster.state()) == told
    assert list(roster.state()) == ["bob"]


# --- numbers heard -------------------------------------------------------------------------------------------


def test_seen_joins_ranges_that_touch() -> None:
    seen = Seen()
    seen.add(4, 5)
    seen.add(1, 2)
    assert (len(seen), seen.complete) == (2, 2)
    assert 3 not in seen
    seen.add(3, 3)
    assert (len(seen), seen.complete) == (1, 5)
    assert repr(seen) == "Seen([(1, 5)])"


def test_a_greater_life_is_further_whatever_was_counted() -> None:
    assert Version(2, 0) > Version(1, 99) > Version(1, 98)
