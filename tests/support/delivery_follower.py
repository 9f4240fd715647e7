"""An app that follows tables through connections that fail, and holds what it is told against the log."""

from collections import deque
from functools import cache
from itertools import count
from typing import Any, Final

from tests.support.client import Client, Said
from tests.support.delivery_log import Log
from tests.support.delivery_server import Server
from tests.support.tokens import NOW_S, sign
from tidewire.model.position import parse_position

TOPIC: Final = "realtime:room"
_lifetimes_s = count(3600)


@cache
def token(user: str, lifetime_s: int = 3600) -> str:
    return sign(sub=user, exp=NOW_S + lifetime_s)


class Stream:
    """What an app knows of one table, and what it must hear of next."""

    def __init__(self) -> None:
        self.position: str | None = None
        self.next = 0
        """The changes before this one are done with."""
        self.certain = 0
        """From this one on all have to be told; those in between were committed while the app was joining."""


class Link:
    """A connection of an app to one life of the server, and what is on its way to the app."""

    def __init__(self, server: Server, user: str) -> None:
        self.server = server
        self.client = Client(server.node, token=token(user))
        self.flight: deque[Said] = deque()
        self.is_swallowed = False
        """Whether nothing arrives any more, though both sides believe that it could."""
        server.clients.append(self.client)

    def fly(self) -> None:
        """Put on its way what the server has written since."""
        self.flight.extend(self.client.heard())

    def cut(self) -> None:
        """Lose what is on its way, and let the server notice."""
        self.flight.clear()
        if self.client in self.server.clients:
            self.server.clients.remove(self.client)
            self.client.connection.on_closed(1006)


class Ask:
    """A join that is not answered yet."""

    def __init__(self, ref: str, streams: dict[str, Stream], log: Log, server: Server) -> None:
        self.ref = ref
        self.positions = {table: stream.position for table, stream in streams.items()}
        self.committed = {table: len(log.changes[table]) for table in streams}
        self.epoch = server.history.epoch
        self.taken = server.bus.taken


