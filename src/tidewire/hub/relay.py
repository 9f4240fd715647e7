"""The loop on the one node that holds the slot: what Postgres committed goes onto the bus, and only then is confirmed.

It announces breaks in the history as `Resync`. It retries nothing: the source reconnects by itself, and other failures
end the loop for whoever started it to see.
"""

from contextlib import aclosing

from tidewire.model.change import Resync
from tidewire.model.errors import SlotLost
from tidewire.ports import CHANGES, Bus, ChangeSource
from tidewire.wal.envelope import Era, encode, era_of


async def relay(source: ChangeSource, bus: Bus) -> None:
    """Move transactions from the source to the bus until the source ends. Run one relay per slot."""
    era: Era | None = None
    while True:
        try:
            async with aclosing(source.transactions()) as transactions:
                async for transaction in transactions:
                    if era is None or era.epoch != source.epoch:
                        era = await _enter(bus, source.epoch)
                    await bus.publish(CHANGES, encode(transaction), key=era.key(transaction))
                    if transaction.end_lsn is not None:
                        source.confirm(transaction.end_lsn)
        except SlotLost as lost:
            era = await _enter(bus, await source.restart(), reason=lost.message)
        else:
            return


async def _enter(bus: Bus, epoch: str, *, reason: str | None = None) -> Era:
    """Return the era that the bus is in, after a Resync if the bus stands in another epoch.

    The bus is asked, not our memory: another node may have relayed since, or this one died between losing the slot and
    saying so. Asking again after the Resync settles it when two nodes open an era at once. An empty bus has nothing to
    break with, unless a lost slot is the `reason`: those who follow it now have loaded data before.
    """
    era = era_of(await bus.last_key(CHANGES))
    if era is None and reason is None:
        return Era(1, epoch)
    while era is None or era.epoch != epoch:
        opening = Era(era.number + 1 if era else 1, epoch)
        notice = Resync(epoch, reason or "another history of the database began")
        await bus.publish(CHANGES, encode(notice), key=opening.key())
        era = era_of(await bus.last_key(CHANGES))
    return era
