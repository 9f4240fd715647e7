"""Turns what a transaction wrote to `realtime.messages`, or emitted for Tidewire, into broadcasts in its order.

Only what has committed comes this far. Who may hear it is decided where channels join, and not here.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from msgspec import Raw, Struct

from tidewire.hub.fanout import TURN
from tidewire.hub.replays import Replays
from tidewire.model.change import Change, LogicalMessage, Resync, Row, Shape, Transaction
from tidewire.model.errors import DecodeError
from tidewire.model.position import format_lsn
from tidewire.model.relation import Relation
from tidewire.model.values import json_encoder
from tidewire.wire.message import UserBroadcast
from tidewire.wire.session_address import PREFIX
from tidewire.wire.untrusted import read_json

log = structlog.get_logger()

EMITTED_PREFIX: Final = "tidewire"
"""The prefix of messages for us in `pg_logical_emit_message`."""
SCHEMA: Final = "realtime"
TABLE: Final = "messages"
COLUMNS: Final = ("topic", "extension", "event", "payload", "binary_payload", "private", "id")

_MOST_SHAPES: Final = 1000
_encode = msgspec.json.Encoder().encode


class DatabaseBroadcast(Struct, frozen=True):
    """A broadcast that a transaction made. `stored` says whether there is a row of it, which can be replayed."""

    subtopic: str
    private: bool
    stored: bool
    message: UserBroadcast


class _Emitted(Struct):
    topic: str
    event: str
    payload: Raw = Raw(b"null")
    private: bool = True


_decode_emitted = msgspec.json.Decoder(_Emitted).decode


class DatabaseBroadcasts:
    """Give it everything that comes from the log; `publish` sends the broadcasts of a transaction by its number."""

    def __init__(
        self,
        publish: Callable[[DatabaseBroadcast, int], None],
        replays: Replays,
        counts: Counter[str],
        *,
        payload_bytes: int,
    ) -> None:
        self._publish = publish
        self._replays = replays
        self._counts = counts
        self._payload_bytes = payload_bytes
        self._readers: dict[Shape, _RowReader | None] = {}
        self._last = (0, -1)
        self._sent = 0

    async def take(self, item: Transaction | Resync) -> None:
        """Send what a transaction broadcasts, once however often it comes; let others have a turn in a long one."""
        if isinstance(item, Resync):
            self._last = (0, -1)
            self._replays.restart()
            return
        self._replays.passed(item.commit_lsn)
        if item.shapes is not None and not any(self._reader(shape) for shape in item.shapes):
            return
        for event in item.events:
            if isinstance(event, LogicalMessage):
                if event.prefix != EMITTED_PREFIX:
                    continue
                reader = None
            elif (reader := self._reader(event.shape)) is None or event.operation != "INSERT":
                continue
            if (event.lsn, event.index) > self._last:  # otherwise a reconnection repeats it
                self._last = (event.lsn, event.index)
                self._send(event, reader, item.xid)
                self._sent += 1
                if self._sent % TURN == 0:
                    await asyncio.sleep(0)

    def _reader(self, shape: Shape) -> "_RowReader | None":
        """Return what reads the rows of a shape, or None when they are no messages."""
        try:
            return self._readers[shape]
        except KeyError:
            if len(self._readers) >= _MOST_SHAPES:
                self._readers.clear()
            reader = self._readers[shape] = _row_reader(shape.relation)
            return reader

    def _send(self, event: Change | LogicalMessage, reader: "_RowReader | None", xid: int) -> None:
        try:
            if isinstance(event, LogicalMessage):
                found: DatabaseBroadcast | None = read_emitted(event.content)
            else:
                found = reader.read(event.new) if reader is not None and event.new is not None else None
        except DecodeError as error:
            self._drop("broadcasts_malformed", event, error.message)
            return
        if found is None:
            return
        if len(found.message.payload) > self._payload_bytes:
            self._drop("limit_payload", event, f"expected a body of at most {self._payload_bytes} bytes, got more")
        else:
            self._publish(found, xid)

    def _drop(self, count: str, event: Change | LogicalMessage, reason: str) -> None:
        self._counts[count] += 1
        log.warning("broadcast_dropped", lsn=format_lsn(event.lsn), index=event.index, reason=reason)


class _RowReader:
    """Reads the rows of one shape of the table."""

    def __init__(self, relation: Relation) -> None:
        places = {column.name: place for place, column in enumerate(relation.columns)}
        self._places = [places[name] for name in COLUMNS]
        self._skip = places.get("skip_broadcast")
        self._json = json_encoder(relation.columns[places["payload"]].type)
        self._hex = json_encoder(relation.columns[places["binary_payload"]].type)

    def read(self, row: Row) -> DatabaseBroadcast | None:
        """Return the broadcast in a row, or None when it holds none. Raises DecodeError when it should and does not."""
        topic, extension, event, payload, binary, private, id_ = (row[place] or None for place in self._places)
        if extension != "broadcast" or (self._skip is not None and row[self._skip] == "t"):
            return None
        if topic is None or event is None or id_ is None:
            raise DecodeError("reading a row of realtime.messages: expected a topic, an event and an id, got a null")
        if binary is None:
            body = b"null" if payload is None else self._json(payload).encode()
        else:
            body = self._read_bytes(binary)
        message = UserBroadcast(PREFIX + topic, event, body, binary is not None, _encode({"id": id_}))
        return DatabaseBroadcast(topic, private == "t", stored=True, message=message)

    def _read_bytes(self, text: str) -> bytes:
        try:
            return bytes.fromhex(self._hex(text).strip('"'))
        except ValueError:
            raise DecodeError("reading a row of realtime.messages: expected bytes, got another text") from None


def read_emitted(content: bytes) -> DatabaseBroadcast:
    """Read what `pg_logical_emit_message` was given. Raises DecodeError, whose message shows no part of it."""
    emitted = read_json(_decode_emitted, content, "reading an emitted broadcast")
    if not emitted.topic:
        raise DecodeError("reading an emitted broadcast: expected a topic, got an empty text")
    message = UserBroadcast(PREFIX + emitted.topic, emitted.event, bytes(emitted.payload), binary=False)
    return DatabaseBroadcast(emitted.topic, emitted.private, stored=False, message=message)


def _row_reader(relation: Relation) -> _RowReader | None:
    """Return what reads messages, or None for another table. Partitions come by their own name on some servers."""
    if relation.schema != SCHEMA or not (relation.name == TABLE or relation.name.startswith(f"{TABLE}_2")):
        return None
    if missing := set(COLUMNS) - {column.name for column in relation.columns}:
        log.error("messages_unreadable", table=relation.qualified_name, missing=sorted(missing))
        return None
    return _RowReader(relation)
