"""Positions are opaque texts: what we wrote is read back exactly, and everything else is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.model.errors import InvalidPosition
from tidewire.model.position import Lsn, StreamPosition, format_lsn, parse_lsn, parse_position

epochs = st.text("0123456789abcdefXYZ", min_size=1, max_size=64)
positions = st.builds(StreamPosition, epochs, st.integers(0, 2**64 - 1).map(Lsn), st.integers(0, 2**32 - 1))


@given(positions)
def test_positions_survive_the_trip(position: StreamPosition) -> None:
    assert parse_position(str(position)) == position


@given(st.text(max_size=80))
def test_anything_else_is_refused_or_read_back_unchanged(text: str) -> None:
    with contextlib.suppress(InvalidPosition):
        assert str(parse_position(text)) == text


@pytest.mark.parametrize(
    "text", ["", ".", "a.1", "a.1.2.3", "a.01.0", "a.-1.0", "a.G.0", "a b.1.0", "a.1.100000000", "é.1.1", "a.1.1\n"]
)
def test_bad_positions_are_named_as_such(text: str) -> None:
    with pytest.raises(InvalidPosition, match="expected EPOCH"):
        parse_position(text)


@given(positions, positions)
def test_order_has_no_meaning_across_epochs(one: StreamPosition, other: StreamPosition) -> None:
    if one.epoch != other.epoch:
        assert not one.follows(other)
        assert not other.follows(one)
    else:
        assert one.follows(other) == ((one.lsn, one.index) > (other.lsn, other.index))


@given(st.integers(0, 2**64 - 1))
def test_lsn_is_written_as_postgres_writes_it(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn


@pytest.mark.parametrize("text", ["", "/", "1", "1/", "/1", "g/1", "123456789/1", "1/1/1", "0x1/1", "+1/1", "1_1/1"])
def test_bad_lsns_are_refused(text: str) -> None:
    with pytest.raises(InvalidPosition):
        parse_lsn(text)
