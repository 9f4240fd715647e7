"""Walks through the past once for many channels that were away; each gets out where the past ends.

Everybody whose place lies ahead may get on. The rules of today decide what of the past may be seen.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count, islice
from typing import Final

from msgspec import Struct

from tidewire.hub.admission import ASKED_AT_ONCE, admit
from tidewire.hub.change_frames import ChangeFrames, is_whole
from tidewire.hub.guards import RULES_PREFIX, Guards
from tidewire.hub.history import PAGE, History
from tidewire.hub.travellers import Place, Start, Traveller
from tidewire.match.candidates import Candidates, Delivery
from tidewire.match.matcher import Matcher
from tidewire.match.sight import Sight
from tidewire.model.change import Change, Resync, Transaction
from tidewire.model.errors import SubscriberLagged
from tidewire.model.position import Lsn, Seen, StreamPosition
from tidewire.ports import Visibility

OUT_AT_ONCE: Final = 25
"""How many get out in one step: each begins to follow what comes, and meanwhile nobody else has a turn."""
FOUND_AT_ONCE: Final = 1_000
"""How many changes and messages are held back until there are so many to ask about. A question takes some journeys to
Postgres and back, on a busy machine 50 ms, while the changes that need one may be few among many that do not."""
BEGUN_IN_A_TURN: Final = 40
MATCHED_IN_A_TURN: Final = 100
TOLD_IN_A_TURN: Final = 60
"""Some 2 ms each. Less would let a round fall behind what is published in the turns of others, while very much is."""
BEHIND_POLL_S: Final = 0.02
GIVEN_WAY_POLLS: Final = 100
"""Two seconds in all: more than a million rows take. Their end may not come, if the connection was lost meanwhile."""
BEHIND_S: Final = 30.0
"""How long we wait for the log to come to where a list was read; positions are clients' texts, and may say anything."""

Page = Sequence[tuple[int, Transaction | Resync]]


class Parts(Struct, frozen=True):
    """What a round works with."""

    history: History
    guards: Guards
    visibility: Visibility
    frames: ChangeFrames


class _Found(Struct, frozen=True):
    """Who wishes to hear of what in one message."""

    sequence: int
    transaction: Transaction
    candidates: Sequence[tuple[Candidates, Seen | None]]
    place: Place
    """Of its last change; the one before where it has none."""


