"""`tidewire demo` in an empty folder: the first minute of everybody who tries this."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.command import COMMAND, environment, run
from tests.support.postgres import ask
from tests.support.server import request
from tidewire.cli import demo as command
from tidewire.cli.serve import listen
from tidewire.model.errors import ConfigurationError
from tidewire.settings import Settings

URL = re.compile(r"http://127\.0\.0\.1:\d+")


@contextmanager
def demo(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the demo, with the URL that it prints; killed at the end if it still runs."""
    process = subprocess.Popen(
        [COMMAND, "demo", "--port", "0", "--pace-s", "0.02"],
        env=environment(),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = next((found[0] for line in process.stdout if (found := URL.search(line))), None)
        assert found is not None, process.communicate()[1]
        yield process, found
    finally:
        process.kill()
        process.communicate()


@pytest.mark.timeout(120)
def test_page_and_terminal_leave_nothing_running(folder: Path, database: str) -> None:
    """One folder for all of it, because making a cluster is what takes the longest."""
    for _ in range(2):
        with demo(folder) as (process, url):
            assert b"Watch a row travel" in request("GET", f"{url}/").body
            assert process.stdout is not None
            path, _, link = next(line for line in process.stdout if "#sign-in=" in line).strip().partition("#sign-in=")
            assert path == f"{url}/console/"
            body = json.dumps({"link": link}).encode()
            assert request("POST", f"{url}/console/api/sign-in", body).status == 200
            token = request("POST", f"{url}/demo/token?as=dora").json["token"]
            headers = {"apikey": token, "authorization": f"Bearer {token}"}
            bookings = request("GET", f"{url}/rest/v1/bookings?select=id&limit=10", headers=headers)
            assert len(bookings.json) == 10
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 130
            assert "Traceback" not in errors
        assert not (folder / ".tidewire" / "pgdata" / "postmaster.pid").exists()

    result = run("demo", "--terminal", "--changes", "6", "--pace-s", "0.02", folder=folder, database_url=database)
    assert result.returncode == 0, result.stderr
    shown = result.stdout.splitlines()
    assert len(shown) >= 6
    assert all("tidewire_demo." in line and " ms " in line for line in shown)
    assert "Traceback" not in result.stderr
    assert not (folder / ".tidewire" / "pgdata" / "postmaster.pid").exists()
    assert ask(database, "select to_regnamespace('realtime')") is None, "a configured database is left alone"


def test_the_page_moves_when_its_port_is_in_use() -> None:
    with closing(listen("127.0.0.1", 0)) as other:
        settings = Settings(port=other.getsockname()[1])
        with closing(command.open_listener(settings, may_move=True)) as moved:
            assert moved.getsockname()[1] != settings.port
        with pytest.raises(ConfigurationError):
            command.open_listener(settings, may_move=False)


def test_changes_are_counted_in_the_terminal_only() -> None:
    with pytest.raises(ConfigurationError, match="expected --changes with --terminal"):
        command.demo(changes=1)