class Follower:
    """One user's app: it joins by what it was told last, and fails the test where what it hears is not what is due."""

    def __init__(self, user: str, log: Log) -> None:
        self.user = user
        self.log = log
        self.streams: dict[str, Stream] = {}
        self.link: Link | None = None
        self.old_links: list[Link] = []
        self.ask: Ask | None = None
        self.is_inside = False
        self.beats = 0
        """How often it has come on without a change."""

    # --- what it does ---------------------------------------------------------------------------------------

    def connect(self, server: Server, *, half_open: bool) -> None:
        """Come on a new connection; with `half_open` the server does not learn that the last one is over."""
        if self.link is not None and half_open:
            self.old_links.append(self.link)
            self._out()
        elif self.link is not None:
            self.cut()
        self.link = Link(server, self.user)

    def cut(self) -> None:
        """Lose the connection."""
        if self.link is not None:
            self.link.cut()
        self._out()

    def forget_links(self) -> None:
        """The server was killed."""
        self.old_links.clear()
        self._out()

    def join(self, tables: set[str]) -> None:
        """Join, or join again, and say for each table where it stands. What is on its way is for an older join."""
        assert self.link is not None
        self._drop_flight()
        self.streams = {table: self.streams.get(table) or Stream() for table in sorted(tables)}
        for table, stream in self.streams.items():
            if stream.position is None and self.link.server.history.epoch == self.log.epoch:
                stream.next = len(self.log.changes[table])  # else it will soon be told to load again
        wanted = [
            {"event": "*", "schema": "public", "table": table}
            | ({} if stream.position is None else {"after": stream.position})
            for table, stream in self.streams.items()
        ]
        ref = self.link.client.join(TOPIC, postgres_changes=wanted, presence={"enabled": False})
        self.ask = Ask(ref, self.streams, self.log, self.link.server)
        self.is_inside = False

    def leave(self) -> None:
        assert self.link is not None
        self.link.client.push(TOPIC, "phx_leave", {}, join_ref=None)
        self.is_inside, self.ask = False, None
        self._drop_flight()

    def show_token(self) -> None:
        """Show a token that lasts longer."""
        assert self.link is not None
        new = token(self.user, next(_lifetimes_s))
        self.link.client.push(TOPIC, "access_token", {"access_token": new}, join_ref=None)

    def beat(self) -> None:
        """Send a heartbeat; the answer may say how far it has come without any change."""
        assert self.link is not None
        self.link.client.push("phoenix", "heartbeat", {}, join_ref=None)

    # --- what it hears --------------------------------------------------------------------------------------

    async def take(self, frames: int) -> int:
        """Take in so many frames, and return how many there were."""
        link = self.link
        if link is None or link.is_swallowed:
            return 0
        link.fly()
        for number in range(frames):
            if not link.flight:
                if link.client.outbox.closed is not None:
                    self.cut()
                return number
            event, topic, payload = link.flight.popleft()
            if topic == TOPIC:
                await self._hear(event, payload)
            elif topic == "phoenix" and self.is_inside and TOPIC in payload["response"].get("positions", {}):
                self._hear_position(payload["response"]["positions"][TOPIC])
        return frames

    async def _hear(self, event: str, payload: Any) -> None:
        if event == "postgres_changes":
            assert self.is_inside, "a change was told to a channel that is not there"
            self._hear_change(payload["data"])
        elif event == "phx_reply" and self.ask is not None and not self.is_inside:
            if "postgres_changes" in payload["response"]:
                await self._hear_answer(payload["response"], self.ask)
        elif event == "phx_error":
            assert self.link is not None
            server = self.link.server
            assert len(self.log.epochs) > 1 or await server.has_forgotten(), "a channel failed for no reason"
            self._out(keep=True)

    async def _hear_answer(self, response: dict[str, Any], ask: Ask) -> None:
        self.is_inside, self.ask = True, None
        recovered = response.get("recovered")
        assert (recovered is None) == (set(ask.positions.values()) == {None})
        if recovered is False:
            assert await self._is_out_of_reach(ask), f"told to load again for no reason: {response['reason']}"
        if recovered:
            positions = [parse_position(each) for each in ask.positions.values() if each is not None]
            assert parse_position(response["position"]) in positions or None in ask.positions.values()
        for table, stream in self.streams.items():
            if recovered is not True:
                self._begin(table, stream, response["position"], ask)
            elif stream.position is None:
                stream.certain = len(self.log.changes[table])

    def _begin(self, table: str, stream: Stream, position: str, ask: Ask) -> None:
        """Load what there is, and go on behind the position of the answer."""
        parsed = parse_position(position)
        stream.position = position
        stream.next = stream.certain = self.log.behind(table, parsed)
        if parsed.epoch == self.log.epoch:
            assert ask.committed[table] <= stream.next <= len(self.log.changes[table]), "it begins elsewhere"

    async def _is_out_of_reach(self, ask: Ask) -> bool:
        assert self.link is not None
        for text in ask.positions.values():
            if text is None:
                continue
            position = parse_position(text)
            if position.epoch != ask.epoch or not await self.link.server.reaches(position, taken=ask.taken):
                return True
        return False

    def _hear_change(self, data: dict[str, Any]) -> None:
        table, position = data["table"], parse_position(data["position"])
        stream, changes = self.streams[table], self.log.changes[table]
        number = self.log.behind(table, position) - 1
        assert number >= 0
        change = changes[number]
        assert change.place == self.log.place(position), f"{data['position']} was never committed"
        assert number >= stream.next, f"{table} {data['position']} after {stream.position}: told again, or too early"
        self._was_told_all(table, stream, number)
        assert True in self.log.sights(table, number, self.user), f"{self.user} was told of {change}"
        row = data["old_record"] if change.operation == "DELETE" else data["record"]
        assert (data["type"], row["id"]) == (change.operation, change.id)
        stream.position, stream.next = data["position"], number + 1

    def _hear_position(self, position: str) -> None:
        """Go on behind it from now on: nothing before it may be missing, and nothing behind it have been told."""
        for table, stream in self.streams.items():
            number = self.log.behind(table, parse_position(position))
            assert number >= stream.next, f"{table} stands at {stream.position}, and was sent back to {position}"
            self._was_told_all(table, stream, number)
            stream.position, stream.next = position, number
        self.beats += 1

    def _was_told_all(self, table: str, stream: Stream, until: int) -> None:
        """Fail if this user was sure to see something that lies between what it was told last and what comes now."""
        for number in range(max(stream.next, stream.certain), until):
            missed = self.log.changes[table][number]
            assert False in self.log.sights(table, number, self.user), f"{self.user} was not told of {table} {missed}"

    def has_heard_everything(self) -> None:
        """Fail if something is missing of what was committed so far."""
        for table, stream in self.streams.items():
            self._was_told_all(table, stream, len(self.log.changes[table]))

    def _drop_flight(self) -> None:
        if self.link is not None:
            self.link.fly()
            self.link.flight.clear()

    def _out(self, *, keep: bool = False) -> None:
        self.is_inside, self.ask = False, None
        if not keep:
            self.link = None
