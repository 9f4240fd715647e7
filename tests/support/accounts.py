"""Asks /auth/v1 as clients of GoTrue do, and reads the e-mails that a development server only prints."""

import base64
import http.client
import json
import re
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import uuid4

import pytest

from tests.support.server import Answer, RealtimeServer, request, token
from tests.support.waiting import wait_until

PASSWORD: Final = "correct horse"
SITE: Final = "https://app.example"
PLENTY: Final[dict[str, Any]] = {
    "auth_attempts_per_min": 100_000,
    "mails_per_h": 1000,
    "site_url": SITE,
    "anonymous_sign_in": True,
}
"""Settings under which no limit is met by chance."""


def call(
    served: RealtimeServer, method: str, path: str, body: object = None, *, bearer: str | None = None, **headers: str
) -> Answer:
    """Ask as clients do: with the key of the project, and the user's token instead where there is one."""
    key = token()
    sent = {"apikey": key, "authorization": f"Bearer {bearer or key}", "content_type": "application/json", **headers}
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    return request(method, f"{served.url}/auth/v1{path}", data, headers=sent)


def email() -> str:
    return f"{uuid4().hex}@example.org"


def sign_up(served: RealtimeServer, address: str | None = None, **body: Any) -> dict[str, Any]:
    answered = call(served, "POST", "/signup", {"email": address or email(), "password": PASSWORD, **body})
    assert answered.status == 200, answered
    made: dict[str, Any] = answered.json
    return made


def sign_in(served: RealtimeServer, address: str, password: str = PASSWORD) -> Answer:
    return call(served, "POST", "/token?grant_type=password", {"email": address, "password": password})


def refresh(served: RealtimeServer, refresh_token: str) -> Answer:
    return call(served, "POST", "/token?grant_type=refresh_token", {"refresh_token": refresh_token})


def admin(served: RealtimeServer, method: str, path: str, body: object = None) -> Answer:
    return call(served, method, f"/admin{path}", body, bearer=token("service_role"))


def claims_of(access_token: str) -> dict[str, Any]:
    part = access_token.split(".")[1]
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return read


def refused(answered: Answer) -> tuple[int, str]:
    assert answered.json["code"] == answered.status
    assert isinstance(answered.json["msg"], str)
    return answered.status, answered.json["error_code"]


class Mailbox:
    """Reads what a development server writes in place of sending e-mails."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self.text = ""

    def last(self, address: str, count: int = 1) -> tuple[str, str]:
        """Wait for the newest e-mail to an address; return its link and its code."""
        link = re.search(r"^http\S+/auth/v1(/verify\S+)$", self._mail(address, count), re.MULTILINE)
        assert link is not None
        return link[1], self.code(address, count)

    def code(self, address: str, count: int = 1) -> str:
        """Wait for the newest e-mail to an address; return its code."""
        code = re.search(r"nter the code (\d{6})\.", self._mail(address, count))
        assert code is not None
        return code[1]

    def _mail(self, address: str, count: int) -> str:
        def arrived() -> bool:
            self.text += self._capfd.readouterr().out
            return self.text.count(f"--- e-mail to {address}") >= count

        wait_until(arrived)
        return self.text.rpartition(f"--- e-mail to {address}")[2]


def follow(served: RealtimeServer, link: str) -> tuple[str, dict[str, list[str]]]:
    """Open a link as a browser does, but stay where it leads from."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    try:
        connection.request("GET", f"/auth/v1{link}")
        response = connection.getresponse()
        response.read()
        target = response.headers["location"]
    finally:
        connection.close()
    assert response.status == 303
    page, _, fragment = target.partition("#")
    return page, parse_qs(fragment)
