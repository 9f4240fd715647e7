"""The built client in Node 20, a real server, a network between them that obeys, and tables to write to."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.browser.built import CLIENT, PACKAGES, build
from tests.browser.narrow_network import NarrowNetwork, narrow_network
from tests.browser.players import Player, players
from tests.parity.clients import anon_key
from tests.parity.installed import find_node, install_packages
from tests.parity.puppets import Puppet, PuppetProcess
from tests.parity.serving import TidewireServer
from tests.parity.tables import Database, Table
from tests.support.served import allow_time, database, own_tidewire, tidewire

__all__ = ["database", "own_tidewire", "tidewire"]

Play = Callable[..., Player]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    allow_time(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def node20(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    return find_node(install_packages(request.config.cache.mkdir("parity")), "node-20")


@pytest.fixture(scope="session")
def bundle(node20: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client")
    build("packages/client", folder, node20)
    return folder / CLIENT


@pytest.fixture(scope="session")
def node_puppet(node20: Path, bundle: Path) -> Iterator[PuppetProcess]:
    command = Puppet("client", [node20, Path(__file__).parent / "js" / "node.mjs", bundle, PACKAGES])
    with tempfile.TemporaryFile() as errors, closing(PuppetProcess(command, errors)) as process:
        yield process


@pytest.fixture
def network(tidewire: TidewireServer) -> Iterator[NarrowNetwork]:
    """Return a network in front of the server that lets everything through until told otherwise."""
    with narrow_network(tidewire.port) as made:
        yield made


@pytest.fixture
def play(node_puppet: PuppetProcess) -> Iterator[Play]:
    """Make clients: `play(port)`."""
    with players(node_puppet) as make:
        yield lambda port, **options: make(f"http://127.0.0.1:{port}", options.pop("apikey", anon_key()), **options)


@pytest.fixture
def todos(database: Database) -> Iterator[Table]:
    """Return a published table with the default replica identity, readable for every role."""
    with database.table("title text, done bool") as made:
        yield made
