"""What a transaction sends reaches its channels when it commits, in its order, and not at all after a rollback."""

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, SocketClient, realtime, token
from tidewire.postgres.embedded import EmbeddedPostgres

ROOM = "realtime:room"


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(
            made,
            "create table orders (id int primary key, room text)",
            "create table markers (id int primary key)",
            "grant select on markers, orders to anon, authenticated, service_role",
            "alter publication supabase_realtime add table markers",
            """create function announce() returns trigger language plpgsql security definer set search_path = '' as $$
               begin
                 perform realtime.broadcast_changes(
                   coalesce(new.room, old.room), tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
                 return null;
               end $$""",
            "create trigger t after insert or update or delete on orders for each row execute function announce()",
            'create policy "read all" on realtime.messages for select to authenticated using (true)',
            """create policy "write one" on realtime.messages for insert to authenticated
               with check (realtime.topic() = 'open')""",
            "select realtime.tidewire_open_today()",
        )
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, payload_bytes=2000) as running:
        yield running


def insider(served: RealtimeServer, topic: str = ROOM, *, vsn: str = "2.0.0", private: bool = True) -> SocketClient:
    client = served.connect(vsn=vsn, apikey=token("service_role"))
    client.join(topic, private=private)
    return client


def send(dsn: str, *statements: str, rollback: bool = False) -> None:
    """Run statements in one transaction."""
    with psycopg.connect(dsn) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        if rollback:
            connection.rollback()


def emitting(content: str) -> str:
    return f"select pg_logical_emit_message(true, 'tidewire', '{content}')"


def events(client: SocketClient, until: str = "end") -> list[Any]:
    """Return the broadcasts up to one of that event, as event and body."""
    heard: list[Any] = []
    while (payload := client.receive("broadcast")["payload"])["event"] != until:
        heard.append((payload["event"], payload["payload"]))
    return heard


END = "select realtime.send('{}', 'end', 'room')"


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
def test_json_reaches_both_versions_with_its_id(served: RealtimeServer, dsn: str, vsn: str) -> None:
    with insider(served, vsn=vsn) as client:
        send(dsn, """select realtime.send('{"n": 1.50, "ü": "é\\n"}', 'e', 'room')""")
        message = client.receive()
    payload = message["payload"]
    assert (message["topic"], message["event"], message["ref"]) == (ROOM, "broadcast", None)
    id_ = payload["meta"]["id"]
    assert uuid.UUID(id_)
    body = {"n": 1.5, "ü": "é\n", "id": id_}
    assert payload == {"type": "broadcast", "event": "e", "payload": body, "meta": {"id": id_}}


def test_it_is_a_binary_frame_in_version_2(served: RealtimeServer, dsn: str) -> None:
    with insider(served) as client:
        send(dsn, "select realtime.send('[1]', 'e', 'room')")
        opcode, data = client.raw.read_frame()
    assert (opcode, data[0], data[4], data[-3:]) == (2, 4, 1, b"[1]")


def test_bytes_reach_version_2_alone(served: RealtimeServer, dsn: str) -> None:
    with insider(served) as two, insider(served, vsn="1.0.0") as one:
        send(dsn, r"select realtime.send_binary('\x00ff5c27', 'bytes', 'room')", END)
        assert events(two) == [("bytes", b"\x00\xff\x5c\x27")]
        assert events(one) == []


def test_public_and_private_never_meet(served: RealtimeServer, dsn: str) -> None:
    with insider(served) as private, insider(served, private=False) as public:
        send(
            dsn,
            "select realtime.send('1', 'public', 'room', false)",
            "select realtime.send('2', 'private', 'room', true)",
            emitting('{"topic": "room", "event": "public", "payload": 3, "private": false}'),
            emitting('{"topic": "room", "event": "private", "payload": 4}'),
            "select realtime.send('0', 'end', 'room', p) from (values (true), (false)) v (p)",
        )
        assert events(private) == [("private", 2), ("private", 4)]
        assert events(public) == [("public", 1), ("public", 3)]


def test_a_changed_row_is_announced_by_a_trigger(served: RealtimeServer, dsn: str) -> None:
    with insider(served) as client:
        send(dsn, "insert into orders values (1, 'room')", "update orders set id = 2", "delete from orders", END)
        heard = events(client)
    assert [(event, body["operation"]) for event, body in heard] == [(op, op) for op in ("INSERT", "UPDATE", "DELETE")]
    assert [(body["record"], body["old_record"]) for _, body in heard] == [
        ({"id": 1, "room": "room"}, None),
        ({"id": 2, "room": "room"}, {"id": 1, "room": "room"}),
        (None, {"id": 2, "room": "room"}),
    ]


def test_nothing_leaves_before_the_commit_and_nothing_after_a_rollback(served: RealtimeServer, dsn: str) -> None:
    with insider(served) as client, psycopg.connect(dsn) as slow:
        slow.execute("select realtime.send('1', 'slow', 'room')")
        send(
            dsn, "select realtime.send('2', 'undone', 'room')", emitting('{"topic":"room","event":"u"}'), rollback=True
        )
        send(
            dsn,
            "savepoint s",
            "select realtime.send('3', 'undone', 'room')",
            "rollback to s",
            "select realtime.send('4', 'quick', 'room')",
        )
        slow.commit()
        send(dsn, END)
        assert events(client) == [("quick", 4), ("slow", 1)]


