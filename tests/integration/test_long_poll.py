"""What only long polling has: tokens that acknowledge, answers that are lost, and sessions that nobody asks for."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.long_poll_client import LongPollClient
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime, request, token
from tests.support.waiting import wait_until
from tidewire.postgres.embedded import EmbeddedPostgres

ROOM = "realtime:room"


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, poll_wait_s=0.3, message_limit_bytes=10_000) as running:
        yield running


def begin(server: RealtimeServer, **chosen: Any) -> LongPollClient:
    return LongPollClient(server.url, apikey=token(), **chosen)


def events(answer: dict[str, Any]) -> list[str]:
    return [json.loads(message)[4].get("event") for message in answer["messages"]]


def test_an_answer_that_was_lost_comes_again_until_it_is_acknowledged(served: RealtimeServer) -> None:
    client = begin(served)
    client.join(ROOM)
    with served.connect() as sender:
        sender.join(ROOM)
        sender.broadcast(ROOM, "one", b"{}", binary=False)
        before = client.token
        lost = client.poll()
        assert (lost["status"], events(lost), lost["token"] != before) == (200, ["one"], True)
        sender.broadcast(ROOM, "two", b"{}", binary=False)
        assert client.poll(before) == lost  # the same again under the same number
        assert events(client.poll()) == ["two"]
        assert client.poll() == {"status": 204, "token": client.token, "messages": []}
        assert client.poll(before) == {"status": 410}  # that was acknowledged


def test_a_second_poll_relieves_the_first(dsn: str) -> None:
    with realtime(dsn, slot="relieved", poll_wait_s=30) as served, served.connect() as sender:
        client = begin(served)
        for each in (client, sender):
            each.join(ROOM)
        answers: list[dict[str, Any]] = []
        polls = [threading.Thread(target=lambda: answers.append(client.poll(client.token))) for _ in range(2)]
        for poll in polls:
            poll.start()
        wait_until(lambda: len(answers) == 1)
        sender.broadcast(ROOM, "said", b"{}", binary=False)
        for poll in polls:
            poll.join(10)
    assert [answer["status"] for answer in answers] == [204, 200]


def test_a_session_ends_when_nobody_polls(dsn: str) -> None:
    with realtime(dsn, slot="gap", poll_gap_s=0.2, poll_wait_s=0.1) as served:
        client = begin(served)
        for _ in range(5):
            assert client.poll()["status"] == 204
        wait_until(lambda: b'{transport="longpoll"} 0.0' in served.get("/metrics").body)
        assert client.poll() == {"status": 410}
        assert client.post(b"[]") == {"status": 410}


@pytest.mark.parametrize(
    "wrong", ["nonsense", "a.b.0", ".0", "..", "a.b.-1", "a.b.²", "a.b." + "9" * 30, "\x00.\x00.0"]
)
def test_a_token_that_is_none_of_ours_is_gone(served: RealtimeServer, wrong: str) -> None:
    client = begin(served)
    assert client.poll(wrong) == {"status": 410}


def test_a_token_has_its_secret(served: RealtimeServer) -> None:
    client, other = begin(served), begin(served)
    id_, secret, number = client.token.split(".")
    assert len(secret) >= 43
    for wrong in ("", other.token.split(".")[1], secret[:-1]):
        assert client.poll(f"{id_}.{wrong}.{number}") == {"status": 410}
    assert client.poll(f"{id_}.{secret}.{int(number) + 1}") == {"status": 410}
    assert client.poll()["status"] == 204


def test_a_session_that_was_closed_tells_what_it_has_and_then_that_it_is_gone(dsn: str) -> None:
    with realtime(dsn, slot="closed", outbox_bytes=100_000) as served, served.connect() as sender:
        client = begin(served)
        for each in (client, sender):
            each.join(ROOM)
        for _ in range(5):
            sender.broadcast(ROOM, "much", b'{"text":"%b"}' % (b"x" * 60_000), binary=False)
        wait_until(lambda: b"tidewire_connections_slow_total 1.0" in served.get("/metrics").body)
        told: list[str] = []
        while (answer := client.poll())["status"] == 200:
            told += events(answer)
        assert (answer, 0 < len(told) < 5) == ({"status": 410}, True)


def test_whoever_comes_during_a_stop_is_told_to_come_back(dsn: str) -> None:
    with realtime(dsn, slot="stopping") as served:
        served.drain()
        wait_until(lambda: served.get("/readyz").status == 503)
        answer = served.get(f"/realtime/v1/longpoll?apikey={token()}")
        assert (answer.status, answer.json["status"]) == (503, 500)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/x-ndjson", 400),
        (b"!\n", "application/x-ndjson", 400),
        (b"[]\n" * 101, "application/x-ndjson", 400),
        (b"[[1,", "application/json", 400),
        (b"x" * 10_001, "application/x-ndjson", 413),
    ],
    ids=["empty", "neither", "many", "cut", "large"],
)
def test_a_body_that_cannot_be_parted_is_refused(
    served: RealtimeServer, body: bytes, content_type: str, status: int
) -> None:
    client = begin(served)
    url = f"{served.url}/socket/longpoll?token={client.token}"
    answer = request("POST", url, body, headers={"content-type": content_type})
    assert (answer.status, answer.json["status"]) == (status, 403)


def test_older_clients_post_one_message_as_json(served: RealtimeServer) -> None:
    client = begin(served, vsn="1.0.0")
    message = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "7"}
    assert client.post(json.dumps(message).encode(), "application/json") == {"status": 200}
    assert client.receive()["ref"] == "7"


def test_answers_may_not_be_kept_and_other_methods_are_refused(served: RealtimeServer) -> None:
    url = f"{served.url}/realtime/v1/longpoll?apikey={token()}"
    assert request("GET", url).headers["cache-control"] == "no-store"
    assert request("HEAD", url).status == 405
    assert request("OPTIONS", url).status == 204
    assert request("GET", url + "&token=undefined").json["status"] == 410
