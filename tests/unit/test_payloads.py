"""What the server says, exactly as clients compare it, and what clients ask of broadcast, presence and tokens."""

import json
from typing import Any

import pytest

from tidewire.model.errors import DecodeError
from tidewire.model.reasons import SUBSCRIBED, UNMATCHED_TOPIC
from tidewire.wire import payloads
from tidewire.wire.requests import (
    Persist,
    PresenceCall,
    read_access_token,
    read_broadcast_event,
    read_persist,
    read_persist_query,
    read_presence,
    usable_token,
)


def test_replies() -> None:
    assert payloads.OK == payloads.reply("ok") == b'{"status":"ok","response":{}}'
    assert payloads.reply("error") == b'{"status":"error","response":{}}'
    assert payloads.refusal(UNMATCHED_TOPIC.join_text) == b'{"status":"error","response":{"reason":"unmatched topic"}}'
    assert payloads.failure("unauthorized") == b'{"status":"error","response":{"error":"unauthorized"}}'


def test_a_join_reply_always_lists_bindings() -> None:
    assert payloads.join_reply([]) == b'{"status":"ok","response":{"postgres_changes":[]}}'


@pytest.mark.parametrize(
    ("raw", "echoed"),
    [
        (b'{"event":"*","schema":"public"}', b'{"event":"*","schema":"public","id":7}'),
        (b'{ "filter" : "a=eq.\\u0031" , "n":1.0 }', b'{ "filter" : "a=eq.\\u0031" , "n":1.0 ,"id":7}'),
        (b"{}", b'{"id":7}'),
        (b"{ }", b'{ "id":7}'),
        (b'{"select":["a","}"],"event":"}"}', b'{"select":["a","}"],"event":"}","id":7}'),
    ],
)
def test_a_binding_is_echoed_unchanged_with_its_id(raw: bytes, echoed: bytes) -> None:
    reply = payloads.join_reply([(raw, 7), (raw, 8)])
    assert reply == b'{"status":"ok","response":{"postgres_changes":[%b,%b]}}' % (
        echoed,
        echoed.replace(b'"id":7', b'"id":8'),
    )


@pytest.mark.parametrize("raw", [b'{"id":0,"event":"*"}', b'{"event":"*","\\u0069d":null}', b'{"id":1,"id":2}'])
def test_an_id_from_the_client_gives_way_to_ours(raw: bytes) -> None:
    reply = payloads.join_reply([(raw, 7)])
    _, (_, response) = json.loads(reply, object_pairs_hook=list)
    ((_, (binding,)),) = response
    assert [value for name, value in binding if name == "id"] == [7]


def test_a_join_reply_tells_where_the_channel_starts_when_asked() -> None:
    reply = payloads.join_reply([], position="e.1.2", recovered=False, reason="history begins later")
    assert json.loads(reply)["response"] == {
        "postgres_changes": [],
        "position": "e.1.2",
        "recovered": False,
        "reason": "history begins later",
    }


def test_a_system_message() -> None:
    written = payloads.system(channel="room:7", extension="postgres_changes", status="ok", message=SUBSCRIBED)
    assert written == (
        b'{"channel":"room:7","extension":"postgres_changes","message":"Subscribed to PostgreSQL","status":"ok"}'
    )


def data(**changed: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "schema": "public",
        "table": "todos",
        "operation": "UPDATE",
        "commit_timestamp": "2026-10-01T09:00:00.123Z",
        "columns": payloads.change_columns([("id", "int4"), ('ti"tle', "text")]),
    }
    found: dict[str, Any] = json.loads(payloads.change(ids=[93211, 17], data=payloads.change_data(**(parts | changed))))
    assert found["ids"] == [93211, 17]
    assert list(found) == ["ids", "data"]
    body: dict[str, Any] = found["data"]
    return body


def test_a_change_carries_everything_that_clients_read() -> None:
    assert data(record='{"id":5}', old_record='{"id":4}') == {
        "schema": "public",
        "table": "todos",
        "type": "UPDATE",
        "commit_timestamp": "2026-10-01T09:00:00.123Z",
        "columns": [{"name": "id", "type": "int4"}, {"name": 'ti"tle', "type": "text"}],
        "record": {"id": 5},
        "old_record": {"id": 4},
        "errors": None,
    }


def test_records_are_absent_rather_than_null() -> None:
    assert "old_record" not in data(operation="INSERT", record="{}")
    assert "record" not in data(operation="DELETE", old_record="{}")
    assert not {"record", "old_record", "position", "moved"} & set(data(operation="TRUNCATE"))


def test_records_are_spliced_in_as_they_are() -> None:
    record = '{"n":1.5000,"big":12345678901234567890123,"s":"\\u00fc"}'
    written = payloads.change_data(
        schema="s", table="t", operation="INSERT", commit_timestamp="x", columns=b"[]", record=record
    )
    assert record.encode() in written


def test_errors_and_extensions_of_a_change() -> None:
    found = data(errors=["Error 413: Payload Too Large"], position="e.1.2", moved="out")
    assert found["errors"] == ["Error 413: Payload Too Large"]
    assert (found["position"], found["moved"]) == ("e.1.2", "out")


