"""The stock clients, a server for them, and tables to write to. A test that takes `connect` runs with each client."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.parity.clients import KINDS, Connect, Puppets, connecting, installed_kinds
from tests.parity.serving import TidewireServer
from tests.parity.tables import Database, Table
from tests.support.served import allow_time, database, own_tidewire, tidewire

__all__ = ["database", "own_tidewire", "tidewire"]

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    allow_time(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def puppets(request: pytest.FixtureRequest) -> Iterator[Puppets]:
    assert request.config.cache is not None
    with ExitStack() as stack:
        yield Puppets(request.config.cache.mkdir("parity"), stack)


@pytest.fixture
def connect_any(tidewire: TidewireServer, puppets: Puppets) -> Iterator[Connect]:
    """Make clients of any kind: `connect_any("pypi", token=…)`."""
    with connecting(tidewire, puppets) as connect:
        yield connect


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of client that this test runs with."""
    return str(request.param)


@pytest.fixture
def connect(connect_any: Connect, kind: str) -> Connect:
    """Make clients of the kind that this test runs with: `connect(token=…)`."""
    return partial(connect_any, kind)


@pytest.fixture
def everyone() -> Sequence[str]:
    """Return all kinds of clients, for tests in which they meet."""
    return installed_kinds()


@pytest.fixture
def topic() -> str:
    """Return a topic that no other test uses."""
    return f"room:{next(_numbers)}"


@pytest.fixture
def todos(database: Database) -> Iterator[Table]:
    """Return a published table with the default replica identity, readable for every role."""
    with database.table("title text, done bool, price int, body text") as made:
        yield made
