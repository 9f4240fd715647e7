"""What migration makes, seen through the SQL that applications and policies run."""

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest

from tests.support.waiting import wait_until
from tidewire.postgres.connection import connect
from tidewire.postgres.migrate import apply, find_pending, keep_up
from tidewire.postgres.migration_files import read_migrations

Connection = psycopg.Connection[Any]

USER = "5f3c7d52-3d3f-4c7b-9f5e-0a8a2c1d9b10"
CLAIMS = {"sub": USER, "role": "authenticated", "email": "ada@example.org", "team": 7}
WHO: LiteralString = "select auth.uid()::text, auth.role(), auth.email(), auth.jwt()"
ALLOW_ROOM: LiteralString = """
    create policy reading on realtime.messages for select to authenticated using (topic = realtime.topic());
    create policy writing on realtime.messages for insert to authenticated
      with check (realtime.topic() = 'room' and extension = 'broadcast');
"""


@pytest.fixture
def migrated(any_migrated_database: str) -> Iterator[Connection]:
    with connect(any_migrated_database) as connection:
        keep_up(connection)
        yield connection


def setting(connection: Connection, name: str, value: object) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    connection.execute("select set_config(%s, %s, false)", [name, text])


def become(connection: Connection, role: LiteralString) -> None:
    connection.execute("set role " + role)


def messages(connection: Connection) -> list[tuple[Any, ...]]:
    connection.execute("reset role")
    return connection.execute("select event, payload from realtime.messages order by inserted_at").fetchall()


def warnings(connection: Connection) -> list[str]:
    heard: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity == "WARNING":
            heard.append(notice.message_primary or "")

    connection.add_notice_handler(hear)
    return heard


def row(connection: Connection, query: LiteralString, parameters: Sequence[object] = ()) -> tuple[Any, ...]:
    found: tuple[Any, ...] | None = connection.execute(query, parameters).fetchone()
    assert found is not None
    return found


class TestWhoIsAsking:
    def test_the_claims_are_read_by_every_reader_role(self, migrated: Connection) -> None:
        setting(migrated, "request.jwt.claims", CLAIMS)
        for role in ("anon", "authenticated", "service_role"):
            become(migrated, role)
            assert row(migrated, WHO) == (USER, "authenticated", "ada@example.org", CLAIMS)

    def test_single_settings_answer_when_there_are_no_claims(self, migrated: Connection) -> None:
        setting(migrated, "request.jwt.claim.sub", USER)
        setting(migrated, "request.jwt.claim.role", "anon")
        setting(migrated, "request.jwt.claim.email", "grace@example.org")
        assert row(migrated, WHO) == (USER, "anon", "grace@example.org", None)

    def test_claims_win_over_single_settings(self, migrated: Connection) -> None:
        setting(migrated, "request.jwt.claims", CLAIMS)
        setting(migrated, "request.jwt.claim.sub", "00000000-0000-0000-0000-000000000000")
        assert row(migrated, "select auth.uid()::text") == (USER,)

    def test_nothing_set_is_null(self, migrated: Connection) -> None:
        assert row(migrated, WHO) == (None, None, None, None)

    def test_empty_text_is_null(self, migrated: Connection) -> None:
        for name in ("claims", "claim.sub", "claim.role", "claim.email"):
            setting(migrated, f"request.jwt.{name}", "")
        assert row(migrated, WHO) == (None, None, None, None)
        setting(migrated, "request.jwt.claims", {"sub": "", "role": "", "email": ""})
        assert row(migrated, WHO)[:3] == (None, None, None)

    def test_types_and_volatility(self, migrated: Connection) -> None:
        found = migrated.execute(
            "select proname, prorettype::regtype::text, provolatile::text from pg_proc"
            " where pronamespace = 'auth'::regnamespace order by 1"
        ).fetchall()
        assert found == [("email", "text", "s"), ("jwt", "jsonb", "s"), ("role", "text", "s"), ("uid", "uuid", "s")]

    def test_a_hostile_search_path_changes_nothing(self, migrated: Connection) -> None:
        migrated.execute(
            "create schema evil; grant usage on schema evil to authenticated;"
            "create function evil.current_setting(text, boolean) returns text language sql return 'evil';"
            "set search_path = evil, pg_catalog"
        )
        become(migrated, "authenticated")
        setting(migrated, "request.jwt.claims", CLAIMS)
        assert row(migrated, "select current_setting('x', true)") == ("evil",), "the trap works"
        assert row(migrated, "select auth.uid()::text, realtime.topic()") == (USER, None)

    def test_functions_of_an_auth_service_stay(self, any_database: str) -> None:
        with connect(any_database) as connection:
            connection.execute(
                "create schema auth; create function auth.uid() returns uuid language sql"
                " return '00000000-0000-0000-0000-000000000001'::uuid"
            )
            apply(connection, find_pending(connection, read_migrations()))
            setting(connection, "request.jwt.claims", CLAIMS)
            assert row(connection, "select auth.uid()::text, auth.role()") == (
                "00000000-0000-0000-0000-000000000001",
                "authenticated",
            )


