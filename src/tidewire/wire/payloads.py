"""Builds the payloads of what the server sends. Reads none, and decides nothing about who gets them.

What is already JSON text is spliced in as it is: a record is encoded once, whoever receives it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tidewire.model.position import StreamPosition
from tidewire.wire.message import UserBroadcast
from tidewire.wire.untrusted import read_members

EMPTY: Final = b"{}"
"""The payload of `phx_close` and `phx_error`, and the response of a reply that has nothing to say."""

OK: Final = b'{"status":"ok","response":{}}'
"""The reply to a leave, an acknowledged broadcast, a track."""

Status = Literal["ok", "error"]

_encode = msgspec.json.Encoder().encode


# --- replies -----------------------------------------------------------------------------------------------


def reply(status: Status, response: bytes = EMPTY) -> bytes:
    """Write a reply around a response that is the text of a JSON object."""
    return b'{"status":"%b","response":%b}' % (status.encode(), response)


def refusal(reason: str) -> bytes:
    """Write the error reply that tells why: the client shows `reason` to its user."""
    return reply("error", _encode({"reason": reason}))


def failure(code: str) -> bytes:
    """Write the error reply to a message that asked for an acknowledgement; `code` is for programs."""
    return reply("error", _encode({"error": code}))


def kept(id_: str) -> bytes:
    """Write the reply to an acknowledged broadcast that is kept, under this id, for later readers."""
    return reply("ok", _encode({"id": id_}))


def heartbeat_reply(positions: Mapping[str, StreamPosition]) -> bytes:
    """Write the reply to a heartbeat: for each channel, by its topic, up to where it has been told all there was."""
    if not positions:
        return OK
    return reply("ok", _encode({"positions": {topic: str(position) for topic, position in positions.items()}}))


def join_reply(
    bindings: Iterable[tuple[bytes, int]],
    *,
    position: str | None = None,
    recovered: bool | None = None,
    reason: str | None = None,
) -> bytes:
    """Write the reply to a join: each binding as the client wrote it, in its order, and the id that frames will name.

    `position` is where the channel starts, `recovered` whether nothing was missed since `after`, `reason` why not.
    """
    extras = {"position": position, "recovered": recovered, "reason": reason}
    known = {name: value for name, value in extras.items() if value is not None}
    echoed = [Raw(_with_id(raw, id_)) for raw, id_ in bindings]
    return reply("ok", _encode({"postgres_changes": echoed, **known}))


def _with_id(raw: bytes, id_: int) -> bytes:
    members = read_members(raw, "echoing a binding")
    if members.pop("id", None) is not None:
        # Two keys of one name would leave it to the client's parser which one counts.
        raw = _encode(members)
    separator = b"," if members else b""
    return b'%b%b"id":%d}' % (raw[: raw.rindex(b"}")], separator, id_)


def system(*, channel: str, extension: str, status: Status, message: str) -> bytes:
    """Write a `system` message; `channel` is the topic without its `realtime:`."""
    return _encode({"channel": channel, "extension": extension, "message": message, "status": status})


# --- row changes -------------------------------------------------------------------------------------------


class _Data(Struct, omit_defaults=True, gc=False):
    schema: str
    table: str
    type: str
    commit_timestamp: str
    columns: Raw
    errors: Sequence[str] | None
    record: Raw | UnsetType = UNSET
    old_record: Raw | UnsetType = UNSET
    position: str | UnsetType = UNSET
    moved: str | UnsetType = UNSET


def change_columns(columns: Iterable[tuple[str, str]]) -> bytes:
    """Write (name, type name) pairs. Keep the result as long as the table's shape lasts."""
    return _encode([{"name": name, "type": type_name} for name, type_name in columns])


def change_data(
    *,
    schema: str,
    table: str,
    operation: str,
    commit_timestamp: str,
    columns: bytes,
    record: str | None = None,
    old_record: str | None = None,
    errors: Sequence[str] | None = None,
    position: str | None = None,
    moved: str | None = None,
) -> bytes:
    """Write what happened, once for everybody who may see the same of it; then `change` for each channel.

    `commit_timestamp` must be a text even in error frames: a strict client drops the frame otherwise.
    """
    return _encode(
        _Data(
            schema,
            table,
            operation,
            commit_timestamp,
            Raw(columns),
            errors,
            UNSET if record is None else Raw(record),
            UNSET if old_record is None else Raw(old_record),
            UNSET if position is None else position,
            UNSET if moved is None else moved,
        )
    )


def change(ids: Sequence[int], data: bytes) -> bytes:
    """Write a `postgres_changes` payload: the ids of a channel's bindings that match, and the shared data."""
    return b'{"ids":%b,"data":%b}' % (_encode(ids), data)


# --- presence ----------------------------------------------------------------------------------------------

Metas = Mapping[str, Sequence[bytes]]
"""Presence key to the JSON objects that are present under it, each with its `phx_ref`."""


def presence_state(state: Metas) -> bytes:
    """Write who is there."""
    return _encode(_entries(state))


def presence_diff(joins: Metas, leaves: Metas) -> bytes:
    """Write who came and who went; a changed entry is in both."""
    return _encode({"joins": _entries(joins), "leaves": _entries(leaves)})


def _entries(metas: Metas) -> dict[str, dict[str, list[Raw]]]:
    return {key: {"metas": [Raw(meta) for meta in entries]} for key, entries in metas.items()}


# --- broadcasts -------------------------------------------------------------------------------------------


def broadcast_payload(event: str, payload: bytes, meta: bytes = b"") -> bytes:
    """Write the payload of a `broadcast` around a user's JSON text; `meta` is the text of an object, or empty."""
    tail = b',"meta":%b}' % meta if meta else b"}"
    return b'{"event":%b,"payload":%b,"type":"broadcast"%b' % (_encode(event), payload, tail)


def deliverable(broadcast: UserBroadcast, meta: bytes = b"") -> UserBroadcast:
    """Return a received broadcast as others may see it: without the sender's refs and without its metadata."""
    return UserBroadcast(broadcast.topic, broadcast.event, broadcast.payload, broadcast.binary, meta)
