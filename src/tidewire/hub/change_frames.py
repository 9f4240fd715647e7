"""Row changes that were found to concern somebody become messages, written once for all who see the same of them.

Decides nothing about who that is, and sends nothing.
"""

from collections.abc import Iterator, Sequence

import structlog

from tidewire.hub.forms import Parcel
from tidewire.hub.subscriptions import LEGACY
from tidewire.match.candidates import Delivery
from tidewire.match.sight import Sight, told_as
from tidewire.match.subscription import Receivers
from tidewire.model.change import Change
from tidewire.model.errors import DecodeError
from tidewire.model.position import Seen, format_lsn
from tidewire.wire import payloads
from tidewire.wire.change_body import MAX_RECORD_BYTES, ChangeBodies
from tidewire.wire.message import Message

log = structlog.get_logger()


class ChangeFrames:
    """Without an epoch, which names the history that positions belong to, changes are sent without positions."""

    def __init__(self, *, change_bytes: int = MAX_RECORD_BYTES) -> None:
        self._bodies = ChangeBodies(max_record_bytes=change_bytes)

    def frames(
        self, delivery: Delivery[Sight], commit_time_us: int, epoch: str, *, seen: Seen | None = None
    ) -> Iterator[tuple[Parcel, str, Sequence[int]]]:
        """Yield each message with its topic on the wire and the connections that are to get it.

        Those who have `seen` some of what is still to come are told so with the position.
        """
        change, sight = delivery.change, delivery.answer
        operation = told_as(change, sight, moves=delivery.moves)
        if operation is None or not is_whole(change):
            return
        more = "" if seen is None or change.lsn >= seen.until else str(seen)
        position = f"{epoch}.{change.lsn:x}.{change.index:x}{more}" if epoch else None
        data = self._bodies.write(
            change,
            commit_time_us,
            operation=operation,
            columns=_columns(delivery.select, sight.columns),
            old_columns=_columns(delivery.select, sight.old_columns),
            errors=sight.errors,
            position=position,
        )
        for receivers in delivery.receivers:
            parcel, topic = _frame(receivers, data, operation, position)
            yield parcel, topic, receivers.connections


def is_whole(change: Change) -> bool:
    """Read a row, once for all its readers. A damaged one is told to the log and to nobody else: it says nothing."""
    try:
        _ = change.new
    except DecodeError as error:
        log.error("row_unreadable", table=change.relation.qualified_name, lsn=format_lsn(change.lsn), code=error.code)  # noqa: TRY400 - the traceback would say no more
        return False
    return True


def _columns(select: tuple[str, ...] | None, seen: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return what is both wanted and allowed."""
    if select is None or seen is None:
        return seen if select is None else select
    return tuple(name for name in seen if name in select)


def _frame(receivers: Receivers, data: bytes, operation: str, position: str | None) -> tuple[Parcel, str]:
    """Return the message for one set of receivers, and their topic on the wire."""
    if receivers.topic.startswith(LEGACY):
        topic = receivers.topic.removeprefix(LEGACY)
        return Parcel(Message(topic, operation, data)), topic
    payload = payloads.change(receivers.ids, data)
    return Parcel(Message(receivers.topic, "postgres_changes", payload, position=position)), receivers.topic
