"""Holds back what one client writes to its private channels until the policies have said whether it may.

They are asked once for each kind of message and each token; what comes in between waits in its order. A broadcast that
may be sent but not kept is passed on without its wish to be kept. Sends nothing.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import structlog
from msgspec import structs

from tidewire.hub.permissions import Permissions, write_refusal_of
from tidewire.model.claims import Claims
from tidewire.model.errors import TidewireError
from tidewire.model.reasons import WriteRefusal
from tidewire.ports import Extension
from tidewire.wire.session_effects import ChannelRef, Publish, Track, Untrack

log = structlog.get_logger()

Write = Publish | Track | Untrack

MOST_WAITING: Final = 100
"""How many messages of one client may wait for verdicts."""
MOST_WAITING_BYTES: Final = 1024 * 1024
"""As above; the message that goes beyond it still waits, so that a large one can be sent at all."""


Verdicts = Mapping[Extension, WriteRefusal | None]


class _Line:
    """Writes that keep their order: the broadcasts of a channel, or its presence calls."""

    __slots__ = ("is_asking", "verdicts", "waiting")

    def __init__(self) -> None:
        self.is_asking = False
        self.verdicts: dict[Extension, WriteRefusal | None] = {}
        """Those that hold for the token."""
        self.waiting: deque[Write] = deque()


class _Channel:
    __slots__ = ("broadcasts", "claims", "presence")

    def __init__(self, claims: Claims) -> None:
        self.claims = claims
        self.broadcasts = _Line()
        self.presence = _Line()


_DENIALS: Final = frozenset({"unauthorized", "rls_policy_error"})
"""What a policy says that does not allow it, in one way or the other."""


class PrivateWrites:
    """One per client. Tell it of every grant and every end of a private channel; ask before each write."""

    __slots__ = ("_channels", "_finish", "_permissions", "_start", "_waiting", "_waiting_bytes")

    def __init__(
        self,
        permissions: Permissions,
        *,
        start: Callable[[Coroutine[Any, Any, None]], None],
        finish: Callable[[Write, WriteRefusal | None], None],
    ) -> None:
        """`start` runs a question in the background; `finish` carries a write out, or drops it for a reason."""
        self._permissions = permissions
        self._start = start
        self._finish = finish
        self._channels: dict[int, _Channel] = {}
        self._waiting = 0
        self._waiting_bytes = 0

    def granted(self, channel: ChannelRef, claims: Claims) -> None:
        """Judge what the channel writes from now on by these claims; what still waits is judged by them too."""
        found = self._channels.get(channel.number)
        if found is None:
            self._channels[channel.number] = _Channel(claims)
            return
        found.claims = claims
        for line in (found.broadcasts, found.presence):
            line.verdicts.clear()

    def claims(self, channel: ChannelRef) -> Claims | None:
        """Return whose token a channel lives on; None when it is gone."""
        found = self._channels.get(channel.number)
        return None if found is None else found.claims

    def forget(self, channel: ChannelRef) -> None:
        """Drop what waits: its channel is gone."""
        found = self._channels.pop(channel.number, None)
        if found is not None:
            for line in (found.broadcasts, found.presence):
                while line.waiting:
                    self._take(line)

    def submit(self, write: Write) -> None:
        """Finish a write at once if its verdict is known, and otherwise when it is."""
        channel = self._channels.get(write.channel.number)
        if channel is None:
            return
        line = channel.broadcasts if isinstance(write, Publish) else channel.presence
        if not line.waiting and _unknown(write, line.verdicts) is None:
            self._finish(*_decide(write, line.verdicts))
        elif self._is_full() and not isinstance(write, Untrack):
            self._finish(write, "increase_connection_pool")
        else:
            self._waiting += 1
            self._waiting_bytes += _size(write)
            line.waiting.append(write)
            if not line.is_asking:
                line.is_asking = True
                self._start(self._judge(write.channel, channel, line))

    def _is_full(self) -> bool:
        return self._waiting >= MOST_WAITING or self._waiting_bytes >= MOST_WAITING_BYTES

    async def _judge(self, ref: ChannelRef, channel: _Channel, line: _Line) -> None:
        """Ask what must be known of the first that waits and finish it when all is, until none waits."""
        passing: dict[Extension, WriteRefusal | None] = {}  # hold for what waits now, and for nothing later
        try:
            while line.waiting and self._channels.get(ref.number) is channel:
                known = line.verdicts | passing
                extension = _unknown(line.waiting[0], known)
                if extension is None:
                    self._finish(*_decide(self._take(line), known))
                    continue
                claims = channel.claims
                verdict, lasts = await self._ask(claims, ref, extension)
                if claims is channel.claims:  # otherwise the answer is about a token of the past
                    (line.verdicts if lasts else passing)[extension] = verdict
        finally:
            line.is_asking = False

    async def _ask(self, claims: Claims, ref: ChannelRef, extension: Extension) -> tuple[WriteRefusal | None, bool]:
        """Return the verdict and whether it lasts: what could not be judged now can be judged later."""
        try:
            verdict = await self._permissions.write(claims, ref.subtopic, extension)
        except TidewireError as error:
            return write_refusal_of(error), False
        except Exception:
            log.exception("verdict_failed", extension=extension)
            return "unable_to_set_policies", False
        return verdict, verdict != "missing_partition"

    def _take(self, line: _Line) -> Write:
        write = line.waiting.popleft()
        self._waiting -= 1
        self._waiting_bytes -= _size(write)
        return write


def _unknown(write: Write, known: Verdicts) -> Extension | None:
    """Return what has to be asked before it is known what becomes of a write."""
    if isinstance(write, Publish):
        if "broadcast" not in known:
            return "broadcast"
        asks_more = write.persist is not None and known["broadcast"] is None and "persistence" not in known
        return "persistence" if asks_more else None
    if isinstance(write, Untrack) or "presence" in known:
        return None  # nobody needs a permission to leave
    return "presence"


def _decide(write: Write, known: Verdicts) -> tuple[Write, WriteRefusal | None]:
    """Return the write as it may be carried out, or with the reason why not."""
    if isinstance(write, Untrack):
        return write, None
    if isinstance(write, Track):
        return write, known["presence"]
    if known["broadcast"] is not None or write.persist is None:
        return write, known["broadcast"]
    refusal = known["persistence"]
    if refusal in _DENIALS:
        return structs.replace(write, persist=None), None
    return write, refusal  # whether it may be kept could not be found out: it can be sent again


def _size(write: Write) -> int:
    if isinstance(write, Publish):
        return len(write.message.payload)
    return len(write.payload) if isinstance(write, Track) else 0