def test_presence() -> None:
    meta, other = b'{"phx_ref":"a","status":"away"}', b'{"phx_ref":"b"}'
    assert payloads.presence_state({}) == b"{}"
    assert payloads.presence_state({'u"1': [meta, other]}) == b'{"u\\"1":{"metas":[%b,%b]}}' % (meta, other)
    assert payloads.presence_diff({"u": [meta]}, {}) == b'{"joins":{"u":{"metas":[%b]}},"leaves":{}}' % meta
    assert payloads.presence_diff({}, {"u": [meta]}) == b'{"joins":{},"leaves":{"u":{"metas":[%b]}}}' % meta


@pytest.mark.parametrize(
    ("payload", "call"),
    [
        (b'{"type":"presence","event":"track","payload":{"a":1.0}}', PresenceCall("track", b'{"a":1.0}')),
        (b'{"event":"TRACK","payload":{}}', PresenceCall("track", b"{}")),
        (b'{"event":"Untrack"}', PresenceCall("untrack", b"{}")),
        (b'{"event":"track"}', PresenceCall("track", b"{}")),
        (b'{"event":"track","payload":[1]}', PresenceCall("track", None)),
        (b'{"event":"track","payload":null}', PresenceCall("track", None)),
        (b'{"event":"dance","payload":{}}', PresenceCall("unknown", b"{}")),
        (b'{"event":1e999}', PresenceCall("unknown", b"{}")),
        (b'{"event":["track"]}', PresenceCall("unknown", b"{}")),
        (b'{"event":null}', PresenceCall(None, b"{}")),
        (b"{}", PresenceCall(None, b"{}")),
    ],
)
def test_presence_calls(payload: bytes, call: PresenceCall) -> None:
    assert read_presence(payload) == call


def test_the_event_of_a_broadcast() -> None:
    assert read_broadcast_event(b'{"type":"broadcast","event":"hi","payload":{},"more":1}') == "hi"
    assert read_broadcast_event(b'{"event":5}') is None
    assert read_broadcast_event(b"{}") is None


@pytest.mark.parametrize(
    ("meta", "persist"),
    [
        (b"", None),
        (b"{}", None),
        (b'{"persist":null,"other":1}', None),
        (b'{"persist":false}', None),
        (b'{"persist":true}', Persist()),
        (b'{"persist":{}}', Persist()),
        (b'{"persist":{"ttl":null}}', Persist()),
        (b'{"persist":{"ttl":1}}', Persist(1)),
        (b'{ "persist" : { "ttl" : 259200 } }', Persist(259_200)),
    ],
)
def test_whether_a_broadcast_is_to_be_kept(meta: bytes, persist: Persist | None) -> None:
    assert read_persist(meta) == persist


@pytest.mark.parametrize("ttl", ["0", "-1", "259201", "1.5", "60.0", "true", '"60"', "[60]", "1e999", "{}"])
def test_it_is_kept_for_some_seconds_or_refused(ttl: str) -> None:
    with pytest.raises(DecodeError):
        read_persist(b'{"persist":{"ttl":%b}}' % ttl.encode())


@pytest.mark.parametrize("meta", [b'{"persist":"true"}', b'{"persist":60}', b'{"persist":[]}', b"[]", b"{"])
def test_no_other_wish_to_keep_it_is_understood(meta: bytes) -> None:
    with pytest.raises(DecodeError):
        read_persist(meta)


@pytest.mark.parametrize(
    ("query", "persist"),
    [
        ({}, None),
        ({"persist": ""}, None),
        ({"persist": "false"}, None),
        ({"persist": "true"}, Persist()),
        ({"persist[ttl]": "60"}, Persist(60)),
        ({"persist": "true", "persist[ttl]": "259200"}, Persist(259_200)),
    ],
)
def test_over_http_it_is_asked_for_in_the_query(query: dict[str, str], persist: Persist | None) -> None:
    assert read_persist_query(query) == persist


@pytest.mark.parametrize(
    "query",
    [{"persist": "1"}, *({"persist[ttl]": ttl} for ttl in ("", "0", "259201", "1.5", "-1", "٣", "x", "9" * 5000))],
)
def test_an_odd_query_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(DecodeError):
        read_persist_query(query)


@pytest.mark.parametrize(
    ("payload", "token"),
    [
        (b'{"access_token":"a.b.c"}', "a.b.c"),
        (b'{"access_token":null}', None),
        (b'{"access_token":""}', None),
        (b'{"access_token":5}', None),
        (b'{"access_token":"sb_publishable_x"}', None),
        (b"{}", None),
    ],
)
def test_access_tokens(payload: bytes, token: str | None) -> None:
    assert read_access_token(payload) == token


def test_only_texts_are_tokens() -> None:
    assert [usable_token(value) for value in (None, 1, b"a", "", "sb_x", "x")] == [None, None, None, None, None, "x"]


@pytest.mark.parametrize("payload", [b"[]", b"null", b"", b'"x"', b"{", b'{"event":"\xff"}'])
def test_what_is_no_object_is_refused(payload: bytes) -> None:
    for read in (read_presence, read_broadcast_event, read_access_token):
        with pytest.raises(DecodeError):
            read(payload)
