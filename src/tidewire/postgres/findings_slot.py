"""Judges the replication slot, the log that slots keep, and what holds it back. Knows nothing of publications."""

from collections.abc import Iterator

from tidewire.postgres.doctor_facts import Facts, Slot
from tidewire.postgres.finding import Check, Observation, error, megabytes, minutes, note, warning
from tidewire.postgres.repair import drop_slot, literal, name, set_setting

PLUGIN = "pgoutput"
IDLE_S = 600.0
"""A restart or a failover is over by then; a slot without reader for longer was probably forgotten."""
IDLE_BYTES = 256 * 2**20
"""Before 17 Postgres does not say since when a slot is idle; this much kept log says it as well."""
LAG_BYTES = 256 * 2**20
"""Both besides what Tidewire keeps on purpose."""
FORGOTTEN_BYTES = 64 * 2**20
LONG_TRANSACTION_S = 600.0
SAFE_SHARE = 0.25
PROPOSED_LIMIT = "10GB"


def _owner(facts: Facts) -> Iterator[Observation]:
    slot = facts.slot
    if slot is None:
        yield note(f"slot {name(facts.slot_name)} does not exist yet; Tidewire makes it at its first start")
        return
    if slot.plugin == PLUGIN and slot.database == facts.server.database:
        return
    if slot.plugin is None:
        owner = "a physical slot"
    elif slot.plugin != PLUGIN:
        owner = f"a slot of plugin {slot.plugin}"
    else:
        owner = f"a slot of database {name(slot.database or '')}"
    other = "tidewire_2" if slot.name == "tidewire" else "tidewire"
    yield error(f"slot {name(slot.name)} is {owner}, so Tidewire cannot use it", f"export TIDEWIRE_SLOT={other}")


def _is_lost(slot: Slot) -> bool:
    return slot.wal_status == "lost" or bool(slot.invalidation_reason)


def _lost(facts: Facts) -> Iterator[Observation]:
    if facts.slot and _is_lost(facts.slot):
        reason = facts.slot.invalidation_reason or "the log it needed was removed"
        yield error(
            f"slot {name(facts.slot_name)} cannot continue ({reason}): its history has a hole and readers must reload",
            f"{drop_slot(facts.slot_name)}\n-- then start Tidewire, which makes a new one",
        )


def _idle(facts: Facts) -> Iterator[Observation]:
    slot = facts.slot
    if slot is None or slot.active or _is_lost(slot):
        return
    for_long = slot.inactive_s is not None and slot.inactive_s > IDLE_S
    holds_much = slot.inactive_s is None and (slot.retained_bytes or 0) > IDLE_BYTES + facts.retention_bytes
    if for_long or holds_much:
        since = f" for {minutes(slot.inactive_s)}" if slot.inactive_s is not None else ""
        yield warning(
            f"nobody has read slot {name(slot.name)}{since}, and it keeps {megabytes(slot.retained_bytes or 0)} of log",
            f"-- start Tidewire, or give the slot up (readers reload):\n{drop_slot(slot.name)}",
        )


def _retention(facts: Facts) -> Iterator[Observation]:
    slot = facts.slot
    if slot is None or _is_lost(slot):
        return
    kept = slot.retained_bytes or 0
    limit_bytes = facts.server.number("max_slot_wal_keep_size") * 2**20
    raised_mb = max(1024, 2 * (kept >> 20), 2 * (limit_bytes >> 20))
    raise_limit = set_setting(facts, "max_slot_wal_keep_size", f"{raised_mb}MB")
    if slot.wal_status == "unreserved":
        yield error(
            f"slot {name(slot.name)} will be lost at the next checkpoint: it needs {megabytes(kept)} of log, "
            f"and max_slot_wal_keep_size is {megabytes(limit_bytes)}",
            raise_limit,
        )
    elif limit_bytes > 0 and slot.safe_wal_size is not None and slot.safe_wal_size < limit_bytes * SAFE_SHARE:
        yield warning(
            f"slot {name(slot.name)} keeps {megabytes(kept)} of log, and after {megabytes(slot.safe_wal_size)} more "
            "it is lost",
            raise_limit,
        )
    elif slot.wal_status == "extended":
        yield warning(
            f"slot {name(slot.name)} keeps {megabytes(kept)} of log, more than max_wal_size", _see_reader(slot)
        )


