"""Serves the demo's page: a handful of files, known by name and read once. Knows nothing of who looks at it."""

from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

TYPES: Final = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "view.js": "text/javascript; charset=utf-8",
    "tidewire-client.js": "text/javascript; charset=utf-8",
    "wave.svg": "image/svg+xml",
}
"""What there is; nothing else is looked for on the disk."""

FRONT: Final = "index.html"
PREFIX: Final = "/demo"


class _File(Struct, frozen=True):
    body: bytes
    headers: dict[str, str]

    async def serve(self, request: Request) -> Response:
        """Answer with the file, or with its name alone to a browser that has it."""
        if request.headers.get("if-none-match") == self.headers["etag"]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"etag": self.headers["etag"]})
        return Response(self.body, headers=self.headers)


def page_routes() -> list[BaseRoute]:
    """Make the routes of the page and of what it loads."""
    return [
        Route("/" if name == FRONT else f"{PREFIX}/{name}", _read(name, kind).serve) for name, kind in TYPES.items()
    ]


def _read(name: str, kind: str) -> _File:
    body = files("tidewire.demo").joinpath("ui", name).read_bytes()
    etag = f'"{sha256(body).hexdigest()[:32]}"'
    return _File(body, {"content-type": kind, "etag": etag, "cache-control": "no-cache"})
