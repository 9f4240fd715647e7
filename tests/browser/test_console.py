"""The console in Chromium: clean in both themes, on a phone and by keyboard, live, and back by itself after a crash."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.console_pages import NARROW, WIDE, Console, Theme, chromium, connect, console, sign_in_link
from tests.parity.clients import anon_key
from tests.parity.serving import TidewireServer, token
from tests.parity.tables import Table

pytestmark = pytest.mark.asyncio(loop_scope="module")

THEMES: tuple[Theme, ...] = ("light", "dark")
SCREENS = ("Overview", "Connections", "Tables", "Log")
NOTHING_TO_SAY = "Failed to load resource"
"""What Chromium itself says of every answer that is an error."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


def operator() -> str:
    return token(role="service_role", sub="olga")


async def assert_fine(seen: Console) -> None:
    assert await seen.is_styled()
    assert await seen.violations() == []
    assert await seen.overflow() <= 0
    assert seen.complaints == []


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "phone"])
@pytest.mark.parametrize("theme", THEMES)
async def test_everybody_can_read_the_gallery(
    theme: Theme, size: tuple[int, int], browser: Browser, tidewire: TidewireServer
) -> None:
    async with console(browser, tidewire, theme=theme, size=size) as seen:
        await seen.open("/gallery")
        await seen.page.get_by_role("heading", name="Gallery").wait_for()
        await seen.page.get_by_role("button", name="Let a row arrive").click()
        await seen.page.get_by_role("cell", name="4104").wait_for()
        await seen.page.get_by_role("button", name="Fail").click()
        await seen.page.get_by_text("It did not work").wait_for()
        await assert_fine(seen)
        await seen.page.get_by_role("button", name="Open a window").click()
        await seen.page.get_by_role("dialog", name="A window").wait_for()
        await assert_fine(seen)


@pytest.mark.parametrize("theme", THEMES)
async def test_everybody_can_read_the_screens(theme: Theme, browser: Browser, tidewire: TidewireServer) -> None:
    async with console(browser, tidewire, theme=theme) as seen:
        await seen.open()
        await seen.page.get_by_role("heading", name="Sign in").wait_for()
        await assert_fine(seen)
        await seen.sign_in(operator())
        for size in (WIDE, NARROW):
            await seen.page.set_viewport_size({"width": size[0], "height": size[1]})
            for screen in SCREENS:
                await seen.go(screen)
                await assert_fine(seen)


async def test_a_chosen_theme_is_kept_and_charts_follow_it(browser: Browser, tidewire: TidewireServer) -> None:
    async with console(browser, tidewire, theme="light") as seen:
        await seen.open("/gallery")
        chart = seen.page.locator("canvas").first
        await chart.wait_for()
        before = await chart.screenshot()
        await seen.page.get_by_role("radio", name="Dark").check(force=True)
        await expect(seen.page.locator("html")).to_have_attribute("data-theme", "dark")
        assert await chart.screenshot() != before
        await seen.page.reload()
        await expect(seen.page.locator("html")).to_have_attribute("data-theme", "dark")
        assert seen.complaints == []


async def test_a_link_lets_in_once_and_leaves_no_trace(browser: Browser, own_tidewire: TidewireServer) -> None:
    link = sign_in_link(own_tidewire)
    async with console(browser, own_tidewire) as seen, console(browser, own_tidewire) as other:
        await seen.open(link)
        await seen.wait_live()
        assert "#" not in seen.page.url
        await seen.page.reload()
        await seen.wait_live()
        assert seen.complaints == []
        await other.open(link)
        await other.page.get_by_role("alert").get_by_text("expected an unused link").wait_for()
        assert [said for said in other.complaints if NOTHING_TO_SAY not in said] == []


async def test_nobody_comes_in_with_another_token(browser: Browser, tidewire: TidewireServer) -> None:
    async with console(browser, tidewire) as seen:
        await seen.open()
        await seen.page.get_by_label("Token of an operator").fill(token(role="authenticated", sub="ann"))
        await seen.page.get_by_role("button", name="Sign in").click()
        await seen.page.get_by_role("alert").get_by_text("expected an operator").wait_for()


