"""What `tidewire.publish` hands to a connection, and what it refuses before it touches one."""

import dataclasses
import datetime as dt
import json
import uuid
from typing import Any

import pytest

from tidewire import publish
from tidewire.hub.database_broadcasts import read_emitted
from tidewire.model.errors import ConfigurationError


class Cursor:
    """The least that the DB-API asks of one."""

    def __init__(self, ran: list[tuple[str, tuple[str, ...]]]) -> None:
        self.ran = ran
        self.closed = False

    def execute(self, statement: str, parameters: tuple[str, ...]) -> None:
        assert not self.closed
        self.ran.append((statement, parameters))

    def close(self) -> None:
        self.closed = True


class Connection:
    def __init__(self) -> None:
        self.ran: list[tuple[str, tuple[str, ...]]] = []
        self.made: list[Cursor] = []

    def cursor(self) -> Cursor:
        self.made.append(Cursor(self.ran))
        return self.made[-1]


class Pool(Connection):
    def acquire(self) -> Connection:
        return self


@dataclasses.dataclass
class Booking:
    id: uuid.UUID
    on: dt.date


def test_it_is_one_statement_whose_content_is_a_parameter() -> None:
    connection = Connection()
    publish(connection, "room'; drop table x", "e", {"n": 1})
    ((statement, (content,)),) = connection.ran
    assert statement == "select pg_catalog.pg_logical_emit_message(true, 'tidewire', cast(%s as text))"
    expected = {"topic": "room'; drop table x", "event": "e", "payload": {"n": 1}, "private": True}
    assert json.loads(content) == expected
    assert [cursor.closed for cursor in connection.made] == [True]


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (None, "null"),
        ({"a": [1, 2.5, True, None]}, '{"a":[1,2.5,true,null]}'),
        ("a\0b", '"a\\u0000b"'),
        (12345678901234567890123, "12345678901234567890123"),
        (Booking(uuid.UUID(int=1), dt.date(2026, 11, 21)), f'{{"id":"{uuid.UUID(int=1)}","on":"2026-11-21"}}'),
    ],
    ids=repr,
)
def test_the_server_reads_what_was_meant(payload: object, body: str) -> None:
    connection = Connection()
    publish(connection, "room", "e", payload, private=False)
    found = read_emitted(connection.ran[0][1][0].encode())
    assert (found.subtopic, found.private, found.message.event) == ("room", False, "e")
    assert found.message.payload.decode() == body
    assert "\0" not in connection.ran[0][1][0], "no text of Postgres can hold it"


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "payload", [object(), {("secret", 2): 1}, "secret \ud800", nested(100_000)], ids=lambda value: type(value).__name__
)
def test_a_payload_that_is_no_json_is_refused_without_repeating_it(payload: object) -> None:
    connection = Connection()
    with pytest.raises(ConfigurationError, match="expected a payload that JSON can express") as caught:
        publish(connection, "room", "e", payload)
    assert (connection.ran, type(payload).__name__ in str(caught.value)) == ([], True)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("topic", "event"), [("", "e"), ("room", ""), (None, "e"), ("room", 5)])
def test_a_topic_and_an_event_are_needed(topic: Any, event: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a topic and an event"):
        publish(Connection(), topic, event)


@pytest.mark.parametrize("connection", [None, "postgresql://", object(), Pool()], ids=lambda each: type(each).__name__)
def test_what_is_no_connection_is_refused(connection: object) -> None:
    with pytest.raises(ConfigurationError, match=f"got a {type(connection).__name__} .*not a pool"):
        publish(connection, "room", "e")
