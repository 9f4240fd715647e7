"""Private channels: policies on realtime.messages say who may read and write, in words that clients know."""

import asyncio
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from structlog.testing import capture_logs

from tests.support.log import execute, fetch
from tests.support.postgres import MakeLogin, fresh_migrated_database
from tests.support.server import RealtimeServer, SocketClient, realtime, token
from tests.support.tables import open_pool, role_of
from tests.support.tokens import NOW_S
from tidewire.model.claims import Claims
from tidewire.model.errors import MissingPrivilege, PoolExhausted, QueryCanceled
from tidewire.ports import ChannelReads, Extension
from tidewire.postgres.channel_policies import PostgresChannelPolicies
from tidewire.postgres.embedded import EmbeddedPostgres

ADA, BOB = str(uuid.uuid4()), str(uuid.uuid4())
NOTHING = ChannelReads(broadcasts=False, presence=False)
POLICIES = (
    "create table public.members (room text, id uuid)",
    "grant select on public.members to authenticated",
    """create function public.complain() returns boolean language plpgsql as $$
       begin raise exception 'a secret of the row'; end $$""",
    # Sequences do not go back: this counts how often a policy was asked, though nothing else remains.
    "create sequence public.asked",
    "grant usage on sequence public.asked to authenticated",
    """create policy "own room" on realtime.messages to authenticated
       using (realtime.topic() = 'room-' || auth.uid()) with check (realtime.topic() = 'room-' || auth.uid())""",
    """create policy "topics" on realtime.messages for select to authenticated using (case realtime.topic()
         when 'read-only' then extension = 'broadcast'
         when 'presence-only' then extension = 'presence'
         when 'hall' then true
         when 'half-broken' then extension = 'broadcast' or public.complain()
         when 'broken' then public.complain()
         when 'broken-write' then true
         when 'slow' then pg_sleep(30) is not null
         when 'counted' then nextval('public.asked') > 0
         else exists (select from public.members as m where m.room = realtime.topic() and m.id = auth.uid()) end)""",
    """create policy "topics, writing" on realtime.messages for insert to authenticated
       with check (case realtime.topic()
         when 'write-only' then true
         when 'presence-only' then extension = 'presence'
         when 'hall' then extension = 'broadcast'
         when 'broken-write' then public.complain()
         when 'counted' then nextval('public.asked') > 0
         else exists (select from public.members as m where m.room = realtime.topic() and m.id = auth.uid()) end)""",
)


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(made, *POLICIES, "select realtime.tidewire_open_today()")
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, token_interval_s=0.001) as running:
        yield running


def user(subject: str = ADA, **claims: Any) -> str:
    return token("authenticated", sub=subject, **claims)


def connect(served: RealtimeServer, subject: str = ADA, **claims: Any) -> SocketClient:
    return served.connect(apikey=user(subject, **claims))


def insider(served: RealtimeServer) -> SocketClient:
    return served.connect(apikey=token("service_role"))


def refusal(client: SocketClient, topic: str, **config: Any) -> str:
    """Ask to join, and return why not."""
    client.push(f"realtime:{topic}", "phx_join", {"config": {"private": True, **config}})
    reply = client.receive("phx_reply")["payload"]
    assert reply["status"] == "error", reply
    return cast("str", reply["response"]["reason"])


def unauthorized(topic: str) -> str:
    return f"Unauthorized: You do not have permissions to read from this Channel topic: {topic}"


def broadcast(client: SocketClient, topic: str, number: int) -> None:
    client.push(f"realtime:{topic}", "broadcast", {"type": "broadcast", "event": "e", "payload": {"n": number}})


def said(client: SocketClient, topic: str, number: int) -> dict[str, Any]:
    """Send a broadcast that wants an answer, and return that."""
    broadcast(client, topic, number)
    return cast("dict[str, Any]", client.receive("phx_reply")["payload"])


def track(client: SocketClient, topic: str) -> dict[str, Any]:
    client.push(f"realtime:{topic}", "presence", {"type": "presence", "event": "track", "payload": {"at": "desk"}})
    return cast("dict[str, Any]", client.receive("phx_reply")["payload"])


def number_of(message: dict[str, Any]) -> int:
    return cast("int", message["payload"]["payload"]["n"])


OK = {"status": "ok", "response": {}}
ACK = {"broadcast": {"ack": True}}