async def test_what_flows_is_seen(browser: Browser, tidewire: TidewireServer, todos: Table) -> None:
    async with console(browser, tidewire) as seen:
        await seen.sign_in(operator())
        with connect(tidewire, anon_key()) as reader:
            reader.join("realtime:todos", postgres_changes=[todos.binding("INSERT")])
            latency = seen.page.get_by_role("article", name="Commit to socket, p99")
            for key in range(1, 4):
                todos.insert(id=key)
                reader.receive("postgres_changes")
            await expect(latency).to_contain_text("ms")
            histogram = seen.page.get_by_role("figure", name="From commit to socket").get_by_role("img")
            await expect(histogram).to_have_accessible_name(
                re.compile(r"transactions in .*p50: .* ms\. .*p99: .* ms\.")
            )
        assert seen.complaints == []


async def test_a_connection_is_seen_and_can_be_sent_away(browser: Browser, tidewire: TidewireServer) -> None:
    async with console(browser, tidewire) as seen:
        await seen.sign_in(operator())
        await seen.go("Connections")
        user = "visitor-7"
        with connect(tidewire, token(role="authenticated", sub=user)) as visitor:
            visitor.join("realtime:harbour")
            row = seen.page.get_by_role("row").filter(has_text=user)
            await row.get_by_role("button").click()
            dialog = seen.page.get_by_role("dialog")
            await dialog.get_by_text("harbour").wait_for()
            assert await seen.violations() == []
            await dialog.get_by_role("button", name="Disconnect").click()
            await dialog.get_by_role("button", name="Yes, disconnect").click()
            visitor.wait_for_end()
        await expect(row).to_have_count(0)
        assert seen.complaints == []


async def test_what_is_paused_stands_still(browser: Browser, tidewire: TidewireServer) -> None:
    async with console(browser, tidewire) as seen:
        await seen.sign_in(operator())
        await seen.go("Connections")
        await seen.page.get_by_role("button", name="Pause").click()
        with connect(tidewire, token(role="authenticated", sub="late-comer")) as visitor:
            visitor.join("realtime:harbour")
            row = seen.page.get_by_role("row").filter(has_text="late-comer")
            async with console(browser, tidewire) as other:
                await other.sign_in(operator())
                await other.go("Connections")
                await other.page.get_by_role("row").filter(has_text="late-comer").wait_for()
            assert await row.count() == 0
            await seen.page.get_by_role("button", name="Go on").click()
            await row.wait_for()


async def test_a_keyboard_is_enough(browser: Browser, tidewire: TidewireServer) -> None:
    async with console(browser, tidewire) as seen:
        await seen.sign_in(operator())
        await seen.page.reload()
        await seen.wait_live()
        press = seen.page.keyboard.press
        await press("Tab")
        await expect(seen.page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await press("Tab")
        status = seen.page.get_by_role("button", name="Connection: Live")
        await expect(status).to_be_focused()
        await press("Enter")
        await seen.page.get_by_role("dialog", name="Connection").get_by_text("WebSocket").wait_for()
        await press("Escape")
        await expect(status).to_be_focused()
        await seen.tab_to(seen.page.get_by_role("radio", name="As the system"))
        await press("ArrowLeft")
        await expect(seen.page.locator("html")).to_have_attribute("data-theme", "dark")
        await seen.tab_to(seen.page.get_by_role("link", name="Connections"))
        await press("Enter")
        await expect(seen.page.get_by_role("main")).to_be_focused()
        await seen.tab_to(seen.page.locator("td button").first)
        await press("Enter")
        await seen.page.get_by_role("dialog").wait_for()
        await press("Escape")
        await expect(seen.page.get_by_role("dialog")).to_have_count(0)
        await expect(seen.page.locator("td button:focus")).to_have_count(1)
        assert seen.complaints == []


async def test_it_comes_back_by_itself_after_a_crash(browser: Browser, own_tidewire: TidewireServer) -> None:
    async with console(browser, own_tidewire) as seen:
        await seen.sign_in(operator())
        await seen.page.evaluate("window.sameAsBefore = true")
        own_tidewire.kill()
        await seen.page.get_by_role("button", name="Connection: Disconnected").wait_for()
        await seen.page.get_by_text("What you see is how it was").wait_for()
        own_tidewire.start()
        await seen.wait_live()
        await expect(seen.page.get_by_text("What you see is how it was")).to_have_count(0)
        assert await seen.page.evaluate("window.sameAsBefore")