def _lag(facts: Facts) -> Iterator[Observation]:
    slot = facts.slot
    if slot and slot.active and (slot.lag_bytes or 0) > LAG_BYTES + facts.retention_bytes:
        yield warning(
            f"the reader of slot {name(slot.name)} is {megabytes(slot.lag_bytes or 0)} behind", _see_reader(slot)
        )


def _see_reader(slot: Slot) -> str:
    if not slot.active:
        return f"-- start Tidewire, or give the slot up (readers reload):\n{drop_slot(slot.name)}"
    return f"SELECT * FROM pg_stat_replication WHERE pid = {slot.active_pid};"  # noqa: S608 - a number


def _others(facts: Facts) -> Iterator[Observation]:
    for slot in facts.slots:
        kept = slot.retained_bytes or 0
        if slot.name == facts.slot_name or slot.active or _is_lost(slot) or kept <= FORGOTTEN_BYTES:
            continue
        yield warning(
            f"slot {name(slot.name)} of something else has no reader and keeps {megabytes(kept)} of log",
            f"-- if nobody needs it any more:\n{drop_slot(slot.name)}",
        )


def _keep_limit(facts: Facts) -> Iterator[Observation]:
    if facts.server.setting("max_slot_wal_keep_size") == "-1":
        yield warning(
            "max_slot_wal_keep_size is -1: a slot without reader keeps log until the disk is full and Postgres stops",
            set_setting(facts, "max_slot_wal_keep_size", PROPOSED_LIMIT),
        )


def _retention_room(facts: Facts) -> Iterator[Observation]:
    limit_bytes = facts.server.number("max_slot_wal_keep_size") * 2**20
    if 0 <= limit_bytes < 2 * facts.retention_bytes:
        wanted_mb = 4 * facts.retention_bytes >> 20
        yield warning(
            f"max_slot_wal_keep_size is {megabytes(limit_bytes)}, so for clients who come back Tidewire keeps "
            f"{megabytes(limit_bytes // 2)} of log, and not the {megabytes(facts.retention_bytes)} of retention_bytes",
            set_setting(facts, "max_slot_wal_keep_size", f"{max(wanted_mb, 1)}MB"),
        )


def _idle_timeout(facts: Facts) -> Iterator[Observation]:
    timeout_s = facts.server.number("idle_replication_slot_timeout")
    if timeout_s > 0:
        yield warning(
            f"idle_replication_slot_timeout is {timeout_s} s: if Tidewire is down for longer, readers must reload",
            set_setting(facts, "idle_replication_slot_timeout", "0"),
        )


def _long_transactions(facts: Facts) -> Iterator[Observation]:
    if not facts.server.sees_all_sessions:
        yield note("only the transactions of this role could be seen")
    for open_one in facts.transactions:
        if open_one.pid is not None and open_one.age_s > LONG_TRANSACTION_S:
            yield warning(
                f"session {open_one.pid} has had a writing transaction open for {minutes(open_one.age_s)}: "
                "the log since then is kept, and a new slot has to wait for it",
                f"SELECT pg_terminate_backend({open_one.pid});",
            )


def _prepared_transactions(facts: Facts) -> Iterator[Observation]:
    for open_one in facts.transactions:
        if open_one.gid is not None and open_one.age_s > LONG_TRANSACTION_S:
            gid = literal(open_one.gid)
            yield warning(
                f"prepared transaction {gid} has waited for {minutes(open_one.age_s)}: the log since then is kept",
                f"ROLLBACK PREPARED {gid};    -- or COMMIT PREPARED; connected to its database",
            )


CHECKS = (
    Check("SlotOwner", "the replication slot is Tidewire's", _owner),
    Check("SlotLost", "the replication slot can continue", _lost),
    Check("SlotIdle", "the replication slot is read, or was until just now", _idle),
    Check("SlotRetention", "the log that the slot needs is safe", _retention),
    Check("SlotLag", "the reader of the slot keeps up", _lag),
    Check("OtherSlots", "no forgotten slot keeps much log", _others),
    Check("WalKeepLimit", "slots cannot fill the disk", _keep_limit),
    Check("RetentionRoom", "there is room for the log that is kept for clients who come back", _retention_room),
    Check("IdleSlotTimeout", "idle slots are kept", _idle_timeout),
    Check("LongTransactions", "no old transaction of a session holds the log back", _long_transactions),
    Check("PreparedTransactions", "no forgotten prepared transaction holds the log back", _prepared_transactions),
)
