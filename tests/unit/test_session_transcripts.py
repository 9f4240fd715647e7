"""What official clients sent goes through codec and session, and what they were answered comes out, byte for byte."""

import json
from math import inf
from pathlib import Path

import pytest

from tidewire.model.claims import Claims
from tidewire.wire.message import Codec, Frame
from tidewire.wire.phoenix_v1 import V1
from tidewire.wire.phoenix_v2 import V2
from tidewire.wire.session import SessionProtocol
from tidewire.wire.session_effects import (
    Authorize,
    Beat,
    ChannelRef,
    Effect,
    Grant,
    Publish,
    Send,
    Subscribe,
    Subscribed,
    Track,
)
from tidewire.wire.session_limits import SessionLimits

TRANSCRIPTS = sorted((Path(__file__).parents[2] / "spec" / "transcripts").glob("*.jsonl"))
CODECS: dict[str, Codec] = {"1.0.0": V1(), "2.0.0": V2()}
SAID_BY_THE_SESSION = {"phx_reply", "phx_close", "system"}
NOW_S = 1_000_000.0


class Shell:
    """Says yes to everything at once, but does not make row changes live again: the recordings end before."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.session = SessionProtocol(SessionLimits(), NOW_S, token="own", make_key=lambda: "key")
        self.sent: list[Frame] = []
        self.live: set[ChannelRef] = set()

    def receive(self, frame: Frame) -> None:
        self.carry_out(self.session.receive(self.codec.decode(frame), NOW_S))

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(message=message):
                    self.sent.append(self.codec.encode(message))
                case Authorize():
                    grant = Grant(Claims("anon", None, inf, {}))
                    self.carry_out(self.session.authorized(effect, grant, NOW_S))
                case Subscribe(channel=channel) if channel not in self.live:
                    self.live.add(channel)
                    self.carry_out(self.session.subscribed(effect, Subscribed(), NOW_S))
                case Publish():
                    self.carry_out(self.session.published(effect))
                case Beat():
                    self.carry_out(self.session.beaten(effect, {}))
                case Track():
                    self.carry_out(self.session.tracked(effect, accepted=True))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_recorded_client_is_answered_as_recorded(path: Path) -> None:
    head, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    shell = Shell(CODECS[head["vsn"]])
    expected = []
    for line in lines:
        frame = Frame(bytes.fromhex(line["binary"]), True) if "binary" in line else Frame(line["text"].encode())
        if line["from"] == "client":
            shell.receive(frame)
        elif not frame.binary:
            said = json.loads(frame.data)
            event = said["event"] if isinstance(said, dict) else said[3]
            expected += [frame] if event in SAID_BY_THE_SESSION else []
    assert shell.sent == expected
