"""Turns the C programs of bench/native into files that can be run. Needs a C compiler; installs none."""

import os
import shlex
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

from msgspec import Struct

from tidewire.model.errors import BenchmarkFailed

HINT = "install one (apt-get install gcc libc6-dev), or name yours in CC"
LINUX_HINT = "the generator waits with epoll; run the benchmark in a Linux container"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")
TIMEOUT_S = 60


class Programs(Struct, frozen=True):
    """Where the compiled programs are."""

    receiver: Path
    send_loop: Path


def compile_programs(folder: Path) -> Programs:
    """Compile both into the folder. Raises BenchmarkFailed where there is no compiler or it refuses."""
    if sys.platform != "linux":
        raise BenchmarkFailed(f"compiling the load generator: expected Linux, got {sys.platform}", hint=LINUX_HINT)
    programs = Programs(receiver=folder / "receiver", send_loop=folder / "send_loop")
    with resources.as_file(resources.files("tidewire.bench.native")) as source:
        _compile([source / "receiver.c", source / "connections.c", source / "arrivals.c"], programs.receiver)
        _compile([source / "send_loop.c"], programs.send_loop)
    return programs


def _compile(sources: list[Path], program: Path) -> None:
    command = [*_compiler(), *FLAGS, "-o", str(program), *map(str, sources)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except OSError as error:
        raise BenchmarkFailed(
            f"compiling the load generator: expected to run {command[0]}, got {error}", hint=HINT
        ) from None
    if result.returncode != 0:
        first = next((line for line in result.stderr.splitlines() if "error" in line), result.stderr.strip())
        raise BenchmarkFailed(
            f"compiling the load generator: expected {program.name} from {command[0]}, got {first}", hint=HINT
        )


def _compiler() -> list[str]:
    if chosen := os.environ.get("CC"):
        return shlex.split(chosen)
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found]
    raise BenchmarkFailed("compiling the load generator: expected a C compiler on the PATH, got none", hint=HINT)
