"""What tests of clients share: `tidewire serve` in a process, the database behind it, and time for what comes first.

A conftest imports the fixtures; they are no plugin, because elsewhere `database` is another one.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.parity.serving import TidewireServer, serving
from tests.parity.tables import Database
from tidewire.postgres.embedded import EmbeddedPostgres

LIMIT_S = 120
"""For one test, together with what may come first: installing clients and Node, building, starting a server."""


def allow_time(items: Sequence[pytest.Item], folder: Path) -> None:
    """Give the tests of a folder their time; call it when they have been collected."""
    for item in items:
        if item.path.is_relative_to(folder):
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(scope="session")
def tidewire(server: EmbeddedPostgres) -> Iterator[TidewireServer]:
    """Return a server that a test must not stop."""
    with serving(server) as running:
        yield running


@pytest.fixture
def own_tidewire(server: EmbeddedPostgres) -> Iterator[TidewireServer]:
    """Return a server to stop, kill and start."""
    with serving(server) as running:
        yield running


@pytest.fixture
def database(tidewire: TidewireServer) -> Iterator[Database]:
    """Return the database that is served, for the role that owns everything in it."""
    with Database.connect(tidewire.database_url) as connected:
        yield connected
