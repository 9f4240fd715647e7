"""The inspector in Chromium: why a row does not reach somebody, and what somebody gets to hear."""

import json
import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.console_pages import NARROW, WIDE, Console, Theme, chromium, connect, console
from tests.parity.clients import anon_key
from tests.parity.serving import TidewireServer, token
from tests.parity.tables import Database, Table

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADA, BO = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
THEMES: tuple[Theme, ...] = ("light", "dark")
NOTHING_TO_SAY = "Failed to load resource"
"""What Chromium itself says of every answer that is an error."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest.fixture
def orders(database: Database) -> Iterator[Table]:
    """Return a table of which users see their own rows, judged here, and those that are shared, judged by Postgres."""
    with database.table("owner uuid, status text") as made:
        for statement in (
            "alter table {} enable row level security",
            "create policy own on {} for select to authenticated using (owner = (select auth.uid()))",
            "create policy shared on {} for select to authenticated using (pg_catalog.strpos(status, 'shared') > 0)",
        ):
            database.execute(statement.format(f"public.{made.name}"))
        yield made


def operator() -> str:
    return token(role="service_role", sub="olga")


async def inspect(seen: Console, view: str = "Why did it not arrive?") -> Page:
    await seen.sign_in(operator())
    await seen.go("Inspector")
    await seen.page.get_by_role("tab", name=view).click()
    return seen.page


async def ask_why(page: Page, table: Table, row: dict[str, object], user: str, more: str = "") -> None:
    await page.get_by_label("Row", exact=True).fill(json.dumps(row))
    await page.get_by_label("Table", exact=True).fill(f"public.{table.name}")
    await page.get_by_label("User", exact=True).fill(user)
    await page.get_by_label("Filter", exact=True).fill(more)
    await page.get_by_role("button", name="Ask why").click()


async def listen(page: Page, *, topic: str = "", table: str = "", user: str = "", role: str = "authenticated") -> None:
    await page.get_by_label("Topic", exact=True).fill(topic)
    await page.get_by_label("Table", exact=True).fill(table)
    await page.get_by_label("User", exact=True).fill(user)
    await page.get_by_label("Role", exact=True).fill(role)
    await page.get_by_role("button", name="Listen", exact=True).click()


def answer(page: Page) -> Locator:
    return page.get_by_role("region", name="The answer")


def frames(page: Page, kind: str) -> Locator:
    return page.get_by_role("region", name="Frames").get_by_role("row").filter(has=page.get_by_text(kind, exact=True))


async def test_it_says_why_a_row_is_hidden(browser: Browser, tidewire: TidewireServer, orders: Table) -> None:
    async with console(browser, tidewire) as seen:
        page = await inspect(seen)
        await ask_why(page, orders, {"id": 1, "owner": ADA, "status": "open"}, BO)
        told = answer(page)
        await (
            told.get_by_role("status")
            .get_by_text("It does not arrive, because none of 2 permissive policies is true.")
            .wait_for()
        )
        steps = told.get_by_role("list", name="What has to be right").locator("> li")
        assert await steps.evaluate_all("all => all.map(each => each.dataset.outcome)") == [
            *["passed"] * 3,
            "failed",
            "passed",
        ]
        own, shared = (
            told.get_by_role("listitem").filter(has=page.get_by_text(name, exact=True)) for name in ("own", "shared")
        )
        await expect(own.last).to_contain_text("auth.uid()")
        await expect(own.last).to_contain_text("false")
        await expect(shared.last).to_contain_text("by Postgres")
        await expect(shared.last).to_contain_text("not among the functions that are compiled")
        await page.get_by_label("User", exact=True).fill(ADA)
        await told.get_by_text("The question has changed since").wait_for()
        await page.get_by_role("button", name="Ask why").click()
        await told.get_by_text("It arrives as INSERT.").wait_for()
        await page.get_by_label("Filter", exact=True).fill("status=eq.done")
        await page.get_by_role("button", name="Ask why").click()
        await told.get_by_text("It does not arrive, because the filter is not true.").wait_for()
        assert seen.complaints == []


async def test_what_is_wrong_stands_beside_its_field(browser: Browser, tidewire: TidewireServer, orders: Table) -> None:
    async with console(browser, tidewire) as seen:
        page = await inspect(seen)
        row = page.get_by_label("Row", exact=True)
        await page.get_by_role("button", name="Ask why").click()
        await expect(row).to_be_focused()
        await expect(row).to_have_accessible_description(re.compile("There is no row yet. Copy the row as JSON"))
        await ask_why(page, orders, {"id": 1, "colour": "red"}, ADA)  # what only the server can tell
        await expect(row).to_have_accessible_description(re.compile("published, got colour"))
        await row.fill("[")
        await expect(row).to_have_attribute("aria-invalid", "false")
        await page.get_by_role("tab", name="Listen").click()
        await page.get_by_text("Claims, columns, events").click()
        claims = page.get_by_label("More claims")
        await claims.fill('{"role": "postgres"}')
        await listen(page, topic="harbour")
        await expect(claims).to_have_accessible_description(re.compile("expected claims of your own, got role"))
        assert [said for said in seen.complaints if NOTHING_TO_SAY not in said] == []


async def test_a_link_fills_the_form_and_asks_nothing(
    browser: Browser, tidewire: TidewireServer, orders: Table
) -> None:
    async with console(browser, tidewire) as seen, console(browser, tidewire) as other:
        page = await inspect(seen)
        await ask_why(page, orders, {"id": 1, "owner": ADA}, ADA)
        await answer(page).get_by_text("It arrives as INSERT.").wait_for()
        await page.get_by_role("button", name="Copy link").click()
        await expect(page).to_have_url(re.compile("#view=why&table="))
        await expect(answer(page).get_by_text("It arrives as INSERT.")).to_be_visible()
        asked: list[str] = []
        other.page.on("request", lambda request: asked.append(request.url))
        await other.page.goto(page.url)
        await other.enter(operator())
        await expect(other.page.get_by_label("User", exact=True)).to_have_value(ADA)
        await expect(other.page.get_by_label("Row", exact=True)).to_have_value(re.compile('"id": 1'))
        await answer(other.page).get_by_text("Nothing was asked yet").wait_for()
        assert [url for url in asked if url.endswith("/verdict")] == []
        assert [url for url in asked if ADA in url.partition("#")[0]] == []
        await other.page.get_by_role("button", name="Ask why").click()
        await answer(other.page).get_by_text("It arrives as INSERT.").wait_for()
        assert seen.complaints == other.complaints == []


async def test_a_listener_hears_what_that_user_hears(browser: Browser, tidewire: TidewireServer, orders: Table) -> None:
    async with console(browser, tidewire) as seen:
        page = await inspect(seen, "Listen")
        await listen(page, table=f"public.{orders.name}", user=ADA)
        await page.get_by_text("live", exact=True).wait_for()
        orders.insert(id=1, owner=BO, status="open")
        orders.insert(id=2, owner=ADA, status="open")
        orders.insert(id=3, owner=BO, status="shared with everybody")
        await expect(frames(page, "change")).to_have_count(2)
        await expect(frames(page, "change").first).to_contain_text(re.compile(r"INSERT.*\d ms|INSERT.*\d s"))
        heard = []
        for frame in await frames(page, "change").get_by_role("button").all():
            await frame.click()
            shown = json.loads(await page.get_by_label("As JSON").inner_text())
            heard.append(shown["new"]["id"])
            await page.get_by_role("button", name="Close").click()
        assert heard == [3, 2]
        await page.get_by_role("button", name="Pause").click()
        orders.update(2, status="done")
        await page.get_by_text("1 more came since").wait_for()
        await expect(frames(page, "change")).to_have_count(2)
        await page.get_by_role("button", name="Go on").click()
        await expect(frames(page, "change")).to_have_count(3)
        await page.get_by_role("button", name="Clear").click()
        await page.get_by_text("Nothing has arrived yet").wait_for()
        assert seen.complaints == []


async def test_a_topic_is_heard_and_spoken_to(browser: Browser, tidewire: TidewireServer) -> None:
    async with console(browser, tidewire) as seen:
        page = await inspect(seen, "Listen")
        with connect(tidewire, anon_key()) as other:
            other.join("realtime:harbour")
            await listen(page, topic="harbour", user="ada")
            await page.get_by_role("button", name="Send").click()
            assert other.receive("broadcast")["payload"]["payload"] == {"hello": "world"}
            await expect(frames(page, "broadcast")).to_have_count(1)
            other.push("realtime:harbour", "broadcast", {"type": "broadcast", "event": "ahoy", "payload": {"n": 1}})
            await expect(frames(page, "broadcast").first).to_contain_text("ahoy")
            await page.get_by_text("Nobody is there.").wait_for()
            await page.get_by_role("button", name="Be seen here").click()
            await expect(page.get_by_role("list", name="Who is there")).to_contain_text("ada")
            await page.get_by_role("button", name="Leave").click()
            await page.get_by_text("Nobody is there.").wait_for()
        await page.get_by_label("Payload").fill("no quotes")
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_label("Payload")).to_have_accessible_description(re.compile("no JSON"))
        assert seen.complaints == []


async def test_a_refused_join_says_why(browser: Browser, tidewire: TidewireServer) -> None:
    async with console(browser, tidewire) as seen:
        page = await inspect(seen, "Listen")
        await page.get_by_label("Private channel").check()
        await listen(page, topic="captains", table="public.no_such_table", user=ADA)
        heard = page.get_by_role("region", name="What arrives")
        await heard.get_by_text("You do not have permissions to read").wait_for()
        await heard.get_by_text("needs a policy for SELECT on realtime.messages").wait_for()
        await heard.get_by_text("No published table has this name").wait_for()
        assert await seen.violations() == []
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_role("button", name="Listen", exact=True).wait_for()
        assert seen.complaints == []


async def test_a_keyboard_is_enough(browser: Browser, tidewire: TidewireServer, orders: Table) -> None:
    async with console(browser, tidewire) as seen:
        page = seen.page
        await seen.sign_in(operator())
        press, write = page.keyboard.press, page.keyboard.insert_text
        await seen.tab_to(page.get_by_role("link", name="Inspector"))
        await press("Enter")
        await seen.tab_to(page.get_by_label("Row", exact=True))
        await write(json.dumps({"id": 1, "owner": ADA}))
        await seen.tab_to(page.get_by_label("Table", exact=True))
        await write(f"public.{orders.name}")
        await press("Enter")
        await answer(page).get_by_role("status").get_by_text("none of 2 permissive policies is true").wait_for()
        for _ in range(3):
            await press("Shift+Tab")
        tab = page.get_by_role("tab", name="Why did it not arrive?")
        await expect(tab).to_be_focused()
        await press("ArrowRight")
        await seen.tab_to(page.get_by_label("Topic", exact=True))
        await write("harbour")
        await press("Enter")
        await seen.tab_to(page.get_by_role("button", name="Frame 1"))
        await press("Enter")
        await page.get_by_role("dialog", name="Frame 1").wait_for()
        await press("Escape")
        await expect(page.get_by_role("button", name="Frame 1")).to_be_focused()
        assert seen.complaints == []


@pytest.mark.parametrize("theme", THEMES)
async def test_everybody_can_read_it(theme: Theme, browser: Browser, tidewire: TidewireServer, orders: Table) -> None:
    async with console(browser, tidewire, theme=theme) as seen:
        page = await inspect(seen)
        await ask_why(page, orders, {"id": 1, "owner": ADA, "status": "open" * 40}, BO, "status=eq.done")
        await answer(page).get_by_role("status").get_by_text("the filter is not true").wait_for()
        for view in ("Why did it not arrive?", "Listen"):
            await page.get_by_role("tab", name=view).click()
            if view == "Listen":
                await listen(page, topic="harbour", table=f"public.{orders.name}")
                await page.get_by_role("button", name="Send").click()
                await frames(page, "broadcast").wait_for()
            for width, height in (WIDE, NARROW):
                await page.set_viewport_size({"width": width, "height": height})
                assert await seen.violations() == []
                assert await seen.overflow() <= 0
        assert await seen.is_styled()
        assert seen.complaints == []