def test_messages_of_a_transaction_keep_their_order(served: RealtimeServer, dsn: str) -> None:
    """Also when there are more of them than are sent in one turn, and in whichever way they were made."""
    with insider(served) as client:
        send(
            dsn,
            "select realtime.send(to_jsonb(n), 'row', 'room') from generate_series(1, 120) n",
            emitting('{"topic": "room", "event": "row", "payload": 121}'),
            "select realtime.send(to_jsonb(n), 'row', 'room') from generate_series(122, 300) n",
        )
        send(dsn, END)
        assert [body for _, body in events(client)] == list(range(1, 301))


def test_what_is_no_broadcast_is_left_alone(served: RealtimeServer, dsn: str) -> None:
    with insider(served) as client:
        before = counts(served)
        send(
            dsn,
            "insert into realtime.messages (topic, extension, event, private) values ('room', 'presence', 'e', true)",
            "insert into realtime.messages (topic, extension, event, private, skip_broadcast)"
            " values ('room', 'broadcast', 'e', true, true)",
            "insert into realtime.messages (topic, extension, event, private)"
            " values ('room', 'broadcast', 'no body', true)",
            "update realtime.messages set event = 'again' where event = 'no body'",
            'select pg_logical_emit_message(true, \'somebody else\', \'{"topic": "room", "event": "e"}\')',
            'select pg_logical_emit_message(false, \'tidewire\', \'{"topic": "room", "event": "e"}\')',
            "delete from realtime.messages",
            END,
        )
        assert events(client) == [("no body", None)]
        assert counts(served) == before


@pytest.mark.parametrize(
    "statement",
    [
        emitting("{"),
        emitting('{"topic": "room"}'),
        emitting('{"topic": 5, "event": "e"}'),
        emitting('{"topic": "", "event": "e"}'),
        emitting("[" * 5000),
        "select pg_logical_emit_message(true, 'tidewire', '\\xff00'::bytea)",
        "insert into realtime.messages (topic, extension, private) values ('room', 'broadcast', true)",
    ],
)
def test_what_cannot_be_read_is_counted_and_the_rest_goes_on(served: RealtimeServer, dsn: str, statement: str) -> None:
    with insider(served) as client:
        before = counts(served).get("broadcasts_malformed", 0)
        send(dsn, statement, END)
        assert events(client) == []
        assert counts(served)["broadcasts_malformed"] == before + 1


def test_what_is_too_large_is_counted_and_the_rest_goes_on(served: RealtimeServer, dsn: str) -> None:
    with insider(served) as client:
        before = counts(served).get("limit_payload", 0)
        send(dsn, "select realtime.send(to_jsonb(repeat('x', 2000)), 'large', 'room')", END)
        assert events(client) == []
        assert counts(served)["limit_payload"] == before + 1


def counts(served: RealtimeServer) -> dict[str, float]:
    lines = served.get("/metrics").body.decode().splitlines()
    found = [line.removeprefix('tidewire_events_total{event="') for line in lines if line.startswith("tidewire_events")]
    return {name: float(value) for name, value in (line.split('"} ') for line in found)}


def test_policies_decide_who_may_send_from_the_database(served: RealtimeServer, dsn: str) -> None:
    with insider(served, "realtime:open") as client:
        send(
            dsn,
            "set local role authenticated",
            "select realtime.send('1', 'allowed', 'open')",
            "select realtime.send('2', 'refused', 'room')",
        )
        assert client.receive()["payload"]["event"] == "allowed"
    with insider(served) as client:
        send(dsn, END)
        assert events(client) == []


def test_a_client_is_told_when_broadcasts_flow(served: RealtimeServer) -> None:
    with served.connect(apikey=token("authenticated")) as client:
        client.join(ROOM, private=True, broadcast={"replication_ready": True})
        assert client.receive("system")["payload"] == {
            "channel": "room",
            "extension": "system",
            "message": "Replication connection established",
            "status": "ok",
        }


def test_messages_are_no_row_changes_for_those_whom_policies_bind(served: RealtimeServer, dsn: str) -> None:
    """Not even when a policy lets them read every message: to read a topic, one joins it."""
    everything = {"postgres_changes": [{"event": "*", "schema": "*", "table": "*"}]}
    with (
        served.connect() as anonymous,
        served.connect(apikey=token("authenticated")) as bound,
        served.connect(apikey=token("service_role")) as free,
    ):
        for client in (anonymous, bound, free):
            client.join("realtime:rows", **everything)
        send(dsn, "select realtime.send('1', 'e', 'secret')", "insert into markers values (1)", "delete from markers")
        tables = {
            client: client.receive("postgres_changes")["payload"]["data"]["table"] for client in (anonymous, bound)
        }
        assert set(tables.values()) == {"markers"}
        assert free.receive("postgres_changes")["payload"]["data"]["table"] == "messages"
        bound.join("realtime:named", postgres_changes=[{"event": "*", "schema": "realtime", "table": "messages"}])
        assert "row-level security" in bound.receive("system")["payload"]["message"]
