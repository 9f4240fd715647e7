"""Serves the files of a built page below one path, each held in memory with what browsers may keep of it.

Files are found once, when it is made, so no path that somebody asks for ever reaches the file system.
"""

import gzip
import hashlib
import re
from collections.abc import Iterator
from http import HTTPStatus
from mimetypes import MimeTypes
from pathlib import Path
from typing import Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tidewire.server.any_text import ANY_TEXT

INDEX: Final = "index.html"
ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
"""What may lie beside a file, the smallest first."""
_HASHED: Final = re.compile(r"assets/.*-[A-Za-z0-9_-]{8}\.[A-Za-z0-9]+\Z")
"""Names that bundlers give: another content has another name."""
_COMPRESSIBLE: Final = frozenset({".css", ".html", ".js", ".json", ".svg"})
"""Fonts and pictures are small already. Nothing secret is in any of them that a length could tell."""
_KEEP: Final = "public, max-age=31536000, immutable"
_ASK: Final = "no-cache"
"""Browsers may keep it, and ask each time whether it is still the same."""
_TYPES: Final = MimeTypes()
"""Those that Python brings along: what the machine calls them is not asked."""
_TYPES.add_type("text/javascript", ".js")
_TYPES.add_type("font/woff2", ".woff2")
_TYPES.add_type("application/manifest+json", ".webmanifest")


class _File(Struct, frozen=True):
    """One file in all its encodings; the plain one has the name ``."""

    media_type: str
    cache_control: str
    bodies: dict[str, tuple[bytes, str]]
    """By encoding, the bytes and their tag."""


class StaticSite:
    """Give `routes` to the router. Made by reading the disk, so make it in a thread."""

    def __init__(self, folder: Path, *, prefix: str, placeholder: str) -> None:
        """Show `placeholder`, a whole page, where nothing has been built."""
        self._prefix = prefix
        self._files = dict(_read(folder)) if folder.is_dir() else {}
        self._files.setdefault(INDEX, _file(INDEX, {"": placeholder.encode()}))

    def routes(self) -> list[BaseRoute]:
        """Return the routes; what is served more specifically must come before them."""
        return [
            Route(self._prefix, self._lead_in),
            Route(f"{self._prefix}/{{name:{ANY_TEXT}}}", self._answer),
        ]

    async def _lead_in(self, _request: Request) -> Response:
        """Lead to the path that relative addresses count from; relative itself, as this may be mounted anywhere."""
        target = self._prefix.rpartition("/")[2] + "/"
        return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers={"location": target})

    async def _answer(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        file = self._files.get(name)
        if file is None and "." in name.rpartition("/")[2]:
            return Response("Not Found", HTTPStatus.NOT_FOUND, media_type="text/plain")
        file = file or self._files[INDEX]  # the page itself knows what this address means
        encoding = next((each for each in _accepted(request) if each in file.bodies), "")
        body, tag = file.bodies[encoding]
        headers = {"cache-control": file.cache_control, "etag": tag, "vary": "Accept-Encoding"}
        if encoding:
            headers["content-encoding"] = encoding
        if _knows(request.headers.get("if-none-match", ""), tag):
            # With its type: a page has a policy of its own, and what a browser keeps takes over these headers.
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers, media_type=file.media_type)
        return Response(body, headers=headers, media_type=file.media_type)


def _read(folder: Path) -> Iterator[tuple[str, _File]]:
    """Yield every file that is no encoding of another; links that lead out of the folder are left alone."""
    root = folder.resolve()
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.resolve().is_relative_to(root))
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    for name, path in names.items():
        plain, _, ending = name.rpartition(".")
        if f".{ending}" in dict(ENCODINGS).values() and plain in names:
            continue
        bodies = {"": path.read_bytes()}
        for encoding, suffix in ENCODINGS:
            if name + suffix in names:
                bodies[encoding] = names[name + suffix].read_bytes()
        if "gzip" not in bodies and path.suffix in _COMPRESSIBLE:
            bodies["gzip"] = gzip.compress(bodies[""], mtime=0)
        yield name, _file(name, bodies)


def _file(name: str, bodies: dict[str, bytes]) -> _File:
    media_type = _TYPES.guess_type(name)[0] or "application/octet-stream"
    tagged = {encoding: (body, f'"{hashlib.sha256(body).hexdigest()[:32]}"') for encoding, body in bodies.items()}
    return _File(media_type, _KEEP if _HASHED.search(name) else _ASK, tagged)


def _accepted(request: Request) -> Iterator[str]:
    """Yield the encodings that a browser takes, in our order."""
    taken = set()
    for each in request.headers.get("accept-encoding", "").split(","):
        name, _, parameters = each.partition(";")
        quality = parameters.replace(" ", "").removeprefix("q=")
        if quality.strip("0.") or not parameters:
            taken.add(name.strip().lower())
    return (encoding for encoding, _ in ENCODINGS if encoding in taken)


def _knows(header: str, tag: str) -> bool:
    """Tell whether the browser has this content already; a proxy may have marked the tag as weak."""
    return header.strip() == "*" or tag in {each.strip().removeprefix("W/") for each in header.split(",")}
