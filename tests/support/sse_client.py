"""A client of the event stream: events out of one answer that does not end, commands in requests of their own."""

import http.client
import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import pytest
from msgspec import Struct

from tests.support.live_client import LiveClient, Wire, read_kind_4, read_text
from tests.support.server import Answer, request
from tests.support.websocket import LIMIT_S


class ServerEvent(Struct, frozen=True):
    """An event as a browser would hand it out; a comment has the name `:`."""

    name: str
    data: str
    id: str | None = None


class EventStream:
    """Reads events, as the specification of text/event-stream says, from a request that was just sent."""

    def __init__(self, port: int, target: str, headers: Mapping[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        self._connection.request("GET", target, headers={"accept": "text/event-stream", **(headers or {})})
        self.response = self._connection.getresponse()

    def event(self) -> ServerEvent:
        """Return the next event or comment; EOFError at the end."""
        name, id_, data = "message", None, []
        while line := self.response.readline():
            field, _, value = line.decode().rstrip("\n").partition(":")
            value = value.removeprefix(" ")
            match field:
                case "event":
                    name = value
                case "id":
                    id_ = value
                case "data":
                    data.append(value)
                case "" if line == b"\n" and data:
                    return ServerEvent(name, "\n".join(data), id_)
                case "" if line == b"\n" and id_ is not None:
                    return ServerEvent(":", "", id_)  # a browser hands nothing out, and remembers
                case "" if line != b"\n":
                    return ServerEvent(":", value, id_)
        raise EOFError

    def close(self) -> None:
        self._connection.close()
        self.response.close()


class SseClient(LiveClient):
    """Speaks over an event stream and posts; `last_id` is what a browser would send when it comes back."""

    def __init__(self, url: str, *, apikey: str, vsn: str = "2.0.0", last_id: str = "", **query: str) -> None:
        """Open a stream; `last_id` goes into the header, and everything else into the address."""
        address = f"{url}/realtime/v1/sse?{urlencode({'apikey': apikey, 'vsn': vsn, **query})}"
        headers = {"last-event-id": last_id} if last_id else {}
        self.version = int(vsn[0])
        self.last_id = last_id or query.get("last_event_id", "")
        where = urlsplit(address)
        self.stream = EventStream(where.port or 0, f"{where.path}?{where.query}", headers)
        assert self.stream.response.status == 200, self.stream.response.read()
        while (event := self.stream.event()).name == ":":
            pass
        assert event.name == "session"
        self.session: dict[str, Any] = json.loads(event.data)
        self.commands = urljoin(address, self.session["url"])

    def post(self, body: bytes, content_type: str = "application/json", **headers: str) -> Answer:
        """Say something, as the owner of the stream unless the headers say otherwise."""
        proof = {"tidewire_secret": self.session["secret"], "content_type": content_type, **headers}
        return request("POST", self.commands, body, headers=proof)

    def send_text(self, data: bytes) -> None:
        assert self.post(data).status == 202

    def send_binary(self, data: bytes) -> None:
        assert self.post(b2a_base64(data), "application/x-ndjson").status == 202

    def read(self) -> Wire:
        while True:
            event = self.stream.event()
            if event.id is not None:
                self.last_id = event.id
            match event.name:
                case "message":
                    return read_text(event.data)
                case "binary":
                    return read_kind_4(a2b_base64(event.data))
                case "close":
                    raise EOFError(event.data)

    def vanish(self) -> None:
        self.stream.close()

    def wait_for_end(self) -> None:
        with pytest.raises(EOFError) as end:
            self.receive("no such event")
        assert json.loads(str(end.value))["code"] == 1012
