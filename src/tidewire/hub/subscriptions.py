"""The row changes that the channels of this node follow: bindings in, subscriptions of the matcher out.

What a binding means for tables is judged in wishes.py; which rows a reader may see is for Visibility.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final

from tidewire.hub.guards import Guards
from tidewire.hub.wishes import Wish, judge
from tidewire.match.finding import Broken
from tidewire.match.matcher import Matcher
from tidewire.match.subscription import ANY, Audience, Subscription, TablePattern
from tidewire.model.errors import TidewireError
from tidewire.model.position import Lsn
from tidewire.ports import Tables
from tidewire.wire.binding import Binding
from tidewire.wire.session_address import PREFIX
from tidewire.wire.session_effects import ChannelRef, Subscribe

LEGACY: Final = "legacy "
"""Stands before the topic in subscriptions of clients that expect changes under the names INSERT, UPDATE and DELETE."""

ANYTHING: Final = frozenset({(ANY, ANY)})
"""All tables, as `targets` names them."""

Judged = Sequence[Wish | str]
"""For each binding what it wishes, or why it gets nothing."""


class Subscriptions:
    """First `judge`, which waits for the database; then `replace`, from which on every change is matched."""

    def __init__(self, matcher: Matcher, tables: Tables, guards: Guards) -> None:
        self._matcher = matcher
        self._tables = tables
        self._guards = guards
        self._numbers = count(1)
        self._channels: dict[tuple[int, int], list[int]] = {}
        self._owners: dict[int, tuple[int, ChannelRef]] = {}

    def __len__(self) -> int:
        return len(self._owners)

    async def judge(self, question: Subscribe) -> Judged:
        """Ask the database about all bindings. Raises PostgresError when it cannot be asked."""
        claims = question.grant.claims
        judged = [await judge(binding, claims, self._tables) for binding in question.bindings]
        for wish in judged:
            if isinstance(wish, Wish):
                await self._load_rules(wish, claims.role)
        return judged

    async def _load_rules(self, wish: Wish, role: str) -> None:
        """Read the rules of these tables now: what changes them afterwards is in the log behind this point."""
        for target in wish.targets:
            if ANY not in target:
                for relation in await self._tables.published(*target):
                    if missing := self._guards.missing(relation, (role,)):
                        await self._guards.load(relation, missing)

    async def log_end(self) -> Lsn:
        """Return where the log ends, or ended a moment ago. Raises PostgresError as well."""
        return await self._tables.log_end()

    def replace(self, connection: int, question: Subscribe, judged: Judged) -> tuple[str | None, ...]:
        """Follow what was judged instead of what the channel followed; return for each binding why not, or None."""
        self.forget(connection, question.channel, renewed=True)
        added = [
            self._add(connection, question.channel, made, wish)
            for _, wish, made in self.make(connection, question, judged)
        ]
        answers = iter(added)
        return tuple(each if each is not None else next(answers) for each in refused(judged))

    def make(
        self, connection: int, question: Subscribe, judged: Judged
    ) -> Iterator[tuple[Binding, Wish, list[Subscription]]]:
        """Yield the subscriptions of each binding that can be had; they are followed by nobody yet."""
        claims = question.grant.claims
        audience = Audience(claims.role)
        topic = (LEGACY if question.legacy else "") + PREFIX + question.channel.subtopic
        for binding, wish in zip(question.bindings, judged, strict=True):
            if isinstance(wish, str):
                continue
            made = [
                Subscription(
                    id=next(self._numbers),
                    connection=connection,
                    topic=topic,
                    wire_id=binding.id,
                    schema=schema,
                    table=table,
                    event=wish.event,
                    filter=wish.filter,
                    select=wish.select,
                    audience=audience,
                    claims=claims.values,
                    reads=wish.reads,
                    truncate=wish.truncate,
                    moves=wish.moves,
                )
                for schema, table in wish.targets
            ]
            yield binding, wish, made

    def forget(self, connection: int, channel: ChannelRef, *, renewed: bool = False) -> None:
        """Follow nothing more for a channel; one that is `renewed` still gets what waits for an answer already."""
        for number in self._channels.pop((connection, channel.number), ()):
            self._matcher.remove(number, renewed=renewed)
            del self._owners[number]

    def channels(self) -> list[tuple[int, ChannelRef]]:
        """Return all channels that follow something, each with the number of its connection."""
        return list(dict.fromkeys(self._owners.values()))

    def drop_broken(self, broken: Sequence[Broken]) -> list[tuple[int, ChannelRef, str]]:
        """Remove subscriptions whose filter cannot be applied any more; return whom to tell what."""
        told: dict[tuple[int, ChannelRef, str], None] = {}
        for each in broken:
            text = explain(each)
            for number in each.subscriptions:
                owner = self._owners.pop(number, None)
                if owner is None:
                    continue
                self._matcher.remove(number)
                connection, channel = owner
                self._channels[connection, channel.number].remove(number)
                told[connection, channel, text] = None
        return list(told)

    def _add(self, connection: int, channel: ChannelRef, made: Sequence[Subscription], wish: Wish) -> str | None:
        """Add the subscriptions of one binding, all or none."""
        broken = [
            each
            for wanted in made
            for each in self._matcher.add(wanted, wish.compile, self._guards.of(wanted.schema, wanted.table))
        ]
        if broken:
            for wanted in made:
                self._matcher.remove(wanted.id)
            return explain(broken[0])
        numbers = self._channels.setdefault((connection, channel.number), [])
        for wanted in made:
            numbers.append(wanted.id)
            self._owners[wanted.id] = (connection, channel)
        return None


def targets(judged: Judged) -> frozenset[TablePattern]:
    """Return the names of all tables that are followed."""
    return frozenset(target for wish in judged if isinstance(wish, Wish) for target in wish.targets)


def refused(judged: Judged) -> tuple[str | None, ...]:
    """Return for each binding why it gets nothing, or None."""
    return tuple(wish if isinstance(wish, str) else None for wish in judged)


def explain(broken: Broken) -> str:
    """Say what is wrong with a filter; an error that is not ours may quote a row, so only its kind is named."""
    error = broken.error
    what = error.message if isinstance(error, TidewireError) else type(error).__name__
    return f"The filter cannot be applied to {broken.relation.qualified_name} as it is now: {what}"
