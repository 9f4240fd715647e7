"""However many connections end at once, everybody else has a turn in between, and every end is told once, in order."""

import asyncio
from itertools import pairwise

from tidewire.server.websocket_farewells import IN_A_TURN, farewells_of


async def test_a_few_are_told_at_once() -> None:
    told: list[int] = []
    farewells = farewells_of(asyncio.get_running_loop())
    for number in range(IN_A_TURN):
        farewells.tell(lambda number=number: told.append(number))  # type: ignore[misc]  # a default binds it
    assert told == list(range(IN_A_TURN))


async def test_thousands_take_turns_with_everybody_else() -> None:
    told: list[int] = []
    farewells = farewells_of(asyncio.get_running_loop())
    count = 10 * IN_A_TURN + 5
    for number in range(count):
        farewells.tell(lambda number=number: told.append(number))  # type: ignore[misc]  # a default binds it
    seen = [len(told)]
    while len(told) < count:
        await asyncio.sleep(0)
        seen.append(len(told))
    assert told == list(range(count))
    assert max(after - before for before, after in pairwise(seen)) <= IN_A_TURN
    for _ in range(3):
        await asyncio.sleep(0)
    farewells.tell(lambda: told.append(-1))
    assert told[-1] == -1, "once it is over, the next is told at once"


async def test_one_that_breaks_does_not_keep_the_others_from_being_told() -> None:
    told: list[int] = []
    farewells = farewells_of(asyncio.get_running_loop())

    def break_down() -> None:
        raise RuntimeError("a receiver's mistake")

    for number in range(IN_A_TURN):
        farewells.tell(lambda number=number: told.append(number))  # type: ignore[misc]  # a default binds it
    farewells.tell(break_down)
    farewells.tell(lambda: told.append(-1))
    for _ in range(3):
        await asyncio.sleep(0)
    assert told[-1] == -1


async def test_whoever_ends_while_others_wait_is_told_after_them() -> None:
    told: list[int] = []
    farewells = farewells_of(asyncio.get_running_loop())
    for number in range(IN_A_TURN + 1):
        farewells.tell(lambda number=number: told.append(number))  # type: ignore[misc]  # a default binds it
    farewells.tell(lambda: told.append(-1))
    assert -1 not in told
    for _ in range(3):
        await asyncio.sleep(0)
    assert told[-2:] == [IN_A_TURN, -1]
