"""Nodes for tests that need no network: each has a clock that the test moves."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.node import Clock, Make
from tests.support.tokens import SECRET
from tidewire.hub.authorize import Authorizer
from tidewire.hub.guards import Guards
from tidewire.hub.node import Node
from tidewire.hub.permissions import Permissions
from tidewire.hub.tasks import Tasks
from tidewire.testing.tables import OpenVisibility, ScriptedRules, ScriptedTables


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def make_node(clock: Clock) -> AsyncIterator[Make]:
    made: list[Node] = []
    async with Tasks(fail_together=False) as tasks:

        def make(**options: Any) -> Node:
            tables = ScriptedTables(roles=("authenticated",), bypassing=("service_role",))
            permissions = Permissions(Authorizer(clock=clock, secrets=(SECRET,)), tables)
            made.append(
                Node(
                    permissions=permissions,
                    tables=tables,
                    guards=Guards(ScriptedRules()),
                    visibility=OpenVisibility(),
                    tasks=tasks,
                    clock=clock,
                    **options,
                )
            )
            return made[-1]

        yield make
        for node in made:
            node.close()


@pytest.fixture
async def node(make_node: Make) -> Node:
    return make_node()
