"""Who is present in one topic, on all nodes: joins, leaves and the deltas of peers in; diffs and deltas out.

Theory of operation. The roster is the union of one share per node (share.py). A channel's meta is in the share of the
node that holds its socket, and no other node changes it. Nodes exchange deltas; whoever finds a number missing asks
for the whole share. Which nodes are there is told by the caller: the metas of a node that is down leave at once, and
when it is up again its share comes anew. An operation costs as much as it changes, except `state` and `everything`.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final

from msgspec import Struct

from tidewire.model.errors import DecodeError
from tidewire.presence.clock import Version
from tidewire.presence.delta import Delta, Entry
from tidewire.presence.diff import Diff, Metas, encode_meta, put, take
from tidewire.presence.grace import Waiting
from tidewire.presence.share import OwnShare, PeerShare

MAX_KEYS: Final = 10_000
MAX_METAS: Final = 20_000


class Owner(Struct, frozen=True):
    """The channel that a meta belongs to: a connection of this node, and the join_ref of its channel in the topic."""

    connection: int
    channel: str


class Refusal(Enum):
    """Why a track was refused; nothing has changed. Answer the client with an error."""

    NOT_AN_OBJECT = "the payload is not a JSON object"
    TOO_MANY_KEYS = "the topic has as many presence keys as it may have"
    TOO_MANY_METAS = "the topic has as many presences as it may have"


class Roster:
    """Give each diff to the topic's channels (through `Pending`) and, once per flush, `take_delta` to the peers.

    `life` must be greater than that of any earlier roster of this topic on the same `node`: a counter will do if the
    node's name is new with each start. Limits bind whoever tracks on this node and count everybody.
    """

    def __init__(
        self,
        node: str,
        *,
        life: int = 1,
        max_keys: int = MAX_KEYS,
        max_metas: int = MAX_METAS,
        grace_s: float = 0.0,
    ) -> None:
        self._own = OwnShare(node, life)
        self._peers: dict[str, PeerShare] = {}
        self._owned: dict[Owner, Entry] = {}
        self._waiting = Waiting(grace_s)
        self._metas: Metas = {}
        self._size = 0
        self._max_keys = max_keys
        self._max_metas = max_metas

    @property
    def size(self) -> int:
        """The number of metas."""
        return self._size

    # --- channels of this node ---------------------------------------------------------------------------

    def track(self, owner: Owner, key: str, payload: bytes, ref: str) -> Diff | Refusal | None:
        """Show a channel under a key, or change what it shows; None when it already shows just that.

        `ref` must never have been used before. A change is one diff: the new meta joins, and names the old one that
        leaves. The first to track a key that waits in its grace time continues it.
        """
        old = self._owned.get(owner) or self._waiting.oldest(key)
        continued = old if old is not None and old.key == key else None
        try:
            if continued is not None and _says(continued, payload):
                self._waiting.discard(continued)
                self._owned[owner] = continued
                return None
            previous_ref = continued.ref if continued is not None else ""
            meta = encode_meta(payload, ref=ref, previous_ref=previous_ref)
        except DecodeError:
            return Refusal.NOT_AN_OBJECT
        leaving = [old] if old is not None else []
        if continued is None:
            room = self._room(key, leaving)
            if isinstance(room, Refusal):
                return room
            leaving = room
        entry = self._own.add(key=key, ref=ref, previous_ref=previous_ref, meta=meta)
        self._owned[owner] = entry
        for each in leaving:
            self._waiting.discard(each)
            self._own.remove(each)
        return self._change([entry], leaving)

    def untrack(self, owner: Owner) -> Diff | None:
        """Stop showing a channel because its user asked for it: at once, whatever the grace time."""
        entry = self._owned.pop(owner, None)
        if entry is None:
            return None
        self._own.remove(entry)
        return self._change([], [entry])

    def drop(self, owner: Owner, now: float) -> Diff | None:
        """Stop showing a channel that left, closed or crashed; with a grace time, only when `tick` finds it over."""
        if self._waiting.grace_s <= 0:
            return self.untrack(owner)
        entry = self._owned.pop(owner, None)
        if entry is not None:
            self._waiting.add(entry, now)
        return None

    @property
    def due_at(self) -> float | None:
        """When to call `tick` next; None when nobody waits."""
        return self._waiting.due_at

    def tick(self, now: float) -> Diff | None:
        """Let those leave whose grace time is over."""
        expired = self._waiting.expired(now)
        for entry in expired:
            self._own.remove(entry)
        return self._change([], expired)

    # --- peers -------------------------------------------------------------------------------------------

    @property
    def version(self) -> Version:
        """How far this node has come. Announce it to the peers from time to time, after `take_delta` was sent."""
        return self._own.version

    def take_delta(self) -> Delta | None:
        """Return what changed on this node since the last call, to be sent to all peers; None when nothing did."""
        return self._own.take_delta()

    def everything(self) -> Delta:
        """Return all of this node's share, to be sent to a peer that asks for it."""
        return self._own.everything()

    def up(self, node: str) -> None:
        """Listen to a peer from now on, and ask it for everything. Does nothing when it is already up."""
        if node != self._own.node:
            self._peers.setdefault(node, PeerShare())

    def down(self, node: str) -> Diff | None:
        """Let all metas of a peer leave, and ignore it until it is up again."""
        peer = self._peers.pop(node, None)
        return self._change([], list(peer.entries.values())) if peer else None

    def announced(self, node: str, version: Version) -> None:
        """Note a peer's announcement; then see `lagging`."""
        if peer := self._peers.get(node):
            peer.announce(version)

    def lagging(self) -> Sequence[str]:
        """Name the peers of whom something is missing. Ask each for everything."""
        return [node for node, peer in self._peers.items() if peer.lagging]

    def merge(self, delta: Delta) -> Diff | None:
        """Take in a peer's delta, however late or often it comes. Nothing happens unless that peer is up.

        A key that newly joins elsewhere while it waits here in its grace time has come back: the waiting meta leaves.
        """
        peer = self._peers.get(delta.node)
        if peer is None:
            return None
        joined, left = peer.merge(delta)
        for entry in joined:
            waiting = None if entry.previous_ref else self._waiting.oldest(entry.key)
            if waiting is not None:
                self._waiting.discard(waiting)
                self._own.remove(waiting)
                left.append(waiting)
        return self._change(joined, left)

    def _room(self, key: str, leaving: list[Entry]) -> list[Entry] | Refusal:
        """Return who must leave so that a meta under `key` may join: who waits gives way to who is here."""
        refusal = self._excess(key, leaving)
        if refusal is None:
            return leaving
        waiting = self._waiting.oldest()
        if waiting is None or self._excess(key, [*leaving, waiting]):
            return refusal
        return [*leaving, waiting]

    def _excess(self, key: str, leaving: Sequence[Entry]) -> Refusal | None:
        if self._size - len(leaving) >= self._max_metas:
            return Refusal.TOO_MANY_METAS
        refs = {entry.ref for entry in leaving}
        vanishing = {entry.key for entry in leaving if self._metas[entry.key].keys() <= refs}
        new = key in vanishing or key not in self._metas
        return Refusal.TOO_MANY_KEYS if new and len(self._metas) - len(vanishing) >= self._max_keys else None

    # --- what clients see --------------------------------------------------------------------------------

    def state(self) -> Metas:
        """Return everybody, as a copy. Pass it through `Pending.rewind` before a newcomer gets it."""
        return {key: dict(of_key) for key, of_key in self._metas.items()}

    def _change(self, joined: Iterable[Entry], left: Iterable[Entry]) -> Diff | None:
        diff = Diff(joins={}, leaves={})
        for entry in left:
            take(self._metas, entry.key, entry.ref)
            put(diff.leaves, entry.key, entry.ref, entry.meta)
            self._size -= 1
        for entry in joined:
            put(self._metas, entry.key, entry.ref, entry.meta)
            put(diff.joins, entry.key, entry.ref, entry.meta)
            self._size += 1
        return diff if diff.joins or diff.leaves else None


def _says(entry: Entry, payload: bytes) -> bool:
    return encode_meta(payload, ref=entry.ref, previous_ref=entry.previous_ref) == entry.meta
