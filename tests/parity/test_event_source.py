"""A browser's own EventSource, without any library, follows a table through cuts and a restart of the server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from playwright.async_api import Page, async_playwright

from tests.parity.chromium_puppet import ARGUMENTS
from tests.parity.installed import find_chromium
from tests.parity.serving import TidewireServer, serving, token
from tests.support.gathering_proxy import GatheringProxy
from tests.support.log import execute, fetch
from tests.support.server import request
from tidewire.model.position import parse_position
from tidewire.postgres.embedded import EmbeddedPostgres

CHANNELS = [{"topic": "realtime:seen", "config": {"postgres_changes": [{"event": "INSERT", "table": "seen"}]}}]
MESSAGE = json.dumps({"messages": [{"topic": "seen", "event": "hello", "payload": {}}]}).encode()
HEADERS = {"apikey": token(role="anon"), "content-type": "application/json"}
FOLLOW = """address => {
  window.rows = []
  window.recovered = []
  window.ids = []
  new EventSource(address).onmessage = ({ data, lastEventId }) => {
    const [, , , event, payload] = JSON.parse(data)
    if (event === 'broadcast') window.ids.push(lastEventId)
    if (event === 'phx_reply') window.recovered.push(payload.response.recovered ?? null)
    if (event === 'postgres_changes') window.rows.push(payload.data.record.id)
  }
}"""


@asynccontextmanager
async def following(port: int) -> AsyncIterator[Page]:
    """Open a page that follows the table by way of a port."""
    query = urlencode({"apikey": token(role="anon"), "vsn": "2.0.0", "channels": json.dumps(CHANNELS)})
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        page = await browser.new_page()  # of no origin at all, so that other origins are tried as well
        await page.evaluate(FOLLOW, f"http://127.0.0.1:{port}/realtime/v1/sse?{query}")
        yield page
        await browser.close()


async def until(page: Page, expression: str) -> None:
    await page.wait_for_function(expression, timeout=40_000)


async def state(page: Page) -> tuple[Any, Any]:
    return await page.evaluate("rows"), await page.evaluate("recovered")


async def test_an_event_source_keeps_an_id_that_comes_without_an_event(server: EmbeddedPostgres) -> None:
    with serving(server, TIDEWIRE_STREAM_HEARTBEAT_S="0.1") as served:
        dsn = served.database_url
        for table in ("seen", "busy"):
            execute(dsn, f"create table {table} (id int)", f"alter publication supabase_realtime add table {table}")
        execute(dsn, "grant select on seen to anon")

        async with following(served.port) as page:
            await until(page, "recovered.length === 1")
            before = fetch(dsn, "select pg_current_wal_insert_lsn() - '0/0'")
            execute(dsn, "insert into busy values (1)")
            async with asyncio.timeout(40):
                while not (ids := await page.evaluate("ids")) or parse_position(ids[-1]).lsn < before:
                    await asyncio.to_thread(request, "POST", f"{served.url}/api/broadcast", MESSAGE, headers=HEADERS)
                    await until(page, f"ids.length > {len(ids)}")
            assert (await state(page))[0] == []


async def test_an_event_source_comes_back_by_itself(own_tidewire: TidewireServer) -> None:
    dsn = own_tidewire.database_url
    execute(
        dsn,
        "create table seen (id int primary key)",
        "grant select on seen to anon",
        "alter publication supabase_realtime add table seen",
    )
    with GatheringProxy(own_tidewire.port, least_bytes=0) as proxy:
        async with following(proxy.port) as page:
            await until(page, "recovered.length === 1")
            execute(dsn, "insert into seen select generate_series(1, 3)")
            await until(page, "rows.length === 3")
            for cut in range(3):
                proxy.cut()
                execute(dsn, f"insert into seen values ({4 + cut})")
                await until(page, f"rows.length === {4 + cut}")
            assert await state(page) == ([1, 2, 3, 4, 5, 6], [None, True, True, True])
            await asyncio.to_thread(own_tidewire.stop)
            await asyncio.to_thread(own_tidewire.start)
            await until(page, "recovered.length === 5")
            execute(dsn, "insert into seen values (7)")
            await until(page, "rows.length === 7")
            assert (await state(page))[0] == [1, 2, 3, 4, 5, 6, 7]
