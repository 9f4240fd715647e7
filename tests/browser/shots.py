"""Takes the pictures of the documentation: `make shots`. No test, so it is run by its name only."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.console_pages import NARROW, WIDE, Console, Theme, chromium, connect, console
from tests.parity.serving import TidewireServer, token
from tests.parity.tables import Database, Table
from tests.support.server import SocketClient, request

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(200)]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
USERS = ("ada", "bo", "chidi", "dunya", "eero", "frida", "goro", "hana")
ROUNDS = 20
VIEWS: dict[str, tuple[Theme, tuple[int, int]]] = {
    "light": ("light", WIDE),
    "dark": ("dark", WIDE),
    "phone": ("light", NARROW),
}

SHOP = (
    "create table customers (id uuid primary key, name text)",
    "create table teams (id int primary key, member uuid)",
    "create table orders (id int primary key, owner uuid, team int, total numeric)",
    "create table audit_log (at timestamptz, said text)",
    "alter table customers enable row level security",
    "alter table teams enable row level security",
    "alter table orders enable row level security",
    "alter table orders replica identity full",
    "create policy own on customers for select to authenticated using (id = auth.uid())",
    "create policy own on orders for select to authenticated using (owner = auth.uid())",
    "create policy members on teams for select to authenticated using (member = auth.uid() and random() < 1)",
    "grant select on customers, teams, orders, audit_log to authenticated",
    "alter publication supabase_realtime add table audit_log, customers, orders, teams",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest.fixture
def readers(tidewire: TidewireServer, todos: Table) -> Iterator[list[SocketClient]]:
    """Connect some users who follow a table."""
    with ExitStack() as stack:
        made = []
        for number, user in enumerate(USERS):
            role = "service_role" if number == 0 else "authenticated"
            client = stack.enter_context(connect(tidewire, token(role=role, sub=user)))
            client.join("realtime:todos", postgres_changes=[todos.binding()])
            for room in range(number % 4):
                client.join(f"realtime:room-{room}")
            made.append(client)
        yield made


@pytest.fixture
def shop(database: Database) -> Iterator[None]:
    """Publish a few tables that are guarded in different ways, so that there is something to say of each."""
    for statement in SHOP:
        database.execute(statement)
    yield
    database.execute("drop table orders, customers, teams, audit_log cascade")


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.usefixtures("shop")
async def test_pictures(
    name: str, browser: Browser, tidewire: TidewireServer, todos: Table, readers: list[SocketClient]
) -> None:
    theme, size = VIEWS[name]
    async with console(browser, tidewire, theme=theme, size=size) as seen:
        for refused in ("nonsense", token(role="anon", lifetime_s=-60)):  # something for the log
            request("GET", f"{tidewire.url}/realtime/v1/longpoll?apikey={refused}&vsn=2.0.0")
        await seen.sign_in(token(role="service_role", sub="olga"))
        for key in range(ROUNDS):
            todos.insert(id=key)
            for reader in readers:
                reader.receive("postgres_changes")
            await seen.page.wait_for_timeout(600)
        await shoot(seen, f"overview-{name}")
        for screen in ("Connections", "Tables", "Log"):
            await seen.go(screen)
            await shoot(seen, f"{screen.lower()}-{name}")
        await seen.open("/gallery")
        await seen.page.locator("canvas").first.wait_for()
        await shoot(seen, f"gallery-{name}", full=True)


@pytest.fixture(scope="module")
def bookings(tidewire: TidewireServer) -> Iterator[Database]:
    """Return a database with a table of which users see what is theirs, or nobody's."""
    with Database.connect(tidewire.database_url) as made:
        for statement in (
            "create table bookings (id int primary key, guest uuid, status text, nights int)",
            "alter table bookings enable row level security",
            "grant select on bookings to authenticated",
            "create policy own_bookings on bookings for select to authenticated using (guest = (select auth.uid()))",
            "create policy still_free on bookings for select to authenticated using (status = 'free')",
            "create policy no_drafts on bookings as restrictive for select using (status <> 'draft')",
            "alter publication supabase_realtime add table bookings",
        ):
            made.execute(statement)
        yield made


@pytest.mark.parametrize("name", VIEWS)
async def test_pictures_of_the_inspector(
    name: str, browser: Browser, tidewire: TidewireServer, bookings: Database
) -> None:
    theme, size = VIEWS[name]
    ada, bo = "7c9e6679-7425-40de-944b-e07fc1f90ae7", "9b2f0d4e-3c1a-4d55-8f0a-2f6f7f0b1c22"
    async with console(browser, tidewire, theme=theme, size=size) as seen:
        page = seen.page
        await seen.sign_in(token(role="service_role", sub="olga"))
        await seen.go("Inspector")
        row = f'{{"id": 7, "guest": "{ada}",\n "status": "open", "nights": 2}}'
        await page.get_by_label("Row", exact=True).fill(row)
        await page.get_by_label("Table", exact=True).fill("public.bookings")
        await page.get_by_label("User", exact=True).fill(bo)
        await page.get_by_label("Filter", exact=True).fill("status=eq.open")
        await page.get_by_role("button", name="Ask why").click()
        await page.get_by_role("list", name="What has to be right").wait_for()
        await shoot(seen, f"inspector-{name}", full=size == NARROW)
        await page.get_by_role("tab", name="Listen").click()
        await page.get_by_label("User", exact=True).fill(ada)
        await page.get_by_label("Filter", exact=True).fill("nights=gt.1")
        await page.get_by_label("Topic", exact=True).fill("lobby")
        await page.get_by_role("button", name="Listen", exact=True).click()
        await page.get_by_role("button", name="Frame 2").wait_for()
        bookings.execute("truncate bookings")
        for key in range(1, 7):
            bookings.execute("insert into bookings values (%s, %s, 'open', 2)", key, ada)
            await page.get_by_role("button", name=f"Frame {key + 2}").wait_for()
        await page.get_by_role("button", name="Send").click()
        await page.get_by_role("button", name="Be seen here").click()
        await page.get_by_role("button", name="Frame 10").wait_for()
        await page.wait_for_timeout(2000)  # until no row is tinted any more
        await shoot(seen, f"inspector-listen-{name}", full=True)


async def shoot(seen: Console, name: str, *, full: bool = False) -> None:
    """Take one picture. What is below the fold is shown of the gallery only."""
    IMAGES.mkdir(exist_ok=True)
    await seen.page.evaluate("document.fonts.ready")
    await seen.page.screenshot(path=IMAGES / f"console-{name}.png", full_page=full)
