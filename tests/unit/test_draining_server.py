"""A crowd is let in some in each turn of the loop, and is out of the garbage collector's sight, each time it comes."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest
import uvicorn
import uvloop

from tidewire.server.draining_server import FREEZE_EVERY, LISTENERS, DrainingServer


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    threshold = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


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


def test_a_crowd_is_let_in_some_in_each_turn_and_nobody_after_the_end() -> None:
    async def app(_scope: object, _receive: object, _send: object) -> None: ...

    async def nothing() -> None: ...

    async def let_in(listener: socket.socket, count: int) -> list[int]:
        """Return how many had been let in, turn by turn."""
        config = uvicorn.Config(app, log_config=None, lifespan="off")
        config.load()
        server = DrainingServer(config, nothing)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        seen = [0]
        async with asyncio.timeout(10):
            while seen[-1] < count:
                await asyncio.sleep(0)
                seen.append(len(server.server_state.connections))
        await server.shutdown([listener])
        return seen

    with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=50))
        address = listener.getsockname()
        for _ in range(5 * LISTENERS):
            stack.enter_context(socket.create_connection(address, timeout=10))
        seen = runner.run(let_in(listener, 5 * LISTENERS))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=10)
    assert max(after - before for before, after in pairwise(seen)) == LISTENERS
