"""A database that falls silent in the middle of a question is a broken connection, in bounded time."""

import pytest

from tests.support.proxy import BreakableProxy
from tidewire.model.errors import DatabaseUnreachable
from tidewire.postgres.connection import bounded, connect_async, translated


async def test_a_question_that_is_never_answered_fails_in_time(breakable: BreakableProxy) -> None:
    connection = await connect_async(breakable.dsn)
    breakable.freeze()
    with pytest.raises(DatabaseUnreachable), translated("asking"), bounded(connection, 0.2):
        await connection.execute("select 1")
    await connection.close()


async def test_an_answer_in_time_leaves_the_connection_alone(database: str) -> None:
    async with await connect_async(database) as connection:
        with bounded(connection, 5):
            await connection.execute("select 1")
        assert not connection.closed