class TestRoles:
    def test_only_the_service_role_passes_policies(self, migrated: Connection) -> None:
        migrated.execute(
            "create table notes (id int); insert into notes values (1); alter table notes enable row level security;"
            "grant select on notes to authenticated, service_role"
        )
        become(migrated, "authenticated")
        assert migrated.execute("select * from notes").fetchall() == []
        become(migrated, "service_role")
        assert migrated.execute("select * from notes").fetchall() == [(1,)]

    def test_the_authenticator_must_choose_a_role_to_read(self, migrated: Connection) -> None:
        migrated.execute("create table notes (id int); grant select on notes to anon")
        migrated.execute("set session authorization authenticator")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            migrated.execute("select * from notes")
        for role in ("anon", "authenticated", "service_role"):
            migrated.execute(f"set role {role}")
        become(migrated, "anon")
        assert migrated.execute("select * from notes").fetchall() == []

    def test_no_role_can_log_in(self, migrated: Connection) -> None:
        found = migrated.execute(
            "select rolname from pg_roles where rolcanlogin and rolname in"
            " ('anon', 'authenticated', 'service_role', 'authenticator', 'supabase_realtime_admin')"
        ).fetchall()
        assert found == []

    @pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
    def test_readers_cannot_reach_the_service(self, migrated: Connection, role: LiteralString) -> None:
        become(migrated, role)
        for statement in (
            "select * from realtime.tidewire_slots",
            "insert into realtime.tidewire_slots values ('s', 'e', 'ready')",
            "select * from realtime.tidewire_migrations",
            "select realtime.tidewire_maintain_messages('2100-01-01')",
            "select realtime.tidewire_open_partition('2100-01-01')",
            "create table realtime.mine (id int)",
            "delete from realtime.messages",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                migrated.execute(statement)

    def test_functions_with_their_owners_rights_have_a_powerless_owner(self, migrated: Connection) -> None:
        found = migrated.execute(
            "select distinct rolname, rolsuper, rolcanlogin from pg_proc join pg_roles r on r.oid = proowner"
            " where pronamespace = 'realtime'::regnamespace and prosecdef"
        ).fetchall()
        assert found == [("supabase_realtime_admin", False, False)]


class TestMessages:
    def test_columns(self, migrated: Connection) -> None:
        found = migrated.execute(
            "select attname, format_type(atttypid, atttypmod), attnotnull from pg_attribute"
            " where attrelid = 'realtime.messages'::regclass and attnum > 0 order by attnum"
        ).fetchall()
        timestamp = "timestamp without time zone"
        assert found == [
            ("topic", "text", True),
            ("extension", "text", True),
            ("payload", "jsonb", False),
            ("event", "text", False),
            ("private", "boolean", False),
            ("updated_at", timestamp, True),
            ("inserted_at", timestamp, True),
            ("id", "uuid", True),
            ("binary_payload", "bytea", False),
            ("broadcasted_at", timestamp, False),
            ("skip_broadcast", "boolean", True),
            ("expires_at", timestamp, False),
        ]

    def test_one_payload_only(self, migrated: Connection) -> None:
        with pytest.raises(psycopg.errors.CheckViolation, match="messages_one_payload"):
            migrated.execute(
                "insert into realtime.messages (topic, extension, payload, binary_payload) values ('t', 'x', '{}', 'b')"
            )

    def test_policies_decide_who_sends_and_reads(self, migrated: Connection) -> None:
        migrated.execute(ALLOW_ROOM)
        heard = warnings(migrated)
        become(migrated, "authenticated")
        migrated.execute("select realtime.send('{\"n\": 1}', 'hi', 'room')")
        assert heard == []
        migrated.execute("select realtime.send('{\"n\": 2}', 'hi', 'attic')")
        become(migrated, "anon")
        migrated.execute("select realtime.send('{\"n\": 3}', 'hi', 'room')")
        refusal = 'WarnSendingBroadcastMessage: new row violates row-level security policy for table "messages"'
        assert heard == [refusal, refusal]
        assert [payload["n"] for _event, payload in messages(migrated)] == [1]

        become(migrated, "authenticated")
        setting(migrated, "realtime.topic", "room")
        assert row(migrated, "select count(*) from realtime.messages") == (1,)
        setting(migrated, "realtime.topic", "attic")
        assert row(migrated, "select count(*) from realtime.messages") == (0,)

    def test_a_partition_cannot_be_read_around_the_policies(self, migrated: Connection) -> None:
        migrated.execute("select realtime.send('{}', 'e', 't')")
        (partition,) = row(migrated, "select tableoid::regclass::text from realtime.messages")
        migrated.execute(f"grant select on {partition} to authenticated")  # as default privileges may do
        become(migrated, "authenticated")
        assert migrated.execute(f"select * from {partition}").fetchall() == []


class TestSend:
    def test_what_is_stored(self, migrated: Connection) -> None:
        migrated.execute("select realtime.send('{\"a\": 1}', 'greet', 'room')")
        stored = row(
            migrated,
            "select topic, extension, event, private, binary_payload, payload, id::text from realtime.messages",
        )
        assert stored[:5] == ("room", "broadcast", "greet", True, None)
        assert stored[5] == {"a": 1, "id": stored[6]}

    def test_an_own_id_stays_and_other_json_is_left_alone(self, migrated: Connection) -> None:
        for payload in ('{"id": "mine"}', "[1, 2]", '"text"'):
            migrated.execute("select realtime.send(%s::jsonb, 'e', 't', false)", [payload])
        assert [payload for _event, payload in messages(migrated)] == [{"id": "mine"}, [1, 2], "text"]

    def test_binary(self, migrated: Connection) -> None:
        migrated.execute("select realtime.send_binary('\\x00ff'::bytea, 'e', 't', false)")
        found = row(migrated, "select payload, binary_payload, private, extension from realtime.messages")
        assert found == (None, b"\x00\xff", False, "broadcast")

    def test_the_topic_is_set_for_this_transaction_only(self, migrated: Connection) -> None:
        with migrated.transaction():
            migrated.execute("select realtime.send('{}', 'e', 'room')")
            assert row(migrated, "select realtime.topic()") == ("room",)
        assert row(migrated, "select realtime.topic()") == (None,)

    def test_a_failure_is_a_warning_and_the_transaction_goes_on(self, migrated: Connection) -> None:
        heard = warnings(migrated)
        migrated.execute("create table orders (id int)")
        with migrated.transaction():
            migrated.execute("insert into orders values (1)")
            migrated.execute("select realtime.send('{}', 'e', null)")
            migrated.execute("alter table realtime.messages add constraint never check (topic <> 'never')")
            migrated.execute("select realtime.send('{}', 'e', 'never')")
        assert [text.partition(":")[0] for text in heard] == ["WarnSendingBroadcastMessage"] * 2
        assert "null value" in heard[0]
        assert "never" in heard[1]
        assert messages(migrated) == []
        assert row(migrated, "select count(*) from orders") == (1,)

    def test_messages_of_one_transaction_keep_their_order(self, migrated: Connection) -> None:
        with migrated.transaction():
            for n in range(20):
                migrated.execute("select realtime.send(jsonb_build_object('n', %s::int), 'e', 't')", [n])
        assert [payload["n"] for _event, payload in messages(migrated)] == list(range(20))

    @pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
    def test_days_are_utc_days_in_every_time_zone(self, migrated: Connection, zone: str) -> None:
        setting(migrated, "TimeZone", zone)
        heard = warnings(migrated)
        before = datetime.now(UTC).replace(tzinfo=None)
        migrated.execute("select realtime.send('{}', 'e', 't')")
        after = datetime.now(UTC).replace(tzinfo=None)
        inserted_at, updated_at, partition = row(
            migrated, "select inserted_at, updated_at, tableoid::regclass::text from realtime.messages"
        )
        assert heard == []
        assert before <= inserted_at <= after
        assert abs(updated_at - inserted_at) < timedelta(minutes=1)
        assert partition == f"realtime.messages_{inserted_at:%Y_%m_%d}"


class TestPartitions:
    def test_a_missing_day_is_made_for_any_sender(self, migrated: Connection) -> None:
        drop_partitions(migrated)
        migrated.execute(ALLOW_ROOM)
        heard = warnings(migrated)
        become(migrated, "authenticated")
        migrated.execute("select realtime.send('{\"n\": 1}', 'e', 'room')")
        assert heard == []
        assert [payload["n"] for _event, payload in messages(migrated)] == [1]

    @pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
    def test_two_senders_who_miss_the_same_day_both_succeed(
        self, migrated: Connection, any_migrated_database: str, isolation: str
    ) -> None:
        drop_partitions(migrated)
        with connect(any_migrated_database) as other, connect(any_migrated_database) as watcher:
            setting(other, "default_transaction_isolation", isolation)
            heard, heard_too = warnings(migrated), warnings(other)
            second = threading.Thread(target=other.execute, args=["select realtime.send('{\"n\": 2}', 'e', 't')"])
            with migrated.transaction():
                migrated.execute("select realtime.send('{\"n\": 1}', 'e', 't')")
                second.start()
                wait_until(lambda: is_waiting(watcher, other.info.backend_pid))
            second.join()
            assert (heard, heard_too) == ([], [])
        assert sorted(payload["n"] for _event, payload in messages(migrated)) == [1, 2]

    def test_others_go_on_writing_while_a_day_is_being_made(
        self, migrated: Connection, any_migrated_database: str
    ) -> None:
        with connect(any_migrated_database) as other, migrated.transaction():
            migrated.execute("select realtime.tidewire_open_partition('2100-01-01')")
            other.execute("set lock_timeout = '1s'; set statement_timeout = '5s'")
            heard = warnings(other)
            other.execute("select realtime.send('{}', 'e', 't')")
            assert heard == []

    def test_yesterday_to_three_days_ahead_and_72_hours_back(self, migrated: Connection) -> None:
        drop_partitions(migrated)
        assert maintain(migrated, "2030-03-01 23:59:59.999") == (5, 0)
        assert partitions(migrated) == ["02_28", "03_01", "03_02", "03_03", "03_04"]
        assert maintain(migrated, "2030-03-01 23:59:59.999") == (0, 0)
        assert maintain(migrated, "2030-03-02 00:00:00") == (1, 0)
        assert maintain(migrated, "2030-03-03 23:59:59.999999") == (1, 0), "28 February ended less than 72 hours ago"
        assert maintain(migrated, "2030-03-04 00:00:00") == (1, 1)
        assert partitions(migrated) == ["03_01", "03_02", "03_03", "03_04", "03_05", "03_06", "03_07"]

    def test_midnight_belongs_to_the_new_day(self, migrated: Connection) -> None:
        maintain(migrated, "2030-03-01")
        found = migrated.execute(
            "insert into realtime.messages (topic, extension, inserted_at)"
            " select 't', 'broadcast', i from unnest(array['2030-03-01 23:59:59.999999', '2030-03-02']::timestamp[]) i"
            " returning tableoid::regclass::text"
        ).fetchall()
        assert found == [("realtime.messages_2030_03_01",), ("realtime.messages_2030_03_02",)]

    def test_a_partition_in_use_is_dropped_next_time(self, migrated: Connection, any_migrated_database: str) -> None:
        drop_partitions(migrated)
        maintain(migrated, "2030-03-01")
        with connect(any_migrated_database) as reader, reader.transaction():
            reader.execute("lock table realtime.messages_2030_02_28 in access share mode")
            assert maintain(migrated, "2030-03-04") == (3, 0)
        assert maintain(migrated, "2030-03-04") == (0, 1)

    def test_a_date_style_and_a_time_zone_change_nothing(self, migrated: Connection) -> None:
        drop_partitions(migrated)
        migrated.execute("set datestyle = 'German, DMY'; set timezone = 'Pacific/Kiritimati'")
        maintain(migrated, "2030-03-01")
        assert partitions(migrated) == ["02_28", "03_01", "03_02", "03_03", "03_04"]
        migrated.execute("set datestyle = 'ISO'")
        assert row(
            migrated, "select pg_get_expr(relpartbound, oid) from pg_class where relname = 'messages_2030_03_01'"
        ) == ("FOR VALUES FROM ('2030-03-01 00:00:00') TO ('2030-03-02 00:00:00')",)


class TestBroadcastChanges:
    TRIGGER: LiteralString = """
        create table tasks (id int primary key, title text);
        create function announce() returns trigger language plpgsql as $$
        begin
          perform realtime.broadcast_changes(
            'task:' || coalesce(new.id, old.id), tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
          return null;
        end $$;
        create trigger announce after insert or update or delete on tasks for each row execute function announce();
    """

    def test_each_operation(self, migrated: Connection) -> None:
        migrated.execute(self.TRIGGER)
        migrated.execute("insert into tasks values (1, 'a')")
        migrated.execute("update tasks set title = 'b'")
        migrated.execute("delete from tasks")
        a, b = {"id": 1, "title": "a"}, {"id": 1, "title": "b"}
        stored = messages(migrated)
        assert [event for event, _payload in stored] == ["INSERT", "UPDATE", "DELETE"]
        for (_event, payload), (operation, new, old) in zip(
            stored, [("INSERT", a, None), ("UPDATE", b, a), ("DELETE", None, b)], strict=True
        ):
            del payload["id"]
            assert payload == {
                "operation": operation, "record": new, "old_record": old, "table": "tasks", "schema": "public",
            }  # fmt: skip
        assert row(migrated, "select distinct topic, private from realtime.messages") == ("task:1", True)

    def test_a_message_that_is_refused_does_not_stop_the_change(self, migrated: Connection) -> None:
        migrated.execute(self.TRIGGER)
        migrated.execute("grant insert on tasks to authenticated")
        heard = warnings(migrated)
        become(migrated, "authenticated")
        migrated.execute("insert into tasks values (1, 'a')")
        assert len(heard) == 1
        assert messages(migrated) == []
        assert row(migrated, "select count(*) from tasks") == (1,)

    @pytest.mark.parametrize(("operation", "level"), [("INSERT", "STATEMENT"), ("TRUNCATE", "ROW"), (None, "ROW")])
    def test_what_is_no_row_change_is_an_error(self, migrated: Connection, operation: str | None, level: str) -> None:
        with pytest.raises(psycopg.errors.RaiseException, match=r"^Failed to process the row: broadcasting changes"):
            migrated.execute(
                "select realtime.broadcast_changes('t', 'e', %s, 'x', 'public', null::record, null::record, %s)",
                [operation, level],
            )


class TestPublications:
    def test_partitions_travel_under_the_parents_name(self, migrated: Connection) -> None:
        found = migrated.execute(
            "select p.pubname, pubviaroot, schemaname || '.' || tablename from pg_publication p"
            " left join pg_publication_tables t using (pubname) where p.pubname like 'supabase%' order by 1"
        ).fetchall()
        assert found == [
            ("supabase_realtime", True, None),
            ("supabase_realtime_messages_publication", True, "realtime.messages"),
        ]

    def test_generated_columns_are_published_where_postgres_can(self, migrated: Connection) -> None:
        expected = "s" if migrated.info.server_version >= 180000 else None  # the option came with version 18
        assert migrated.execute(
            "select to_jsonb(p) ->> 'pubgencols' from pg_publication p where pubname like 'supabase%'"
        ).fetchall() == [(expected,), (expected,)]

    def test_a_message_reaches_the_log(self, migrated: Connection) -> None:
        migrated.execute("select pg_create_logical_replication_slot('messages', 'pgoutput', true)")
        migrated.execute("select realtime.send('{\"n\": 4711}', 'e', 'room')")
        records = [
            bytes(data)
            for (data,) in migrated.execute(
                "select data from pg_logical_slot_get_binary_changes('messages', null, null, 'proto_version', '1',"
                " 'publication_names', 'supabase_realtime_messages_publication')"
            )
        ]
        inserts = [data for data in records if data[:1] == b"I"]
        assert len(inserts) == 1
        assert b"4711" in inserts[0]
        # The relation's number stands at the same place in Insert and in Relation, before the latter's name.
        assert inserts[0][1:5] in {data[1:5] for data in records if data[5:].startswith(b"realtime\0messages\0")}

    def test_a_publication_that_exists_keeps_its_tables(self, any_database: str) -> None:
        with connect(any_database) as connection:
            connection.execute(
                "create table kept (id int primary key); create publication supabase_realtime for table kept"
            )
            apply(connection, find_pending(connection, read_migrations()))
            found = row(
                connection,
                "select tablename, pubviaroot from pg_publication_tables join pg_publication using (pubname)"
                " where pubname = 'supabase_realtime'",
            )
        assert found == ("kept", True)


def drop_partitions(connection: Connection) -> None:
    for (name,) in connection.execute(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'realtime.messages'::regclass"
    ).fetchall():
        connection.execute(f"drop table {name}")


def partitions(connection: Connection) -> list[str]:
    found = connection.execute(
        "select right(relname, 5) from pg_inherits join pg_class on oid = inhrelid"
        " where inhparent = 'realtime.messages'::regclass order by relname"
    )
    return [name for (name,) in found]


def maintain(connection: Connection, at: str) -> tuple[Any, ...]:
    return row(connection, "select created, dropped from realtime.tidewire_maintain_messages(%s)", [at])


def is_waiting(connection: Connection, pid: int) -> bool:
    return row(connection, "select wait_event_type from pg_stat_activity where pid = %s", [pid]) == ("Lock",)
