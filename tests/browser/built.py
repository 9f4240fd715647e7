"""Builds what runs in a browser as `make ui` does, into a folder of the test run. Installs nothing: `make ui` has."""

import subprocess
from pathlib import Path
from typing import Literal

from tests.support.postgres import require

JS = Path(__file__).parents[2] / "js"
PACKAGES = JS / "node_modules"
CLIENT = "tidewire-client.js"
"""What the client is built as, one file."""
LIMIT_S = 60.0

Part = Literal["packages/client", "packages/react/test/page", "apps/console"]


def build(part: Part, folder: Path, node: Path) -> None:
    """Fill a folder with what a part of the workspace is built as, from the working tree."""
    vite = PACKAGES / "vite" / "bin" / "vite.js"
    require(present=vite.exists(), what="js/node_modules, which `make ui` installs,")
    result = subprocess.run(
        [node, vite, "build", "--outDir", folder, "--emptyOutDir", "--logLevel", "error"],
        cwd=JS / part,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
