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


async def shoot(seen: Console, name: str, *, full: bool = False) -> None:
    """Take one picture. What is below the fold is shown of the gallery only."""
    IMAGES.mkdir(exist_ok=True)
    await seen.page.evaluate("document.fonts.ready")
    await seen.page.screenshot(path=IMAGES / f"console-{name}.png", full_page=full)
