"""Makes the console of a running server out of what the server has: its feeds, its HTTP API and its page."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from tidewire.hub.claim_checks import ClaimChecks
from tidewire.hub.node import Node
from tidewire.hub.tasks import Tasks
from tidewire.postgres.headroom import Headroom
from tidewire.postgres.source import PostgresSource
from tidewire.server.console import PLACEHOLDER, PREFIX, Console
from tidewire.server.console_api import ConsoleApi
from tidewire.server.console_door import ConsoleDoor, Endpoint
from tidewire.server.console_inspect_api import ConsoleInspectApi, Inspection
from tidewire.server.secret import shared_secrets
from tidewire.server.signing_keys import SecretSigner, Signer
from tidewire.server.static_site import StaticSite
from tidewire.services.console_feeds import ConsoleFeeds, memory_bytes
from tidewire.services.doctor_visits import DoctorVisits
from tidewire.services.event_log import EventLog, listening
from tidewire.services.operator_tokens import OperatorTokens, Sign
from tidewire.services.overview import Stand
from tidewire.services.table_rates import TableRates
from tidewire.services.table_sights import TableSights
from tidewire.services.verdict import VerdictParts, Verdicts
from tidewire.settings import Settings

BUILT_PAGES: Final = Path(__file__).parent.parent / "_ui"
"""What `make ui` builds; a wheel has it."""


class ConsoleParts(Struct, frozen=True, kw_only=True):
    """What the console looks at. `signer` is that of the accounts, for a server without a shared secret."""

    dsn: str
    node: Node
    source: PostgresSource
    headroom: Headroom
    signer: Signer | None
    checks: ClaimChecks
    rates: TableRates
    judges: VerdictParts


@asynccontextmanager
async def open_console(chosen: Settings, parts: ConsoleParts, tasks: Tasks) -> AsyncGenerator[Console, None]:
    """Tell operators how the server is doing until the block ends; give what is yielded to the app.

    `tasks` must survive the failure of one of them: the server goes on without its feeds.
    """
    with listening() as events:
        feeds = ConsoleFeeds(parts.node, lambda: _look(parts, events), events)
        tasks.start(feeds.run(), name="tell operators")
        # In a thread, because it reads all files.
        site = await asyncio.to_thread(StaticSite, BUILT_PAGES, prefix=PREFIX, placeholder=PLACEHOLDER)
        door = ConsoleDoor(parts.node.identify)
        tokens = OperatorTokens(_sign(chosen, parts.signer), parts.checks, time.time)
        yield Console(door, tokens, site, _endpoints(chosen, parts, door, tokens))


def _endpoints(
    chosen: Settings, parts: ConsoleParts, door: ConsoleDoor, tokens: OperatorTokens
) -> list[tuple[str, str, Endpoint]]:
    judges = parts.judges
    doctor = DoctorVisits(
        parts.dsn,
        slot=chosen.slot,
        publications=chosen.publications,
        retention_bytes=chosen.retention_bytes,
        mended=judges.tables.forget,
    )
    tables = TableSights(judges.tables, judges.rules, judges.guards, parts.rates, parts.node.followers)
    inspection = Inspection(Verdicts(judges), tables, doctor)
    return [*ConsoleApi(parts.node, door, tokens).endpoints(), *ConsoleInspectApi(door, inspection).endpoints()]


def _sign(chosen: Settings, signer: Signer | None) -> Sign | None:
    """Choose what operators' tokens are signed with: the shared secret, or else what tokens of users are."""
    secrets = shared_secrets(chosen)
    chosen_signer = SecretSigner(secrets[0]) if secrets else signer
    return None if chosen_signer is None else chosen_signer.sign


def _look(parts: ConsoleParts, events: EventLog) -> Stand:
    """Gather the figures of this moment from all who have some."""
    source, log_end = parts.source, parts.headroom.log_end
    retained, follows = source.retained, source.status in {"streaming", "reconnecting"}
    return Stand(
        at=time.time(),
        node=parts.node.figures(),
        source=source.status,
        lag_bytes=max(log_end - source.safe, 0) if log_end is not None and follows else None,
        retained_bytes=None if retained is None else retained.size_bytes,
        headroom_bytes=parts.headroom.size_bytes,
        memory_bytes=memory_bytes(),
        errors=dict(events.errors),
    )
