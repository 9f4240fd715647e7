"""Builds the client as `make ui` does, into a folder of the test run. Installs nothing: `make ui` has done that."""

import subprocess
import sys
from pathlib import Path

from tests.support.postgres import require

JS = Path(__file__).parents[2] / "js"
PACKAGES = JS / "node_modules"
BUNDLE = "tidewire-client.js"
LIMIT_S = 60.0
PROGRAMS = Path(sys.executable).parent


def build_client(folder: Path, node: Path) -> Path:
    """Return the bundle of the client as it is in the working tree."""
    vite = PACKAGES / "vite" / "bin" / "vite.js"
    require(present=vite.exists(), what="js/node_modules, which `make ui` installs,")
    result = subprocess.run(
        [node, vite, "build", "--outDir", folder, "--emptyOutDir", "--logLevel", "error"],
        cwd=JS / "packages" / "client",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / BUNDLE
