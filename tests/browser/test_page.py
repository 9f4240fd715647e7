"""The client in a page of a real browser: offline, hidden, cut off, and tidy after many comings and goings."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.browser.console_pages import chromium
from tests.browser.narrow_network import NarrowNetwork
from tests.browser.pages import serving_files
from tests.browser.weight import weigh
from tests.parity.clients import anon_key
from tests.parity.tables import Table

HERE = Path(__file__).parent / "js"
LIMIT_S = 40.0
QUICK = {"beatEveryMs": 800, "beatMs": 800, "leaveMs": 50}


@pytest.fixture
def address(bundle: Path) -> Iterator[str]:
    with serving_files(HERE, bundle.parent) as served:
        yield f"{served}/page.html"


class Visitor:
    """One open page with one client."""

    def __init__(self, page: Page, port: int) -> None:
        self.page = page
        self._port = port

    async def ask(self, verb: str, **values: Any) -> None:
        line = json.dumps({"id": 0, "verb": verb, "client": "page", **values})
        await self.page.evaluate("line => window.obey(line)", line)

    async def connect(self) -> None:
        await self.ask("connect", url=f"http://127.0.0.1:{self._port}", apikey=anon_key(), token=None, timing=QUICK)

    async def heard(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.page.evaluate(
            "kind => window.heard.filter((message) => message.heard === kind)", kind
        )
        return found

    async def wait(self, condition: Callable[[list[dict[str, Any]]], bool], kind: str) -> list[dict[str, Any]]:
        """Wait until what was heard of a kind is as expected."""
        async with asyncio.timeout(LIMIT_S):
            while not condition(found := await self.heard(kind)):
                await self.page.wait_for_timeout(20)
        return found

    async def follow(self, table: Table, name: str = "rows") -> None:
        await self.ask("follow", name=name, table=table.name, options={})
        await self.wait(lambda found: any(heard["channel"] == name for heard in found), "ready")

    async def keys(self, count: int) -> list[int]:
        found = await self.wait(lambda found: len(found) >= count, "change")
        return [heard["event"]["new"]["id"] for heard in found]

    async def state(self, state: str) -> None:
        await self.wait(lambda found: bool(found) and found[-1]["status"]["state"] == state, "status")


@asynccontextmanager
async def visiting(address: str, port: int) -> AsyncIterator[Visitor]:
    """Open the page. In the end there was no error in it, but that connections failed."""
    errors: list[str] = []
    async with chromium() as browser:
        page = await browser.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(address)
        await page.wait_for_function("window.obey !== undefined")
        visitor = Visitor(page, port)
        await visitor.connect()
        yield visitor
        await visitor.ask("close")
    assert errors == []


async def test_a_page_that_goes_offline_and_comes_back_misses_nothing(
    address: str, network: NarrowNetwork, todos: Table
) -> None:
    async with visiting(address, network.port) as visitor:
        await visitor.follow(todos)
        todos.insert(id=1)
        assert await visitor.keys(1) == [1]
        await visitor.page.context.set_offline(True)  # both directions stand still, and nothing is closed
        await visitor.state("disconnected")
        todos.insert(id=2)
        await visitor.page.context.set_offline(False)
        await visitor.state("connected")
        todos.insert(id=3)
        assert await visitor.keys(3) == [1, 2, 3]
        assert any(heard["status"]["reason"] == "offline" for heard in await visitor.heard("status"))


async def test_a_hidden_page_comes_back_as_well(address: str, network: NarrowNetwork, todos: Table) -> None:
    async with visiting(address, network.port) as visitor:
        await visitor.follow(todos)
        await visitor.page.evaluate(
            "Object.defineProperty(document, 'visibilityState', { value: 'hidden' }),"
            " document.dispatchEvent(new Event('visibilitychange'))"
        )
        network.cut()
        todos.insert(id=1)
        assert await visitor.keys(1) == [1]


async def test_a_page_without_websocket_takes_the_stream(address: str, network: NarrowNetwork, todos: Table) -> None:
    network.rules["websocket"] = "refuse"
    async with visiting(address, network.port) as visitor:
        await visitor.follow(todos)
        todos.insert(id=1)
        assert await visitor.keys(1) == [1]
        assert (await visitor.heard("status"))[-1]["status"]["transport"] == "sse"


async def test_many_comings_and_goings_leave_nothing_behind(address: str, network: NarrowNetwork, todos: Table) -> None:
    cycle = """async (table) => {
      for (let turn = 0; turn < 125; turn += 1) {
        for (const [name, options] of [['one', {}], ['other', { filter: 'id=gt.0' }]]) {
          await window.obey(JSON.stringify({ id: 0, verb: 'follow', client: 'page', name, table, options }))
        }
        for (const name of ['one', 'other']) await window.obey(JSON.stringify({ id: 0, verb: 'unfollow', name }))
      }
      window.heard.length = 0
    }"""
    async with visiting(address, network.port) as visitor:
        await visitor.follow(todos, "stays")
        session = await visitor.page.context.new_cdp_session(visitor.page)
        found = []
        for _ in range(7):
            await visitor.page.evaluate(cycle, todos.name)
            found.append(await weigh(session))
        # What is made once is made in the first rounds, and the engine compiles when it likes. A leak would show in
        # every later round, with some hundred bytes for each subscription.
        first, later = found[:3], found[3:]
        assert min(each.heap_bytes for each in later) - max(each.heap_bytes for each in first) < 50_000
        assert {each.listeners for each in found} == {found[0].listeners}
        assert await visitor.page.evaluate("window.sockets.length") == 1
