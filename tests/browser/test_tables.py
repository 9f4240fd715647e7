"""The console's tables: findings are mended after their SQL was shown, and who judges a policy is said, with why."""

import itertools
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from tests.browser.console_pages import NARROW, WIDE, Console, Theme, chromium, connect, console
from tests.parity.serving import TidewireServer, token
from tests.parity.tables import Database
from tests.support.server import request

pytestmark = pytest.mark.asyncio(loop_scope="module")

_numbers = itertools.count(1)
NOTHING_TO_SAY = "Failed to load resource"
"""What Chromium itself says of every answer that does not come."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@dataclass(frozen=True)
class Tables:
    """One table without a key, one whose policies do not hold, and one for either judge of policies."""

    prefix: str
    bare: str
    open: str
    own: str
    shared: str
    database: Database

    def has_key(self, table: str) -> bool:
        return self.database.holds(f"select from pg_constraint where conrelid = '{table}'::regclass and contype = 'p'")

    def is_guarded(self, table: str) -> bool:
        return self.database.holds(f"select from pg_class where oid = '{table}'::regclass and relrowsecurity")


@pytest.fixture
def tables(database: Database) -> Iterator[Tables]:
    """Publish them under names of their own: the server believes for some seconds what it was told of a name."""
    prefix = f"sights_{next(_numbers)}_"
    bare, open_, own, shared = (prefix + name for name in ("bare", "open", "own", "shared"))
    for statement in (
        f"create table {bare} (id int not null, note text)",
        f"create table {open_} (id int primary key, owner uuid)",
        f"create policy own on {open_} for select to authenticated using (owner = auth.uid())",
        f"create table {own} (id int primary key, owner uuid)",
        f"create policy own on {own} for select to authenticated using (owner = auth.uid())",
        f"create table {shared} (id int primary key, owner uuid)",
        f"create policy anybody on {shared} for select to authenticated using (random() < 2)",
        f"alter table {own} enable row level security",
        f"alter table {shared} enable row level security",
        f"grant select on {open_}, {own}, {shared}, {bare} to authenticated",
        f"alter publication supabase_realtime add table {bare}, {open_}, {own}, {shared}",
    ):
        database.execute(statement)
    yield Tables(prefix, bare, open_, own, shared, database)
    database.execute(f"drop table {bare}, {open_}, {own}, {shared}")


async def come_in(seen: Console, wanted: str) -> None:
    """Go to the page of tables, and show only those of this test: others have theirs in the same database."""
    await seen.sign_in(token(role="service_role", sub="olga"))
    await seen.go("Tables")
    await seen.page.get_by_label("Show only tables with").fill(wanted)
    await row(seen, wanted).first.wait_for()


def row(seen: Console, table: str) -> Locator:
    return seen.page.get_by_role("row").filter(has_text=f"public.{table}")


async def assert_fine(seen: Console) -> None:
    assert await seen.is_styled()
    assert await seen.violations() == []
    assert await seen.overflow() <= 0
    assert seen.complaints == []


async def test_a_finding_is_mended_after_its_sql_was_shown(
    browser: Browser, tidewire: TidewireServer, tables: Tables
) -> None:
    async with console(browser, tidewire) as seen:
        await come_in(seen, tables.bare)
        finding = seen.page.get_by_role("article", name="PrimaryKey")
        await expect(finding).to_contain_text("has no primary key")
        await expect(finding).to_contain_text("cannot tell which row a change belongs to")
        await expect(row(seen, tables.bare)).to_contain_text("none")
        await finding.get_by_role("button", name=f"Fix PrimaryKey of public.{tables.bare}").click()
        dialog = seen.page.get_by_role("dialog", name="Fix PrimaryKey")
        await expect(dialog).to_contain_text(f'ALTER TABLE "public"."{tables.bare}" ADD PRIMARY KEY ("id");')
        assert not tables.has_key(tables.bare)
        await dialog.get_by_role("button", name="Run it").click()
        await dialog.get_by_text("Done.").wait_for()
        assert tables.has_key(tables.bare)
        await dialog.get_by_role("button", name="Good").click()
        await expect(finding).to_have_count(0)
        await expect(row(seen, tables.bare)).not_to_contain_text("none")
        assert seen.complaints == []


async def test_a_keyboard_is_enough(browser: Browser, tidewire: TidewireServer, tables: Tables) -> None:
    async with console(browser, tidewire) as seen:
        await come_in(seen, tables.open)
        press = seen.page.keyboard.press
        opener = seen.page.get_by_role("button", name=f"public.{tables.open}", exact=True)
        await seen.tab_to(opener)
        await press("Enter")
        await seen.page.get_by_role("dialog", name=f"public.{tables.open}").get_by_text("no policy binds it").wait_for()
        await press("Escape")
        await expect(opener).to_be_focused()
        await seen.tab_to(seen.page.get_by_role("button", name=f"Fix RowSecurity of public.{tables.open}"))
        await press("Enter")
        dialog = seen.page.get_by_role("dialog", name="Fix RowSecurity")
        await dialog.wait_for()
        await press("Escape")
        await expect(dialog).to_have_count(0)
        assert not tables.is_guarded(tables.open)
        await press("Enter")
        await seen.tab_to(dialog.get_by_role("button", name="Run it"))
        await press("Enter")
        await expect(dialog.get_by_role("button", name="Good")).to_be_focused()
        assert tables.is_guarded(tables.open)
        await press("Enter")
        await expect(dialog).to_have_count(0)
        await expect(row(seen, tables.open)).to_contain_text("on, 1 policy")
        await expect(seen.page.locator("#findings")).to_be_focused()  # what opened the window is gone
        assert seen.complaints == []


async def test_who_judges_a_policy_is_said_with_the_reason(
    browser: Browser, tidewire: TidewireServer, tables: Tables
) -> None:
    async with console(browser, tidewire) as seen:
        with connect(tidewire, token(role="authenticated", sub="6f1f4c5e-0000-4000-8000-000000000001")) as reader:
            reader.join(
                "realtime:shared", postgres_changes=[{"event": "*", "schema": "public", "table": tables.shared}]
            )
            tables.database.execute(f"insert into {tables.shared} (id) values (1)")
            reader.receive("postgres_changes")
            await come_in(seen, tables.prefix)
            await expect(row(seen, tables.shared)).to_contain_text("authenticated by Postgres")
        for table, word, why in ((tables.own, "compiled", None), (tables.shared, "by Postgres", "function random")):
            await seen.page.get_by_role("button", name=f"public.{table}", exact=True).click()
            dialog = seen.page.get_by_role("dialog", name=f"public.{table}")
            roles = dialog.get_by_role("listitem")
            role = roles.filter(has=seen.page.get_by_text("authenticated", exact=True))
            await expect(role).to_contain_text(word)
            if why is None:
                await expect(role).not_to_contain_text("Why not compiled")
            else:
                await expect(role).to_contain_text(re.compile(rf"Why not compiled: .*{re.escape(why)}"))
            nobody = roles.filter(has=seen.page.get_by_text("anon", exact=True))
            await expect(nobody).to_contain_text("it may not SELECT")
            await dialog.get_by_role("button", name="Close").click()
        assert seen.complaints == []


async def test_what_cannot_be_read_again_stays_with_a_note(
    browser: Browser, tidewire: TidewireServer, tables: Tables
) -> None:
    async with console(browser, tidewire) as seen:
        await come_in(seen, tables.prefix)
        await seen.page.route("**/console/api/tables", lambda route: route.abort())
        refresh = seen.page.get_by_role("button", name="Refresh")
        await refresh.click()
        note = seen.page.get_by_text("The server does not answer. What you see was read at")
        await note.wait_for()
        await row(seen, tables.own).wait_for()
        await seen.go("Log")
        await seen.page.get_by_role("link", name="Tables").click()
        await seen.page.get_by_role("alert").get_by_text("The server does not answer").wait_for()
        await seen.page.unroute("**/console/api/tables")
        await seen.page.get_by_role("button", name="Try again").click()
        await row(seen, tables.own).wait_for()
        await expect(note).to_have_count(0)
        assert [said for said in seen.complaints if NOTHING_TO_SAY not in said] == []


@pytest.mark.parametrize(("theme", "size"), [("light", WIDE), ("dark", NARROW)], ids=["light", "dark-phone"])
async def test_everybody_can_read_it(
    theme: Theme, size: tuple[int, int], browser: Browser, tidewire: TidewireServer, tables: Tables
) -> None:
    request("GET", f"{tidewire.url}/realtime/v1/longpoll?apikey=nonsense&vsn=2.0.0")  # something for the log
    async with console(browser, tidewire, theme=theme, size=size) as seen:
        await come_in(seen, tables.prefix)
        await seen.page.get_by_text("checks are fine").click()
        await assert_fine(seen)
        for opener in (f"public.{tables.shared}", f"Fix PrimaryKey of public.{tables.bare}"):
            await seen.page.get_by_role("button", name=opener, exact=True).click()
            await expect(seen.page.get_by_role("dialog").locator(".tw-skeleton")).to_have_count(0)
            await assert_fine(seen)
            await seen.page.keyboard.press("Escape")
        await seen.go("Log")
        await seen.page.get_by_role("button", name="handshake_refused").first.click()
        await seen.page.get_by_role("dialog").get_by_text("A client was not let in").wait_for()
        await assert_fine(seen)
