"""Makes room for sockets: how many files this process, and those that it starts, may have open at once."""

import resource

from tidewire.model.errors import BenchmarkFailed

ENOUGH_FILES = 65_536
SPARE_FILES = 500
"""What a process has open besides its connections."""


def allow_files(count: int) -> None:
    """Set the limit; not higher than enough, because some programs make a table with a place for each file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < count:
        raise BenchmarkFailed(
            f"opening sockets: expected that {count} files may be open at once, got a limit of {hard}",
            hint="raise it with `ulimit -Hn`, or use --quick",
        )
    enough = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(count, enough), hard))
