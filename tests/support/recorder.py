"""A process to kill: follows a source and writes each event's place and key to a file before it confirms.

`python -m tests.support.recorder DSN FILE`
"""

import asyncio
import os
import sys
from contextlib import aclosing

from tests.support.log import make_source
from tidewire.model.change import Change, Event

END = "."
"""Stands at the end of a line: one that was being written by whoever was killed has none, and its event comes again."""


async def record(dsn: str, file: int) -> None:
    source = make_source(dsn)
    async with aclosing(source.transactions()) as parts:
        async for part in parts:
            os.write(file, b"".join(_line(event) for event in part.events))
            if part.end_lsn is not None:
                source.confirm(part.end_lsn)


def _line(event: Event) -> bytes:
    key = event.new[0] if isinstance(event, Change) and event.new is not None else "-"
    return f"{event.lsn} {event.index} {key} {END}\n".encode()


if __name__ == "__main__":
    opened = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(opened, b"\n")  # the end of such a line
    asyncio.run(record(sys.argv[1], opened))
