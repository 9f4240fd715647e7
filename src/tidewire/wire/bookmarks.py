"""Joins that stand in the address of a stream, and the text by which a browser goes on where it stood. Sends nothing.

Theory of operation. A browser that follows an event stream by itself can say one thing when it comes back: the id of
the last event it took. So that id has a place for each binding, in the order of the address: the position of the last
change that this binding was told. One position for all of them would not do, because channels are not told in step:
one is still told what it missed while another follows what comes. Places in the epoch of the one before leave the epoch
out. An address with one binding has plain positions as ids.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from tidewire.model.errors import DecodeError, InvalidPosition
from tidewire.model.position import StreamPosition, parse_position
from tidewire.wire.binding import binding_id
from tidewire.wire.message import Message
from tidewire.wire.untrusted import lenient_items, lenient_members, read_json, read_members

MOST_CHANNELS: Final = 100
MOST_BINDINGS: Final = 100
"""Each has its place in the id of every change."""

_MOST_ID_CHARS: Final = MOST_BINDINGS * 100

_encode = msgspec.json.Encoder().encode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_topic = msgspec.json.Decoder(str).decode
_decode_ids = msgspec.json.Decoder(list[int]).decode


class Opening(Struct, frozen=True):
    """One join of an address: its payload, and its bindings as the client wrote them."""

    topic: str
    payload: bytes
    bindings: tuple[bytes, ...] = ()


class _Response(Struct):
    position: str | None = None
    recovered: bool | None = None


class _Reply(Struct):
    status: str
    response: _Response


_decode_reply = msgspec.json.Decoder(_Reply).decode


def read_openings(text: bytes) -> tuple[Opening, ...]:
    """Read a list of joins, each the payload of a `phx_join` with its `topic`. Raises DecodeError."""
    items = read_json(_decode_items, text, "reading channels") if text else []
    openings = tuple(_opening(bytes(item)) for item in items)
    bindings = sum(len(opening.bindings) for opening in openings)
    if len(openings) > MOST_CHANNELS or bindings > MOST_BINDINGS:
        expected = f"expected at most {MOST_CHANNELS} channels and {MOST_BINDINGS} bindings"
        raise DecodeError(f"reading channels: {expected}, got {len(openings)} and {bindings}")
    if len({opening.topic for opening in openings}) < len(openings):
        raise DecodeError("reading channels: expected each topic once, got one of them again")
    return openings


def _opening(text: bytes) -> Opening:
    members = read_members(text, "reading a channel")
    topic = read_json(_decode_topic, bytes(members.pop("topic", b"null")), "reading a channel's topic")
    wishes = lenient_items(lenient_members(members, "config"), "postgres_changes")
    return Opening(topic, _encode(members), tuple(wish for wish in wishes if wish.startswith(b"{")))


def joins(openings: Sequence[Opening], last_id: str = "") -> list[Message]:
    """Return the joins, each under its number as ref, going on after the places in `last_id` if there is one."""
    afters = iter(_places(last_id, sum(len(opening.bindings) for opening in openings)))
    return [
        Message(opening.topic, "phx_join", _going_on(opening, [next(afters) for _ in opening.bindings]), ref, ref)
        for ref, opening in ((str(number), opening) for number, opening in enumerate(openings, 1))
    ]


def _going_on(opening: Opening, afters: Sequence[str]) -> bytes:
    if not any(afters):
        return opening.payload
    wishes = [
        _with_after(raw, after) if after else Raw(raw) for raw, after in zip(opening.bindings, afters, strict=True)
    ]
    members = read_members(opening.payload, "reading a channel")
    config = lenient_members(members, "config")
    config["postgres_changes"] = Raw(_encode(wishes))
    return _encode({**members, "config": config})


def _with_after(raw: bytes, after: str) -> Raw:
    return Raw(_encode({**read_members(raw, "reading a binding"), "after": after}))


def _places(last_id: str, count: int) -> list[str]:
    """Return the place of each binding, empty where it has none. What is no such id is left for the join to refuse."""
    if len(last_id) > _MOST_ID_CHARS:
        return ["(too long)"] * count
    parts = last_id.split(",")
    if len(parts) == 1 or len(parts) != count:
        return [last_id] * count
    epoch = ""
    places = []
    for part in parts:
        short = part.count(".") == 1
        places.append(f"{epoch}.{part}" if short else part)
        if part and not short:
            epoch = part.partition(".")[0]
    return places


class Bookmarks:
    """Show it every message that is sent, in order; it says which id an event has."""

    __slots__ = ("_open", "_places", "_refs", "_slots")

    def __init__(self, opened: Sequence[Message]) -> None:
        """Begin with the joins as they are sent, with where they go on."""
        self._refs = {join.topic: join.ref for join in opened}
        self._open = set(self._refs)
        """Topics whose channels are still those of the address, and not what the client has joined there since."""
        self._slots: dict[str, list[tuple[int, int]]] = {}
        self._places: list[StreamPosition | None] = []
        for join in opened:
            config = lenient_members(read_members(join.payload, "reading a join"), "config")
            slots = self._slots[join.topic] = []
            for wish in lenient_items(config, "postgres_changes"):
                if wish.startswith(b"{"):
                    slots.append((binding_id(wish), len(self._places)))
                    self._places.append(_after(wish))

    def note(self, message: Message) -> str | None:
        """Return the id of the event that tells a message, or None when it changes no place."""
        if not self._places:
            return message.position
        slots = self._slots.get(message.topic, [])
        if message.event == "postgres_changes" and message.position is not None:
            ids = _decode_ids(message.payload[len(b'{"ids":') : message.payload.index(b"]") + 1])
            return self._move([place for id_, place in slots if id_ in ids], message.position)
        if message.event == "phx_reply" and slots and message.ref == self._refs[message.topic]:
            reply = _decode_reply(message.payload)
            fresh = reply.response.recovered is False  # it is told to load again, and goes on from here
            moved = [place for _, place in slots if fresh or self._places[place] is None]
            return self._move(moved, reply.response.position)
        if message.event in {"phx_close", "phx_error"}:
            self._open.discard(message.topic)
        return None

    def advance(self, positions: Mapping[str, StreamPosition]) -> str | None:
        """Take in up to where channels have been told all there was, by topic; return the id then, or None as above."""
        moved = False
        for topic in self._open.intersection(positions):
            for _, place in self._slots[topic]:
                before = self._places[place]
                if before is None or positions[topic].follows(before):
                    self._places[place] = positions[topic]
                    moved = True
        return self._text() if moved else None

    def _move(self, places: Sequence[int], text: str | None) -> str | None:
        if not places or text is None:
            return None
        position = parse_position(text)
        for place in places:
            self._places[place] = position
        return self._text()

    def _text(self) -> str:
        epoch, parts = "", []
        for place in self._places:
            if place is None:
                parts.append("")
                continue
            whole = str(place)
            parts.append(whole if place.epoch != epoch else whole.removeprefix(f"{epoch}."))
            epoch = place.epoch
        return ",".join(parts)


def _after(wish: bytes) -> StreamPosition | None:
    after = lenient_members({"wish": Raw(wish)}, "wish").get("after")
    try:
        return None if after is None else parse_position(read_json(_decode_topic, bytes(after), "reading a position"))
    except (DecodeError, InvalidPosition):
        return None  # the reply to the join will say so, and where it begins instead
