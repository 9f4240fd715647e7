"""Rows and emitted messages become broadcasts; what comes again after a reconnection is sent once."""

from collections import Counter
from typing import Any

import pytest

from tests.support.messages import COLUMNS, MESSAGES, table
from tidewire.hub.database_broadcasts import DatabaseBroadcast, DatabaseBroadcasts, read_emitted
from tidewire.hub.replays import Replays
from tidewire.model.change import Change, Event, LogicalMessage, Resync, Row, Transaction
from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn
from tidewire.model.relation import Relation
from tidewire.testing.rows import inserted


def row(payload: str | None = "{}", *, private: str | None = "t", binary: str | None = None) -> Row:
    return ("room", "broadcast", payload, "e", private, "id-1", binary)


class Scene:
    def __init__(self, *, payload_bytes: int = 1000) -> None:
        self.sent: list[DatabaseBroadcast] = []
        self.counts: Counter[str] = Counter()
        self.broadcasts = DatabaseBroadcasts(
            self._publish, Replays(lambda: 0.0), self.counts, payload_bytes=payload_bytes
        )

    def _publish(self, found: DatabaseBroadcast, xid: int) -> None:
        assert xid == 1
        self.sent.append(found)

    async def commit(self, *events: Event, lsn: int = 100) -> list[DatabaseBroadcast]:
        """Hand over a transaction and return what was sent."""
        self.sent.clear()
        await self.broadcasts.take(Transaction(1, Lsn(lsn), 0, events, Lsn(lsn + 1)))
        return list(self.sent)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (row('{"a": 1}'), (True, b'{"a": 1}', False)),
        (row("null", private="f"), (False, b"null", False)),
        (row("[1.50]", private=None), (False, b"[1.50]", False)),
        (row(None), (True, b"null", False)),
        (row(None, binary="\\x00ff"), (True, b"\x00\xff", True)),
        (row(None, binary="\\x"), (True, b"", True)),
        (row(None, binary="a\\000\\377\\\\"), (True, b"a\x00\xff\\", True)),  # bytea_output = escape
    ],
)
async def test_a_row_is_a_broadcast(values: Row, expected: Any) -> None:
    (found,) = await Scene().commit(inserted(MESSAGES, values, lsn=100))
    message = found.message
    assert (found.private, message.payload, message.binary) == expected
    assert (found.subtopic, found.stored, message.topic, message.event) == ("room", True, "realtime:room", "e")
    assert message.meta == b'{"id":"id-1"}'


async def test_partitions_that_come_by_their_own_name_are_messages_too() -> None:
    scene = Scene()
    for lsn, relation in enumerate((table("messages_2026_11_21"), MESSAGES), 1):
        assert len(await scene.commit(inserted(relation, row(), lsn=lsn), lsn=lsn)) == 1


@pytest.mark.parametrize(
    "relation",
    [table("messages_archive"), table(schema="public"), table("other"), table(columns=COLUMNS[:-1])],
    ids=["archive", "schema", "name", "columns"],
)
async def test_other_tables_are_not(relation: Relation) -> None:
    scene = Scene()
    values = row()[: len(relation.columns)]
    assert await scene.commit(inserted(relation, values, lsn=100)) == []
    assert not scene.counts


async def test_what_comes_again_is_sent_once_until_history_begins_anew() -> None:
    scene = Scene()
    first, second, third = (inserted(MESSAGES, row(str(n)), lsn=100, index=n) for n in range(3))
    assert len(await scene.commit(first, second)) == 2
    assert [found.message.payload for found in await scene.commit(first, second, third)] == [b"2"]
    await scene.broadcasts.take(Resync("other", "lost"))
    assert len(await scene.commit(inserted(MESSAGES, row(), lsn=50), lsn=50)) == 1


async def test_rows_and_emitted_messages_keep_their_order() -> None:
    events = (
        inserted(MESSAGES, row("0"), lsn=100, index=0),
        LogicalMessage(Lsn(100), 1, "tidewire", b'{"topic":"room","event":"e","payload":1}'),
        inserted(MESSAGES, row("2"), lsn=100, index=2),
    )
    assert [found.message.payload for found in await Scene().commit(*events)] == [b"0", b"1", b"2"]


async def test_a_damaged_row_and_one_that_is_too_large_stop_nobody() -> None:
    scene = Scene(payload_bytes=4)
    whole = inserted(MESSAGES, row(), lsn=100)
    damaged = Change(whole.lsn, 1, "INSERT", whole.shape, whole.data[:-3])
    large = inserted(MESSAGES, row('"123"'), lsn=100, index=2)
    odd = inserted(MESSAGES, row(None, binary="\\xabc"), lsn=100, index=3)
    last = inserted(MESSAGES, row('"12"'), lsn=100, index=4)
    assert [found.message.payload for found in await scene.commit(whole, damaged, large, odd, last)] == [b"{}", b'"12"']
    assert scene.counts == {"broadcasts_malformed": 2, "limit_payload": 1}


def test_an_emitted_message_is_private_unless_it_says_otherwise() -> None:
    found = read_emitted(b'{"topic":"room","event":"e","payload":{"a":1.50},"more":1}')
    assert (found.private, found.stored, found.message.payload, found.message.meta) == (True, False, b'{"a":1.50}', b"")
    assert read_emitted(b'{"topic":"room","event":"e","private":false}').private is False


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b'{"event":"e"}', b'{"topic":"t"}', b"\xff", b"[" * 9999])
def test_what_is_no_emitted_broadcast_is_refused_without_repeating_it(content: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        read_emitted(content)
    assert "999" not in str(caught.value)
