"""Every check of doctor: healthy facts give no complaint, and each broken fact gives its code with the right repair."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tidewire.postgres.doctor_facts import (
    Column,
    Facts,
    Link,
    Membership,
    Objects,
    OpenTransaction,
    Publication,
    Server,
    Setting,
    Slot,
    Storage,
    Table,
)
from tidewire.postgres.finding import Finding, Severity, megabytes, minutes
from tidewire.postgres.findings import CHECKS, examine

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "doctor.md"

SETTINGS = {
    "wal_level": "logical",
    "max_replication_slots": "10",
    "max_wal_senders": "10",
    "max_connections": "100",
    "superuser_reserved_connections": "3",
    "reserved_connections": "0",
    "max_slot_wal_keep_size": "4096",
    "wal_sender_timeout": "60000",
    "logical_decoding_work_mem": "65536",
    "synchronous_commit": "on",
    "wal_writer_delay": "200",
    "fsync": "on",
    "idle_replication_slot_timeout": "0",
}
SERVER = Server(
    version_num=180_004,
    version="18.4",
    in_recovery=False,
    database="shop",
    encoding="UTF8",
    connections=12,
    wal_senders=1,
    role="tide",
    may_replicate=True,
    sees_all_sessions=True,
    managed_by=None,
    settings={name: Setting(value) for name, value in SETTINGS.items()},
)
PUBLICATION = Publication(
    name="live", via_root=True, insert=True, update=True, delete=True, truncate=True, generated="s"
)
OBJECTS = Objects(
    roles=frozenset({"anon", "authenticated", "service_role", "authenticator"}),
    schemas=frozenset({"auth", "realtime"}),
    migrations_readable=True,
    publications=(PUBLICATION,),
    event_triggers={"tidewire_rules": "A", "tidewire_rules_dropped": "A"},
    publishable=(("public", "orders"),),
)
ID = Column(name="id", type="bigint", generated="", expression=None)
NOTE = Column(name="note", type="text", generated="", expression=None)
STORAGE = Storage(schema="public", name="orders", logged=True, identity="f", has_key=True)
MEMBERSHIP = Membership(publication="live", columns=("id", "note"), filter=None)
TABLE = Table(
    schema="public",
    name="orders",
    kind="r",
    root=None,
    persistence="p",
    memberships=(MEMBERSHIP,),
    columns=(ID, NOTE),
    primary_key=("id",),
    storage=(STORAGE,),
    filter_columns=(),
    row_security=True,
    policies=1,
    read_policies=1,
    readers=("authenticated",),
)
SLOT = Slot(
    name="tidewire",
    plugin="pgoutput",
    database="shop",
    active=True,
    active_pid=4711,
    wal_status="reserved",
    safe_wal_size=4 * 2**30,
    retained_bytes=2**20,
    lag_bytes=1000,
    invalidation_reason=None,
    inactive_s=None,
)
FACTS = Facts(
    server=SERVER,
    link=Link(remote=True, encrypted=True, clock_skew_s=0.01, clock_error_s=0.002),
    objects=OBJECTS,
    slot_name="tidewire",
    wanted_publications=("live",),
    slots=(SLOT,),
    transactions=(OpenTransaction(pid=1, gid=None, database="shop", age_s=5.0),),
    tables=(TABLE,),
)


def with_server(**changes: Any) -> Facts:
    return replace(FACTS, server=replace(SERVER, **changes))


def with_setting(name: str, value: str, source: str = "configuration file", **changes: Any) -> Facts:
    return with_server(settings={**SERVER.settings, name: Setting(value, source)}, **changes)


def with_link(**changes: Any) -> Facts:
    return replace(FACTS, link=replace(FACTS.link, **changes))


def with_objects(**changes: Any) -> Facts:
    return replace(FACTS, objects=replace(OBJECTS, **changes))


def with_publication(*tables: Table, **changes: Any) -> Facts:
    facts = with_objects(publications=(replace(PUBLICATION, **changes),))
    return replace(facts, tables=tables or FACTS.tables)


def with_slot(**changes: Any) -> Facts:
    return replace(FACTS, slots=(replace(SLOT, **changes),))


def with_table(**changes: Any) -> Facts:
    return replace(FACTS, tables=(replace(TABLE, **changes),))


def with_internal(**changes: Any) -> Facts:
    return replace(FACTS, tables=(TABLE, replace(TABLE, schema="realtime", name="messages", **changes)))


def with_storage(**changes: Any) -> Facts:
    return with_table(storage=(replace(STORAGE, **changes),))


def with_transaction(**changes: Any) -> Facts:
    return replace(FACTS, transactions=(replace(FACTS.transactions[0], **changes),))


def without_slot(**settings: str) -> Facts:
    others = (replace(SLOT, name="other", retained_bytes=0),)
    values = {name: Setting(value) for name, value in settings.items()}
    return replace(with_server(settings={**SERVER.settings, **values}), slots=others)


def generated(kind: str) -> Column:
    return Column(name="total", type="integer", generated=kind, expression="(price * 2)")


W, E = Severity.WARNING, Severity.ERROR
OFF = {"row_security": False, "policies": 0, "read_policies": 0}
PARTITION = replace(TABLE, name="orders_1", root=("public", "orders"))
PARTS = tuple(replace(STORAGE, name=f"orders_{number}", identity="d") for number in (1, 2))

CASES: list[tuple[str, Severity, Facts, str]] = [
    ("ServerVersion", E, with_server(version_num=130_020, version="13.20"), "upgrade PostgreSQL"),
    ("ServerVersion", W, with_server(version_num=190_000, version="19.0"), "upgrade Tidewire"),
    ("Primary", E, with_server(in_recovery=True), "target_session_attrs=read-write"),
    ("WalLevel", E, with_setting("wal_level", "replica"), "ALTER SYSTEM SET wal_level = 'logical';\n-- then restart"),
    (
        "WalLevel",
        E,
        with_setting("wal_level", "replica", managed_by="rds_superuser"),
        "-- in the Amazon RDS parameter group: rds.logical_replication = 1; then restart",
    ),
    (
        "WalLevel",
        E,
        with_setting("wal_level", "replica", managed_by="azure_pg_admin"),
        "-- in the Azure server parameters: wal_level = logical; then restart",
    ),
    ("ReplicationSlots", E, without_slot(max_replication_slots="1"), "ALTER SYSTEM SET max_replication_slots = '11';"),
    ("WalSenders", E, without_slot(max_wal_senders="1"), "ALTER SYSTEM SET max_wal_senders = '11';"),
    ("ReplicationPrivilege", E, with_server(may_replicate=False), 'ALTER ROLE "tide" REPLICATION;'),
    (
        "ReplicationPrivilege",
        E,
        with_server(may_replicate=False, managed_by="rds_superuser"),
        'GRANT rds_replication TO "tide";',
    ),
    ("Connections", W, with_server(connections=90), "FROM pg_stat_activity"),
    ("Encoding", W, with_server(encoding="SQL_ASCII"), """CREATE DATABASE "shop_utf8" ENCODING 'UTF8'"""),
    ("Encryption", W, with_link(encrypted=False), "sslmode=verify-full"),
    ("ClockSkew", W, with_link(clock_skew_s=-1.5), "timedatectl set-ntp true"),
    ("WalSenderTimeout", W, with_setting("wal_sender_timeout", "0"), "ALTER SYSTEM SET wal_sender_timeout = '60s';"),
    (
        "WalSenderTimeout",
        W,
        with_setting("wal_sender_timeout", "4999", "user"),
        """ALTER ROLE "tide" SET wal_sender_timeout = '60s';""",
    ),
    (
        "DecodingMemory",
        W,
        with_setting("logical_decoding_work_mem", "64", "database"),
        """ALTER DATABASE "shop" SET logical_decoding_work_mem = '64MB';""",
    ),
    ("SynchronousCommit", W, with_setting("synchronous_commit", "off"), "SET wal_writer_delay = '10ms';"),
    ("Fsync", W, with_setting("fsync", "off"), "ALTER SYSTEM SET fsync = 'on';\nSELECT pg_reload_conf();"),
    ("Migrations", E, with_objects(roles=frozenset(), migrations_readable=None), "tidewire migrate"),
    (
        "Migrations",
        E,
        with_objects(roles=OBJECTS.roles - {"service_role"}),
        'CREATE ROLE "service_role" NOLOGIN NOINHERIT BYPASSRLS;',
    ),
    ("Migrations", E, with_objects(schemas=frozenset({"auth"})), "tidewire migrate"),
    ("Migrations", E, with_objects(migrations_readable=None), "tidewire migrate"),
    ("Migrations", E, with_objects(unapplied_migrations=("0009_pre_x",)), "tidewire migrate"),
    ("Publications", E, with_objects(publications=()), 'CREATE PUBLICATION "live"'),
    (
        "Publications",
        E,
        replace(
            with_objects(publications=(), unapplied_migrations=("0001_pre_x",)),
            wanted_publications=("supabase_realtime",),
        ),
        "tidewire migrate",
    ),
    (
        "Publications",
        E,
        replace(with_objects(publications=()), wanted_publications=("supabase_realtime_messages_publication",)),
        'CREATE PUBLICATION "supabase_realtime_messages_publication" FOR TABLE realtime.messages WITH',
    ),
    ("Publications", E, replace(FACTS, wanted_publications=()), "unset TIDEWIRE_PUBLICATIONS"),
    (
        "PublishedOperations",
        W,
        with_publication(truncate=False),
        """ALTER PUBLICATION "live" SET (publish = 'insert, update, delete, truncate');""",
    ),
    (
        "PartitionRoot",
        W,
        with_publication(PARTITION, via_root=False),
        'ALTER PUBLICATION "live" SET (publish_via_partition_root = true);',
    ),
    ("LonePartitions", W, with_publication(PARTITION), 'ALTER PUBLICATION "live" ADD TABLE "public"."orders";'),
    ("PublishedTables", W, replace(FACTS, tables=()), 'ALTER PUBLICATION "live" ADD TABLE "public"."orders";'),
    ("PublishedTables", W, replace(with_objects(publishable=()), tables=()), "tidewire publish TABLE"),
    ("Membership", E, with_table(memberships=()), 'ALTER PUBLICATION "live" ADD TABLE "public"."orders";'),
    ("SlotOwner", E, with_slot(plugin="wal2json"), "export TIDEWIRE_SLOT=tidewire_2"),
    ("SlotOwner", E, with_slot(plugin=None, database=None), "export TIDEWIRE_SLOT=tidewire_2"),
    ("SlotOwner", E, with_slot(database="bank"), "export TIDEWIRE_SLOT=tidewire_2"),
    ("SlotLost", E, with_slot(wal_status="lost"), "SELECT pg_drop_replication_slot('tidewire');"),
    ("SlotLost", E, with_slot(invalidation_reason="idle_timeout"), "SELECT pg_drop_replication_slot('tidewire');"),
    ("SlotIdle", W, with_slot(active=False, inactive_s=700.0), "SELECT pg_drop_replication_slot('tidewire');"),
    ("SlotIdle", W, with_slot(active=False, retained_bytes=2**30), "SELECT pg_drop_replication_slot('tidewire');"),
    (
        "SlotRetention",
        E,
        with_slot(wal_status="unreserved", retained_bytes=5 * 2**30),
        "SET max_slot_wal_keep_size = '10240MB';",
    ),
    ("SlotRetention", W, with_slot(safe_wal_size=2**20), "SET max_slot_wal_keep_size = '8192MB';"),
    ("SlotRetention", W, with_slot(wal_status="extended"), "pg_stat_replication WHERE pid = 4711"),
    ("SlotLag", W, with_slot(lag_bytes=2**30), "pg_stat_replication WHERE pid = 4711"),
    (
        "OtherSlots",
        W,
        replace(FACTS, slots=(SLOT, replace(SLOT, name="it's", active=False, retained_bytes=2**30))),
        "SELECT pg_drop_replication_slot('it''s');",
    ),
    (
        "RetentionRoom",
        W,
        replace(with_setting("max_slot_wal_keep_size", "256"), retention_bytes=256 * 2**20),
        "SET max_slot_wal_keep_size = '1024MB';",
    ),
    ("WalKeepLimit", W, with_setting("max_slot_wal_keep_size", "-1"), "SET max_slot_wal_keep_size = '10GB';"),
    ("IdleSlotTimeout", W, with_setting("idle_replication_slot_timeout", "60"), "idle_replication_slot_timeout = '0'"),
    ("LongTransactions", W, with_transaction(age_s=601.0), "SELECT pg_terminate_backend(1);"),
    ("PreparedTransactions", W, with_transaction(pid=None, gid="a'b", age_s=601.0), "ROLLBACK PREPARED 'a''b';"),
    ("Persistence", E, with_table(persistence="t"), 'CREATE TABLE "public"."orders" (LIKE'),
    ("Persistence", E, with_storage(logged=False), 'ALTER TABLE "public"."orders" SET LOGGED;'),
    ("PrimaryKey", W, with_table(primary_key=()), 'ALTER TABLE "public"."orders" ADD PRIMARY KEY ("id");'),
    (
        "PrimaryKey",
        W,
        with_table(primary_key=(), columns=(NOTE,)),
        'ADD COLUMN "id" bigint GENERATED ALWAYS AS IDENTITY',
    ),
    ("PrimaryKey", W, with_table(primary_key=(), kind="p"), "contains the partition key"),
    ("ReplicaIdentity", E, with_storage(identity="n"), 'ALTER TABLE "public"."orders" REPLICA IDENTITY DEFAULT;'),
    (
        "ReplicaIdentity",
        E,
        with_storage(identity="d", has_key=False),
        'ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;',
    ),
    ("ReplicaIdentity", E, with_storage(identity="i", has_key=False), "REPLICA IDENTITY FULL"),
    ("OldRecord", W, with_storage(identity="d"), 'ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;'),
    ("OldRecord", W, with_table(kind="p", storage=PARTS), "pg_partition_tree(''\"public\".\"orders\"'')"),
    (
        "GeneratedColumns",
        W,
        with_publication(replace(TABLE, columns=(ID, NOTE, generated("s"))), generated="n"),
        'ALTER PUBLICATION "live" SET (publish_generated_columns = stored);',
    ),
    (
        "GeneratedColumns",
        W,
        replace(
            with_server(version_num=150_000, version="15.18"), tables=(replace(TABLE, columns=(ID, generated("s"))),)
        ),
        'ALTER TABLE "public"."orders" ALTER COLUMN "total" DROP EXPRESSION;',
    ),
    (
        "GeneratedColumns",
        W,
        with_table(columns=(ID, NOTE, generated("v"))),
        'DROP COLUMN "total", ADD COLUMN "total" integer GENERATED ALWAYS AS ((price * 2)) STORED;',
    ),
    (
        "ColumnList",
        E,
        with_table(memberships=(replace(MEMBERSHIP, columns=("id",)),)),
        'BEGIN;\nALTER PUBLICATION "live" DROP TABLE "public"."orders";\nALTER PUBLICATION "live" ADD TABLE',
    ),
    (
        "RowFilter",
        W,
        with_table(memberships=(replace(MEMBERSHIP, filter="(id > 5)"),)),
        'ALTER PUBLICATION "live" DROP TABLE',
    ),
    (
        "RowFilter",
        E,
        with_table(
            memberships=(replace(MEMBERSHIP, filter="(note IS NULL)"),),
            filter_columns=("note",),
            storage=(replace(STORAGE, identity="d"),),
        ),
        'ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;',
    ),
    ("ReadPrivilege", W, with_table(readers=()), 'GRANT SELECT ON "public"."orders" TO authenticated;'),
    ("RowSecurity", W, with_table(**OFF), 'ALTER TABLE "public"."orders" ENABLE ROW LEVEL SECURITY;\nCREATE POLICY'),
    ("RowSecurity", E, with_table(row_security=False), 'ALTER TABLE "public"."orders" ENABLE ROW LEVEL SECURITY;'),
    ("RuleChanges", W, with_objects(event_triggers={}), "DELETE FROM realtime.tidewire_migrations WHERE version = 8;"),
    (
        "RuleChanges",
        W,
        with_objects(event_triggers={"tidewire_rules": "A"}),
        "DELETE FROM realtime.tidewire_migrations",
    ),
    (
        "RuleChanges",
        W,
        with_objects(event_triggers={"tidewire_rules": "O", "tidewire_rules_dropped": "A"}),
        'ALTER EVENT TRIGGER "tidewire_rules" ENABLE ALWAYS;',
    ),
    ("ReadPolicies", W, with_table(read_policies=0), 'CREATE POLICY tidewire_read ON "public"."orders" FOR SELECT'),
]


def complaints(facts: Facts) -> list[Finding]:
    return [finding for finding in examine(facts) if finding.severity is not Severity.OK]


def test_healthy_facts_give_one_fine_answer_per_check() -> None:
    findings = examine(FACTS)

    assert complaints(FACTS) == []
    assert {finding.code for finding in findings} == {check.code for check in CHECKS}


@pytest.mark.parametrize(
    ("code", "severity", "facts", "fix"), CASES, ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)]
)
def test_a_broken_fact_gives_its_code_and_repair(code: str, severity: Severity, facts: Facts, fix: str) -> None:
    found = [finding for finding in complaints(facts) if finding.code == code]

    assert [finding.severity for finding in found] == [severity]
    assert fix in found[0].fix
    assert found[0].message


def test_every_check_has_a_case() -> None:
    assert {case[0] for case in CASES} == {check.code for check in CHECKS}


def test_every_code_has_a_heading_in_the_reference() -> None:
    headings = {line.removeprefix("### ") for line in REFERENCE.read_text(encoding="utf-8").splitlines()}

    assert {check.code for check in CHECKS} <= headings
    assert len({check.code for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize(
    "facts",
    [
        with_server(encoding="LATIN1"),
        with_link(remote=False, encrypted=False),
        with_link(clock_skew_s=1.5, clock_error_s=0.6),
        with_setting("wal_sender_timeout", "5000"),
        with_setting("max_replication_slots", "1"),
        with_setting("synchronous_commit", "local"),
        with_slot(active=False, inactive_s=30.0, retained_bytes=2**30),
        with_slot(active=False, lag_bytes=2**30),
        replace(FACTS, slots=()),
        replace(FACTS, slots=(SLOT, replace(SLOT, name="other", retained_bytes=2**30))),
        with_internal(row_security=False, policies=0, read_policies=0, readers=("anon",), primary_key=()),
        with_internal(storage=(replace(STORAGE, identity="n"),), policies=0, read_policies=0, readers=()),
    ],
)
def test_what_looks_odd_but_is_right_gives_no_complaint(facts: Facts) -> None:
    assert complaints(facts) == []


def test_the_messages_publication_may_carry_inserts_only() -> None:
    messages = replace(TABLE, schema="realtime", name="messages")
    facts = with_publication(messages, TABLE, update=False)
    inserts_only = replace(PUBLICATION, name="messages", update=False)
    alone = replace(messages, memberships=(replace(MEMBERSHIP, publication="messages"),))

    assert [finding.code for finding in complaints(facts)] == ["PublishedOperations"]
    assert complaints(replace(with_objects(publications=(PUBLICATION, inserts_only)), tables=(alone, TABLE))) == []


def test_a_publication_of_inserts_needs_no_replica_identity() -> None:
    nothing = replace(TABLE, storage=(replace(STORAGE, identity="n"),))
    facts = with_publication(nothing, update=False, delete=False)

    assert [finding.code for finding in complaints(facts)] == ["PublishedOperations"]


def test_hidden_columns_without_the_key_are_a_matter_of_taste() -> None:
    secret = replace(
        TABLE, memberships=(replace(MEMBERSHIP, columns=("id",)),), storage=(replace(STORAGE, identity="d"),)
    )
    found = [finding for finding in examine(replace(FACTS, tables=(secret,))) if finding.code == "ColumnList"]

    assert [finding.severity for finding in found] == [Severity.OK]
    assert "note" in found[0].message


def test_what_this_role_cannot_see_is_never_called_fine() -> None:
    facts = replace(with_server(sees_all_sessions=False), objects=replace(OBJECTS, migrations_readable=False))
    said = {finding.code: finding.message for finding in examine(facts)}

    assert "could be seen" in said["LongTransactions"]
    assert "could not be seen" in said["Migrations"]


def test_an_owner_column_becomes_the_proposed_policy() -> None:
    owner = Column(name="user_id", type="uuid", generated="", expression=None)
    (found,) = complaints(with_table(columns=(ID, NOTE, owner), memberships=TABLE.memberships, read_policies=0))[-1:]

    assert 'USING ("user_id" = (SELECT auth.uid()));' in found.fix


@pytest.mark.parametrize("hostile", ['a"; DROP TABLE x; --', "a'); DROP TABLE x; --", "$$; DROP TABLE x; $$", "a\nb"])
@pytest.mark.parametrize("kind", ["r", "p"])
def test_no_name_escapes_its_quotes(hostile: str, kind: str) -> None:
    parts = (replace(STORAGE, name=hostile, identity="d", has_key=False, logged=False),)
    facts = with_table(name=hostile, kind=kind, storage=parts, read_policies=0, readers=())
    fixes = [finding.fix for finding in complaints(facts)]

    assert len(fixes) >= 4
    for fix in fixes:
        assert "DROP TABLE x" not in _outside_quotes(fix)


def _outside_quotes(fix: str) -> str:
    """Drop quoted names and texts, doubled quotes included, as Postgres would read them."""
    rest, quote = [], ""
    for character in fix:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            rest.append(character)
    return "".join(rest)


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (megabytes, 3 * 2**20, "3 MB"),
        (megabytes, 12 * 2**30, "12 GB"),
        (minutes, 700.0, "12 minutes"),
        (minutes, 3 * 3600.0, "3 hours"),
        (minutes, 3 * 86_400.0, "3 days"),
    ],
)
def test_amounts_are_written_for_people(write: Callable[[Any], str], value: float, text: str) -> None:
    assert write(value) == text
