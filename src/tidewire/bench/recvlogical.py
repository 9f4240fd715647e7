"""`pg_recvlogical`, Postgres's own program that follows a slot, as a baseline: its command, and how its slot ends."""

from typing import Any

import psycopg

from tidewire.bench.server import BenchServer


def recvlogical_command(server: BenchServer, slot: str, publication: str, **options: str) -> list[str]:
    """Return what follows a slot and keeps nothing; `options` are those of pgoutput."""
    asked = {"publication_names": publication, "messages": "true", **options}
    return [
        server.programs.path("pg_recvlogical"),
        *("--dbname", server.dsn, "--slot", slot, "--start", "--file", "/dev/null"),
        *("--fsync-interval", "0", "--no-loop"),
        *(f"--option={name}={value}" for name, value in asked.items()),
    ]


def drop_slot(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop a slot, and end whoever follows it before."""
    connection.execute(
        "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = %s and active",
        [name],
    )
    connection.execute("select pg_drop_replication_slot(%s)", [name])
