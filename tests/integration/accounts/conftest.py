"""A database with accounts, and two servers on it: one where addresses count at once, one where they are confirmed."""

from collections.abc import Iterator

import pytest

from tests.support.accounts import PLENTY, Mailbox
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime
from tidewire.postgres.embedded import EmbeddedPostgres


@pytest.fixture(scope="package")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        yield made


@pytest.fixture(scope="package")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, **PLENTY) as running:
        yield running


@pytest.fixture(scope="package")
def confirming(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, slot="confirming", auto_confirm=False, **PLENTY) as running:
        yield running


@pytest.fixture
def mailbox(capfd: pytest.CaptureFixture[str]) -> Mailbox:
    return Mailbox(capfd)
