"""Joins are read leniently, bindings keep the client's own words, and ids never change."""

import json
from typing import Any

import pytest

from tidewire.model.errors import DecodeError
from tidewire.model.reasons import SELECT_NOT_A_LIST, TOO_MANY_BINDINGS
from tidewire.wire.binding import MAX_BINDING_ID, Binding, binding_id, parse_binding
from tidewire.wire.join import MAX_BINDINGS, JoinRequest, Replay, parse_join


def join(payload: Any, subtopic: str = "room:7") -> JoinRequest:
    return parse_join(payload if isinstance(payload, bytes) else json.dumps(payload).encode(), subtopic=subtopic)


def binding(**params: Any) -> Binding:
    return parse_binding(json.dumps(params).encode())


def test_a_full_join() -> None:
    request = join(
        {
            "config": {
                "broadcast": {
                    "ack": True,
                    "self": True,
                    "replay": {"since": 1760000000000, "limit": 10},
                    "replication_ready": True,
                },
                "presence": {"key": "ann", "enabled": False},
                "postgres_changes": [{"event": "insert", "schema": "public", "table": "todos", "filter": "id=eq.5"}],
                "postgres_changes_options": {"wait": True, "timeout": 9000},
                "private": True,
            },
            "access_token": "a.b.c",
        }
    )
    assert request.bindings[0].event == "INSERT"
    assert request == JoinRequest(
        broadcast_ack=True,
        broadcast_self=True,
        replay=Replay(1760000000000, 10),
        replication_ready=True,
        presence_key="ann",
        presence_enabled=False,
        bindings=request.bindings,
        private=True,
        access_token="a.b.c",
        wait=True,
        wait_timeout_ms=9000,
    )


@pytest.mark.parametrize("config", [{}, None, [], "x", 5, {"broadcast": None, "presence": 1, "postgres_changes": {}}])
def test_everything_has_a_default(config: Any) -> None:
    assert join({"config": config}) == JoinRequest()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), ("true", True), ("TRUE", True), ("False", False), ("yes", False), (1, False), ([], False)],
)
def test_booleans_may_be_texts(value: Any, expected: bool) -> None:  # noqa: FBT001 - the expected value of a table
    request = join({"config": {"private": value, "broadcast": {"ack": value, "self": value}}})
    assert (request.private, request.broadcast_ack, request.broadcast_self) == (expected, expected, expected)


@pytest.mark.parametrize(
    ("presence", "enabled"),
    [
        ({}, True),
        ({"key": ""}, True),
        ({"enabled": None}, True),
        ({"enabled": 3}, True),
        ({"enabled": False}, False),
        ({"enabled": "FALSE"}, False),
        ({"enabled": "true"}, True),
    ],
)
def test_presence_is_on_unless_switched_off(presence: Any, enabled: bool) -> None:  # noqa: FBT001 - as above
    assert join({"config": {"presence": presence}}).presence_enabled is enabled


@pytest.mark.parametrize(
    ("key", "expected"), [("ann", "ann"), (5, "5"), (1.5, "1.5"), (None, ""), (True, ""), ([], ""), ("", "")]
)
def test_presence_keys_may_be_numbers(key: Any, expected: str) -> None:
    assert join({"config": {"presence": {"key": key}}}).presence_key == expected


@pytest.mark.parametrize(
    ("asked", "replay"),
    [
        (None, None),
        (False, None),
        ({"since": 5, "limit": 3}, Replay(5, 3)),
        ({"since": 5}, Replay(5, 25)),
        ({}, Replay(0, 25)),
        ({"since": 5, "limit": 1000}, Replay(5, 25)),
        ({"since": 5, "limit": -1}, Replay(5, 1)),
        ({"since": "5"}, Replay(valid=False)),
        ({"since": 5.5}, Replay(valid=False)),
        ({"since": True}, Replay(valid=False)),
        ({"since": -1}, Replay(valid=False)),
        ({"since": 10**30}, Replay(valid=False)),
        ({"since": 5, "limit": None}, Replay(valid=False)),
        (True, Replay(valid=False)),
        ("all", Replay(valid=False)),
    ],
)
def test_replay_is_two_whole_numbers(asked: Any, replay: Replay | None) -> None:
    assert join({"config": {"broadcast": {"replay": asked}}}).replay == replay


@pytest.mark.parametrize(
    ("timeout", "expected"), [(1, 1), (60_000, 20_000), (0, 15_000), (-5, 15_000), ("9", 15_000), (True, 15_000)]
)
def test_waiting_is_bounded(timeout: Any, expected: int) -> None:
    options = {"wait": "true", "timeout": timeout}
    request = join({"config": {"postgres_changes_options": options}})
    assert (request.wait, request.wait_timeout_ms) == (True, expected)


@pytest.mark.parametrize(
    ("payload", "token"),
    [
        ({"config": {}, "access_token": "a", "user_token": "b"}, "a"),
        ({"config": {}, "user_token": "b"}, "b"),
        ({"user_token": "b"}, "b"),
        ({"config": {}, "access_token": None, "user_token": "b"}, "b"),
        ({"config": {}, "access_token": "sb_publishable_x"}, None),
        ({"config": {}, "access_token": 7}, None),
    ],
)
def test_the_token_has_an_older_name(payload: Any, token: str | None) -> None:
    assert join(payload).access_token == token


def test_what_cannot_be_echoed_is_dropped_from_the_bindings() -> None:
    request = join({"config": {"postgres_changes": [None, {"table": "a"}, 5, "x", [], {"table": "b"}, None]}})
    assert [found.table for found in request.bindings] == ["a", "b"]


