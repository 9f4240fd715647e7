"""Replays recorded exchanges with official clients, and checks that every clause of spec/ names real tests."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidewire.wire import payloads
from tidewire.wire.join import parse_join
from tidewire.wire.message import Codec, Frame, Message, UserBroadcast
from tidewire.wire.phoenix_v1 import V1
from tidewire.wire.phoenix_v2 import V2

ROOT = Path(__file__).parents[2]
TRANSCRIPTS = sorted((ROOT / "spec" / "transcripts").glob("*.jsonl"))
CODECS: dict[str, Codec] = {"1.0.0": V1(), "2.0.0": V2()}


class Transcript:
    def __init__(self, path: Path) -> None:
        head, *self.lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.version: str = head["vsn"]
        self.codec = CODECS[self.version]

    def frames(self, side: str) -> Iterator[tuple[int, Frame]]:
        for place, line in enumerate(self.lines):
            if line["from"] == side:
                binary = "binary" in line
                data = bytes.fromhex(line["binary"]) if binary else line["text"].encode()
                yield place, Frame(data, binary)

    def fields(self, frame: Frame) -> dict[str, Any]:
        """Read a text frame without any of our code."""
        found = json.loads(frame.data)
        if self.version == "2.0.0":
            return dict(zip(("join_ref", "ref", "topic", "event", "payload"), found, strict=True))
        return dict(found)


@pytest.fixture(params=TRANSCRIPTS, ids=lambda path: path.stem)
def transcript(request: pytest.FixtureRequest) -> Transcript:
    return Transcript(request.param)


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def test_there_is_a_transcript_of_each_version() -> None:
    assert {Transcript(path).version for path in TRANSCRIPTS} == set(CODECS)


def test_every_frame_of_a_client_is_read(transcript: Transcript) -> None:
    for _, frame in transcript.frames("client"):
        message = transcript.codec.decode(frame)
        if isinstance(message, Message):
            fields = transcript.fields(frame)
            assert (message.topic, message.event) == (fields["topic"], fields["event"])
            assert (message.ref, message.join_ref) == (fields["ref"], fields["join_ref"])
            assert json.loads(message.payload) == fields["payload"]


def test_every_text_frame_of_the_server_is_written_again_byte_for_byte(transcript: Transcript) -> None:
    for _, frame in transcript.frames("server"):
        if not frame.binary:
            fields = transcript.fields(frame)
            fields["payload"] = compact(fields["payload"])
            assert transcript.codec.encode(Message(**fields)) == frame


def test_every_payload_of_the_server_is_built_again(transcript: Transcript) -> None:
    built = 0
    joins = [found for _, frame in transcript.frames("client") if (found := transcript.codec.decode(frame))]
    (join,) = [parse_join(found.payload, subtopic="room:7") for found in joins if found.event == "phx_join"]
    for _, frame in transcript.frames("server"):
        if not frame.binary:
            fields = transcript.fields(frame)
            assert build(fields["event"], fields["payload"], join_reply(join.bindings)) == compact(fields["payload"])
            built += 1
    assert built > 5


def join_reply(bindings: Any) -> bytes:
    return payloads.join_reply((binding.raw, binding.id) for binding in bindings)


def build(event: str, payload: dict[str, Any], joined: bytes) -> bytes:
    builders: dict[str, Callable[[], bytes]] = {
        "phx_reply": lambda: joined if payload["response"] else payloads.OK,
        "phx_close": lambda: payloads.EMPTY,
        "system": lambda: payloads.system(**payload),
        "presence_state": lambda: payloads.presence_state(metas(payload)),
        "presence_diff": lambda: payloads.presence_diff(metas(payload["joins"]), metas(payload["leaves"])),
        "postgres_changes": lambda: payloads.change(payload["ids"], change_data(payload["data"])),
        "broadcast": lambda: compact(payload),  # passed on as it came; the frame is compared in another test
    }
    return builders[event]()


def metas(entries: dict[str, Any]) -> dict[str, list[bytes]]:
    return {key: [compact(meta) for meta in entry["metas"]] for key, entry in entries.items()}


def change_data(data: dict[str, Any]) -> bytes:
    return payloads.change_data(
        schema=data["schema"],
        table=data["table"],
        operation=data["type"],
        commit_timestamp=data["commit_timestamp"],
        columns=payloads.change_columns((column["name"], column["type"]) for column in data["columns"]),
        record=compact(data["record"]).decode(),
        old_record=compact(data["old_record"]).decode(),
    )


def test_a_broadcast_reaches_the_others_as_recorded(transcript: Transcript) -> None:
    sent: dict[int, Frame | None] = {}
    for place, frame in transcript.frames("client"):
        message = transcript.codec.decode(frame)
        if isinstance(message, UserBroadcast):
            sent[place] = transcript.codec.encode_broadcast(payloads.deliverable(message))
        elif message.event == "broadcast":
            join_ref = message.join_ref if transcript.version == "2.0.0" else None
            sent[place] = transcript.codec.encode(Message(message.topic, "broadcast", message.payload, None, join_ref))
    assert sent
    received = dict(transcript.frames("server"))
    for place, delivered in sent.items():  # the acknowledgement comes between
        assert received[place + 2] == delivered


@pytest.mark.parametrize(("file", "letter"), [("wire.md", "W"), ("delivery.md", "D")])
def test_every_clause_names_tests_that_exist(file: str, letter: str) -> None:
    text = (ROOT / "spec" / file).read_text().split("\n## What a client does")[0]
    clauses = re.split(rf"^\*\*({letter}\d+)\*\*", text, flags=re.MULTILINE)[1:]
    numbers, bodies = clauses[::2], clauses[1::2]
    assert numbers == [f"{letter}{place}" for place in range(1, len(numbers) + 1)]
    for number, body in zip(numbers, bodies, strict=True):
        named = re.findall(r"`(test_\w+)::(test_\w+)`", body)
        assert named, f"{number} names no test"
        for module, test in named:
            (path,) = (ROOT / "tests").rglob(f"{module}.py")
            assert f"def {test}(" in path.read_text(), f"{number} names {module}::{test}, which is not there"