def denied(code: str) -> dict[str, Any]:
    return {"status": "error", "response": {"error": code}}


# --- joining -----------------------------------------------------------------------------------------------


def test_whoever_the_policy_names_gets_in_and_nobody_else(served: RealtimeServer) -> None:
    with connect(served) as ada, connect(served, BOB) as bob, served.connect() as anonymous:
        ada.join(f"realtime:room-{ADA}", private=True)
        for other in (bob, anonymous):
            assert refusal(other, f"room-{ADA}") == unauthorized(f"room-{ADA}")
        broadcast(ada, f"room-{ADA}", 1)
        bob.join(f"realtime:room-{ADA}")  # the public topic of that name is another one
        assert said_nothing(bob)


def said_nothing(client: SocketClient) -> bool:
    """Say whether an answer comes before anything else."""
    client.push("phoenix", "heartbeat", {})
    return bool(client.receive()["event"] == "phx_reply")


def test_a_role_that_is_not_there_gets_nowhere(served: RealtimeServer) -> None:
    for role in ("nobody_at_all", "Authenticated", "x" * 63):
        with served.connect(apikey=token(role, sub=ADA)) as client:
            assert refusal(client, "hall") == unauthorized("hall")


@pytest.mark.parametrize("topic", ["a\0b", "' or true --", '"; reset role; --', "ü" * 100])
def test_any_topic_may_be_asked_for(served: RealtimeServer, topic: str) -> None:
    with connect(served) as client:
        assert refusal(client, topic) == unauthorized(topic)
        client.join("realtime:hall", private=True)


def test_a_policy_that_fails_lets_nobody_in_and_the_others_go_on(served: RealtimeServer) -> None:
    with connect(served) as client:
        assert refusal(client, "broken") == unauthorized("broken")
        client.join("realtime:half-broken", private=True, presence={"enabled": True})
        client.join("realtime:hall", private=True)


@pytest.mark.timeout(60)
def test_a_slow_policy_is_stopped_and_others_do_not_wait_for_it(served: RealtimeServer) -> None:
    with connect(served) as slow, connect(served, BOB) as quick:
        slow.push("realtime:slow", "phx_join", {"config": {"private": True}})
        quick.join("realtime:hall", private=True)
        reply = slow.receive("phx_reply")["payload"]["response"]
        assert reply == {"reason": "QueryCanceled: Query was cancelled, please try again"}


def test_when_only_private_channels_are_allowed(dsn: str) -> None:
    with realtime(dsn, slot="private_only", private_only=True) as served, connect(served) as client:
        assert refusal(client, "hall", private=False) == "PrivateOnly: This project only allows private channels"
        client.join("realtime:hall", private=True)


# --- reading -----------------------------------------------------------------------------------------------


def test_broadcasts_and_presence_have_policies_of_their_own(served: RealtimeServer) -> None:
    watching = {"private": True, "presence": {"enabled": True}}
    with connect(served) as listener, connect(served) as watcher, insider(served) as speaker:
        listener.join("realtime:read-only", **watching)
        watcher.join("realtime:presence-only", **watching)
        assert watcher.receive()["event"] == "presence_state"
        for topic in ("read-only", "presence-only"):
            speaker.join(f"realtime:{topic}", private=True)
            broadcast(speaker, topic, 1)
            track(speaker, topic)
        assert (listener.receive()["event"], said_nothing(listener)) == ("broadcast", True)
        assert (watcher.receive()["event"], said_nothing(watcher)) == ("presence_diff", True)


def test_presence_that_is_off_is_not_asked_about(served: RealtimeServer) -> None:
    with connect(served) as client:
        assert refusal(client, "presence-only", presence={"enabled": False}) == unauthorized("presence-only")


# --- writing -----------------------------------------------------------------------------------------------


def test_whoever_may_only_read_reaches_nobody_and_is_told_if_it_asks(served: RealtimeServer) -> None:
    with connect(served) as client, connect(served, BOB) as mute, insider(served) as listener:
        client.join("realtime:read-only", private=True, **ACK)
        mute.join("realtime:read-only", private=True)
        listener.join("realtime:read-only", private=True)
        assert [said(client, "read-only", n) for n in range(3)] == [denied("unauthorized")] * 3
        broadcast(mute, "read-only", 1)
        assert track(mute, "read-only") == {"status": "error", "response": {}}
        assert (said_nothing(mute), said_nothing(listener)) == (True, True)


