"""The documentation is true: Python blocks run, commands succeed, every setting and error has its heading."""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from typer.main import get_command

from tidewire.cli.main import app
from tidewire.model import errors
from tidewire.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])
BLOCK = re.compile(r"^```(?P<kind>python|console)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = [page for page in PAGES if page.parent != ROOT and BLOCK.search(page.read_text())]
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


def headings(page: str) -> set[str]:
    return set(re.findall(r"^## `?(\w+)`?$", (ROOT / page).read_text(), re.MULTILINE))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(page: Path, database: str, tmp_path: Path) -> None:
    """Blocks of one page share one database, in order. Python blocks share their names, and know `dsn`."""
    names: dict[str, object] = {"dsn": database}
    environ = {**os.environ, "DATABASE_URL": database, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for block in BLOCK.finditer(page.read_text()):
        if block["kind"] == "python":
            exec(compile(block["text"], str(page), "exec"), names)  # noqa: S102 - our own documentation
            continue
        for line in block["text"].splitlines():
            if line.startswith("$ "):
                result = subprocess.run(
                    shlex.split(line[2:]), env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
                )
                allowed = {0, 1, 2} if " doctor" in line else {0}  # what doctor finds is its exit code
                assert result.returncode in allowed, f"{line}\n{result.stdout}{result.stderr}"
                assert "Traceback" not in result.stderr, result.stderr
    with psycopg.connect(database) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_every_setting_is_documented() -> None:
    fields = {field.name for field in msgspec.structs.fields(Settings)}
    assert headings("docs/reference/settings.md") == fields


def test_every_error_is_documented_and_drawn() -> None:
    classes = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert headings("docs/reference/errors.md") == classes
    drawing = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or "")) | {"TidewireError"}
    assert drawing == classes


def logged_events() -> Iterator[tuple[str, str]]:
    """Return where something is logged, and the name of the event; empty where no name stands in the call itself."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        text = path.read_text()
        assert set(re.findall(r"(\w+) = structlog.get_logger", text)) <= {"log"}, f"{path}: loggers are called log"
        nodes = list(ast.walk(ast.parse(text)))
        calls = {id(node.func): node.args for node in nodes if isinstance(node, ast.Call)}
        for node in nodes:
            match node:
                case ast.Attribute(value=ast.Name("log"), attr=attr) if attr in LEVELS:
                    given = calls.get(id(node), [])[attr == "log" :]  # the first argument of that one is the level
                    is_plain = bool(given) and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str)
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", ast.literal_eval(given[0]) if is_plain else ""


def test_every_logged_event_is_documented() -> None:
    events = dict(logged_events())
    assert [where for where, event in events.items() if not event] == []
    assert headings("docs/reference/log.md") == set(events.values())


def test_every_event_says_what_happened_and_what_to_do() -> None:
    sections = re.split(r"^## ", (ROOT / "docs/reference/log.md").read_text(), flags=re.MULTILINE)[1:]
    assert [section for section in sections if len(section.strip().split("\n\n")) != 3] == []
    assert sections == sorted(sections)


def test_every_command_and_option_is_documented() -> None:
    text = (ROOT / "docs/reference/commands.md").read_text()
    assert headings("docs/reference/commands.md") == {str(command.name) for command in app.registered_commands}
    for command in get_command(app).commands.values():  # type: ignore[attr-defined]  # a group, says nobody's stub
        for parameter in command.params:
            longest = max(parameter.opts, key=len)
            assert longest in text or not longest.startswith("--"), f"{command.name} {longest}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not broken


def test_invariants_name_tests_that_exist() -> None:
    for reference in re.findall(r"`(tests/[^`]+)`", (ROOT / "ARCHITECTURE.md").read_text()):
        path, _, name = reference.partition("::")
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), reference


def test_the_drawing_names_modules_that_exist() -> None:
    source = ROOT / "src" / "tidewire"
    for path in re.findall(r"src/tidewire/[\w/]+\.py", (ROOT / "ARCHITECTURE.md").read_text()):
        assert (ROOT / path).exists(), path
    assert (source / "assemble.py").exists()
