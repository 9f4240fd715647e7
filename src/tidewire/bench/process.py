"""A server in a process of its own: started on a loopback port, asked what it uses, stopped with all its children."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tidewire.model.errors import BenchmarkFailed

START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
PAUSE_S = 0.05

_CPU_CLOCK = 2  # with the complement of a pid above it: Linux's name for the time that all its threads have run


class ServerProcess:
    """What the operating system knows about a running server. With `family` its children count as well."""

    def __init__(self, pid: int, *, family: bool) -> None:
        self.pid = pid
        self._family = family

    def cpu_s(self) -> float:
        """Return the CPU time used so far."""
        return sum(_cpu_s(pid) for pid in self._pids())

    def rss_kib(self) -> float:
        """Return the resident memory."""
        return float(sum(_rss_kib(pid) for pid in self._pids()))

    def peak_rss_kib(self) -> float:
        """Return the most memory that was ever resident; with children, the sum of their peaks."""
        return float(sum(_rss_kib(pid, "VmHWM:") for pid in self._pids()))

    def _pids(self) -> list[int]:
        return _session(self.pid) if self._family else [self.pid]


def free_port() -> int:
    """Return a loopback port that nobody listens on right now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def server_process(
    command: Sequence[str | Path],
    *,
    port: int,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    ready_path: str = "",
    family: bool = False,
) -> Iterator[ServerProcess]:
    """Run a server until the block ends; without `environ` it has ours. It is up when its port opens, and if there is
    a `ready_path`, when that answers 200. Raises BenchmarkFailed with its last words when that does not happen.
    """
    words = folder / "server.log"
    with words.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        if not _is_up(process, port, ready_path):
            last_words = " ".join(words.read_text(errors="replace").split())[-300:]
            raise BenchmarkFailed(
                f"starting a server: expected {Path(command[0]).name} to listen on port {port},"
                f" got {last_words or 'no word from it'}"
            )
        yield ServerProcess(process.pid, family=family)
    finally:
        _stop(process)


def _is_up(process: subprocess.Popen[bytes], port: int, ready_path: str) -> bool:
    request = f"GET {ready_path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    deadline_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=START_LIMIT_S) as connection:
            if not ready_path:
                return True
            connection.sendall(request)
            if connection.recv(64).startswith(b"HTTP/1.1 200 "):
                return True
        time.sleep(PAUSE_S)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask politely, then insist; children that the server left behind go with it."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_LIMIT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _cpu_s(pid: int) -> float:
    with suppress(OSError):  # it has ended meanwhile
        return time.clock_gettime(~pid << 3 | _CPU_CLOCK)
    return 0.0


def _rss_kib(pid: int, name: str = "VmRSS:") -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return 0


def _session(leader: int) -> list[int]:
    """Return all processes that the leader started, and it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # after the name, which may hold anything: state, parent, group, session
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if int(fields[3]) == leader:
                    found.append(int(entry.name))
    return found
