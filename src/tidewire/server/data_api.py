"""The door to the data API, /rest/v1: who asks, a plan for what is asked, the statement run as that role, the answer.

What a URL means is decided in query/, what a role may see and do by Postgres.
"""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tidewire.hub.history import History
from tidewire.model.claims import Claims
from tidewire.model.errors import PoolExhausted, TidewireError, TokenRefused
from tidewire.model.position import Seen, StreamPosition, parse_lsn
from tidewire.model.reasons import CLAIMS_MISSING
from tidewire.model.snapshot import parse_snapshot
from tidewire.postgres import data_runner
from tidewire.postgres.data_errors import is_miss
from tidewire.postgres.data_runner import Caller, DataRunner, Run
from tidewire.postgres.schema_cache import SchemaCache
from tidewire.query import request as query
from tidewire.query.answer import Answer, Row, Text
from tidewire.query.errors import QueryError
from tidewire.query.limits import Limits
from tidewire.query.plans import Plans
from tidewire.query.schema import Schema
from tidewire.server.any_text import ANY_TEXT
from tidewire.server.cors import allow
from tidewire.server.data_document import Documents
from tidewire.server.data_lists import assemble_list
from tidewire.server.data_request import read_request
from tidewire.server.request_parts import token_of

log = structlog.get_logger()

PREFIX: Final = "/rest/v1"
METHODS: Final = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE")
POSITION_HEADER: Final = "Tidewire-Position"
"""Where to follow the changes of a list that was read: give it as `after` to a subscription."""

MAX_AT_ONCE: Final = 1000
"""So many requests are answered or wait for a connection; the next one is told to come back."""

_SECRET_HEADERS: Final = frozenset({"authorization", "apikey", "cookie"})
"""What functions and policies are not shown of a request: the claims say who is asking."""
_EXPIRED: Final = "Token has expired"
"""What TokenRefused tells a handshake when nothing but the time is wrong."""

_encode = msgspec.json.Encoder().encode


class DataApi:
    """Put its `routes` into Starlette's router. `identify` raises TokenRefused."""

    def __init__(
        self,
        identify: Callable[[str], Awaitable[Claims]],
        schemas: SchemaCache,
        runner: DataRunner,
        limits: Limits,
        history: History,
    ) -> None:
        self._identify = identify
        self._schemas = schemas
        self._runner = runner
        self._limits = limits
        self._documents = Documents(runner, limits)
        self._history = history
        self._plans = Plans(limits)
        self._at_once = 0

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes of PREFIX and everything below it."""
        return [
            Route(path, endpoint, methods=methods)
            for path in (PREFIX, f"{PREFIX}/{{path:{ANY_TEXT}}}")
            for endpoint, methods in ((self.answer, METHODS), (allow, ["OPTIONS"]))
        ]

    async def answer(self, request: Request) -> Response:
        """Answer a request; whatever is wrong with it is said in the shape that clients know."""
        if self._at_once >= MAX_AT_ONCE:
            return _refuse(QueryError(503, "PGRST003", "Too many requests wait for the database"), retry_after_s=1)
        self._at_once += 1
        try:
            return await self._answer(request)
        except QueryError as refused:
            if refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                log.warning("data_api_failed", code=refused.code)  # without words, which may quote a row
            return _refuse(refused)
        except TidewireError as error:
            return _refuse(_unavailable(error), retry_after_s=1)
        finally:
            self._at_once -= 1

    async def _answer(self, request: Request) -> Response:
        claims = await self._authenticate(request)
        asked = await read_request(request, below=PREFIX, most_bytes=self._limits.max_body_bytes)
        schema = await self._schemas.get()
        if not asked.path and asked.method in {"GET", "HEAD"}:
            base = f"{request.scope.get('root_path', '')}{PREFIX}"
            return await self._documents.answer(asked, claims, schema, base=base)
        try:
            return await self._run(asked, claims, schema)
        except QueryError as refused:
            newer = await self._schemas.after_miss(schema) if is_miss(refused) else None
            if newer is None:
                raise
        return await self._run(asked, claims, newer)

    async def _authenticate(self, request: Request) -> Claims:
        token = token_of(request)
        if not token:
            raise QueryError(401, "PGRST302", "No API key found in request", hint="send an Authorization header")
        try:
            return await self._identify(token)
        except TokenRefused as error:
            code = "PGRST303" if error.reason.code == CLAIMS_MISSING.code else "PGRST301"
            expired = error.handshake == _EXPIRED
            raise QueryError(401, code, "JWT expired" if expired else error.reason.message) from None

    async def _run(self, asked: query.Request, claims: Claims, schema: Schema) -> Response:
        planned = self._plans.plan(asked, schema)
        run = Run(
            planned.statement,
            writes=not planned.read_only,
            undone=planned.rollback,
            looked_at=planned.conditional,
            estimate=planned.estimate,
        )
        caller = Caller(
            claims=claims,
            schema=planned.schema,
            method=asked.method,
            path="/" + "/".join(asked.path),
            headers={name: value for name, value in asked.headers.items() if name not in _SECRET_HEADERS},
        )

        def answer(row: data_runner.Row, estimate: data_runner.Row | None) -> Answer:
            return planned.reply.answer(_read(row), None if estimate is None else _estimated_rows(estimate))

        visible = self._history.commits.visible
        if planned.listing is None:
            answered = await self._runner.run(run, caller, answer)
            return self._complete(Response(answered.body), answered, visible)
        rows = self._runner.stream(run, caller)
        try:
            estimate = None if run.estimate is None else (await anext(rows))[0]
            first = await anext(rows)
            response = await assemble_list(first, rows, planned.listing, limit_s=self._runner.timeout_s)
            return self._complete(response, answer(first[0], estimate), visible)
        except BaseException:
            await rows.aclose()
            raise

    def _complete(self, response: Response, answered: Answer, visible: int) -> Response:
        """Set status and headers, and for a list the position from which to follow its changes."""
        response.status_code = answered.status
        headers = response.headers
        for name, value in answered.headers:
            headers[name] = value
        if answered.place is not None and (position := self._position(answered.place, visible)) is not None:
            headers[POSITION_HEADER] = str(position)
        return response

    def _position(self, place: Text, visible: int) -> StreamPosition | None:
        snapshot, _, until = (place if isinstance(place, str) else place.decode()).partition("@")
        return self._history.after_list(visible, Seen(parse_lsn(until), parse_snapshot(snapshot)))


def _refuse(error: QueryError, *, retry_after_s: int | None = None) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else {}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Response(_encode(error.body()), error.status, headers, media_type="application/json; charset=utf-8")


def _unavailable(error: TidewireError) -> QueryError:
    """Say that the database cannot be asked, and leave to the log why: hints name settings and servers."""
    log.warning("data_api_unavailable", code=error.code, reason=error.message, hint=error.hint)
    if isinstance(error, PoolExhausted):
        return QueryError(504, "PGRST003", "Timed out acquiring connection from connection pool.")
    return QueryError(503, "PGRST001", "Database connection error. Retrying the connection.")


def _read(row: data_runner.Row) -> Row:
    """Read the columns of a planned statement; only lists have the last one."""
    total, page, body, location, *place = row
    return Row(None if total is None else int(total), int(page or 0), body, location, *place)


def _estimated_rows(estimate: data_runner.Row) -> int:
    """Read what the planner expects out of an EXPLAIN in JSON."""
    return int(msgspec.json.decode(estimate[0] or b"")[0]["Plan"]["Plan Rows"])
