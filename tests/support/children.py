"""Other processes that use an embedded server, to be killed or to leave politely."""

import subprocess
import sys
from pathlib import Path

FINISH_LIMIT_S = 15.0

USE_UNTIL_INPUT_ENDS = """
import sys
from pathlib import Path
from tidewire.postgres.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"}) as server:
    print(server.dsn(), flush=True)
    sys.stdin.read()
"""


def other_user(data_dir: Path) -> subprocess.Popen[str]:
    """Start another process that uses the server until its stdin is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", USE_UNTIL_INPUT_ENDS, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> int:
    with process:
        process.communicate(timeout=FINISH_LIMIT_S)
    return process.returncode
