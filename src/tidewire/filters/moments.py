"""How dates and times compare: reads ISO constants and the ISO text of rows, and is unsure about all others."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from math import inf
from typing import TypeVar

from tidewire.filters.unsure import Unsure

Read = TypeVar("Read", date, time, datetime)

Moment = tuple[float, str]
"""A year and the rest of the text. Within a year the fixed widths make text order the order in time."""

_INFINITE = {"infinity": (inf, ""), "-infinity": (-inf, "")}

_clock = r"(?P<clock>\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)"
_zone = r"(?:(?P<utc>[Zz])|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)"
_date = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_time = re.compile(_clock, re.ASCII).fullmatch
# Postgres ignores the zone of a constant for a column without one.
_timestamp = re.compile(rf"(?P<day>\d{{4}}-\d\d-\d\d)[T ]{_clock}{_zone}?", re.ASCII).fullmatch
_timestamptz = re.compile(rf"(?P<day>\d{{4}}-\d\d-\d\d)[T ]{_clock}{_zone}", re.ASCII).fullmatch
_row = re.compile(r"(\d{4,7})(-\d\d-\d\d(?: \d\d:\d\d:\d\d(?:\.\d{1,6})?)?)( BC)?", re.ASCII).fullmatch


def date_constant(text: str) -> str:
    """Return the date as Postgres prints it; raises Unsure unless it is `YYYY-MM-DD` or infinite."""
    if text in _INFINITE:
        return text
    if not _date(text):
        raise Unsure
    return _valid(date.fromisoformat, text).isoformat()


def time_constant(text: str) -> str:
    """Return the time as Postgres prints it; raises Unsure unless it is `HH:MM[:SS[.ffffff]]`."""
    if not _time(text):
        raise Unsure
    return _without_zeros(_valid(time.fromisoformat, _six_digits(text)).isoformat())


def timestamp_constant(text: str) -> str:
    """Return the timestamp as Postgres prints it; raises Unsure unless it is in ISO form or infinite."""
    if text in _INFINITE:
        return text
    parts = _timestamp(text)
    if parts is None:
        raise Unsure
    return _print(_read(parts))


def timestamptz_constant(text: str) -> str:
    """Return the moment as Postgres prints it in UTC. Without a zone it would depend on the session: Unsure."""
    if text in _INFINITE:
        return text
    parts = _timestamptz(text)
    if parts is None or int(parts["hours"] or 0) > 14 or int(parts["minutes"] or 0) > 59:
        raise Unsure
    offset = timedelta(hours=int(parts["hours"] or 0), minutes=int(parts["minutes"] or 0))
    moment = _read(parts)
    try:
        return _print(moment + offset if parts["sign"] == "-" else moment - offset) + "+00"
    except OverflowError:  # before the year 1 or after 9999
        raise Unsure from None


def date_key(text: str) -> Moment:
    """Return what dates sort by."""
    return _key(text)


def timestamp_key(text: str) -> Moment:
    """Return what timestamps sort by."""
    return _key(text)


def timestamptz_key(text: str) -> Moment:
    """Return what moments sort by; raises Unsure when the row was not written by a session in UTC."""
    if text in _INFINITE:
        return _INFINITE[text]
    if text.endswith("+00"):
        return _key(text[:-3])
    if text.endswith("+00 BC"):
        return _key(text[:-6] + " BC")
    raise Unsure


def _key(text: str) -> Moment:
    if text[4:5] == "-" and text[-1] != "C":  # no other DateStyle puts a dash there; this saves the pattern
        return (int(text[:4]), text[4:])
    parts = _row(text)
    if parts is None:
        if text in _INFINITE:
            return _INFINITE[text]
        raise Unsure  # DateStyle is not ISO
    year, rest, before_christ = parts.groups()
    return (-int(year) if before_christ else int(year), rest)


def _read(parts: re.Match[str]) -> datetime:
    return _valid(datetime.fromisoformat, f"{parts['day']} {_six_digits(parts['clock'])}").replace(tzinfo=UTC)


def _print(moment: datetime) -> str:
    return _without_zeros(moment.replace(tzinfo=None).isoformat(" "))


def _six_digits(clock: str) -> str:
    whole, point, fraction = clock.partition(".")
    return f"{whole}.{fraction:0<6}" if point else whole


def _without_zeros(text: str) -> str:
    return text.rstrip("0") if "." in text else text


def _valid(read: Callable[[str], Read], text: str) -> Read:
    try:
        return read(text)
    except ValueError:  # no such day or time, or one that only Postgres knows, such as 24:00
        raise Unsure from None
