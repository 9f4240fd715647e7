"""The drawing in ARCHITECTURE.md holds: floors, the pure ground floor, and where background work may start."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tidewire"


@pytest.mark.timeout(60)
def test_arrows_point_down() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_only_tasks_starts_background_work() -> None:
    owners = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "create_task(" in path.read_text() or "ensure_future(" in path.read_text()
    }
    assert owners == {
        "hub/tasks.py",
        "server/lazy_app.py",  # the one task of an application that somebody else's server runs
        "server/websocket.py",  # starts what uvicorn then owns
    }


def test_bodies_and_addresses_are_read_in_one_place() -> None:
    """A door that read them by itself would have no limits, and believe what anybody claims."""
    server = {path.name: path.read_text() for path in (SOURCE / "server").glob("*.py")}
    bodies = (".stream()", "request.body()", "request.json()", "request.form(")
    assert {name for name, text in server.items() if any(call in text for call in bodies)} == {"request_parts.py"}
    assert {name for name, text in server.items() if 'b"x-forwarded-' in text} == {"client_address.py"}


def test_no_module_is_named_after_nothing() -> None:
    vague = {"utils.py", "util.py", "helpers.py", "common.py", "base.py", "manager.py", "misc.py"}
    assert not [path for path in SOURCE.rglob("*.py") if path.name in vague]


def test_every_module_says_what_it_does() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCE.rglob("*.py")
        if path.read_text().strip() and not path.read_text().startswith('"""')
    ]
    assert not silent


def test_init_files_only_reexport() -> None:
    for path in SOURCE.rglob("__init__.py"):
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        made = [line for line in lines if line.startswith(("def ", "class ", "async def "))]
        assert not [line for line in made if not line.startswith("def __getattr__(")], path


def test_large_modules_explain_themselves() -> None:
    for path in SOURCE.rglob("*.py"):
        lines = path.read_text().splitlines()
        if len(lines) > 600:
            assert "one thing" in lines[0], f"{path} is longer than 600 lines and does not say why it is one thing"
