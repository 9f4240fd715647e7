"""What Postgres said a moment ago, for so long as that may be believed. Asks once, however many want to know."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST: Final = 10_000
"""How many answers are kept. A node has few roles, and they read far fewer tables than this."""


class Answers(Generic[K, V]):
    """Answers by key. `get` awaits only when the answer is missing or too old; failures are not kept."""

    def __init__(
        self,
        ask: Callable[[K], Awaitable[V]],
        *,
        ttl_s: float,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._ttl_s = ttl_s
        self._most = most
        self._clock = clock
        self._kept: dict[K, tuple[float, V]] = {}
        self._asking: dict[K, asyncio.Future[V]] = {}

    async def get(self, key: K) -> V:
        """Return the answer. Whoever comes while it is being fetched gets the same one, or the same error."""
        while (kept := self._kept.get(key)) is None or kept[0] <= self._clock():
            asking = self._asking.get(key)
            if asking is None:
                return await self._fetch(key)
            await asyncio.wait([asking])
            if not asking.cancelled():  # otherwise who asked has gone: the next of those who wait asks again
                return asking.result()
        return kept[1]

    def forget(self) -> None:
        """Believe nothing any more that was asked until now, also where the answer is still on its way."""
        self._kept.clear()
        self._asking.clear()

    async def _fetch(self, key: K) -> V:
        asking: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._asking[key] = asking
        asked_s = self._clock()
        try:
            answer = await self._ask(key)
        except Exception as error:
            asking.set_exception(error)
            asking.exception()  # it need not be retrieved by anybody else
            raise
        except BaseException:
            asking.cancel()
            raise
        finally:
            current = self._asking.get(key) is asking
            if current:
                del self._asking[key]
        asking.set_result(answer)
        if current:
            self._keep(key, answer, asked_s + self._ttl_s)
        return answer

    def _keep(self, key: K, answer: V, until_s: float) -> None:
        self._kept.pop(key, None)  # so that the oldest answers come first
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (until_s, answer)
