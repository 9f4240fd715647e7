"""The frame parser under arbitrary bytes: never an exception, never dependent on how the bytes were cut, and in
agreement with another implementation of the protocol.
"""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, State
from websockets.protocol import Protocol as ReferenceProtocol

from tests.support.websocket import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_payload, frame
from tidewire.wire.websocket import Binary, Close, Event, FrameParser, Ping, Pong, Text, Violation

LIMIT_BYTES = 500
INTERRUPTED = "incomplete fragmented message"
"""Why the other refuses a close inside an unfinished message. The RFC allows control frames there, and so do we."""

masks = st.binary(min_size=4, max_size=4)
texts = st.text(max_size=40).map(str.encode)
messages = st.one_of(st.tuples(st.just(TEXT), texts), st.tuples(st.just(BINARY), st.binary(max_size=200)))
controls = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125), mask=masks)


def frames_with(payloads: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly right, sometimes wrong in any way that one frame can be."""
    return st.one_of(
        st.builds(
            frame,
            st.integers(0, 15),
            payloads,
            fin=st.booleans(),
            reserved=st.sampled_from([0, 0, 0, 0, 0, 0x40, 0x20, 0x10]),
            mask=st.one_of(masks, masks, masks, st.none()),
        ),
        st.builds(frame, st.sampled_from([TEXT, CONT]), payloads, fin=st.booleans(), mask=masks),
        st.builds(
            frame,
            st.just(CLOSE),
            st.builds(close_payload, st.integers(990, 5010), payloads.map(lambda data: data[:9])),
            mask=masks,
        ),
        controls,
    )


any_frame = st.one_of(frames_with(st.binary(max_size=200)), frames_with(texts))
ascii_frame = frames_with(st.text(st.characters(max_codepoint=127), max_size=200).map(str.encode))


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in at} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def feed(pieces: list[bytes]) -> list[Event]:
    parser = FrameParser(limit_bytes=LIMIT_BYTES)
    return [event for piece in pieces for event in parser.feed(piece)]


@given(
    data=st.one_of(st.binary(max_size=600), st.lists(any_frame, max_size=8).map(b"".join)), at=st.lists(st.integers(0))
)
def test_how_bytes_are_cut_does_not_matter(data: bytes, at: list[int]) -> None:
    whole = feed([data])
    assert feed(cut(data, at)) == whole
    assert feed([data[place : place + 1] for place in range(len(data))]) == whole
    for event in whole:
        if isinstance(event, (Text, Binary)):
            assert len(event.data) <= LIMIT_BYTES
    assert not any(isinstance(event, (Close, Violation)) for event in whole[:-1])


@given(
    sent=st.lists(
        st.tuples(messages, st.lists(st.integers(0), max_size=4), st.lists(controls, max_size=2)), max_size=5
    ),
    at=st.lists(st.integers(0), max_size=20),
    mask=masks,
)
def test_messages_arrive_however_they_are_split(
    sent: list[tuple[tuple[int, bytes], list[int], list[bytes]]], at: list[int], mask: bytes
) -> None:
    stream = b""
    for (opcode, payload), places, between in sent:
        pieces = cut(payload, places) or [b""]
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            stream += frame(CONT if number else opcode, piece, fin=last, mask=mask)
            stream += b"" if last else b"".join(between)
    found = [event for event in feed(cut(stream, at)) if not isinstance(event, (Ping, Pong))]
    assert found == [(Text if opcode == TEXT else Binary)(payload) for (opcode, payload), _, _ in sent]


@given(frames=st.lists(ascii_frame, max_size=8))
def test_agrees_with_another_implementation(frames: list[bytes]) -> None:
    """Same messages, and the same code for the same offence. The other leaves the check of text to its caller, so all
    text here is ASCII.
    """
    data = b"".join(frames)
    reference = ReferenceProtocol(SERVER, state=State.OPEN, max_size=LIMIT_BYTES)
    reference.receive_data(data)
    expected = joined([event for event in reference.events_received() if isinstance(event, Frame)])
    ours = feed([data])
    last = ours[-1] if ours else None
    if reference.close_sent is None:
        assert not isinstance(last, (Violation, Close))
    elif reference.close_sent.reason == INTERRUPTED:
        assert isinstance(last, Close)
        expected.append(last)
    else:
        assert isinstance(last, (Violation, Close))
        assert last.code == reference.close_sent.code
    assert [event for event in ours if not isinstance(event, Violation)] == expected


def joined(frames: list[Frame]) -> list[Event]:
    """Put the frames of the other implementation together as messages."""
    found: list[Event] = []
    kind, payload = Opcode.TEXT, b""
    for each in frames:
        data = bytes(each.data)
        if each.opcode is Opcode.PING:
            found.append(Ping(data))
        elif each.opcode is Opcode.PONG:
            found.append(Pong(data))
        elif each.opcode is Opcode.CLOSE:
            found.append(Close(int.from_bytes(data[:2], "big") if data else 1005, data[2:].decode()))
        else:
            kind, payload = (kind, payload + data) if each.opcode is Opcode.CONT else (each.opcode, data)
            if each.fin:
                found.append(Text(payload) if kind is Opcode.TEXT else Binary(payload))
    return found