class Round:
    """Let travellers `board` as long as it takes them, and `run` it once."""

    def __init__(self, parts: Parts, sequence: int) -> None:
        self._parts = parts
        self._sequence = sequence
        self._epoch = parts.history.epoch
        self._looked_at: Place = (0, -1)
        self._place: Place = (0, -1)
        self._passed = 0
        self._polls_left = GIVEN_WAY_POLLS
        self._is_open = True
        self._found: list[_Found] = []
        """What has been looked at and not told yet, and how much of it is in doubt, and is there at all."""
        self._in_doubt = self._held = 0
        self._matched = 0
        self._told = 0
        self._unlooked = 0
        """How many events have gone by since it was looked who has left."""
        self._numbers = count()
        self._travellers: dict[tuple[int, str], Traveller] = {}
        self._full: set[Traveller] = set()
        self._matcher = Matcher()
        self._ahead: list[tuple[Place, int, Start, Traveller]] = []
        self._lists: dict[tuple[Traveller, Seen], tuple[Matcher, list[Start]]] = {}
        """Those who have seen some of what comes, each matched alone until it comes no more."""

    def position_of(self, traveller: Traveller) -> StreamPosition | None:
        """Return up to where somebody on board has been told everything; None where no one place says that."""
        if self._travellers.get(traveller.key) is not traveller or not traveller.has_all_up_to(self._place):
            return None
        lsn, index = self._place
        return StreamPosition(self._epoch, Lsn(lsn), index)

    def takes(self, traveller: Traveller, *, within: int | None = None) -> bool:
        """Tell whether nothing that it missed has gone by, and what it missed is not too far ahead.

        Nobody gets on once the end has been reached.
        """
        ahead = traveller.sequence - self._sequence
        return self._is_open and ahead >= 0 and (within is None or ahead <= within)

    def board(self, traveller: Traveller) -> None:
        """Take somebody along, in place of a channel that has left and joined again since."""
        if (gone := self._travellers.get(traveller.key)) is not None:
            self._forget(gone)
            gone.arrive(self._place)
        self._travellers[traveller.key] = traveller
        for start in traveller.starts:
            heappush(self._ahead, (start.place, next(self._numbers), start, traveller))

    async def run(self) -> None:
        """Walk until everybody is out. What fails here is raised to all who are on board."""
        history = self._parts.history
        try:
            while self._travellers:
                await self._give_way()
                self._skip()
                written = history.written()  # asked first: what is written later may not be in the page
                page = await history.page(self._sequence)
                await self._walk(page)
                if len(page) == PAGE:
                    await asyncio.sleep(0)  # at the end it looks again at once: others bring more to tell, for ever
                elif self._found:
                    await self._tell_found()
                elif not page:
                    await self._let_out(written)
        except Exception as error:  # noqa: BLE001 - each of them reports it
            self._is_open = False
            for traveller in self._travellers.values():
                traveller.fail(error)

    async def _give_way(self) -> None:
        """Wait while a large transaction comes by: what was committed behind it would wait for us otherwise."""
        while self._polls_left and self._parts.history.is_passing_rows:
            self._polls_left -= 1
            await asyncio.sleep(BEHIND_POLL_S)

    def _skip(self) -> None:
        """Go on where the first of those who are here begins: whoever missed more may have left."""
        self._sequence = max(self._sequence, min(each.sequence for each in self._travellers.values()))

    # --- on the way --------------------------------------------------------------------------------------------

    async def _walk(self, page: Page) -> None:
        """Match some messages, and tell whenever enough has been found."""
        for sequence, item in page:
            found = await self._look(sequence, item)
            events = 0 if isinstance(item, Resync) else len(item.events)
            self._found.append(found)
            self._in_doubt += sum(each.in_doubt for each, _ in found.candidates)
            self._held += 1 + events
            self._matched += events
            if self._in_doubt >= ASKED_AT_ONCE or self._held >= FOUND_AT_ONCE:
                await self._tell_found()
            if self._matched >= MATCHED_IN_A_TURN:
                self._matched = 0
                await asyncio.sleep(0)

    async def _tell_found(self) -> None:
        """Ask once about all that only Postgres can tell, and tell."""
        messages, self._found, self._in_doubt, self._held = self._found, [], 0, 0
        candidates = [each for message in messages for each, _ in message.candidates]
        await admit([finding for each in candidates for finding in each.findings], self._parts.visibility)
        answers = iter(await self._parts.visibility.visible([ask for each in candidates for ask in each.asks]))
        for message in messages:
            for each, seen in message.candidates:
                answered = list(islice(answers, len(each.asks)))
                await self._tell(each.deliveries(answered), message, seen)
            self._place = max(self._place, message.place)
            for traveller in self._full:
                self._forget(traveller)
                traveller.rest(self._place, message.sequence)
            self._full.clear()
        self._unlooked += sum(len(message.transaction.events) for message in messages)
        if self._unlooked >= len(self._travellers):  # so that looking costs no more than matching
            self._unlooked = 0
            self._drop_gone()

    def _drop_gone(self) -> None:
        for traveller in [each for each in self._travellers.values() if not each.receiver.is_there()]:
            self._forget(traveller)
            traveller.arrive(self._place)

    async def _look(self, sequence: int, item: Transaction | Resync) -> _Found:
        """Match one message. From here on it has gone by."""
        if isinstance(item, Resync):
            raise SubscriberLagged("catching up: expected one history, got the beginning of another")
        self._sequence = sequence
        self._passed = max(self._passed, item.commit_lsn if item.complete else item.commit_lsn - 1)
        self._finish_lists()
        if self._parts.history.is_news(sequence) and (item.renewed or item.emits(RULES_PREFIX)):
            self._parts.guards.observe(item)  # the dispatcher, which is behind, does so once more
        if self._goes_by(item):
            return _Found(sequence, item, (), self._looked_at)
        candidates: list[tuple[Candidates, Seen | None]] = []
        changes_here = item.changes
        # A part that comes again after a reconnection repeats what was looked at.
        new = [each for each in changes_here if (each.lsn, each.index) > self._looked_at and is_whole(each)]
        if changes_here:
            self._looked_at = max(self._looked_at, (changes_here[-1].lsn, changes_here[-1].index))
        async for changes in self._stretches(new):
            for matcher, seen in self._matchers(item):
                await self._parts.guards.load_for(changes, matcher.roles)
                candidates.append((matcher.match(changes, self._parts.guards.find), seen))
        return _Found(sequence, item, candidates, self._looked_at)

    def _goes_by(self, item: Transaction) -> bool:
        """Tell whether these are rows of a large transaction that nobody follows: they need not be looked at."""
        if item.shapes is None or any(matcher.follows(item.shapes) for matcher, _ in self._matchers(item)):
            return False
        last = (item.commit_lsn, item.events[-1].index)
        if self._ahead and self._ahead[0][0] < last:
            return False
        self._looked_at = max(self._looked_at, last)
        return True

    async def _stretches(self, changes: Sequence[Change]) -> AsyncIterator[Sequence[Change]]:
        """Cut where somebody begins; before each stretch, everybody who is to hear of it has begun."""
        begin = 0
        for at, change in enumerate(changes):
            place = (change.lsn, change.index)
            if self._ahead and self._ahead[0][0] < place:
                if at > begin:
                    yield changes[begin:at]
                begin = at
                await self._begin(place)
        if begin < len(changes):
            yield changes[begin:]

    async def _begin(self, place: Place) -> None:
        """Match for those who wish to hear of what comes at a place: of a crowd that was let in together, all."""
        for begun in count(1):
            if not self._ahead or self._ahead[0][0] >= place:
                return
            if begun % BEGUN_IN_A_TURN == 0:
                await asyncio.sleep(0)
            *_, start, traveller = heappop(self._ahead)
            if self._travellers.get(traveller.key) is not traveller:
                continue
            matcher = self._matcher
            if start.seen is not None and start.seen.until > self._passed:
                matcher, starts = self._lists.setdefault((traveller, start.seen), (Matcher(), []))
                starts.append(start)
            self._add(matcher, start)

    def _finish_lists(self) -> None:
        """Match for those together with all others of whose list nothing comes any more."""
        for key in [key for key in self._lists if key[1].until <= self._passed]:
            _, starts = self._lists.pop(key)
            for start in starts:
                self._add(self._matcher, start)

    def _add(self, matcher: Matcher, start: Start) -> None:
        wanted = start.wanted
        matcher.add(wanted, start.compile, self._parts.guards.of(wanted.schema, wanted.table))

    def _matchers(self, transaction: Transaction) -> Iterator[tuple[Matcher, Seen | None]]:
        yield self._matcher, None
        for (_, seen), (matcher, _) in tuple(self._lists.items()):  # somebody may leave while rules are read
            if not seen.has(transaction.commit_lsn, transaction.xid):
                yield matcher, seen

    async def _tell(self, deliveries: Iterable[Delivery[Sight]], message: _Found, seen: Seen | None) -> None:
        time_us = message.transaction.commit_time_us
        for delivery in deliveries:
            for parcel, topic, connections in self._parts.frames.frames(delivery, time_us, self._epoch, seen=seen):
                for number in connections:
                    traveller = self._travellers.get((number, topic))
                    if traveller is None or message.sequence <= traveller.sequence:
                        continue  # it left while this was on its way, and may have joined again
                    receiver = traveller.receiver
                    if not receiver.is_there():
                        continue
                    if (packet := parcel.packet(receiver.form)) is not None:
                        traveller.told = (delivery.change.lsn, delivery.change.index)
                        receiver.write(packet)
                    if receiver.is_full:
                        self._full.add(traveller)
                    self._told += 1
                    if self._told % TOLD_IN_A_TURN == 0:
                        await asyncio.sleep(0)

    # --- at the end --------------------------------------------------------------------------------------------

    async def _let_out(self, written: int) -> None:
        """Let some out, in one step with finding that there is nothing more to tell."""
        self._is_open = False
        self._passed = max(self._passed, written)
        self._finish_lists()
        behind = {traveller for _, _, start, traveller in self._ahead if self._is_ahead(start, traveller)}
        behind.update(traveller for traveller, _ in self._lists)
        ready = (each for each in self._travellers.values() if each not in behind or each.has_waited(BEHIND_S))
        out = list(islice(ready, OUT_AT_ONCE))
        for traveller in out:
            self._forget(traveller)
            traveller.arrive(self._place)
        await asyncio.sleep(0 if out else BEHIND_POLL_S)

    def _is_ahead(self, start: Start, traveller: Traveller) -> bool:
        """Tell whether something is still to come that is left out of one start, and not of all that a channel has."""
        if start.seen is not None and start.seen.until > self._passed:
            return True
        return start.place[0] > self._passed and start.place > traveller.place

    def _forget(self, traveller: Traveller) -> None:
        self._travellers.pop(traveller.key, None)
        for start in traveller.starts:
            self._matcher.remove(start.wanted.id)
            if start.seen is not None:
                self._lists.pop((traveller, start.seen), None)
