"""What is committed of the user interface is what its sources give, byte for byte, and as light as a page should be."""

import gzip
import hashlib
import re
from importlib.resources import files
from pathlib import Path

from tests.browser.built import CLIENT, build
from tidewire.server.console_parts import BUILT_PAGES

FIRST_PAGE_BYTES = 150_000
"""Scripts and styles that are fetched before anything is shown, as they travel."""
ALL_BYTES = 900_000
"""Everything, as it lies in the wheel."""


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_is_built_from_its_sources(node20: Path, tmp_path: Path) -> None:
    build("apps/console", tmp_path, node20)
    assert digests(BUILT_PAGES) == digests(tmp_path), "run `make ui` and commit what it writes"


def test_the_demo_has_the_client_as_it_is(bundle: Path) -> None:
    committed = files("tidewire.demo").joinpath("ui", CLIENT).read_bytes()
    assert committed == bundle.read_bytes(), "run `make ui` and commit what it writes"


def test_its_first_page_is_light() -> None:
    page = (BUILT_PAGES / "index.html").read_text(encoding="utf-8")
    names = re.findall(r'(?:src|href)="/console/([^"]+\.(?:js|css))"', page)
    sizes = {name: len(gzip.compress((BUILT_PAGES / name).read_bytes(), mtime=0)) for name in names}
    total = sum(path.stat().st_size for path in BUILT_PAGES.rglob("*") if path.is_file())
    print(f"first page {sum(sizes.values())} bytes, all {total} bytes", sizes)  # noqa: T201 - the figures of this run
    assert len(names) >= 3
    assert sum(sizes.values()) <= FIRST_PAGE_BYTES
    assert total <= ALL_BYTES


def test_it_asks_for_nothing_that_the_policy_forbids() -> None:
    page = (BUILT_PAGES / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
    assert "<style" not in page
    assert "style=" not in page
