"""The composition root: the only module that knows every concrete class. Turns `Settings` into running parts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidewire.model.errors import ConfigurationError
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.settings import Settings, load

SETTINGS_FILE = "tidewire.toml"


def settings(**flags: Any) -> Settings:
    """Read tidewire.toml in the working directory, then the environment, then the given flags."""
    file = Path(SETTINGS_FILE)
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"reading {SETTINGS_FILE}: {error}") from None
    return load(text, os.environ, flags)


@contextmanager
def database(chosen: Settings) -> Iterator[str]:
    """Yield a connection string: the configured database, or the embedded Postgres, started (or joined) for as long as needed."""
    if chosen.database_url:
        yield chosen.database_url
        return
    with EmbeddedPostgres(Path(chosen.data_dir), port=chosen.postgres_port, bin_dir=chosen.postgres_bin) as server:
        yield server.dsn()
