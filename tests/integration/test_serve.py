"""`tidewire serve` as a process: from the first lines it prints to the last client it sends away."""

import json
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.certificate import self_signed
from tests.support.command import COMMAND, complaint, environment, run
from tests.support.server import SocketClient, request, token
from tests.support.tokens import SECRET
from tests.support.waiting import wait_until
from tests.support.websocket import RawClient

LIMIT_S = 20.0


class Serving:
    """A running `tidewire serve`, and what its first lines say."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line)
            if "Ctrl-C" in line:
                break
        text = "".join(self.lines)
        assert "Ctrl-C" in text, f"{text}\n{process.stderr.read() if process.stderr else ''}"
        found = re.search(r"^  URL\s+(\S+)", text, re.MULTILINE)
        assert found
        self.url = found[1]
        key = re.search(r"^  KEY\s+(\S+)", text, re.MULTILINE)
        self.key = key[1] if key else ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def connect(self, vsn: str = "2.0.0") -> SocketClient:
        return SocketClient(self.port, f"/realtime/v1/websocket?apikey={self.key}&vsn={vsn}", version=int(vsn[0]))

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, and return the exit code and what was said on stderr."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, said


@contextmanager
def serving(*arguments: str, folder: Path, database_url: str | None = None, **variables: Any) -> Iterator[Serving]:
    environ = environment(database_url) | {f"TIDEWIRE_{name.upper()}": str(value) for name, value in variables.items()}
    process = subprocess.Popen(
        [COMMAND, "--log-level", "info", "serve", "--port", "0", *arguments],
        env=environ,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Serving(process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def dsn(migrated_database: str) -> str:
    return migrated_database


@pytest.mark.timeout(90)
def test_it_serves_an_empty_folder_and_leaves_nothing_running(folder: Path) -> None:
    """What a newcomer does: nothing is configured, nothing is installed."""
    with serving(folder=folder) as served:
        with served.connect() as two, served.connect("1.0.0") as one:
            for client in (one, two):
                client.join("realtime:room")
            one.push("realtime:room", "broadcast", {"type": "broadcast", "event": "e", "payload": {"n": 1}})
            assert two.receive()["payload"]["payload"] == {"n": 1}
        code, said = served.stop()
    assert code == 0, said
    assert "Traceback" not in said
    assert not (folder / ".tidewire" / "pgdata" / "postmaster.pid").exists()


@pytest.mark.timeout(60)
def test_row_changes_arrive(folder: Path, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("create table notes (id int primary key, body text)")
        admin.execute("grant select on notes to anon")
        admin.execute("alter publication supabase_realtime add table notes")
        with serving(folder=folder, database_url=dsn) as served, served.connect() as client:
            wish = {"event": "INSERT", "schema": "public", "table": "notes", "filter": "id=gt.1"}
            (echoed,) = client.join("realtime:notes", postgres_changes=[wish])["postgres_changes"]
            assert echoed == {**wish, "id": echoed["id"]}
            admin.execute("insert into notes values (1, 'one'), (2, 'two')")
            change = client.receive("postgres_changes")["payload"]
    assert change["ids"] == [echoed["id"]]
    assert change["data"]["record"] == {"id": 2, "body": "two"}


@pytest.mark.timeout(60)
def test_sigterm_sends_everybody_away_in_waves(folder: Path, dsn: str) -> None:
    with serving(folder=folder, database_url=dsn, drain_s=4) as served, ExitStack() as stack:
        clients = [stack.enter_context(served.connect()) for _ in range(30)]
        for client in clients:
            client.join("realtime:room")
        served.process.send_signal(signal.SIGTERM)
        for client in clients:
            assert client.closed() == 1012
            client.raw.socket.close()
        _, said = served.process.communicate(timeout=LIMIT_S)
    assert served.process.returncode == 0
    assert "Traceback" not in said
    assert "exception" not in said.lower()


@pytest.mark.timeout(60)
def test_while_it_ends_it_says_so_and_lets_nobody_in(folder: Path, dsn: str) -> None:
    """A client that does not let itself be closed keeps it from being gone, for as long as the grace time."""
    with serving(folder=folder, database_url=dsn, drain_s=8) as served, served.connect() as stubborn:
        stubborn.join("realtime:room")
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: request("GET", f"{served.url}/readyz").status == 503)
        assert "the server is stopping" in request("GET", f"{served.url}/readyz").json["reasons"]
        with RawClient(served.port) as late, pytest.raises(AssertionError, match="503"):
            late.upgrade(f"/realtime/v1/websocket?apikey={served.key}")
        _, said = served.process.communicate(timeout=LIMIT_S)
    assert served.process.returncode == 0
    assert "Traceback" not in said


@pytest.mark.timeout(60)
def test_a_second_signal_ends_it_at_once(folder: Path, dsn: str) -> None:
    with serving(folder=folder, database_url=dsn, drain_s=1000) as served, served.connect() as stubborn:
        stubborn.join("realtime:room")
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: request("GET", f"{served.url}/readyz").status == 503)
        code, said = served.stop(signal.SIGTERM)
    assert code == 0
    assert "Traceback" not in said


@pytest.mark.timeout(60)
def test_ctrl_c_ends_it_as_any_command(folder: Path, dsn: str) -> None:
    with serving(folder=folder, database_url=dsn) as served:
        code, said = served.stop(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in said


@pytest.mark.timeout(60)
def test_it_speaks_tls(folder: Path, dsn: str) -> None:
    certificate, key = self_signed(folder)
    variables = {"tls_certificate": certificate, "tls_key": key, "mode": "production", "jwt_secret": SECRET}
    with serving("--host", "localhost", folder=folder, database_url=dsn, **variables) as served:
        assert served.url.startswith("https://localhost:")
        trust = ssl.create_default_context(cafile=certificate)
        with RawClient(served.port, trust=trust) as client:
            client.upgrade(f"/socket/websocket?apikey={token()}")
        assert served.stop()[0] == 0


@pytest.mark.timeout(60)
def test_a_port_that_is_taken_is_said_in_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert port in complaint(run("serve", "--port", port, folder=folder))
    assert not (folder / ".tidewire" / "pgdata").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("", ("--host", "no.such.host.invalid"), "no.such.host.invalid"),
        ("", ("--port", "70000"), "port"),
        ("max_connections = 0", (), "max_connections"),
        ("topic_bytes = 256", (), "topic_bytes"),
        ('mode = "production"', (), "secret"),
        ('mode = "production"\njwt_secret = "A9-random-enough-text-of-32-chars!"', ("--host", "0.0.0.0"), "TLS"),  # noqa: S104 - refused
        ('tls_certificate = "cert.pem"', (), "tls_key"),
        ('tls_certificate = "cert.pem"\ntls_key = "key.pem"', (), "tls_certificate"),
    ],
)
def test_what_cannot_be_served_is_refused(
    folder: Path, dsn: str, text: str, arguments: tuple[str, ...], said: str
) -> None:
    (folder / "tidewire.toml").write_text(text)
    assert said in complaint(run("serve", "--port", "0", *arguments, folder=folder, database_url=dsn))


@pytest.mark.timeout(60)
def test_a_database_that_is_not_prepared_is_refused_with_the_remedy(folder: Path, database: str) -> None:
    result = run("serve", "--port", "0", folder=folder, database_url=database)
    complaint(result)
    assert "tidewire migrate" in result.stderr


@pytest.mark.timeout(60)
def test_production_shows_no_key_and_no_output_shows_the_secret(folder: Path, dsn: str) -> None:
    secret = "A9-random-enough-text-of-32-chars!"
    with serving(folder=folder, database_url=dsn, mode="production", jwt_secret=secret) as served:
        code, said = served.stop()
    assert code == 0
    assert not served.key
    assert secret not in said + "".join(served.lines)
    assert not (folder / ".tidewire").exists()


@pytest.mark.timeout(60)
def test_requests_that_never_end_take_nobodys_place(folder: Path, dsn: str) -> None:
    """They are cut off after ten seconds; until then they cost a socket each."""
    with serving(folder=folder, database_url=dsn, max_connections=1) as served:
        slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(50)]
        for each in slow:
            each.sendall(b"GET /realtime/v1/websocket HTTP/1.1\r\nhost: x\r\nx-")
        with served.connect() as client:
            client.join("realtime:room")
        for each in slow:
            each.close()
        assert served.stop()[0] == 0


# --- the console ---------------------------------------------------------------------------------------------


def console_link(served: Serving) -> str | None:
    found = re.search(r"^  CONSOLE (\S+)", "".join(served.lines), re.MULTILINE)
    return found[1] if found else None


@pytest.mark.timeout(60)
def test_a_link_lets_whoever_started_it_into_the_console_once(dsn: str, tmp_path: Path) -> None:
    with serving(folder=tmp_path, database_url=dsn) as served:
        link = console_link(served)
        assert link is not None
        assert link.startswith(f"{served.url}/console/#sign-in=")
        secret = link.partition("=")[2]
        body = json.dumps({"link": secret}).encode()
        first, second = (request("POST", f"{served.url}/console/api/sign-in", body) for _ in range(2))
        assert (first.status, second.status) == (200, 401)
        headers = {"authorization": f"Bearer {first.json['access_token']}"}
        assert request("GET", f"{served.url}/console/api/connections", headers=headers).status == 200
        _, said = served.stop()
    assert "console_signed_in" in said
    assert secret not in said
    assert first.json["access_token"] not in said


@pytest.mark.timeout(60)
@pytest.mark.parametrize("changed", [{"host": "0.0.0.0"}, {"console": False}, {"mode": "production"}])  # noqa: S104 - that is the point
def test_no_link_where_others_may_read_it(dsn: str, tmp_path: Path, changed: dict[str, Any]) -> None:
    """Elsewhere than on loopback, without a console, and in production where the output goes into a file."""
    with serving(folder=tmp_path, database_url=dsn, **{"jwt_secret": SECRET, **changed}) as served:
        assert console_link(served) is None
