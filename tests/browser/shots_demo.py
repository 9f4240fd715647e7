"""Takes the picture of the demo: one row in two windows. Part of `make shots`, and no test either."""

from base64 import b64encode

import pytest
from playwright.async_api import Browser, Page, ViewportSize

from tests.browser.console_pages import chromium
from tests.browser.shots import IMAGES
from tests.support.demo import make_marketplace, serving_demo
from tests.support.postgres import fresh_migrated_database
from tidewire.postgres.embedded import EmbeddedPostgres

pytestmark = pytest.mark.timeout(200)

WINDOW = ViewportSize(width=620, height=680)
ROWS = 3
NEWEST = "#bookings li:first-child"
SIDE_BY_SIDE = """<body style="margin: 0; padding: 20px; display: inline-flex; gap: 20px; background: #cfd8d6">
{}</body>"""
FRAMED = '<img style="border-radius: 10px; box-shadow: 0 2px 12px #0003" src="data:image/png;base64,{}">'


async def open_window(browser: Browser, url: str, handle: str) -> Page:
    context = await browser.new_context(viewport=WINDOW, color_scheme="light", reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(f"{url}/?as={handle}")
    await page.wait_for_selector("#status[data-state=connected]")
    return page


async def test_two_windows(server: EmbeddedPostgres) -> None:
    with fresh_migrated_database(server) as dsn, serving_demo(dsn, make_marketplace(dsn)) as served:
        async with chromium() as browser:
            ana, ben = [await open_window(browser, served.url, handle) for handle in ("ana", "ben")]
            for _ in range(ROWS):
                shown = await ben.get_attribute(NEWEST, "data-id")
                await ana.click("#book button")
                await ben.wait_for_selector(f"{NEWEST}[data-took]:not([data-id='{shown}'])")
            await ben.click(f"{NEWEST} >> text=Confirm")
            await ana.wait_for_selector(f"{NEWEST} .confirmed")
            shots = [FRAMED.format(b64encode(await page.screenshot()).decode()) for page in (ana, ben)]
            both = await browser.new_page(viewport=ViewportSize(width=1300, height=720))
            await both.set_content(SIDE_BY_SIDE.format("".join(shots)))
            await both.screenshot(path=IMAGES / "demo-light.png")
