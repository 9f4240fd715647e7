"""The puppet in a browser: serves the page and the client's own bundle, and passes lines on between it and the test."""

import asyncio
import json
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.async_api import ConsoleMessage, Error, async_playwright

HERE = Path(__file__).parent / "js"
BUNDLE = "node_modules/supabase-js-newest/dist/umd/supabase.js"
ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Files(SimpleHTTPRequestHandler):
    """Serves three files and logs nothing."""

    def __init__(self, *arguments: object, packages: Path, **options: object) -> None:
        self.packages = packages
        super().__init__(*arguments, **options)  # type: ignore[arg-type]  # whatever the server hands over

    def translate_path(self, path: str) -> str:
        return str({"/supabase.js": self.packages / BUNDLE}.get(path, HERE / Path(path).name))

    def log_message(self, *_: object) -> None:
        pass


def tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - these lines are the program's answer


def log(message: ConsoleMessage) -> None:
    print(message.text, file=sys.stderr, flush=True)  # noqa: T201 - shown when a test fails


def complain(error: Error) -> None:
    """Pass on what nobody caught: a frame that the client stumbled over. In Node it ends the puppet."""
    tell(json.dumps({"complaint": str(error)}))


async def play(chromium: str, address: str) -> None:
    """Pass commands to the page until stdin ends."""
    async with async_playwright() as playwright:
        # Playwright starts it headless, in a fresh profile, and without the sandbox that root cannot have.
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = await browser.new_page()
        page.on("console", log)
        page.on("pageerror", complain)
        await page.expose_function("tell", tell)
        await page.goto(f"{address}/page.html")
        await page.wait_for_function("window.obey !== undefined")
        while line := await asyncio.to_thread(sys.stdin.readline):
            await page.evaluate("line => { obey(line) }", line)
        await browser.close()


def main(chromium: str, packages: str) -> None:
    handler = partial(Files, packages=Path(packages))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asyncio.run(play(chromium, f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
