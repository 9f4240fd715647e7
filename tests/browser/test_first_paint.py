"""How soon the console shows something, for the first time and on a machine a quarter as fast as this one."""

import pytest

from tests.browser.console_pages import chromium, console
from tests.parity.serving import TidewireServer, token

SLOWER = 4
LEAST, MOST = 3, 9
"""Visits. The best of them counts, because other work on the machine only ever makes them slower."""
LIMIT_MS = 1500.0
FIRST_PAINT = """new Promise((tell) => new PerformanceObserver((found) => {
  const [first] = found.getEntriesByName("first-contentful-paint")
  if (first) tell(first.startTime)
}).observe({ type: "paint", buffered: true }))"""


@pytest.mark.parametrize("signed_in", [False, True], ids=["signed out", "signed in"])
async def test_the_console_shows_something_soon(signed_in: bool, tidewire: TidewireServer) -> None:  # noqa: FBT001 - a parameter of pytest
    figures: list[float] = []
    async with chromium() as browser:
        while len(figures) < LEAST or (min(figures) >= LIMIT_MS and len(figures) < MOST):
            async with console(browser, tidewire) as seen:
                if signed_in:
                    await seen.sign_in(token(role="service_role", sub="olga"))
                session = await seen.page.context.new_cdp_session(seen.page)
                await session.send("Network.enable")
                await session.send("Network.setCacheDisabled", {"cacheDisabled": True})
                await session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
                await seen.open()
                figures.append(await seen.page.evaluate(FIRST_PAINT))
                assert seen.complaints == []
    print("first contentful paint, ms:", sorted(figures))  # noqa: T201 - the figures of this run
    assert min(figures) < LIMIT_MS
