"""Carries out the story: one ordinary transaction a scene, at the pace of people."""

import asyncio
from contextlib import suppress
from typing import Any, Final

import psycopg

from tidewire.demo import scripts
from tidewire.demo.story import Scene, Story
from tidewire.model.errors import DatabaseUnreachable
from tidewire.postgres.connection import connect_async, translated

SEED: Final = 7
AWAY_S: Final = 1.0
"""How long to wait before a database that has gone is asked again."""


async def keep_busy(dsn: str, pace_s: float) -> None:
    """Write for ever, with `pace_s` between two scenes on average; what happens is the same in every run.

    While the database is away nothing happens, so that somebody may try what becomes of the page then.
    """
    story = Story(SEED)
    while True:
        with suppress(DatabaseUnreachable):
            async with await connect_async(dsn) as connection:
                while True:
                    await play(connection, story.next_scene())
                    await asyncio.sleep(story.pause(pace_s))
        await asyncio.sleep(AWAY_S)


async def play(connection: psycopg.AsyncConnection[Any], scene: Scene) -> None:
    """Carry out one scene. Where there is nothing for it to happen to, nothing happens."""
    with translated("writing for the demo"):
        await connection.execute(scripts.load(scene.script), scene.values)
