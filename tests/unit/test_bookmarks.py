"""Places of the bindings in a stream's address: what they say is what a later stream goes on from."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn, StreamPosition, parse_position
from tidewire.wire import payloads
from tidewire.wire.bookmarks import Bookmarks, joins, read_openings
from tidewire.wire.join import parse_join
from tidewire.wire.message import Message


def channel(topic: str, *tables: str, **binding: Any) -> dict[str, Any]:
    wishes = [{"event": "*", "schema": "public", "table": table, **binding} for table in tables]
    return {"topic": f"realtime:{topic}", "config": {"private": True, "postgres_changes": wishes}, "access_token": "t"}


def address(*channels: Any) -> bytes:
    return json.dumps(channels).encode()


def change(join: Message, *places: int, position: str) -> Message:
    """A row change for the bindings of a join that stand at these places."""
    bindings = parse_join(join.payload, subtopic="").bindings
    payload = payloads.change([bindings[place].id for place in places], b'{"table":"]"}')
    return Message(join.topic, "postgres_changes", payload, position=position)


def reply(join: Message, **response: Any) -> Message:
    return Message(join.topic, "phx_reply", payloads.join_reply([], **response), join.ref)


def at(text: str) -> StreamPosition:
    return parse_position(text)


def afters(opened: list[Message]) -> list[str | None]:
    return [binding.after for join in opened for binding in parse_join(join.payload, subtopic="").bindings]


def test_an_address_becomes_joins_that_say_what_was_written() -> None:
    written = channel("a", "t", after="e.1.0", filter="id=eq.1.50")
    (join,) = joins(read_openings(address(written)))
    assert (join.topic, join.event, join.ref, join.join_ref) == ("realtime:a", "phx_join", "1", "1")
    assert json.loads(join.payload) == {name: written[name] for name in ("config", "access_token")}
    assert afters([join]) == ["e.1.0"]


def test_a_later_id_goes_before_what_the_address_says() -> None:
    openings = read_openings(address(channel("a", "t", after="e.1.0")))
    assert afters(joins(openings, "e.2.0")) == ["e.2.0"]


def test_one_position_is_for_all_bindings() -> None:
    openings = read_openings(address(channel("a", "t", "u"), channel("b", "t")))
    assert afters(joins(openings, "e.2.0")) == ["e.2.0"] * 3


def test_each_binding_goes_on_from_its_own_change() -> None:
    openings = read_openings(address(channel("a", "t", "u"), channel("chat"), channel("b", "t")))
    a, _, b = opened = joins(openings)
    marks = Bookmarks(opened)
    assert marks.note(reply(a, position="e.9.ffffffff")) == "e.9.ffffffff,9.ffffffff,"
    assert marks.note(reply(b, position="e.a.0")) == "e.9.ffffffff,9.ffffffff,a.0"
    assert marks.note(change(a, 1, position="e.b.2")) == "e.9.ffffffff,b.2,a.0"
    assert marks.note(change(b, 0, position="f.1.0")) == "e.9.ffffffff,b.2,f.1.0"
    last = marks.note(change(a, 0, 1, position="f.1.1"))
    assert last == "f.1.1,1.1,1.0"
    assert afters(joins(openings, last)) == ["f.1.1", "f.1.1", "f.1.0"]


def test_what_is_no_change_of_the_address_has_no_id() -> None:
    (join,) = opened = joins(read_openings(address(channel("a", "t"))))
    marks = Bookmarks(opened)
    assert marks.note(Message("realtime:a", "broadcast", b"{}")) is None
    assert marks.note(Message("realtime:a", "phx_reply", payloads.OK, "7")) is None
    assert marks.note(Message("realtime:a", "phx_reply", payloads.refusal("no"), join.ref)) is None
    assert marks.note(Message("realtime:b", "postgres_changes", b'{"ids":[1],"data":{}}', position="e.1.0")) is None
    assert marks.note(reply(join)) is None


def test_without_any_change_those_come_on_that_stand_behind() -> None:
    openings = read_openings(address(channel("a", "t", "u"), channel("chat"), channel("b", "t")))
    a, _, b = opened = joins(openings)
    marks = Bookmarks(opened)
    marks.note(reply(a, position="e.9.0"))
    marks.note(reply(b, position="e.9.0"))
    marks.note(change(a, 1, position="e.c.0"))
    assert marks.advance({"realtime:a": at("e.b.1"), "realtime:chat": at("e.b.1")}) == "e.b.1,c.0,9.0"
    assert marks.advance({"realtime:a": at("e.b.1")}) is None
    assert marks.advance({"realtime:other": at("e.f.0"), "realtime:b": at("f.1.0")}) is None


def test_whoever_joins_an_addresss_topic_anew_moves_nothing_of_it() -> None:
    (join,) = opened = joins(read_openings(address(channel("a", "t"))))
    marks = Bookmarks(opened)
    marks.note(reply(join, position="e.9.0"))
    marks.note(Message("realtime:a", "phx_close", b"{}", "1", "1"))
    assert marks.advance({"realtime:a": at("e.b.1")}) is None


def test_without_bindings_in_the_address_an_id_is_the_position_of_its_change() -> None:
    marks = Bookmarks(joins(read_openings(address(channel("chat")))))
    assert marks.note(Message("realtime:a", "postgres_changes", b"{}", position="e.1.0")) == "e.1.0"
    assert marks.note(Message("realtime:a", "broadcast", b"{}")) is None


def test_whoever_went_on_stays_where_it_stood_until_it_is_told_more() -> None:
    openings = read_openings(address(channel("a", "t", "u")))
    (join,) = opened = joins(openings, "e.5.0,7.0")
    marks = Bookmarks(opened)
    assert marks.note(reply(join, position="e.5.0", recovered=True)) is None
    assert marks.note(change(join, 0, position="e.6.0")) == "e.6.0,7.0"


def test_whoever_could_not_go_on_begins_anew() -> None:
    openings = read_openings(address(channel("a", "t", "u")))
    (join,) = opened = joins(openings, "e.5.0,7.0")
    assert Bookmarks(opened).note(reply(join, position="f.1.0", recovered=False, reason="gone")) == "f.1.0,1.0"


@pytest.mark.parametrize("last_id", ["nonsense", "e.1.0,2.0", "x" * 20_000, ",,,,", "e.1.0,,"])
def test_any_other_id_is_left_for_the_join_to_refuse(last_id: str) -> None:
    openings = read_openings(address(channel("a", "t", "u", "v")))
    found = afters(joins(openings, last_id))
    assert len(found) == 3
    assert all(after is None or len(after) <= 20_000 for after in found)
    Bookmarks(joins(openings, last_id))


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"[1]",
        b"[{}]",
        b'[{"topic":1}]',
        b"[" * 5000,
        b"\xff",
        address(*[channel(str(n)) for n in range(101)]),
        address(channel("a", *"t" * 101)),
        address(channel("a"), channel("a")),
    ],
    ids=["object", "number", "topicless", "topic", "deep", "bytes", "channels", "bindings", "twice"],
)
def test_an_address_that_cannot_be_read_is_refused(text: bytes) -> None:
    with pytest.raises(DecodeError):
        read_openings(text)


def test_what_cannot_be_a_binding_has_no_place() -> None:
    wishes = [None, 1, {"table": "t"}, "x"]
    text = json.dumps([{"topic": "realtime:a", "config": {"postgres_changes": wishes}}]).encode()
    assert afters(joins(read_openings(text), "e.1.0")) == ["e.1.0"]
    assert joins(read_openings(b"")) == []


POSITIONS = st.builds(
    StreamPosition, st.sampled_from(["e", "f", "E1"]), st.integers(0, 2**60).map(Lsn), st.integers(0, 2**32 - 1)
)


@given(st.lists(POSITIONS, min_size=1, max_size=8))
def test_every_id_is_read_as_the_places_it_was_made_of(positions: list[StreamPosition]) -> None:
    tables = [f"t{number}" for number in range(len(positions))]
    openings = read_openings(address(channel("a", *tables)))
    (join,) = opened = joins(openings)
    marks = Bookmarks(opened)
    last_id: str | None = None
    for place, position in enumerate(positions):
        last_id = marks.note(change(join, place, position=str(position)))
    assert last_id is not None
    assert afters(joins(openings, last_id)) == [str(position) for position in positions]
