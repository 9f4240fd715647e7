"""What operators see of connections: who, by what way, since when, and how well it reads. Changes nothing."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from msgspec import Struct

from tidewire.hub.connection import ClientConnection


class Arrival(Struct, frozen=True, gc=False):
    """How and when a client came."""

    transport: str
    at_s: float


class ConnectionRow(Struct, frozen=True):
    """One connection. `role` and `user` are those of the token that its last channel was joined with, if any was.

    `queue_bytes` have been written for it and not been taken by the network. `since` is Unix time.
    """

    number: int
    transport: str
    since: float
    role: str | None
    user: str | None
    channels: int
    queue_bytes: int
    rtt_ms: float | None
    """To two digits, so that it does not change all the time."""


class ChannelRow(Struct, frozen=True):
    """One channel of a connection."""

    topic: str
    private: bool
    broadcasts: bool
    presence: bool


class ConnectionDetail(Struct, frozen=True):
    """A connection with its channels, or the first of very many."""

    connection: ConnectionRow
    channels: list[ChannelRow]


Arrived = tuple[ClientConnection, Arrival]

MOST_CHANNELS: Final = 1000


def row_of(arrived: Arrived) -> ConnectionRow:
    """Describe one connection as it is now."""
    connection, arrival = arrived
    role, user = connection.bearer or (None, None)
    return ConnectionRow(
        connection.number,
        arrival.transport,
        arrival.at_s,
        role,
        user,
        len(connection.members),
        connection.waiting_bytes,
        None if (rtt_s := connection.round_trip_s) is None else float(f"{rtt_s * 1000:.2g}"),
    )


def page_of(arrived: Iterable[Arrived], *, after: int, limit: int, user: str | None = None) -> list[ConnectionRow]:
    """Describe the next ones behind a number, of one user only if one is named."""
    return [row_of(each) for each in islice(_wanted(arrived, after, user), limit)]


def _wanted(arrived: Iterable[Arrived], after: int, user: str | None) -> Iterator[Arrived]:
    for each in arrived:
        bearer = each[0].bearer
        if each[0].number > after and (user is None or (bearer is not None and bearer[1] == user)):
            yield each


def detail_of(arrived: Arrived) -> ConnectionDetail:
    """Describe one connection and its channels."""
    members = islice(arrived[0].members.items(), MOST_CHANNELS)
    channels = [
        ChannelRow(name, channel.private, member in topic.listeners, topic.is_watched_by(member))
        for name, (channel, topic, member) in members
    ]
    return ConnectionDetail(row_of(arrived), channels)
