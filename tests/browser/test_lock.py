"""The lock of js/ can be installed anywhere: it names everything, and not where this machine fetched it."""

import json
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[2] / "js" / "package-lock.json"
LIST: dict[str, dict[str, Any]] = json.loads(LOCK.read_text())["packages"]


def find(name: str, wanted_by: str) -> bool:
    """Look for a package where Node would: beside who wants it, and then ever further up."""
    folder = wanted_by
    while folder:
        if f"{folder}/node_modules/{name}" in LIST:
            return True
        folder = folder.rpartition("/node_modules/")[0] if "/node_modules/" in folder else ""
    return f"node_modules/{name}" in LIST


def test_no_optional_package_is_missing() -> None:
    """A registry that lacks one for another platform leaves a hole, at which `npm ci` stumbles there or here."""
    missing = [
        f"{name} of {path or 'the workspace'}"
        for path, package in LIST.items()
        for name in package.get("optionalDependencies", {})
        if not find(name, path)
    ]
    assert missing == []


def test_it_does_not_say_where_anything_was_fetched() -> None:
    """Folders of the workspace are linked; everything else is found by name, version and checksum."""
    fetched = {
        path: package for path, package in LIST.items() if path.startswith("node_modules/") and not package.get("link")
    }
    assert len(fetched) > 50
    assert [path for path, package in fetched.items() if "resolved" in package] == []
    assert [path for path, package in fetched.items() if "integrity" not in package] == []


def test_every_version_is_exact() -> None:
    manifests = [LOCK.parent / "package.json", *sorted(LOCK.parent.glob("packages/*/package.json"))]
    for manifest in manifests:
        read = json.loads(manifest.read_text())
        wanted = {**read.get("dependencies", {}), **read.get("devDependencies", {})}
        loose = {name: version for name, version in wanted.items() if not version[0].isdigit()}
        assert loose == {}, manifest
