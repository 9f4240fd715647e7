"""A throw-away Postgres for one benchmark, with the ten-column table that all of them use."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct

from tidewire.postgres import queries
from tidewire.postgres.connection import connect
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.migrate import apply, find_pending
from tidewire.postgres.migration_files import read_migrations
from tidewire.postgres.programs import Programs, find_programs

PUBLICATION = "bench"
SETTINGS = {
    "max_wal_size": "4GB",
    "max_connections": "60",
    "autovacuum": "off",
    "checkpoint_timeout": "30min",
    "max_slot_wal_keep_size": "-1",
}
"""Nothing that runs by the clock may fall into one of two compared rounds."""


class BenchServer(Struct, frozen=True):
    """A running server, and the programs it came with."""

    dsn: str
    programs: Programs


@contextmanager
def bench_server(bin_dir: str | None, **settings: str) -> Iterator[BenchServer]:
    """Run a server in a temporary folder; everything is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tidewire-bench-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedPostgres(Path(folder) / "data", bin_dir=bin_dir, settings={**SETTINGS, **settings}) as server:
            dsn = server.dsn()
            with closing(connect(dsn)) as connection:
                connection.execute(queries.load("bench_schema"))
            yield BenchServer(dsn, find_programs(bin_dir))


def make_tables(dsn: str, name: str) -> None:
    """Migrate a database for `tidewire serve`, and run the query that makes the tables of a benchmark."""
    with closing(connect(dsn)) as connection:
        apply(connection, find_pending(connection, read_migrations()))
        connection.execute(queries.load(name))
