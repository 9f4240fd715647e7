"""The demo's page in a real browser: a row that one person writes appears in the windows that may show it."""

import os
from collections.abc import AsyncIterator, Iterator
from statistics import median
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium
from playwright.async_api import BrowserContext, ConsoleMessage, Error, Page, WebSocketRoute, async_playwright

from tests.parity.installed import find_chromium
from tests.support.demo import make_marketplace, serving_demo
from tests.support.log import execute
from tests.support.postgres import ask, fresh_migrated_database
from tests.support.server import RealtimeServer
from tidewire.postgres.embedded import EmbeddedPostgres

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),  # one browser for all, and so one loop
    pytest.mark.timeout(90),  # a browser and several windows, on a machine that does other things as well
]

ROWS: Final = 200 if os.environ.get("TIDEWIRE_SOAK") == "1" else 50
MOST_MS: Final = 500
"""What is promised for the median: ten times what it takes, so that a busy machine is no reason to break it."""
SOME: Final = 5
LIMIT_MS: Final = 20_000
LIVE: Final = "#status[data-state=connected]"
CHROMIUM_SAYS: Final = "net::ERR_"
"""Of every attempt to connect that fails, which no page can keep it from."""
NOTE_LOSS: Final = """new MutationObserver(([{ target }]) => {
  if (target.dataset.state === "disconnected") target.dataset.wasLost = "yes"
}).observe(document.getElementById("status"), { attributeFilter: ["data-state"] })"""
WAS_LOST: Final = "[data-was-lost]"
"""The state itself may be over before a test looks."""
BOOK: Final = """insert into tidewire_demo.bookings (customer_id, professional_id, starts_at, clicked_at)
select c.id, p.id, now(), now() from tidewire_demo.users c, tidewire_demo.users p
where (c.handle, p.handle) = ('ana', 'ben')"""
LAST: Final = "select max(id) from tidewire_demo.bookings"


class Windows:
    """Opens windows, and keeps what their consoles say."""

    def __init__(self, browser: Chromium, url: str) -> None:
        self._browser = browser
        self._url = url
        self.complaints: list[str] = []
        self._contexts: list[BrowserContext] = []

    async def open(self, handle: str = "", **options: Any) -> Page:
        """Open the window of a person, or the start; it has rows and is live when this returns."""
        context = await self._browser.new_context(**options)
        self._contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(LIMIT_MS)
        page.on("console", self._hear)
        page.on("pageerror", self._fail)
        await self.go(page, handle)
        return page

    async def go(self, page: Page, handle: str) -> None:
        await page.goto(f"{self._url}/?as={handle}" if handle else self._url)
        if handle:
            await page.wait_for_selector(LIVE)
            await page.wait_for_selector("#bookings li")

    async def close(self) -> None:
        """Close them all."""
        for context in self._contexts:
            await context.close()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _fail(self, error: Error) -> None:
        self.complaints.append(str(error))


@pytest.fixture(scope="module")
def marketplace(server: EmbeddedPostgres) -> Iterator[tuple[str, RealtimeServer]]:
    with fresh_migrated_database(server) as dsn, serving_demo(dsn, make_marketplace(dsn)) as served:
        yield dsn, served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Chromium]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=find_chromium())
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="module")
async def windows(marketplace: tuple[str, RealtimeServer], browser: Chromium) -> AsyncIterator[Windows]:
    opened = Windows(browser, marketplace[1].url)
    yield opened
    await opened.close()
    assert opened.complaints == []


async def took_ms(page: Page, booking: int) -> float:
    """Wait for the row, and return what the window says it took."""
    row = await page.wait_for_selector(f"#bookings li[data-id='{booking}'][data-took]", state="attached")
    assert row is not None
    return float(await row.get_attribute("data-took") or "nan")


