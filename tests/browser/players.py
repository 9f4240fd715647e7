"""Clients in a puppet: what tests ask of them, and what they hear."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.parity.puppets import Heard, PuppetProcess

LIMIT_S = 30.0
"""For what takes a second: coming back by back-off takes some, and the machine may be busy."""

_numbers = itertools.count(1)


class Player:
    """One client of the page. Times are in milliseconds, as the client has them."""

    def __init__(
        self, process: PuppetProcess, url: str, apikey: str, *, token: str | None = None, **options: Any
    ) -> None:
        self.process = process
        self.name = f"player-{next(_numbers)}"
        process.ask("connect", client=self.name, url=url, apikey=apikey, token=token, **options)

    def follow(self, table: str, **options: Any) -> "Followed":
        return Followed(self, table, options)

    def rows(self, **query: Any) -> "List":
        return List(self, query)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.process.ask("status", client=self.name)
        return found

    def wait_for_status(self, match: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Wait until the client has such a status, now or later for a moment at least."""
        if match(now := self.status()):
            return now
        heard = self.hear("status", what, lambda heard: heard["number"] > now["number"] and match(heard["status"]))
        status: dict[str, Any] = heard["status"]
        return status

    def hear(self, kind: str, what: str, match: Callable[[Heard], bool] = lambda _: True) -> Heard:
        return self.process.hear(
            self.name, lambda heard: heard["heard"] == kind and match(heard), what, limit_s=LIMIT_S
        )

    def ask(self, verb: str, **values: Any) -> Any:
        return self.process.ask(verb, client=self.name, limit_s=LIMIT_S, **values)


class Followed:
    """A subscription to a table, and what it was told."""

    def __init__(self, player: Player, table: str, options: dict[str, Any]) -> None:
        self.name = f"followed-{next(_numbers)}"
        self.process = player.process
        player.ask("follow", name=self.name, table=table, options=options)

    def next(self, kind: str) -> Heard:
        return self.process.hear(self.name, lambda heard: heard["heard"] == kind, kind, limit_s=LIMIT_S)

    def change(self) -> dict[str, Any]:
        event: dict[str, Any] = self.next("change")["event"]
        return event

    def changes(self, count: int) -> list[dict[str, Any]]:
        return [self.change() for _ in range(count)]

    def unheard(self, kind: str) -> list[Heard]:
        return [heard for heard in self.process.unheard(self.name) if heard["heard"] == kind]

    def stop(self) -> None:
        self.process.ask("unfollow", name=self.name)


class List:
    """A list that is kept exact."""

    def __init__(self, player: Player, query: dict[str, Any]) -> None:
        self.name = f"list-{next(_numbers)}"
        self.process = player.process
        player.ask("rows", name=self.name, query=query)

    def snapshot(self) -> dict[str, Any]:
        found: dict[str, Any] = self.process.ask("snapshot", name=self.name)
        return found

    def wait(self, match: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        if match(now := self.snapshot()):
            return now
        heard = self.process.hear(
            self.name, lambda heard: heard["heard"] == "rows" and match(heard["snapshot"]), what, limit_s=LIMIT_S
        )
        snapshot: dict[str, Any] = heard["snapshot"]
        return snapshot


class Joined:
    """A channel for broadcasts and presence."""

    def __init__(self, player: Player, topic: str, /, **options: Any) -> None:
        self.name = f"channel-{next(_numbers)}"
        self.process = player.process
        player.ask("channel", name=self.name, topic=topic, options=options)
        self.next("status", lambda heard: heard["state"] == "joined")

    def next(self, kind: str, match: Callable[[Heard], bool] = lambda _: True) -> Heard:
        return self.process.hear(
            self.name, lambda heard: heard["heard"] == kind and match(heard), kind, limit_s=LIMIT_S
        )

    def ask(self, verb: str, **values: Any) -> Any:
        return self.process.ask(verb, name=self.name, **values)


@contextmanager
def players(process: PuppetProcess) -> Iterator[Callable[..., Player]]:
    """Make clients, and close them all in the end."""
    made: list[Player] = []

    def make(*arguments: Any, **options: Any) -> Player:
        made.append(Player(process, *arguments, **options))
        return made[-1]

    try:
        yield make
    finally:
        for player in made:
            player.ask("close")
