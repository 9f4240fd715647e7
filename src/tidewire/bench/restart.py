"""How long nothing arrives when the server is killed and started again at once, on the embedded Postgres.

Two clients look: one that goes on where it was, and one that only wants what comes. Time counts from SIGKILL to a
change in their hands, so it holds the start of a process, its way to the log, their way back, and the past.
"""

import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection
from typing import Final

from msgspec import Struct

from tidewire.bench.follower import Follower, Words, words
from tidewire.bench.own_server import serve_command, serve_environ
from tidewire.bench.process import ServerProcess, free_port
from tidewire.bench.realtime_server import RealtimeServer
from tidewire.bench.report import Need, Report, judge, median
from tidewire.bench.server import make_tables
from tidewire.bench.storm_stage import StormStage, user_id
from tidewire.model.errors import BenchmarkFailed
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.programs import find_programs

ROWS_PER_S: Final = 100.0
LIMIT_S: Final = 60.0
PAUSE_S: Final = 0.005
CHUNK: Final = 64 * 1024
TABLE: Final = "bench_bystander"


class Plan(Struct, frozen=True, kw_only=True):
    """One form of the benchmark, long or short."""

    kills: int
    needs: Mapping[str, Need]


PLAN: Final = Plan(kills=10, needs={"first_change_s": ("<=", 2), "first_missed_s": ("<=", 2)})
QUICK_PLAN: Final = Plan(kills=1, needs={})


def run(*, quick: bool, bin_dir: str | None = None) -> Report:
    """Kill and start it again and again while rows are written."""
    plan = QUICK_PLAN if quick else PLAN
    with _killable(bin_dir) as server:
        stage = server.stage()
        with stage.writing_beside(bystander_per_s=ROWS_PER_S):
            back, fresh = Follower(server.words()), Follower(server.words())
            server.follow(back)
            rounds = [_round(server, back, fresh) for _ in range(plan.kills)]
    figures = {"kills": float(plan.kills)}
    for name, times in zip(("first_change", "first_missed"), zip(*rounds, strict=True), strict=True):
        figures |= {f"{name}_s": median(times), f"{name}_max_s": max(times)}
    return judge("restart", postgres=server.postgres, figures=figures, ratios={}, needs=plan.needs)


def _round(server: "_Killable", back: Follower, fresh: Follower) -> tuple[float, float]:
    """Return how long the one who wants what comes has waited, and the one who wants what it missed."""
    fresh.position = b""
    last = back.marks[-1]
    killed_s = time.monotonic()
    server.kill()
    server.start()
    with ThreadPoolExecutor(2) as both:
        first, missed = both.map(server.follow, (fresh, back))
    if not back.recovered or back.marks[back.marks.index(last) + 1] != last + 1:
        raise BenchmarkFailed(f"coming back: expected row {last + 1} and what follows, got others")
    return first - killed_s, missed - killed_s


class _Killable:
    """A server that is started and killed as often as one likes, on one port and one database."""

    def __init__(self, postgres: EmbeddedPostgres, folder: Path, version: str) -> None:
        self.postgres = version
        self._dsn = postgres.dsn()
        self._folder = folder
        self._port = free_port()
        self._secret = secrets.token_urlsafe(48)
        self._process: subprocess.Popen[bytes] | None = None
        self._environ = serve_environ(data_dir=str(folder / "data"), jwt_secret=self._secret)

    def start(self) -> None:
        """Start it and wait for nothing."""
        command = serve_command(self._port)
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """End it without a word, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stage(self) -> StormStage:
        """Return what writes rows."""
        return StormStage(self._server())

    def words(self) -> Words:
        """Return what a client says."""
        server = self._server()
        return words(server, TABLE, user_id(1), server.request())

    def follow(self, follower: Follower) -> float:
        """Let a client in, as often as it takes, until another row has come; return when that was.

        Its connection is not closed in good order: the server may be killed.
        """
        heard, deadline_s = len(follower.marks), time.monotonic() + LIMIT_S
        while time.monotonic() < deadline_s:
            try:
                with create_connection(("127.0.0.1", self._port), timeout=LIMIT_S) as one:
                    one.sendall(follower.connected())
                    while chunk := one.recv(CHUNK):
                        if answer := follower.receive(chunk):
                            one.sendall(answer)
                        if len(follower.marks) > heard:
                            return time.monotonic()
            except (OSError, BenchmarkFailed):  # it is not there yet, or not ready
                time.sleep(PAUSE_S)
        raise BenchmarkFailed(f"following: expected a row within {LIMIT_S:g} s, got none")

    def _server(self) -> RealtimeServer:
        process = ServerProcess(0 if self._process is None else self._process.pid, family=False)
        return RealtimeServer(process, self._dsn, self.postgres, self._port, self._secret)


@contextmanager
def _killable(bin_dir: str | None) -> Iterator[_Killable]:
    with tempfile.TemporaryDirectory(prefix="tidewire-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedPostgres(folder / "data", bin_dir=bin_dir) as postgres:
            make_tables(postgres.dsn(), "bench_storm")
            server = _Killable(postgres, folder, find_programs(bin_dir).version)
            server.start()
            try:
                yield server
            finally:
                server.kill()