async def test_rows_travel_from_one_window_to_the_other(
    marketplace: tuple[str, RealtimeServer], windows: Windows
) -> None:
    ana, ben, cleo = [await windows.open(handle) for handle in ("ana", "ben", "cleo")]
    await ana.focus("#professional")
    await ana.keyboard.press("Tab")
    figures = []
    for _ in range(ROWS):
        last = ask(marketplace[0], LAST)
        await ana.keyboard.press("Enter")
        figures.append(await took_ms(ben, last + 1))
    figures.sort()
    said = f"p50 {median(figures):.0f} ms, p99 {figures[ROWS * 99 // 100]:.0f} ms, {ROWS} rows"
    print(f"from the click to the other window: {said}")  # noqa: T201 - a figure of this run
    assert figures[0] >= 0
    assert median(figures) < MOST_MS

    booking = ask(marketplace[0], LAST)
    await ben.click(f"[aria-label='Confirm No. {booking}']")
    await ana.wait_for_selector(f"#bookings li[data-id='{booking}'] .state.confirmed")
    assert "Ben Farol has confirmed Massage" in await ana.inner_text("#notifications")
    assert "after the click" in await ana.inner_text("#travel-words")
    for row in await cleo.query_selector_all("#bookings li"):
        assert int(await row.get_attribute("data-id") or 0) <= booking - ROWS
    assert "Ana Nube" not in await cleo.inner_text("main")


async def test_a_window_that_was_cut_off_says_so_and_misses_nothing(
    marketplace: tuple[str, RealtimeServer], windows: Windows
) -> None:
    ben = await windows.open()
    sockets: list[WebSocketRoute] = []
    is_away = False

    async def connect(route: WebSocketRoute) -> None:
        sockets.append(route)
        if is_away:
            await route.close()
        else:
            route.connect_to_server()

    await ben.route_web_socket("**/realtime/v1/websocket*", connect)
    await windows.go(ben, "ben")
    await ben.evaluate(NOTE_LOSS)
    before = ask(marketplace[0], LAST)
    is_away = True
    await sockets[0].close()
    await ben.wait_for_selector(WAS_LOST)
    execute(marketplace[0], *([BOOK] * SOME))
    is_away = False
    for booking in range(before + 1, before + SOME + 1):
        await took_ms(ben, booking)
    await ben.wait_for_selector(f"{LIVE}{WAS_LOST} >> text=live")  # and it is the same page


async def test_a_window_that_was_offline_is_back_by_itself(
    marketplace: tuple[str, RealtimeServer], windows: Windows
) -> None:
    ben = await windows.open("ben")
    before = ask(marketplace[0], LAST)
    await ben.context.set_offline(True)  # nothing is closed, and nothing arrives
    await ben.wait_for_selector("#status[data-state=disconnected] >> text=trying again")
    execute(marketplace[0], BOOK)
    await ben.context.set_offline(False)
    await took_ms(ben, before + 1)
    await ben.wait_for_selector(LIVE)
    windows.complaints = [said for said in windows.complaints if CHROMIUM_SAYS not in said]


async def test_a_paused_window_stands_still(marketplace: tuple[str, RealtimeServer], windows: Windows) -> None:
    ben, other = await windows.open("ben"), await windows.open("ben")
    await ben.click("#pause")
    before = ask(marketplace[0], LAST)
    shown = await ben.inner_text("#bookings")
    execute(marketplace[0], BOOK)
    await took_ms(other, before + 1)
    assert await ben.inner_text("#bookings") == shown
    await ben.click("#pause")
    await took_ms(ben, before + 1)


async def test_it_fits_on_a_small_phone(windows: Windows) -> None:
    phone = {"width": 360, "height": 740}
    start = await windows.open(viewport=phone, color_scheme="light")
    link = await start.wait_for_selector("a[href='/?as=ana']")
    assert link is not None
    assert await link.get_attribute("target") == "demo-ana"
    for page in (start, await windows.open("ana", viewport=phone, color_scheme="dark")):
        assert await page.evaluate("() => document.documentElement.scrollWidth") == 360
        assert await page.evaluate("() => document.querySelectorAll('main:not([hidden]) h1').length") == 1
