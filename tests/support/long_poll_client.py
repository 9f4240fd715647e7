"""A client that polls, with the tokens and statuses of Phoenix's protocol."""

from binascii import b2a_base64
from collections import deque
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.live_client import LiveClient, Wire, read_text
from tests.support.server import request


class LongPollClient(LiveClient):
    """Speaks by polling: `token` is what the next request says, and so acknowledges what came before."""

    def __init__(self, url: str, *, apikey: str, vsn: str = "2.0.0") -> None:
        self.version = int(vsn[0])
        self.token = ""
        self._address = f"{url}/realtime/v1/longpoll?{urlencode({'apikey': apikey, 'vsn': vsn})}"
        self._messages: deque[str] = deque()
        begun = self.poll()
        assert begun["status"] == 410, begun

    def poll(self, token: str | None = None) -> dict[str, Any]:
        """Ask once, and go on with the token of the answer."""
        answer: dict[str, Any] = request("GET", self._with(token)).json
        self.token = answer.get("token", self.token)
        return answer

    def post(self, body: bytes, content_type: str = "application/x-ndjson") -> dict[str, Any]:
        answer: dict[str, Any] = request("POST", self._with(None), body, headers={"content-type": content_type}).json
        return answer

    def send_text(self, data: bytes) -> None:
        assert self.post(data) == {"status": 200}

    def send_binary(self, data: bytes) -> None:
        assert self.post(b2a_base64(data)) == {"status": 200}

    def read(self) -> Wire:
        while not self._messages:
            answer = self.poll()
            if answer["status"] == 410:
                raise EOFError
            assert answer["status"] in {200, 204}, answer
            self._messages += answer["messages"]
        return read_text(self._messages.popleft())

    def vanish(self) -> None:
        """Polls no more, which is all that it can do."""

    def wait_for_end(self) -> None:
        with pytest.raises(EOFError):
            self.receive("no such event")

    def _with(self, token: str | None) -> str:
        chosen = self.token if token is None else token
        return self._address + (f"&{urlencode({'token': chosen})}" if chosen else "")
