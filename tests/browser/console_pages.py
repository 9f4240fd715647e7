"""The console in a real browser: pages in one theme and width that remember what they complained about."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, async_playwright, expect

from tests.browser.built import PACKAGES
from tests.parity.chromium_puppet import ARGUMENTS
from tests.parity.installed import find_chromium
from tests.parity.serving import TidewireServer
from tests.support.postgres import require
from tests.support.server import SocketClient

Theme = Literal["light", "dark"]

AXE = PACKAGES / "axe-core" / "axe.min.js"
WIDE, NARROW = (1280, 900), (360, 740)
LIMIT_MS = 20_000
MOST_TABS = 25
expect.set_options(timeout=LIMIT_MS)  # as long as everything else here: machines that test are busy
_LINK = re.compile(r"/console/#sign-in=([\w-]+)")


@asynccontextmanager
async def chromium(*arguments: str) -> AsyncIterator[Browser]:
    """Start a browser without a profile, with more arguments than usual if wanted."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=[*ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            await browser.close()


class Console:
    """One page. `complaints` are errors and warnings of its console, and what nobody caught."""

    def __init__(self, page: Page, server: TidewireServer) -> None:
        self.page = page
        self.server = server
        self.complaints: list[str] = []
        page.set_default_timeout(LIMIT_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in {"error", "warning"}:
            self.complaints.append(said.text)

    async def open(self, path: str = "/") -> None:
        await self.page.goto(f"{self.server.url}/console{path}")

    async def sign_in(self, token: str) -> None:
        """Come in with a token, as somebody does who has no link."""
        await self.open()
        await self.enter(token)
        await self.wait_live()

    async def enter(self, token: str) -> None:
        """Show a token where one is asked for one."""
        await self.page.get_by_label("Token of an operator").fill(token)
        await self.page.get_by_role("button", name="Sign in").click()

    async def wait_live(self) -> None:
        await self.page.get_by_role("button", name="Connection: Live").wait_for()

    async def go(self, title: str) -> None:
        """Follow the link of a page, and wait until there is something in it."""
        await self.page.get_by_role("link", name=title).click()
        await self.page.get_by_role("heading", level=1, name=title).wait_for()
        # Not by wait_for_function: from the second look on, the page's policy forbids what it evaluates.
        await expect(self.page.locator(".tw-skeleton")).to_have_count(0)

    async def tab_to(self, target: Locator) -> None:
        """Go on with the keyboard until it is focused, as somebody without a mouse would."""
        await target.wait_for(state="attached")
        for _ in range(MOST_TABS):
            await self.page.keyboard.press("Tab")
            if await target.evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"not within {MOST_TABS} steps: {target}")

    async def violations(self) -> list[str]:
        """Return what axe finds: rule, place and why. The page's policy stays: the browser itself runs the script."""
        require(present=AXE.exists(), what="axe-core, which `make ui` installs,")
        await self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: dict[str, Any] = await self.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        return [
            f"{each['id']}: {node['html'][:160]}: {node.get('failureSummary', '')}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    async def is_styled(self) -> bool:
        """Tell whether the components' styles are there: pages without any have no faults that axe could find."""
        font: str = await self.page.evaluate("getComputedStyle(document.body).fontFamily")
        return "Inter Variable" in font

    async def overflow(self) -> int:
        """Return how many pixels the page is wider than its window."""
        width: int = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return width


@asynccontextmanager
async def console(
    browser: Browser, server: TidewireServer, *, theme: Theme = "light", size: tuple[int, int] = WIDE
) -> AsyncIterator[Console]:
    """Open a window of its own, with nothing in its storage."""
    width, height = size
    context = await browser.new_context(
        color_scheme=theme,
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        timezone_id="UTC",
        locale="en-GB",
    )
    try:
        yield Console(await context.new_page(), server)
    finally:
        await context.close()


def sign_in_link(server: TidewireServer) -> str:
    """Return the path of the link that the server printed last."""
    found = _LINK.findall(server.log_file.read_text(errors="replace"))
    assert found, server.log
    return f"/#sign-in={found[-1]}"


def connect(server: TidewireServer, apikey: str) -> SocketClient:
    """Be a client to look at."""
    return SocketClient(server.port, f"/realtime/v1/websocket?apikey={apikey}&vsn=2.0.0", version=2)
