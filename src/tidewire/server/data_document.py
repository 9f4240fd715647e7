"""The OpenAPI document at the root of the data API: for each role what that role may use, built once and kept."""

import asyncio
import hashlib
from collections import OrderedDict
from http import HTTPStatus
from importlib.metadata import version
from typing import Final

import msgspec
from msgspec import Struct
from starlette.responses import Response

from tidewire.model.claims import Claims
from tidewire.postgres import data_runner, queries
from tidewire.postgres.data_runner import Caller, DataRunner, Run
from tidewire.query import request as query
from tidewire.query.limits import Limits
from tidewire.query.openapi import Asked, describe
from tidewire.query.preferences import choose_document, choose_schema
from tidewire.query.schema import Schema
from tidewire.query.statement import Statement
from tidewire.query.usable import Usable, read_usable

MOST_KEPT: Final = 16
"""Documents that are kept, one for each role and schema; the one that was not asked for longest goes first."""
FRESH_S: Final = 10.0
"""How long rights and comments are believed. Much of what changes them leaves no trace in the log."""
_HEADERS: Final = {"Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Profile, Authorization, apikey"}
_VERSION: Final = version("tidewire")
_encode = msgspec.json.Encoder().encode


class _Kept(Struct):
    """A document and what it was made of; nothing yet, at first."""

    turn: asyncio.Lock
    schema: Schema | None = None
    usable: Usable | None = None
    read_at_s: float = float("-inf")
    body: bytes = b""
    tag: str = ""


class Documents:
    """Answers GET and HEAD of the root. Raises QueryError and what the runner raises."""

    def __init__(self, runner: DataRunner, limits: Limits, *, fresh_s: float = FRESH_S) -> None:
        self._runner = runner
        self._fresh_s = fresh_s
        self._limits = limits
        self._kept: OrderedDict[tuple[str, str, str], _Kept] = OrderedDict()

    async def answer(self, asked: query.Request, claims: Claims, schema: Schema, *, base: str) -> Response:
        """Return the document of what this caller's role may use; `base` is the path that its paths count from."""
        media_type = choose_document(asked.headers.get("accept", ""))
        name = choose_schema(asked.method, asked.headers, self._limits.schemas)
        kept = self._find((claims.role, name, base))
        async with kept.turn:
            await self._renew(kept, Caller(claims, name, asked.method, "/", {}), schema, base)
        headers = {**_HEADERS, "ETag": kept.tag}
        if _matches(asked.headers.get("if-none-match", ""), kept.tag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(kept.body, headers=headers, media_type=f"{media_type}; charset=utf-8")

    def _find(self, key: tuple[str, str, str]) -> _Kept:
        kept = self._kept.setdefault(key, _Kept(asyncio.Lock()))
        self._kept.move_to_end(key)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return kept

    async def _renew(self, kept: _Kept, caller: Caller, schema: Schema, base: str) -> None:
        now_s = asyncio.get_running_loop().time()
        if kept.schema is schema and now_s < kept.read_at_s + self._fresh_s:
            return
        statement = Statement(queries.load("schema_usable"), (caller.schema,))
        usable = await self._runner.run(Run(statement, writes=False), caller, _read)
        if kept.schema is not schema or kept.usable != usable:
            described = Asked(schema, caller.schema, usable, self._limits, base, _VERSION)
            # A thread, because a large schema takes long, and everybody else would wait.
            kept.body = await asyncio.to_thread(_write, described)
            kept.tag = f'"{hashlib.sha256(kept.body).hexdigest()[:32]}"'
        kept.schema, kept.usable, kept.read_at_s = schema, usable, now_s


def _read(row: data_runner.Row, _estimate: data_runner.Row | None) -> Usable:
    return read_usable(row[0] or b"{}")


def _write(asked: Asked) -> bytes:
    return _encode(describe(asked))


def _matches(header: str, tag: str) -> bool:
    """Tell whether the client has this document already; a proxy may have marked the tag as weak."""
    return header.strip() == "*" or tag in {each.strip().removeprefix("W/") for each in header.split(",")}