def test_a_join_cannot_ask_for_too_much() -> None:
    most = join({"config": {"postgres_changes": [{"table": "t"}] * MAX_BINDINGS + [None]}})
    assert (len(most.bindings), most.refusal) == (MAX_BINDINGS, None)
    more = join({"config": {"postgres_changes": [{"table": "t"}] * (MAX_BINDINGS + 1)}})
    assert (more.bindings, more.refusal) == ((), TOO_MANY_BINDINGS)


def test_a_binding_keeps_the_words_of_the_client() -> None:
    raw = b'{ "table":"t\\u0031", "extra":[1.0,{"event":1}] , "event" : "Update"}'
    request = join(b'{"config":{"postgres_changes":[ ' + raw + b" ]}}")
    assert request.bindings[0].raw == raw
    assert (request.bindings[0].table, request.bindings[0].event) == ("t1", "UPDATE")


def test_one_odd_value_does_not_spoil_the_others() -> None:
    request = join(b'{"config":{"private":1e999,"presence":{"key":1e999},"postgres_changes":[{"schema":1e999}]}}')
    assert (request.private, request.presence_key, request.bindings[0].schema) == (False, "", None)


@pytest.mark.parametrize(
    ("event", "expected"),
    [("insert", "INSERT"), ("*", "*"), ("Delete", "DELETE"), ("truncate", "*"), (None, "*"), (5, "*"), ("", "*")],
)
def test_unknown_events_are_all_events(event: Any, expected: str) -> None:
    assert binding(table="t", event=event).event == expected


@pytest.mark.parametrize(
    ("params", "target"),
    [
        ({"table": "t"}, ("public", "t")),
        ({"schema": "s"}, ("s", "*")),
        ({"schema": "S s", "table": "*"}, ("S s", "*")),
        ({"schema": "*"}, ("*", "*")),
        ({"schema": None, "table": ""}, None),
        ({"schema": 5, "table": ["t"]}, None),
        ({}, None),
    ],
)
def test_either_schema_or_table_is_enough(params: Any, target: tuple[str, str] | None) -> None:
    assert binding(**params).target == target


@pytest.mark.parametrize(
    ("text", "expected"),
    [("id=eq.5", "id=eq.5"), ("  ", ""), (None, ""), (5, "5"), (["id=eq.5"], '["id=eq.5"]'), (False, "false")],
)
def test_a_filter_of_the_wrong_type_does_not_vanish(text: Any, expected: str) -> None:
    found = binding(table="t", filter=text)
    assert found.filter == expected


@pytest.mark.parametrize(
    ("select", "columns", "refused"),
    [
        (None, None, False),
        ([], (), False),
        (["id", "title"], ("id", "title"), False),
        ("id,title", None, True),
        (["id", 5], None, True),
        ({}, None, True),
        (False, None, True),
    ],
)
def test_select_is_a_list_of_names(
    select: Any,
    columns: tuple[str, ...] | None,
    refused: bool,  # noqa: FBT001 - the expected value of a table
) -> None:
    found = binding(table="t", select=select)
    assert found.select == columns
    assert found.refusal == (SELECT_NOT_A_LIST if refused else None)


def test_our_own_keys() -> None:
    assert binding(table="t").after is None
    found = binding(table="t", after="e.1.2", moves=True, truncate="true")
    assert (found.after, found.moves, found.truncate) == ("e.1.2", True, True)
    assert binding(table="t", after=5).after == "5"


@pytest.mark.parametrize(
    ("subtopic", "target", "filter_text"),
    [
        ("public:todos:id=eq.5", ("public", "todos"), "id=eq.5"),
        ("public:todos:name=eq.a:b", ("public", "todos"), "name=eq.a:b"),
        ("public:todos", ("public", "todos"), ""),
        ("public", ("public", "*"), ""),
        ("*", ("*", "*"), ""),
    ],
)
def test_clients_without_a_config_name_the_table_in_the_topic(
    subtopic: str, target: tuple[str, str], filter_text: str
) -> None:
    request = join({}, subtopic)
    assert request.legacy
    assert request.presence_enabled
    (found,) = request.bindings
    assert (found.target, found.filter, found.event) == (target, filter_text, "*")


def test_a_config_ends_the_older_way() -> None:
    assert join({"config": {}}, "public:todos") == JoinRequest()
    assert join({}, "").bindings == join({}, "::").bindings == ()


@pytest.mark.parametrize("payload", [b"[]", b"null", b"", b"5", b"{", b'{"a":"\xff"}', b'{"config":' * 50_000])
def test_a_join_that_is_no_object_is_refused(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        join(payload)


def test_ids_are_the_same_for_ever() -> None:
    """Written down, because clients of two nodes or two releases must agree."""
    assert binding_id(b'{"event":"*","schema":"public","table":"todos","filter":"id=eq.5"}') == 97369518
    assert binding_id(b'{"event":"*","schema":"public"}') == 76659669


def test_ids_depend_on_the_wish_alone() -> None:
    raw = b'{"event":"INSERT","schema":"s","table":"t","filter":"a=eq.1","select":["a"]}'
    same = b'{"select" : ["a"],"filter":"a=eq.\\u0031","table":"t","schema":"s","event":"insert","after":"x","id":3}'
    assert binding_id(raw) == binding_id(same)
    changed = {"event": "DELETE", "schema": "x", "table": "x", "filter": "a=eq.2", "select": ["b"]}
    ids = {binding_id(json.dumps(json.loads(raw) | {key: value}).encode()) for key, value in changed.items()}
    assert len(ids | {binding_id(raw)}) == 6


def test_ids_are_positive_and_spread() -> None:
    ids = [binding(table=f"t{number}").id for number in range(2000)]
    assert all(1 <= found <= MAX_BINDING_ID for found in ids)
    assert len(set(ids)) == 2000
