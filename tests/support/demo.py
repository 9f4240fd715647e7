"""The demo's marketplace in a database of a test, and a server for it, as `tidewire demo` puts them together."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date
from functools import partial
from typing import Any, Final

from tests.support.server import Answer, RealtimeServer, request, serving_app
from tests.support.tokens import SECRET
from tests.support.waiting import wait_until
from tidewire import assemble
from tidewire.demo.door import DemoDoor
from tidewire.demo.marketplace import SCHEMA, Person, prepare
from tidewire.hub.authorize import sign_token
from tidewire.postgres.connection import connect
from tidewire.server.lazy_app import LazyApp
from tidewire.settings import Settings

DAY: Final = date(2030, 5, 17)
"""So far away that what traffic books today comes before all that the year has left open."""


def make_marketplace(dsn: str, today: date = DAY) -> tuple[Person, ...]:
    with closing(connect(dsn)) as connection:
        return prepare(connection, today)


@contextmanager
def serving_demo(dsn: str, people: Sequence[Person], **changed: Any) -> Iterator[RealtimeServer]:
    """Serve the page, its door and everything that the server has; nobody writes."""
    settings = Settings(
        jwt_secret=SECRET, slot=f"demo_{os.getpid()}", refusal_delay_s=0.0, api_schemas=(SCHEMA,), **changed
    )
    doors = DemoDoor(people, partial(sign_token, secret=SECRET)).routes()
    with serving_app(LazyApp(lambda: assemble.running_app(settings, dsn, doors))) as served:
        wait_until(lambda: served.get("/readyz").status == 200)
        yield served


def ask_token(served: RealtimeServer, handle: str, **headers: str) -> Answer:
    return served.post(f"/demo/token?as={handle}", **headers)


def ask_as(served: RealtimeServer, token: str, method: str, path: str, body: bytes | None = None) -> Answer:
    """Ask the data API as the bearer."""
    headers = {"apikey": token, "authorization": f"Bearer {token}", "content_type": "application/json"}
    return request(method, f"{served.url}/rest/v1/{path}", body, headers=headers)
