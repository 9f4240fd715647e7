"""Judges the server, its settings and the connection to it. Knows nothing of slots, publications or tables."""

from collections.abc import Iterator

from tidewire.postgres.doctor_facts import Facts
from tidewire.postgres.finding import Check, Observation, error, note, warning
from tidewire.postgres.repair import name, set_setting

OLDEST_MAJOR, NEWEST_MAJOR = 14, 18
MAX_CLOCK_SKEW_S = 1.0
MIN_SENDER_TIMEOUT_MS = 5_000
MIN_DECODING_MEMORY_KB = 16 * 1024
MAX_CONNECTIONS_USED = 0.9
GOOD_WRITER_DELAY_MS = 10


def _version(facts: Facts) -> Iterator[Observation]:
    major, supported = facts.server.major, f"{OLDEST_MAJOR} to {NEWEST_MAJOR}"
    if major < OLDEST_MAJOR:
        yield error(f"PostgreSQL {facts.server.version} is older than the supported {supported}", "upgrade PostgreSQL")
    elif major > NEWEST_MAJOR:
        yield warning(f"PostgreSQL {facts.server.version} is newer than the tested {supported}", "upgrade Tidewire")


def _primary(facts: Facts) -> Iterator[Observation]:
    if facts.server.in_recovery:
        yield error(
            "this server is a standby, and Tidewire follows the primary",
            "name the primary in DATABASE_URL, or add target_session_attrs=read-write to it",
        )


def _wal_level(facts: Facts) -> Iterator[Observation]:
    level = facts.server.setting("wal_level")
    if level != "logical":
        yield error(
            f"wal_level is {level}, so the log does not hold row changes", set_setting(facts, "wal_level", "logical")
        )


def _slots_free(facts: Facts) -> Iterator[Observation]:
    limit = facts.server.number("max_replication_slots")
    if facts.slot is None and len(facts.slots) >= limit:
        yield error(
            f"all {limit} replication slots are taken, so Tidewire cannot make its own",
            set_setting(facts, "max_replication_slots", str(limit + 10)),
        )


def _senders_free(facts: Facts) -> Iterator[Observation]:
    limit = facts.server.number("max_wal_senders")
    streaming = facts.slot is not None and facts.slot.active
    if not streaming and facts.server.wal_senders >= limit:
        yield error(
            f"all {limit} WAL senders are in use, so Tidewire cannot stream",
            set_setting(facts, "max_wal_senders", str(limit + 10)),
        )


def _may_replicate(facts: Facts) -> Iterator[Observation]:
    role = name(facts.server.role)
    if not facts.server.may_replicate:
        managed = facts.server.managed_by == "rds_superuser"
        yield error(
            f"role {role} may not replicate",
            f"GRANT rds_replication TO {role};" if managed else f"ALTER ROLE {role} REPLICATION;",
        )


def _connections(facts: Facts) -> Iterator[Observation]:
    server = facts.server
    reserved = server.number("superuser_reserved_connections") + server.number("reserved_connections")
    limit = server.number("max_connections") - reserved
    if server.connections >= limit * MAX_CONNECTIONS_USED:
        yield warning(
            f"{server.connections} of {limit} connections are in use; Tidewire may be refused when it reconnects",
            "SELECT usename, application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC;",
        )


def _encoding(facts: Facts) -> Iterator[Observation]:
    encoding, database = facts.server.encoding, name(facts.server.database)
    fresh = name(f"{facts.server.database}_utf8")
    if encoding == "SQL_ASCII":
        yield warning(
            f"database {database} is SQL_ASCII: text that is not UTF-8 cannot be delivered",
            f"CREATE DATABASE {fresh} ENCODING 'UTF8' TEMPLATE template0;\n-- then move the data with pg_dump",
        )
    elif encoding != "UTF8":
        yield note(f"database {database} is {encoding}; Postgres converts it to UTF-8 for Tidewire")


def _encryption(facts: Facts) -> Iterator[Observation]:
    if facts.link.remote and not facts.link.encrypted:
        yield warning(
            "the connection to another machine is not encrypted, so rows cross the network in the clear",
            "add sslmode=verify-full to DATABASE_URL",
        )


def _clock(facts: Facts) -> Iterator[Observation]:
    skew_s = facts.link.clock_skew_s
    if abs(skew_s) - facts.link.clock_error_s > MAX_CLOCK_SKEW_S:
        direction = "ahead of" if skew_s > 0 else "behind"
        yield warning(
            f"the server's clock is {abs(skew_s):.1f} s {direction} this machine's, so latencies and tokens look wrong",
            "timedatectl set-ntp true    # on the machine whose clock is wrong",
        )


def _sender_timeout(facts: Facts) -> Iterator[Observation]:
    timeout_ms = facts.server.number("wal_sender_timeout")
    fix = set_setting(facts, "wal_sender_timeout", "60s")
    if timeout_ms == 0:
        yield warning("wal_sender_timeout is 0: a reader that vanished keeps its slot busy for ever", fix)
    elif timeout_ms < MIN_SENDER_TIMEOUT_MS:
        yield warning(f"wal_sender_timeout is {timeout_ms} ms: a short pause already cuts the stream", fix)


def _decoding_memory(facts: Facts) -> Iterator[Observation]:
    memory_kb = facts.server.number("logical_decoding_work_mem")
    if memory_kb < MIN_DECODING_MEMORY_KB:
        yield warning(
            f"logical_decoding_work_mem is {memory_kb} kB: even middling transactions are spilled to disk",
            set_setting(facts, "logical_decoding_work_mem", "64MB"),
        )


def _synchronous_commit(facts: Facts) -> Iterator[Observation]:
    # Measured from commit to decoded: p50 116 ms at the default wal_writer_delay of 200 ms, 8.5 ms at 10 ms.
    delay_ms = facts.server.number("wal_writer_delay")
    if facts.server.setting("synchronous_commit") == "off" and delay_ms > GOOD_WRITER_DELAY_MS:
        yield warning(
            f"synchronous_commit is off: changes wait up to wal_writer_delay ({delay_ms} ms) before anyone sees them",
            set_setting(facts, "wal_writer_delay", f"{GOOD_WRITER_DELAY_MS}ms"),
        )


def _fsync(facts: Facts) -> Iterator[Observation]:
    if facts.server.setting("fsync") == "off":
        yield warning(
            "fsync is off: a crash may lose rows that readers have already seen", set_setting(facts, "fsync", "on")
        )


CHECKS = (
    Check("ServerVersion", "the server's version is supported", _version),
    Check("Primary", "the server is a primary", _primary),
    Check("WalLevel", "wal_level is logical", _wal_level),
    Check("ReplicationSlots", "there is a replication slot for Tidewire", _slots_free),
    Check("WalSenders", "there is a WAL sender for Tidewire", _senders_free),
    Check("ReplicationPrivilege", "the role may replicate", _may_replicate),
    Check("Connections", "enough connections are free", _connections),
    Check("Encoding", "the database is UTF-8", _encoding),
    Check("Encryption", "the connection is encrypted or local", _encryption),
    Check("ClockSkew", "the clocks agree", _clock),
    Check("WalSenderTimeout", "wal_sender_timeout is sensible", _sender_timeout),
    Check("DecodingMemory", "logical_decoding_work_mem is large enough", _decoding_memory),
    Check("SynchronousCommit", "commits reach the log at once", _synchronous_commit),
    Check("Fsync", "fsync is on", _fsync),
)
