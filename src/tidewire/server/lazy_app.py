"""An ASGI application that is started by the server's lifespan, or by its first request where nobody runs that.

Frameworks do not run the lifespan of what is mounted into them, so both must work. One task holds what was started.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Final

import structlog
from starlette.responses import JSONResponse

from tidewire.model.errors import TidewireError
from tidewire.server.realtime_door import Receive, Scope, Send

log = structlog.get_logger()

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

RETRY_S: Final = 1.0
"""How often a start that failed is tried again at most, whatever number of requests ask for it."""


class LazyApp:
    """Call it as any ASGI application. `start` returns the context that the real application lives in."""

    def __init__(self, start: Callable[[], AbstractAsyncContextManager[Application]]) -> None:
        self._start = start
        self._running: asyncio.Future[Application] | None = None
        self._holder: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()
        self._failed_at_s = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            application = await self._ready()
        except TidewireError as error:
            log.error("start_failed", code=error.code, reason=error.message, hint=error.hint)  # noqa: TRY400 - it says all
            await _refuse(scope, receive, send)
        else:
            await application(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncGenerator[None, None]:
        """Start now and stop at the end of the block: for the lifespan of an application that mounts this one."""
        await self._ready()
        try:
            yield
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop what was started, and wait until it has."""
        self._enough.set()
        if self._holder is not None:
            await asyncio.wait((self._holder,))
        self._running = self._holder = None
        self._enough.clear()

    async def _ready(self) -> Application:
        """Return the application, started if need be; everybody who waits shares one start."""
        loop = asyncio.get_running_loop()
        if self._running is None or (_has_failed(self._running) and loop.time() - self._failed_at_s > RETRY_S):
            self._running = loop.create_future()
            # It outlives the request that needs it first. A server that ends without a lifespan cancels it.
            self._holder = loop.create_task(self._hold(self._running), name="tidewire")
        return await asyncio.shield(self._running)

    async def _hold(self, running: asyncio.Future[Application]) -> None:
        try:
            async with self._start() as application:
                running.set_result(application)
                await self._enough.wait()
        except Exception as error:
            self._failed_at_s = asyncio.get_running_loop().time()
            if running.done():  # it had started, and broke later: the next request starts it anew
                log.exception("stopped_by_failure")
                self._running = None
            else:
                running.set_exception(error)
                running.exception()  # seen: whoever waits is told, and perhaps nobody does any more

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            await self._ready()
        except TidewireError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _has_failed(running: asyncio.Future[Application]) -> bool:
    return running.done() and (running.cancelled() or running.exception() is not None)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1013, "reason": "the server cannot start; see its log"})
    else:
        answer = JSONResponse({"message": "The server cannot start; see its log"}, HTTPStatus.SERVICE_UNAVAILABLE)
        await answer(scope, receive, send)
