"""The composition root: the only module that knows every concrete class. Turns `Settings` into running parts."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import structlog
from starlette.routing import BaseRoute

from tidewire.bus.memory import MemoryBus
from tidewire.hub import pump
from tidewire.hub.authorize import Authorizer, Keys, NoKeys
from tidewire.hub.claim_checks import ClaimChecks
from tidewire.hub.gate import NodeLimits
from tidewire.hub.guards import Guards
from tidewire.hub.history import History
from tidewire.hub.node import Node
from tidewire.hub.permissions import Permissions
from tidewire.hub.relay import relay
from tidewire.hub.reread import reread
from tidewire.hub.resumable import ResumeLimits
from tidewire.hub.tasks import Tasks
from tidewire.model.change import Resync, Transaction
from tidewire.model.errors import ConfigurationError, TidewireError
from tidewire.model.position import Lsn, parse_lsn
from tidewire.ports import CHANGES, PAST, PastListener
from tidewire.postgres.channel_policies import PostgresChannelPolicies
from tidewire.postgres.connection import connect
from tidewire.postgres.data_runner import DataRunner
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.filter_answers import FilterAnswers
from tidewire.postgres.headroom import Headroom
from tidewire.postgres.kept_broadcasts import PostgresKeptBroadcasts
from tidewire.postgres.migrate import apply, find_pending, keep_up
from tidewire.postgres.migration_files import read_migrations
from tidewire.postgres.policy_answers import PolicyAnswers
from tidewire.postgres.pool import Pool
from tidewire.postgres.rules import PostgresRules
from tidewire.postgres.schema_cache import SchemaCache
from tidewire.postgres.slot import DurableSlot, TemporarySlot
from tidewire.postgres.source import PostgresSource
from tidewire.postgres.tables import PostgresTables
from tidewire.postgres.uptime_marks import write_uptime
from tidewire.postgres.visibility import PostgresVisibility
from tidewire.presence.roster import Roster
from tidewire.query.limits import Limits
from tidewire.server.accounts import AccountParts, Accounts
from tidewire.server.app import AppOptions, NodeApp
from tidewire.server.client_address import TrustedProxies
from tidewire.server.console_parts import ConsoleParts, open_console
from tidewire.server.data_api import DataApi
from tidewire.server.http_front import FrontOptions
from tidewire.server.jwks import open_keys
from tidewire.server.lazy_app import LazyApp
from tidewire.server.request_limits import RequestAllowances
from tidewire.server.retention_collector import RetentionCollector
from tidewire.server.secret import shared_secrets
from tidewire.server.signing_keys import KeysInOrder
from tidewire.services.table_rates import TableRates
from tidewire.services.verdict import VerdictParts
from tidewire.settings import Settings, load
from tidewire.wal.retention import Window
from tidewire.wal.uptime import Uptimes
from tidewire.wire.session_limits import SessionLimits

log = structlog.get_logger()

SETTINGS_FILE = "tidewire.toml"
PATIENCE_S: Final = 60.0
"""How long the log may wait for our own dispatcher. Waiting loses nothing: the slot keeps the rest."""
STATUS_POLL_S: Final = 0.05
"""How long after the stream has begun a waiting join may notice it."""
PAST_SHARE: Final = 0.75
"""How much of the time that a join may take it waits for what was before the server started; the rest is for itself."""
ROLES_POLL_S: Final = 1.0
UPKEEP_S: Final = 3 * 3600.0
"""Partitions are made days ahead, so a node may be away for long."""
UPKEEP_RETRY_S: Final = 300.0


def settings(**flags: Any) -> Settings:
    """Read tidewire.toml in the working directory, then the environment, then the given flags."""
    file = Path(SETTINGS_FILE)
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"reading {SETTINGS_FILE}: {error}") from None
    return load(text, os.environ, flags)


read_settings = settings
"""The same under a name that parameters do not hide."""


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


def authorizer(chosen: Settings, own_keys: Keys | None = None) -> Authorizer:
    """Make what verifies tokens. In development this writes a secret when there is none.

    `own_keys` are those that tokens of our own accounts are signed with; they come before those of the settings.
    """
    given = open_keys(chosen.jwks, ttl_s=chosen.jwks_ttl_s, clock=time.monotonic) if chosen.jwks else NoKeys()
    return Authorizer(
        clock=time.time,
        secrets=shared_secrets(chosen),
        keys=given if own_keys is None else KeysInOrder(own_keys, given),
        opaque_keys={
            **dict.fromkeys(chosen.publishable_keys, "anon"),
            **dict.fromkeys(chosen.secret_keys, "service_role"),
        },
        checks=claim_checks(chosen),
    )


def memory_bus(chosen: Settings) -> MemoryBus:
    """Make the bus for one process."""
    return MemoryBus(
        clock=time.monotonic,
        kept=(CHANGES, PAST),
        history_bytes=chosen.history_bytes,
        history_age_s=chosen.history_age_s,
        patience_s=PATIENCE_S,
    )


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


def durable_source(
    chosen: Settings, dsn: str, *, once: bool = False, past: PastListener | None = None
) -> PostgresSource:
    """Make the source on the durable slot: confirm what is safe, and a later one goes on from there.

    With a listener to the past the slot keeps some of it, and a later one begins with that.
    """
    window = Window(age_s=chosen.retention_age_s, limit_bytes=chosen.retention_bytes)
    return PostgresSource(
        dsn,
        DurableSlot(chosen.slot, failover=chosen.failover_slot),
        chosen.publications,
        queue_bytes=chosen.queue_bytes,
        until=_end_of_log(dsn) if once else None,
        window=None if past is None else window,
        past=past,
        spool_bytes=0 if past is None else chosen.spool_bytes,
    )


def _stay_silent(_name: str, _error: Exception) -> None:
    """The failure leaves the block as an exception; saying it twice helps nobody."""


def _end_of_log(dsn: str) -> Lsn:
    with connect(dsn) as connection:
        row = connection.execute("select pg_catalog.pg_current_wal_flush_lsn()::text").fetchone()
    return parse_lsn(row[0] if row else "")


# --- the server ------------------------------------------------------------------------------------------------


@contextmanager
def served_database(chosen: Settings) -> Iterator[str]:
    """Yield a connection string as `database` does; the embedded database is brought up to date first."""
    with database(chosen) as dsn:
        if not chosen.database_url:
            with closing(connect(dsn)) as connection:
                apply(connection, find_pending(connection, read_migrations()))
        yield dsn


@asynccontextmanager
async def running_app(chosen: Settings, dsn: str, own_doors: Sequence[BaseRoute] = ()) -> AsyncGenerator[NodeApp, None]:
    """Run the whole server but for what listens. Once entered, it follows the log or waits for its turn.

    `own_doors` are routes of the caller's, looked at first.
    Raises the first failure of what nothing works without, also out of the block while it runs.
    """
    options = app_options(chosen)
    bus = memory_bus(chosen)
    history = History(bus, written=lambda: source.safe, patience_s=chosen.join_timeout_s * PAST_SHARE)
    source = durable_source(chosen, dsn, past=history)
    async with AsyncExitStack() as stack:
        pool = Pool(dsn, size=chosen.database_pool, query_timeout_s=chosen.database_timeout_s)
        stack.push_async_callback(pool.close)
        parts = await stack.enter_async_context(Tasks(report=_stay_silent))
        answers = await stack.enter_async_context(Tasks(fail_together=False))
        rules = PostgresRules(pool)
        guards = Guards(rules, hides_deletions=chosen.delete_visibility == "strict")
        accounts = await stack.enter_async_context(_accounts(chosen, dsn, answers)) if chosen.accounts else None
        tables = PostgresTables(pool, chosen.publications)
        verifier = authorizer(chosen, accounts.keys if accounts else None)
        permissions = Permissions(verifier, tables, PostgresChannelPolicies(pool), has_feeds=chosen.console)
        policies = PolicyAnswers(pool)
        visibility = PostgresVisibility(FilterAnswers(pool), policies)
        node = _make_node(
            chosen,
            pool,
            tables,
            permissions=permissions,
            guards=guards,
            history=history,
            answers=answers,
            visibility=visibility,
        )
        stack.callback(node.close)
        schemas, rates = SchemaCache(pool, chosen.api_schemas), TableRates(time.monotonic)
        data = (
            await stack.enter_async_context(_data_api(chosen, dsn, node, schemas, history)) if chosen.data_api else None
        )
        kept_up, headroom, uptimes = asyncio.Event(), Headroom(pool, chosen.slot), Uptimes()
        for name, work in {
            "dispatch": _dispatch(node, bus, history, (schemas.observe, rates.observe)),
            "relay": relay(source, bus),
            "read the past": _read_past(chosen, dsn, source, bus, history, uptimes=uptimes),
            "write uptime": write_uptime(pool, source, uptimes, window_s=chosen.retention_age_s),
            "tick": node.tick(),
            "keep up": _keep_up(dsn, kept_up),
            "watch roles": _watch_roles(rules, guards),
            "watch headroom": headroom.watch(),
        }.items():
            parts.start(work, name=name)
        # A failure of the relay ends this block, and with it the wait.
        await kept_up.wait()  # so that the first join finds today's partition
        while source.status == "starting":  # noqa: ASYNC110 - the source has no event for becoming a standby
            await asyncio.sleep(STATUS_POLL_S)
        parts.start(_follow_status(node, source), name="follow status")
        doors = [
            *own_doors,
            *(data.routes() if data else []),
            *(accounts.routes(node.identify) if accounts else []),
        ]
        collectors = [RetentionCollector(lambda: source.retained, lambda: headroom.size_bytes)]
        console = None
        if chosen.console:
            known = ConsoleParts(
                dsn=dsn,
                node=node,
                source=source,
                headroom=headroom,
                signer=accounts.signer if accounts else None,
                checks=claim_checks(chosen),
                rates=rates,
                judges=VerdictParts(pool, tables, guards, rules, visibility, policies),
            )
            console = await stack.enter_async_context(open_console(chosen, known, answers))
        yield NodeApp(node, lambda: source.status, options, doors, collectors, console=console, clock=time.monotonic)


@asynccontextmanager
async def _data_api(
    chosen: Settings, dsn: str, node: Node, schemas: SchemaCache, history: History
) -> AsyncGenerator[DataApi, None]:
    """Make the data API on connections of its own."""
    pool = Pool(chosen.api_database_url or dsn, size=chosen.api_pool, query_timeout_s=chosen.api_timeout_s)
    limits = Limits(
        schemas=chosen.api_schemas,
        max_rows=chosen.api_max_rows,
        max_body_bytes=chosen.message_limit_bytes,
        aggregates=chosen.api_aggregates,
    )
    try:
        yield DataApi(node.identify, schemas, DataRunner(pool, timeout_s=chosen.api_timeout_s), limits, history)
    finally:
        await pool.close()


@asynccontextmanager
async def _accounts(chosen: Settings, dsn: str, tasks: Tasks) -> AsyncGenerator[Accounts, None]:
    """Make the accounts on connections of their own, so that a wave of sign-ins keeps no join waiting."""
    pool = Pool(dsn, size=chosen.database_pool, query_timeout_s=chosen.database_timeout_s)
    try:
        parts = AccountParts(pool=pool, tasks=tasks, checks=claim_checks(chosen), clock=time.time)
        with closing(Accounts(chosen, parts)) as accounts:
            yield accounts
    finally:
        await pool.close()


def _make_node(
    chosen: Settings,
    pool: Pool,
    tables: PostgresTables,
    *,
    permissions: Permissions,
    guards: Guards,
    history: History,
    answers: Tasks,
    visibility: PostgresVisibility,
) -> Node:
    return Node(
        permissions=permissions,
        tables=tables,
        guards=guards,
        history=history,
        visibility=visibility,
        kept=PostgresKeptBroadcasts(pool, most_each_bytes=chosen.payload_bytes),
        tasks=answers,
        clock=time.time,
        limits=NodeLimits(
            connections=chosen.max_connections,
            joins_per_s=chosen.joins_per_s,
            events_per_s=chosen.events_per_s,
            presence_per_s=chosen.presence_events_per_s,
            outbox_bytes=chosen.outbox_bytes,
            drops_broadcasts=chosen.slow_broadcasts == "drop",
            bulk_changes=chosen.bulk_changes,
            change_bytes=chosen.change_bytes,
        ),
        session_limits=session_limits(chosen),
        resume=ResumeLimits(age_s=chosen.resume_s, channels=chosen.resume_channels),
        make_roster=lambda: Roster(
            "node", max_keys=chosen.presence_keys, max_metas=chosen.presence_metas, grace_s=chosen.presence_grace_s
        ),
    )


def session_limits(chosen: Settings) -> SessionLimits:
    """Gather the limits of one connection."""
    return SessionLimits(
        channels=chosen.channels_per_connection,
        joins_per_s=chosen.joins_per_s_per_connection,
        events_per_s=chosen.events_per_s_per_connection,
        presence_calls=chosen.presence_calls,
        presence_window_s=chosen.presence_window_s,
        payload_bytes=chosen.payload_bytes,
        topic_bytes=chosen.topic_bytes,
        refusal_delay_s=chosen.refusal_delay_s,
        join_timeout_s=chosen.join_timeout_s,
        token_interval_s=chosen.token_interval_s,
        replication_timeout_s=chosen.replication_timeout_s,
        idle_s=chosen.idle_s,
        empty_s=chosen.empty_s,
        private_only=chosen.private_only,
    )


def app_options(chosen: Settings) -> AppOptions:
    """Gather how the doors behave: open to every origin in development, and only to those named in production."""
    is_development = chosen.mode == "development"
    front = FrontOptions(
        trusted_proxies=TrustedProxies(chosen.trusted_proxies),
        origins=(("*",) if is_development else ()) if chosen.cors_origins is None else chosen.cors_origins,
        allowances=RequestAllowances(
            per_s_per_address=chosen.requests_per_s_per_address,
            burst_per_address=chosen.requests_at_once_per_address,
            per_s_per_token=chosen.requests_per_s_per_token,
            burst_per_token=chosen.requests_at_once_per_token,
        ),
        body_bytes=chosen.message_limit_bytes,
        https_redirect=chosen.https_redirect,
        https_host=urlsplit(chosen.public_url).netloc if chosen.public_url else None,
        hsts_s=chosen.hsts_s,
    )
    return AppOptions(
        front=front,
        refusal_delay_s=chosen.refusal_delay_s,
        send_buffer_bytes=chosen.send_buffer_bytes,
        message_limit_bytes=chosen.message_limit_bytes,
        payload_bytes=chosen.payload_bytes,
        topic_bytes=chosen.topic_bytes,
        # Twice within the time after which a client counts as idle.
        heartbeat_s=min(chosen.stream_heartbeat_s, chosen.idle_s / 2),
        poll_wait_s=min(chosen.poll_wait_s, chosen.idle_s / 2),
        poll_gap_s=chosen.poll_gap_s,
        open_metrics=is_development,
    )


Observe = Callable[[Transaction | Resync], None]


async def _dispatch(node: Node, bus: MemoryBus, history: History, observers: Sequence[Observe]) -> None:
    items = pump.transactions(bus, after=0, mark=history.mark)
    async with aclosing(items), aclosing(_shown(items, observers)) as shown:
        await node.dispatch(shown)


async def _shown(
    items: AsyncGenerator[Transaction | Resync, None], observers: Sequence[Observe]
) -> AsyncGenerator[Transaction | Resync, None]:
    """Let others see every item before it is dispatched; they only take note."""
    async for item in items:
        for observe in observers:
            observe(item)
        yield item


async def _read_past(
    chosen: Settings, dsn: str, source: PostgresSource, bus: MemoryBus, history: History, *, uptimes: Uptimes
) -> None:
    """Read what the slot has kept, on a copy of it that is gone afterwards."""
    await source.ready()
    if not history.wants_past:
        uptimes.is_read = True
        return
    slot = TemporarySlot(copy_of=chosen.slot, past=True)
    copy = PostgresSource(dsn, slot, chosen.publications, queue_bytes=chosen.queue_bytes, until=history.news_from)
    await reread(copy, bus, history, uptimes)
    source.remember(uptimes.ages())
    uptimes.is_read = True
    await asyncio.sleep(chosen.history_age_s)
    with suppress(TidewireError):
        await bus.history(PAST, limit=1)  # by asking: nothing comes any more that would make the bus forget


async def _follow_status(node: Node, source: PostgresSource) -> None:
    """Tell the node whether changes flow. While a broken connection is made anew the slot keeps them, so they do."""
    while True:
        if source.status != "reconnecting":
            node.is_live = source.status == "streaming"
        await asyncio.sleep(STATUS_POLL_S)


async def _watch_roles(rules: PostgresRules, guards: Guards) -> None:
    """Have rules read anew when roles or their memberships change, which the log does not tell; never returns."""
    known: str | None = None
    while True:
        with suppress(TidewireError):  # the database is away, and so is the log
            found = await rules.roles_fingerprint()
            if known is not None and found != known:
                guards.forget_all()
            known = found
        await asyncio.sleep(ROLES_POLL_S)


async def _keep_up(dsn: str, done: asyncio.Event) -> None:
    """Have the coming partitions made and the outlived ones dropped, for ever; a failure is told and tried again.

    `done` is set when that was tried for the first time.
    """
    while True:
        pause_s = UPKEEP_S
        try:
            await asyncio.to_thread(_keep_up_once, dsn)
        except TidewireError as error:
            log.warning("upkeep_failed", reason=error.message, hint=error.hint)
            pause_s = UPKEEP_RETRY_S
        done.set()
        await asyncio.sleep(pause_s)


def _keep_up_once(dsn: str) -> None:
    with closing(connect(dsn)) as connection:
        keep_up(connection)


class Tidewire:
    """The whole server inside another ASGI application: `app.mount("/", Tidewire().app)`.

    It starts with the first request. To start and stop it together with your application, run `lifespan` in yours.
    """

    def __init__(self, settings: Settings | None = None, **flags: Any) -> None:
        """Take the settings as they are, or read them as `tidewire serve` does, with `flags` in front."""
        self.settings = settings or read_settings(**flags)
        self.app = LazyApp(self._run)
        self.lifespan = self.app.lifespan

    @asynccontextmanager
    async def _run(self) -> AsyncGenerator[NodeApp, None]:
        """Start the database in a thread, because the embedded one takes its time."""
        with ExitStack() as stack:
            try:
                dsn = await asyncio.to_thread(stack.enter_context, served_database(self.settings))
                async with running_app(self.settings, dsn) as app:
                    yield app
            finally:
                await asyncio.to_thread(stack.close)
