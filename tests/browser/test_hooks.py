"""The hooks in a page of a real browser, mounted twice as StrictMode does: one socket, and nothing is left behind."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.async_api import Page

from tests.browser.built import build
from tests.browser.console_pages import LIMIT_MS, chromium
from tests.browser.pages import serving_files
from tests.browser.weight import weigh
from tests.parity.clients import anon_key
from tests.parity.serving import TidewireServer
from tests.parity.tables import Database, Table

FIRST = 100
"""Cycles in which everything is made that is made once."""
CYCLES = 500 if os.environ.get("TIDEWIRE_SOAK") == "1" else 100
MOST_BYTES = 100
"""For each cycle. The least that is left behind is a listener, with what it refers to."""
INTERPRETED = "--js-flags=--jitless --no-flush-bytecode"
"""What the engine compiles counts as heap, and it compiles when it likes."""


@pytest.fixture
def five(database: Database) -> Iterator[list[Table]]:
    with ExitStack() as stack:
        yield [stack.enter_context(database.table("title text", full=True)) for _ in range(5)]


@pytest.fixture
async def page(node20: Path, tmp_path: Path, tidewire: TidewireServer, five: list[Table]) -> AsyncIterator[Page]:
    """Return the page; in the end there was no error in it."""
    build("packages/react/test/page", tmp_path, node20)
    asked = {"url": tidewire.url, "apikey": anon_key(), "tables": ",".join(table.name for table in five)}
    complaints: list[str] = []
    with serving_files(tmp_path) as served:
        async with chromium(INTERPRETED) as browser:
            page = await browser.new_page()
            page.set_default_timeout(LIMIT_MS)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: complaints.extend([said.text] if said.type == "error" else []))
            await page.goto(f"{served}/index.html?{urlencode(asked)}")
            yield page
    assert complaints == []


async def test_twenty_hooks_on_five_tables_share_one_socket(page: Page, five: list[Table]) -> None:
    await page.evaluate("told.show('twenty')")
    await page.wait_for_function("told.client.status.getSnapshot().channels.joined === 5")
    for number, table in enumerate(five):
        table.insert(id=number)
    await page.wait_for_function("told.heard.length >= 21")
    heard = await page.evaluate("told.heard")
    assert {name: heard.count(name) for name in heard} == {table.name: 4 for table in five} | {five[0].name: 5}
    assert await page.evaluate("told.sockets") == {"made": 1, "open": 1}


async def test_comings_and_goings_leave_nothing_behind(page: Page) -> None:
    session = await page.context.new_cdp_session(page)
    await page.evaluate("count => told.cycle(count)", FIRST)
    before = await weigh(session)
    await page.evaluate("count => told.cycle(count)", CYCLES)
    after = await weigh(session)
    print(f"{CYCLES} cycles: {after.heap_bytes - before.heap_bytes:+} bytes of {before.heap_bytes}")  # noqa: T201 - a figure of this run
    assert await page.evaluate("told.mounts") == 2 * (FIRST + CYCLES), "each is mounted twice"
    assert after.heap_bytes - before.heap_bytes < MOST_BYTES * CYCLES
    assert (after.listeners, after.nodes) == (before.listeners, before.nodes)
    assert await page.evaluate("told.sockets") == {"made": 1, "open": 1}
    assert await page.evaluate("told.client.status.getSnapshot().channels") == {"joined": 1, "wanted": 1}
