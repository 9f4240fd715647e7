"""New tokens of a channel that follows changes: the last one counts, and one that came to nothing leaves nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.client import Client
from tests.support.tokens import NOW_S, sign
from tests.unit.test_catch_up import ROOM, Scene
from tidewire.hub.tasks import Tasks
from tidewire.model.errors import PostgresError
from tidewire.model.position import Lsn
from tidewire.testing.tables import ScriptedTables

WISH = {"event": "*", "schema": "public", "table": "todos"}


class HeldTables(ScriptedTables):
    """Answers where the log ends when the test lets it, one question after the other."""

    def __init__(self, tables: ScriptedTables) -> None:
        super().__init__(tables.relations, roles=tuple(tables.roles))
        self.end = tables.end
        self.questions: list[asyncio.Future[None]] = []

    async def log_end(self) -> Lsn:
        self.questions.append(asyncio.get_running_loop().create_future())
        await self.questions[-1]
        return self.end


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Tasks(fail_together=False) as tasks:
        made = Scene(tasks, make_tables=HeldTables)
        yield made
        made.node.close()
        await made.bus.close()


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def inside(scene: Scene) -> tuple[Client, HeldTables]:
    assert isinstance(scene.tables, HeldTables)
    client = Client(scene.node)
    client.join(ROOM, postgres_changes=[WISH], presence={"enabled": False})
    await settle()
    scene.tables.questions[0].set_result(None)
    await settle()
    assert client.heard()[0][2]["status"] == "ok"
    return client, scene.tables


async def renew(client: Client, *, role: str, lifetime_s: int) -> None:
    token = sign(role=role, exp=NOW_S + lifetime_s)
    client.push(ROOM, "access_token", {"access_token": token}, join_ref=None)
    await settle()


async def test_an_answer_that_was_overtaken_gives_back_no_rights(scene: Scene) -> None:
    client, tables = await inside(scene)
    await renew(client, role="authenticated", lifetime_s=4000)
    await renew(client, role="anon", lifetime_s=5000)
    first, second = tables.questions[1:]
    second.set_result(None)
    await settle()
    first.set_result(None)
    await settle()
    client.heard()
    await scene.commit(1)
    await settle()
    assert [event for event, _, _ in client.heard()] == [], "a role that may see nothing was told of a row"


@pytest.mark.parametrize("how", ["refused", "left"])
async def test_a_token_that_came_to_nothing_leaves_nothing_behind(scene: Scene, how: str) -> None:
    client, tables = await inside(scene)
    await renew(client, role="authenticated", lifetime_s=4000)
    if how == "left":
        client.push(ROOM, "phx_leave", {})
        tables.questions[1].set_result(None)
    else:
        tables.questions[1].set_exception(PostgresError("asking where the log ends: expected an answer, got none"))
    await settle()
    assert not client.connection.members
    assert not client.connection._joins._renewing