def test_messages_keep_their_order_while_the_first_waits_for_its_verdict(served: RealtimeServer) -> None:
    with connect(served) as client, insider(served) as listener:
        listener.join("realtime:hall", private=True)
        client.join("realtime:hall", private=True)
        for number in range(50):
            broadcast(client, "hall", number)
        assert [number_of(listener.receive()) for _ in range(50)] == list(range(50))


def test_who_may_write_is_answered_and_presence_needs_its_own_permission(served: RealtimeServer) -> None:
    with connect(served) as client:
        client.join("realtime:hall", private=True, **ACK)
        assert said(client, "hall", 1) == OK
        assert track(client, "hall") == {"status": "error", "response": {}}
        client.join("realtime:presence-only", private=True, presence={"enabled": True, "key": "ada"}, **ACK)
        assert said(client, "presence-only", 1) == denied("unauthorized")
        assert track(client, "presence-only") == OK


def test_a_track_turns_presence_on_for_those_who_may_see_it(served: RealtimeServer) -> None:
    with connect(served) as client:
        client.join(f"realtime:room-{ADA}", private=True)
        assert track(client, f"room-{ADA}") == OK
        assert client.receive("presence_state")["payload"]


def test_a_policy_that_fails_refuses_the_message(served: RealtimeServer) -> None:
    with connect(served) as client:
        client.join("realtime:broken-write", private=True, **ACK)
        assert said(client, "broken-write", 1) == denied("rls_policy_error")


def test_nothing_of_all_this_remains(served: RealtimeServer, dsn: str) -> None:
    with connect(served) as client, insider(served) as listener:
        client.join("realtime:hall", private=True, **ACK)
        listener.join("realtime:hall", private=True, presence={"enabled": True})
        assert said(client, "hall", 1) == OK
        assert [listener.receive()["event"], listener.receive()["event"]] == ["presence_state", "broadcast"]
        assert said_nothing(listener)
    assert fetch(dsn, "select count(*) from realtime.messages") == 0


# --- changes of mind ---------------------------------------------------------------------------------------


def refresh(client: SocketClient, topic: str, new: str) -> None:
    client.push(f"realtime:{topic}", "access_token", {"access_token": new})


def test_a_new_token_is_judged_by_the_policies_of_its_time(served: RealtimeServer, dsn: str) -> None:
    execute(dsn, f"insert into members values ('leaving', '{ADA}')")
    with connect(served) as client:
        client.join("realtime:leaving", private=True)
        execute(dsn, "delete from members where room = 'leaving'")
        refresh(client, "leaving", user(round="2"))
        told = client.receive("system")["payload"]
        assert told["message"] == "You no longer have permission to read from this Channel topic: leaving"
        assert client.receive()["event"] == "phx_close"


def test_a_verdict_holds_until_there_is_a_new_token(served: RealtimeServer, dsn: str) -> None:
    with connect(served, BOB) as client:
        client.join("realtime:read-only", private=True, **ACK)
        assert said(client, "read-only", 1) == denied("unauthorized")
        execute(dsn, f"insert into members values ('read-only', '{BOB}')")
        try:
            assert said(client, "read-only", 2) == denied("unauthorized")
            refresh(client, "read-only", user(BOB, round="2"))
            answers = (said(client, "read-only", number) for number in range(1000))
            assert next(answer for answer in answers if answer == OK)  # as soon as the token is looked at
        finally:
            execute(dsn, "delete from members where room = 'read-only'")


# --- over HTTP ---------------------------------------------------------------------------------------------


def test_a_batch_leaves_out_what_may_not_be_written(served: RealtimeServer) -> None:
    with insider(served) as listener:
        for topic in ("read-only", "hall", "write-only"):
            listener.join(f"realtime:{topic}", private=True)
        messages = [
            {"topic": topic, "event": "e", "payload": {"n": number}, "private": True}
            for number, topic in enumerate(("read-only", "hall", "write-only", "read-only", "hall"))
        ]
        answer = served.post("/api/broadcast", {"messages": messages}, authorization=f"Bearer {user()}")
        assert (answer.status, answer.body) == (202, b"")
        assert [number_of(listener.receive()) for _ in range(3)] == [1, 2, 4]
        assert said_nothing(listener)


