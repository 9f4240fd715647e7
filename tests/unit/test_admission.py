"""Postgres is asked few questions about who sees what, and not about much that nobody wants to know."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.hub.admission import EXTRA, EXTRA_PAIRS, admit
from tidewire.match.finding import BY_POLICY, Deferred, Finding
from tidewire.match.rule import Rule
from tidewire.match.stand import Seat
from tidewire.match.subscription import Audience
from tidewire.model.change import Row
from tidewire.model.relation import Column, PgType, Relation
from tidewire.testing.rows import inserted
from tidewire.testing.tables import OpenVisibility, opaque_rule

NOTES = Relation(1, "public", "notes", "full", (Column("id", PgType(23, "int4"), identity=True, primary=True),))
RULE = opaque_rule("authenticated", NOTES)


class Parity(OpenVisibility):
    """Shows even rows to even readers, and odd ones to odd ones. Notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    async def seers(
        self, rule: Rule, relation: Relation, rows: Sequence[Row], audiences: Sequence[Audience]
    ) -> list[list[int]]:
        assert (rule, relation) == (RULE, NOTES)
        self.asked.append((len(rows), len(audiences)))
        return [[place for place, each in enumerate(audiences) if _sees(each, row)] for row in rows]


class Noted(Finding):
    """Notes who was admitted, and whether they see the old row."""

    def __init__(self) -> None:
        super().__init__(inserted(NOTES, ("1",)), None, [], {})
        self.seen: list[tuple[Seat, bool]] = []

    def admit(self, deferred: Deferred, seat: Seat, *, sees_old: bool) -> None:  # noqa: ARG002 - the contract's parameters
        self.seen.append((seat, sees_old))


def _sees(audience: Audience, row: Row) -> bool:
    return (int(audience.claims[0][1]) - int(str(row[0]))) % 2 == 0


def seats(*readers: int) -> tuple[Seat, ...]:
    return tuple(Seat(Audience("authenticated", (("sub", str(each)),)), (), (), ()) for each in readers)


def finding(row: int, who: tuple[Seat, ...], old: int | None = None) -> Noted:
    made = Noted()
    made.defer(RULE, who, BY_POLICY, (str(row),), None if old is None else (str(old),))
    return made


async def test_readers_who_come_one_after_the_other_are_asked_about_together() -> None:
    visibility = Parity()
    crowd = [finding(row, seats(*range(row + 1))) for row in range(50)]
    await admit(crowd, visibility)
    assert visibility.asked == [(50, 50)]
    assert [len(each.seen) for each in crowd] == [row // 2 + 1 for row in range(50)]


async def test_rows_and_readers_that_have_nothing_to_do_with_each_other_are_not_multiplied() -> None:
    visibility = Parity()
    rooms = [finding(room, seats(*range(1000 * room, 1000 * room + 100))) for room in range(200)]
    await admit(rooms, visibility)
    assert all(len(each.seen) == 50 for each in rooms)
    assert sum(rows * readers for rows, readers in visibility.asked) < 10 * 200 * 100
    assert len(visibility.asked) < 50


@pytest.mark.parametrize("both", [True, False])
async def test_who_sees_the_old_row(*, both: bool) -> None:
    moved = finding(2, seats(0, 1), old=4 if both else 3)
    await admit([moved], Parity())
    assert [sees_old for _, sees_old in moved.seen] == [both]


readers = st.lists(st.integers(0, 300), min_size=1, max_size=80, unique=True)
wishes = st.lists(st.tuples(st.integers(0, 200), readers, st.none() | st.integers(0, 200)), max_size=25)


@given(wishes)
def test_everybody_sees_what_they_would_see_alone(all_of_them: list[tuple[int, list[int], int | None]]) -> None:
    visibility = Parity()
    crowd = [finding(row, seats(*who), old) for row, who, old in all_of_them]
    asyncio.run(admit(crowd, visibility))
    for made, (row, who, old) in zip(crowd, all_of_them, strict=True):
        sees = {each for each in who if (each - row) % 2 == 0}
        assert {int(seat.audience.claims[0][1]) for seat, _ in made.seen} == sees
        assert all(sees_old == (old is not None and (old - row) % 2 == 0) for _, sees_old in made.seen)
    pairs = sum(len(who) * (2 if old not in {None, row} else 1) for row, who, old in all_of_them)
    for rows, audiences in visibility.asked:
        assert rows * audiences <= EXTRA * pairs + EXTRA_PAIRS
