"""What changed in a roster, in the terms of clients: which metas joined and which left. Does not write frames."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw, Struct

from tidewire.model.errors import DecodeError

Metas = dict[str, dict[str, bytes]]
"""Presence key → phx_ref → the meta as JSON text, ready to be put into `presence_state` or `presence_diff`."""

_RESERVED: Final = ("phx_ref", "phx_ref_prev")
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


class Diff(Struct, frozen=True):
    """Send it to every channel of the topic. A client adds the joins and removes the leaves by their phx_ref."""

    joins: Metas
    leaves: Metas


def encode_meta(payload: bytes, *, ref: str, previous_ref: str = "") -> bytes:
    """Put the refs into a tracked object, the rest of which stays as it was written. Raises DecodeError.

    A client removes metas by `phx_ref`, so one that a user smuggles in would let it remove somebody else: it goes.
    """
    try:
        payload.decode()  # the JSON decoder does not look at the bytes inside texts that it leaves as they are
        fields = _OBJECT.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DecodeError("reading a tracked payload: expected a JSON object, got something else") from None
    if any(name in fields for name in _RESERVED):
        payload = msgspec.json.encode({name: value for name, value in fields.items() if name not in _RESERVED})
        fields = _OBJECT.decode(payload)
    written = payload.strip(b" \t\r\n")[1:-1]
    separator = b"," if fields else b""
    previous = b',"phx_ref_prev":' + msgspec.json.encode(previous_ref) if previous_ref else b""
    return b'{%b%b"phx_ref":%b%b}' % (written, separator, msgspec.json.encode(ref), previous)


def put(metas: Metas, key: str, ref: str, meta: bytes) -> None:
    """Add one meta."""
    metas.setdefault(key, {})[ref] = meta


def take(metas: Metas, key: str, ref: str) -> bytes | None:
    """Remove and return one meta, and the key with its last; None when it is not there."""
    of_key = metas.get(key, {})
    meta = of_key.pop(ref, None)
    if meta is not None and not of_key:
        del metas[key]
    return meta


def texts(metas: Metas) -> dict[str, list[bytes]]:
    """Return the metas under their keys, as the payloads of `presence_state` and `presence_diff` list them."""
    return {key: list(of_key.values()) for key, of_key in metas.items()}


def each(metas: Metas) -> Iterable[tuple[str, str, bytes]]:
    """Walk over (key, ref, meta)."""
    return ((key, ref, meta) for key, of_key in metas.items() for ref, meta in of_key.items())


class Pending:
    """Several diffs become one: what joined and left before anybody was told never happened, and the reverse."""

    __slots__ = ("_joins", "_leaves")

    def __init__(self) -> None:
        self._joins: Metas = {}
        self._leaves: Metas = {}

    def add(self, diff: Diff | None) -> None:
        """Keep a diff for the next `take`. Costs as much as the diff is long."""
        if diff is None:
            return
        for key, ref, meta in each(diff.leaves):
            if take(self._joins, key, ref) is None:
                put(self._leaves, key, ref, meta)
        for key, ref, meta in each(diff.joins):
            if take(self._leaves, key, ref) is None:
                put(self._joins, key, ref, meta)

    def take(self) -> Diff | None:
        """Return all that was added as one diff, to be sent now; None when nothing is left of it."""
        if not self._joins and not self._leaves:
            return None
        diff = Diff(joins=self._joins, leaves=self._leaves)
        self._joins, self._leaves = {}, {}
        return diff

    def rewind(self, state: Metas) -> Metas:
        """Turn a roster's state, in place, into what those know who had every diff so far.

        Give this to a newcomer. The state itself may hold a meta that joins and leaves before the next `take`:
        nobody would be told of the leave, and the newcomer would keep a ghost.
        """
        for key, ref, _ in each(self._joins):
            take(state, key, ref)
        for key, ref, meta in each(self._leaves):
            put(state, key, ref, meta)
        return state
