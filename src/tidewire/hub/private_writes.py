"""Holds back what one client writes to its private channels until the policies have said whether it may.

They are asked once for each kind of message and each token; what comes in between waits in its order. Sends nothing.
"""

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

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


class _Line:
    """The writes of one kind to one channel. `verdict` is None until there is one that holds for the token."""

    __slots__ = ("is_asking", "verdict", "waiting")

    def __init__(self) -> None:
        self.is_asking = False
        self.verdict: tuple[WriteRefusal | None] | None = None
        self.waiting: deque[Write] = deque()


class _Channel:
    __slots__ = ("claims", "lines")

    def __init__(self, claims: Claims) -> None:
        self.claims = claims
        self.lines: dict[Extension, _Line] = {"broadcast": _Line(), "presence": _Line()}


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
        for line in found.lines.values():
            line.verdict = None

    def claims(self, channel: ChannelRef) -> Claims | None:
        """Return whose token a channel lives on; None when it is gone."""
        found = self._channels.get(channel.number)
        return None if found is None else found.claims

    def forget(self, channel: ChannelRef) -> None:
        """Drop what waits: its channel is gone."""
        found = self._channels.pop(channel.number, None)
        if found is not None:
            for line in found.lines.values():
                while line.waiting:
                    self._take(line)

    def submit(self, write: Write) -> None:
        """Finish a write at once if its verdict is known, and otherwise when it is."""
        channel = self._channels.get(write.channel.number)
        if channel is None:
            return
        line = channel.lines["broadcast" if isinstance(write, Publish) else "presence"]
        if isinstance(write, Untrack) and not line.waiting:
            self._finish(write, None)  # nobody needs a permission to leave
        elif line.verdict is not None and not line.waiting:
            self._finish(write, line.verdict[0])
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
        """Ask until the answer is about the channel's token of now, then finish what waits for it."""
        extension: Extension = "broadcast" if line is channel.lines["broadcast"] else "presence"
        try:
            while True:
                claims = channel.claims
                verdict, lasts = await self._ask(claims, ref, extension)
                if claims is channel.claims:
                    break
        finally:
            line.is_asking = False
        line.verdict = (verdict,) if lasts else None
        while line.waiting and self._channels.get(ref.number) is channel:
            self._finish(self._take(line), verdict)

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


def _size(write: Write) -> int:
    if isinstance(write, Publish):
        return len(write.message.payload)
    return len(write.payload) if isinstance(write, Track) else 0
