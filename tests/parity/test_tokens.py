"""Tokens that are fresh, renewed, expired or forged, and what their bearers hear of it."""

import time

import pytest

from tests.parity.clients import JAVASCRIPT, Connect
from tests.parity.serving import token
from tests.parity.tables import Database, Table
from tests.support.tokens import OTHER_SECRET
from tests.support.waiting import wait_until

SUBSCRIBED = "Subscribed to PostgreSQL"


def test_an_expired_token_does_not_join(connect: Connect, topic: str) -> None:
    error = connect(token=token(lifetime_s=-5)).channel(topic).subscribe(expect="CHANNEL_ERROR")
    assert "InvalidJWTToken: Token has expired " in error
    assert " seconds ago" in error


def test_a_forged_token_does_not_join(connect: Connect, topic: str) -> None:
    error = connect(token=token(secret=OTHER_SECRET)).channel(topic).subscribe(expect="CHANNEL_ERROR")
    assert "JwtSignatureError: Failed to validate JWT signature" in error


def test_something_else_than_a_token_does_not_join(connect: Connect, topic: str) -> None:
    error = connect(token="not.a.token").channel(topic).subscribe(expect="CHANNEL_ERROR")
    assert "MalformedJWT: The token provided is not a valid JWT" in error


@pytest.mark.parametrize("kind", JAVASCRIPT)
def test_a_channel_ends_with_its_token(connect: Connect, topic: str) -> None:
    channel = connect(token=token(lifetime_s=3)).channel(topic)
    channel.subscribe()
    message = channel.system("error")
    assert message.startswith("Token has expired "), message
    channel.status("CLOSED")


@pytest.mark.parametrize("kind", ["pypi"])
def test_a_python_channel_ends_with_its_token(connect: Connect, topic: str) -> None:
    channel = connect(token=token(lifetime_s=3)).channel(topic)
    channel.subscribe()
    assert "Token has expired " in channel.status("CHANNEL_ERROR")
    channel.status("CLOSED")


def test_a_renewed_token_keeps_the_channel(connect: Connect, topic: str, todos: Table) -> None:
    expiry_s = int(time.time()) + 3
    client = connect(token=token(exp=expiry_s))
    channel = client.channel(topic, changes=[todos.binding()])
    channel.subscribe()
    assert channel.system() == SUBSCRIBED
    client.set_auth(token())
    assert channel.system() == SUBSCRIBED, "row changes are made live anew"
    wait_until(lambda: time.time() > expiry_s + 1)
    todos.insert(id=1)
    assert channel.next("change")["payload"]["new"]["id"] == 1
    assert not channel.unheard("status")


def test_a_new_token_reads_with_its_own_rights(connect: Connect, topic: str, database: Database) -> None:
    with database.table("title text", roles="authenticated") as members:
        client = connect(token=token(role="anon", sub=...))
        channel = client.channel(topic, changes=[members.binding()])
        channel.subscribe()
        assert channel.system() == SUBSCRIBED
        members.insert(id=1, title="for members")
        refused = channel.next("change")["payload"]
        assert (refused["new"], refused["errors"]) == ({}, ["Error 401: Unauthorized"])

        client.set_auth(token(role="authenticated"))
        assert channel.system() == SUBSCRIBED
        members.insert(id=2, title="for members")
        read = channel.next("change")["payload"]
        assert (read["new"], read["errors"]) == ({"id": 2, "title": "for members"}, None)


@pytest.mark.parametrize("kind", JAVASCRIPT)
def test_a_forged_new_token_ends_the_channel(connect: Connect, topic: str) -> None:
    client = connect(token=token())
    channel = client.channel(topic)
    channel.subscribe()
    client.set_auth(token(secret=OTHER_SECRET))
    assert "Failed to validate JWT signature" in channel.system("error")
    channel.status("CLOSED")


def test_a_private_topic_without_permission(connect: Connect, topic: str) -> None:
    channel = connect(token=token()).channel(topic, config={"private": True})
    error = channel.subscribe(expect="CHANNEL_ERROR")
    assert f"Unauthorized: You do not have permissions to read from this Channel topic: {topic}" in error