def test_a_single_message_is_refused_aloud(served: RealtimeServer) -> None:
    with insider(served) as listener:
        listener.join("realtime:hall", private=True)
        for topic, status in (("read-only", 403), ("broken-write", 403), ("hall", 202)):
            path = f"/api/broadcast/{topic}/events/e?private=true"
            answer = served.post(path, {"n": 1}, authorization=f"Bearer {user()}")
            assert answer.status == status, topic
        assert number_of(listener.receive()) == 1


def test_a_batch_may_name_only_so_many_private_topics(served: RealtimeServer) -> None:
    messages = [{"topic": f"t{n}", "event": "e", "payload": {}, "private": True} for n in range(101)]
    answer = served.post("/api/broadcast", {"messages": messages}, authorization=f"Bearer {user()}")
    assert (answer.status, "reduce the batch size" in answer.json["message"]) == (429, True)


# --- the explanation -------------------------------------------------------------------------------------


async def test_the_examples_of_the_explanation_run_and_say_what_it_says(any_migrated_database: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "explain" / "private-channels.md").read_text()
    for block in re.findall(r"^```sql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        execute(any_migrated_database, block)
    member = "7f3c1c1e-53b4-4a43-8f2c-0d4d6c4e9c11"
    async with open_pool(any_migrated_database) as pool:
        policies = PostgresChannelPolicies(pool)
        for subject, topic, may_read, refusals in (
            (member, "room-7", True, (None, "unauthorized")),
            (member, f"room-{member}", True, (None, None)),
            (ADA, "room-7", False, ("unauthorized", "unauthorized")),
        ):
            asker = claims(subject=subject)
            reads = await policies.read(asker, topic, presence=True)
            assert reads == ChannelReads(broadcasts=may_read, presence=may_read)
            both: tuple[Extension, ...] = ("broadcast", "presence")
            found = [await policies.write(asker, topic, extension) for extension in both]
            assert tuple(found) == refusals


# --- the database ------------------------------------------------------------------------------------------


def test_without_todays_partition_everybody_is_told_so(any_migrated_database: str) -> None:
    execute(any_migrated_database, *POLICIES, "select realtime.tidewire_open_today()")
    with realtime(any_migrated_database, slot="partitions") as served, connect(served) as client:
        client.join("realtime:hall", private=True, **ACK)
        partitions = fetch(
            any_migrated_database,
            "select string_agg(inhrelid::regclass::text, ', ') from pg_inherits"
            " where inhparent = 'realtime.messages'::regclass",
        )
        execute(any_migrated_database, f"drop table {partitions}")
        assert said(client, "hall", 1) == denied("missing_partition")
        expected = "MissingPartition: Realtime was unable to find the expected messages partition"
        assert refusal(client, "read-only") == expected
        path = "/api/broadcast/write-only/events/e?private=true"
        assert served.post(path, {"n": 1}, authorization=f"Bearer {user()}").status == 503
        execute(any_migrated_database, "select realtime.tidewire_open_today()")
        assert said(client, "hall", 1) == OK


def claims(role: str = "authenticated", subject: str = ADA, **values: Any) -> Claims:
    return Claims(role, subject, NOW_S + 60, {"role": role, "sub": subject, **values})


async def test_many_who_ask_the_same_are_one_question(dsn: str) -> None:
    async with open_pool(dsn) as pool:
        policies = PostgresChannelPolicies(pool)
        before = fetch(dsn, "select last_value from public.asked")
        for _ in range(3):
            answers = await asyncio.gather(*(policies.read(claims(), "counted", presence=False) for _ in range(50)))
            assert set(answers) == {ChannelReads(broadcasts=True, presence=False)}
        for _ in range(3):
            assert await policies.write(claims(), "counted", "broadcast") is None
        assert fetch(dsn, "select last_value from public.asked") <= before + 2
        await policies.read(claims(exp=5), "counted", presence=False)  # another token
        assert fetch(dsn, "select last_value from public.asked") <= before + 3


async def test_an_answer_is_believed_only_for_a_while(dsn: str) -> None:
    async with open_pool(dsn) as pool:
        policies = PostgresChannelPolicies(pool, ttl_s=0.0)
        assert await policies.read(claims(), "later", presence=True) == NOTHING
        execute(dsn, f"insert into members values ('later', '{ADA}')")
        assert await policies.read(claims(), "later", presence=True) == ChannelReads(broadcasts=True, presence=True)


async def test_policies_see_the_claims_and_the_topic_and_no_other_role(dsn: str) -> None:
    execute(
        dsn,
        """create policy "looks around" on realtime.messages for insert to anon with check (
             realtime.topic() = 'mirror' and topic = 'mirror' and private and current_user = 'anon'
             and auth.jwt() -> 'app' ->> 'tenant' = 'a''b' and auth.uid() is null and auth.role() = 'anon'
             and current_setting('request.headers') = '{}')""",
    )
    async with open_pool(dsn, size=1) as pool:
        policies = PostgresChannelPolicies(pool, ttl_s=0.0)
        asker = Claims("anon", None, NOW_S, {"role": "anon", "app": {"tenant": "a'b"}})
        assert await policies.write(asker, "mirror", "broadcast") is None
        assert await policies.write(asker, "other", "broadcast") == "unauthorized"
        query: Any = "select current_user = session_user, current_setting('request.jwt.claims', true)"
        ((unchanged, left),) = await pool.fetch("looking", query, {})
        assert (unchanged, left) in {(True, None), (True, "")}


async def test_a_failing_policy_is_reported_without_its_words(dsn: str) -> None:
    async with open_pool(dsn) as pool:
        policies = PostgresChannelPolicies(pool)
        with capture_logs() as logs:
            found = await policies.read(claims(), "half-broken", presence=True)
            assert found == ChannelReads(broadcasts=True, presence=False)
            assert await policies.write(claims(), "broken-write", "presence") == "rls_policy_error"
    assert [(each["event"], each["action"], each["extension"], each["sqlstate"]) for each in logs] == [
        ("policy_failed", "read", "presence", "P0001"),
        ("policy_failed", "write", "presence", "P0001"),
    ]
    assert "secret" not in str(logs)


@pytest.mark.timeout(60)
async def test_slow_policies_hold_only_so_many_connections_and_the_rest_is_told(dsn: str) -> None:
    async with open_pool(dsn, size=2) as pool:
        policies = PostgresChannelPolicies(pool, timeout_s=1.0, at_once=1, wait_s=0.1)
        asked = [policies.read(claims(n=n), "slow", presence=False) for n in range(3)]
        answers = await asyncio.gather(*asked, pool.fetch("asking", "select 1", {}), return_exceptions=True)
    assert [type(answer) for answer in answers] == [QueryCanceled, PoolExhausted, PoolExhausted, list]


async def test_a_server_role_without_the_rights_is_told_what_to_grant(dsn: str, make_login: MakeLogin) -> None:
    login = make_login(dsn)
    async with open_pool(login) as pool:
        policies = PostgresChannelPolicies(pool)
        with pytest.raises(MissingPrivilege) as schema:
            await policies.read(claims(), "hall", presence=False)
        with pytest.raises(MissingPrivilege) as role:
            await policies.write(claims(), "hall", "broadcast")
    assert "act as role authenticated" in role.value.message
    assert "supabase_realtime_admin" in schema.value.hint
    execute(dsn, f"grant supabase_realtime_admin, authenticated to {role_of(login)}")
    async with open_pool(login) as pool:
        policies = PostgresChannelPolicies(pool)
        both = ChannelReads(broadcasts=True, presence=True)
        assert await policies.read(claims(), "hall", presence=True) == both
        assert await policies.write(claims(), "hall", "broadcast") is None
        assert await policies.write(claims(), "read-only", "broadcast") == "unauthorized"


async def test_the_log_says_nothing_of_what_was_tried(dsn: str) -> None:
    query = """select count(*) from pg_logical_slot_get_binary_changes('looks', null, null, 'proto_version', '1',
               'publication_names', 'supabase_realtime_messages_publication')"""
    async with open_pool(dsn) as pool:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute("select pg_create_logical_replication_slot('looks', 'pgoutput', true)")
            await PostgresChannelPolicies(pool).read(claims(), "hall", presence=True)
            assert admin.execute(query).fetchone() == (0,)
            admin.execute("select realtime.send('{}', 'e', 'nobody is here')")
            assert admin.execute(query).fetchone() > (0,)  # type: ignore[operator]  # a count is always one row
            admin.execute("delete from realtime.messages")
