"""The composition root: the only module that knows every concrete class. Turns `Settings` into running parts."""

import os
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tidewire.bus.memory import MemoryBus
from tidewire.hub import pump
from tidewire.hub.authorize import Authorizer
from tidewire.hub.claim_checks import ClaimChecks
from tidewire.hub.relay import relay
from tidewire.hub.tasks import Tasks
from tidewire.model.change import Resync, Transaction
from tidewire.model.errors import ConfigurationError
from tidewire.model.position import Lsn, parse_lsn
from tidewire.postgres.connection import connect
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.slot import DurableSlot, TemporarySlot
from tidewire.postgres.source import PostgresSource
from tidewire.server.jwks import open_keys
from tidewire.server.secret import shared_secrets
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
    """Yield a connection string: the configured database, or the embedded one, started or joined while it is needed."""
    if chosen.database_url:
        yield chosen.database_url
        return
    with EmbeddedPostgres(Path(chosen.data_dir), port=chosen.postgres_port, bin_dir=chosen.postgres_bin) as server:
        yield server.dsn()


def claim_checks(chosen: Settings) -> ClaimChecks:
    """Gather what every token must say."""
    return ClaimChecks(audience=chosen.jwt_audience, issuer=chosen.jwt_issuer, exact=chosen.jwt_claims)


def authorizer(chosen: Settings) -> Authorizer:
    """Make what verifies tokens. In development this writes a secret when there is none."""
    return Authorizer(
        clock=time.time,
        secrets=shared_secrets(chosen),
        keys=open_keys(chosen.jwks, ttl_s=chosen.jwks_ttl_s, clock=time.monotonic) if chosen.jwks else None,
        opaque_keys={
            **dict.fromkeys(chosen.publishable_keys, "anon"),
            **dict.fromkeys(chosen.secret_keys, "service_role"),
        },
        checks=claim_checks(chosen),
    )


def memory_bus(chosen: Settings) -> MemoryBus:
    """Make the bus for one process."""
    return MemoryBus(clock=time.monotonic, history_bytes=chosen.history_bytes, history_age_s=chosen.history_age_s)


class Spectator(NamedTuple):
    """What somebody who looks on has: the items as they commit, and the epoch that their positions belong to."""

    source: PostgresSource
    items: AsyncGenerator[Transaction | Resync, None]

    @property
    def epoch(self) -> str:
        return self.source.epoch


@asynccontextmanager
async def spectate(
    chosen: Settings, dsn: str, *, past: bool = False, once: bool = False
) -> AsyncGenerator[Spectator, None]:
    """Run the whole path in one process: source → relay → bus → pump. Once entered, nothing that commits is missed.

    A temporary slot is used: from now on, or from the oldest change that the durable slot keeps. With `once` the items
    end where the log ended at the start.
    """
    source = PostgresSource(
        dsn,
        TemporarySlot(copy_of=chosen.slot, past=past),
        chosen.publications,
        queue_bytes=chosen.queue_bytes,
        until=_end_of_log(dsn) if once else None,
    )
    bus = memory_bus(chosen)

    async def relay_to_the_end() -> None:
        await relay(source, bus)
        await bus.close()

    async with Tasks(report=_stay_silent) as tasks, aclosing(pump.transactions(bus, after=0)) as items:
        tasks.start(relay_to_the_end(), name="relay")
        await source.ready()
        yield Spectator(source, items)


def durable_source(chosen: Settings, dsn: str, *, once: bool = False) -> PostgresSource:
    """Make the source on the durable slot: confirm what is safe, and a later one goes on from there."""
    return PostgresSource(
        dsn,
        DurableSlot(chosen.slot, failover=chosen.failover_slot),
        chosen.publications,
        queue_bytes=chosen.queue_bytes,
        until=_end_of_log(dsn) if once else None,
    )


def _stay_silent(_name: str, _error: Exception) -> None:
    """The failure leaves the block as an exception; saying it twice helps nobody."""


def _end_of_log(dsn: str) -> Lsn:
    with connect(dsn) as connection:
        row = connection.execute("select pg_catalog.pg_current_wal_flush_lsn()::text").fetchone()
    return parse_lsn(row[0] if row else "")
