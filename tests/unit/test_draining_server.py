"""Connections are taken out of the garbage collector's sight, also those that come back."""

import gc
from collections.abc import Iterator

import pytest
import uvicorn

from tidewire.server.draining_server import FREEZE_EVERY, DrainingServer


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


async def never() -> None:
    raise AssertionError


async def frozen_at(server: DrainingServer, connections: int) -> bool:
    """Say whether the server freezes what there is when it finds so many connections."""
    gc.unfreeze()
    server.server_state.connections = set(range(connections))  # type: ignore[arg-type]  # only counted
    await server.on_tick(1)
    return gc.get_freeze_count() > 0


async def test_every_so_many_connections_are_frozen_again_after_a_break() -> None:
    async def app(*_: object) -> None: ...

    server = DrainingServer(uvicorn.Config(app, log_config=None), never)
    assert not await frozen_at(server, FREEZE_EVERY - 1)
    assert await frozen_at(server, FREEZE_EVERY)
    assert not await frozen_at(server, FREEZE_EVERY + 1), "those are in the collector's sight for a while"
    assert await frozen_at(server, 3 * FREEZE_EVERY)
    assert not await frozen_at(server, 0)
    assert await frozen_at(server, FREEZE_EVERY), "they are others than before"
