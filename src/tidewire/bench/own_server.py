"""How a benchmark starts `tidewire serve`: its command, and an environment in which nobody's own settings count."""

import os
import sys
from typing import Final

UNLIMITED: Final = "1000000000"


def serve_command(port: int) -> list[str]:
    """Return what runs it on a loopback port."""
    return [sys.executable, "-m", "tidewire", "--log-level", "warning", "serve", "--port", str(port)]


def serve_environ(**settings: str) -> dict[str, str]:
    """Return our environment with these settings of Tidewire and no others, not even a database."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEWIRE_", "DATABASE_URL"))}
    return ours | {f"TIDEWIRE_{name.upper()}": value for name, value in settings.items()}
