"""What is asked of the data API, and what it has Postgres run for that: one row, a list of twenty, and an insert."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from tidewire.bench.keep_alive import http_request
from tidewire.query import request as query
from tidewire.query.answer import Listing
from tidewire.query.schema import Schema
from tidewire.query.statement import Statement

OWNERS: Final = 100
ROWS: Final = 10_000
_HEADERS: Final = {"accept": "application/json", "content-profile": "public"}
"""As supabase-js sends them, as far as they matter."""


class Question(Struct, frozen=True):
    """One kind of request: for number N, `path` and `body` say what to ask as user `owner(N)`."""

    name: str
    method: str
    status: bytes
    path: Callable[[int], str]
    body: Callable[[int], bytes]
    value: Callable[[int], str | None]
    """The one parameter of the statement that depends on N, if any does."""
    returns: Callable[[int, bytes], bool]
    """Whether a body is the right answer."""

    def http(self, number: int, token: str) -> bytes:
        """Write the request."""
        headers = {**_HEADERS, "apikey": token, "authorization": f"Bearer {token}"}
        return http_request(self.method, f"/rest/v1/{self.path(number)}", headers, self.body(number))

    def planned(self, schema: Schema) -> tuple[Callable[[int], Statement], Listing]:
        """Plan it once, and return what the data API runs for N, and what it puts the rows between."""
        table, _, text = self.path(0).partition("?")
        pairs = [(key, value) for key, _, value in (pair.partition("=") for pair in text.split("&") if pair)]
        request = query.Request(self.method, (table,), pairs, _HEADERS, self.body(0))
        plan, first = query.plan(request, schema, query.Limits()), self.value(0)
        planned = plan.statement

        def fill(number: int) -> Statement:
            value = self.value(number)
            return Statement(planned.text, tuple(value if each == first else each for each in planned.parameters))

        return fill if first is not None else lambda _: planned, plan.listing or Listing("", "", "")


def owner(number: int) -> int:
    """Return the user who asks question N: the one whom the row with this number belongs to."""
    return number % OWNERS


def user_id(user: int) -> str:
    """Return the id in the user's claims."""
    return f"00000000-0000-4000-8000-{user:012}"


def claims(user: int) -> Mapping[str, str]:
    """Return what the user's token says."""
    return {"role": "authenticated", "sub": user_id(user)}


def _insert(number: int) -> bytes:
    return msgspec.json.encode({"id": 1_000_000 + number, "status": "open", "title": "a task"})


def _no_body(_number: int) -> bytes:
    return b""


def _no_value(_number: int) -> None:
    return None


QUESTIONS: Final = (
    Question(
        name="select",
        method="GET",
        status=b"200",
        path=lambda number: f"bench_tasks?select=*&id=eq.{number % ROWS}",
        body=_no_body,
        value=lambda number: str(number % ROWS),
        returns=lambda number, body: body.startswith(b'[{"id":%d,' % (number % ROWS)),
    ),
    Question(
        name="list",
        method="GET",
        status=b"200",
        path=lambda _: "bench_tasks?select=id,status,title,amount,made_at&status=eq.open&order=id.desc&limit=20",
        body=_no_body,
        value=_no_value,
        returns=lambda _, body: body.count(b'"id"') == 20,
    ),
    Question(
        name="insert",
        method="POST",
        status=b"201",
        path=lambda _: "bench_tasks",
        body=_insert,
        value=lambda number: f"[{_insert(number).decode()}]",
        returns=lambda _, body: not body,
    ),
)
