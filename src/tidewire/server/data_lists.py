"""Puts the rows of a list together as Postgres returns them: a small one is sent whole, a large one while it is read.

Whoever takes too long to read a large one is cut off. So is everybody when Postgres fails half-way: the answer then has
no end, and no client takes it for a whole one.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import structlog
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from tidewire.model.errors import TidewireError
from tidewire.postgres.data_runner import Row
from tidewire.query.answer import Listing

log = structlog.get_logger()

LARGE_BYTES: Final = 256 * 1024
"""As much of an answer is gathered; a larger one is sent in pieces."""
_BODY: Final = 2
"""The column that holds the text of a row."""

Rows = AsyncGenerator[Sequence[Row], None]
Pieces = AsyncGenerator[bytes, None]


async def assemble_list(first: Sequence[Row], rest: Rows, listing: Listing, *, limit_s: float) -> Response:
    """Return an answer without status and headers: set them, and let it be sent at once.

    A large one reads the `rest` while it is sent, for `limit_s` at most; of a small one nothing is left to read.
    """
    pieces = _join(first, rest, listing)
    gathered: list[bytes] = []
    size = 0
    async for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size > LARGE_BYTES:
            return _LargeAnswer(b"".join(gathered), pieces, limit_s=limit_s)
    return Response(b"".join(gathered))


async def _join(first: Sequence[Row], rest: Rows, listing: Listing) -> Pieces:
    separator = listing.separator.encode()
    yield listing.opening.encode() + separator.join(_texts(first))
    async with aclosing(rest):
        async for rows in rest:
            yield separator + separator.join(_texts(rows))
    yield listing.closing.encode()


def _texts(rows: Sequence[Row]) -> list[bytes]:
    """Return the texts of the rows; the only one of an empty list has none."""
    return [body for row in rows if (body := row[_BODY]) is not None]


class _LargeAnswer(StreamingResponse):
    def __init__(self, begun: bytes, pieces: Pieces, *, limit_s: float) -> None:
        super().__init__(_after(begun, pieces))
        self._limit_s = limit_s

    async def stream_response(self, send: Send) -> None:
        """Return without the end of the body where it cannot be had: the server then cuts the connection."""
        try:
            async with aclosing(self._pieces()), asyncio.timeout(self._limit_s):
                await super().stream_response(send)
        except TimeoutError:
            log.warning("data_api_answer_cut", reason="the client reads too slowly")
        except TidewireError as error:
            log.warning("data_api_answer_cut", code=error.code)  # without words, which may quote a row

    def _pieces(self) -> Pieces:
        assert isinstance(self.body_iterator, AsyncGenerator)  # noqa: S101 - we made it
        return self.body_iterator


async def _after(begun: bytes, pieces: Pieces) -> Pieces:
    async with aclosing(pieces):
        yield begun
        async for piece in pieces:
            yield piece
