"""Remembers what requests of one shape become, so that the same question about another row is not planned again.

Two requests have one shape when nothing but the values of plain comparisons differs, `id=eq.7` and `id=eq.8`. Such a
value is a parameter of the statement and nowhere else; where that turns out not to be so, nothing is remembered.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tidewire.query.errors import QueryError
from tidewire.query.limits import Limits
from tidewire.query.parameters import Pair
from tidewire.query.request import Planned, Request, check_request, plan_checked
from tidewire.query.schema import Schema
from tidewire.query.statement import Statement

MOST_SHAPES: Final = 1000
MOST_SHAPE_CHARS: Final = 4000
"""A longer request is planned each time: what is remembered has to be bounded, and few are as long."""

_READING: Final = frozenset({"GET", "HEAD"})
_HEADERS: Final = ("accept", "prefer", "accept-profile", "range")
"""What a plan for reading depends on besides the URL."""

_plain = re.compile(r"((?:not\.)?(?:eq|neq|gt|gte|lt|lte)\.)(.*)", re.DOTALL)
_WORDS: Final = frozenset({"select", "order", "limit", "offset", "and", "or", "columns", "on_conflict"})
_MARK: Final = "\0"
"""Begins what stands for a value while a shape is planned. No request has it: it is refused before."""

_Shape = tuple[str, tuple[str, ...], tuple[Pair, ...], tuple[str | None, ...]]


class _Slots(Struct, frozen=True):
    """Which parameters of a statement are values of the request, by their places: the number of the value, or None."""

    statement: Statement
    values: tuple[int | None, ...]

    def fill(self, values: Sequence[str]) -> Statement:
        return Statement(
            self.statement.text,
            tuple(
                [
                    given if value is None else values[value]
                    for given, value in zip(self.statement.parameters, self.values, strict=True)
                ]
            ),
        )


class _Template(Struct, frozen=True):
    planned: Planned
    statement: _Slots
    estimate: _Slots | None

    def fill(self, values: Sequence[str]) -> Planned:
        if not values:
            return self.planned
        estimate = None if self.estimate is None else self.estimate.fill(values)
        return replace(self.planned, statement=self.statement.fill(values), estimate=estimate)


class Plans:
    """Ask for a `plan` instead of planning; what comes of it is the same."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._schema: Schema | None = None
        self._templates: dict[_Shape, _Template] = {}
        """By shape, the one that was used last at the end."""

    def __len__(self) -> int:
        return len(self._templates)

    def plan(self, request: Request, schema: Schema) -> Planned:
        """Return what to run for a request. Raises QueryError, which says what to answer instead."""
        check_request(request, self._limits)
        if request.method not in _READING or request.path[:1] == ("rpc",):
            return plan_checked(request, schema, self._limits)
        if schema is not self._schema:
            self._templates.clear()
            self._schema = schema
        pairs, values = _shape_of(request.query)
        shape = request.method, request.path, pairs, tuple([request.headers.get(name) for name in _HEADERS])
        template = self._templates.pop(shape, None)
        if template is None:
            template = self._make(replace(request, query=pairs), schema)
            if template is None:
                return plan_checked(request, schema, self._limits)
        if _is_short(shape):
            self._templates[shape] = template
            if len(self._templates) > MOST_SHAPES:
                del self._templates[next(iter(self._templates))]
        return template.fill(values)

    def _make(self, shaped: Request, schema: Schema) -> _Template | None:
        """Plan with marks in place of values; None where these are more than parameters, or it is refused anyway."""
        try:
            planned = plan_checked(shaped, schema, self._limits)
        except QueryError:
            return None
        statement = _slots(planned.statement)
        estimate = None if planned.estimate is None else _slots(planned.estimate)
        if statement is None or (planned.estimate is not None and estimate is None):
            return None
        return _Template(planned, statement, estimate)


def _shape_of(query: Sequence[Pair]) -> tuple[tuple[Pair, ...], list[str]]:
    """Put a mark with its number in place of every value that is nothing but one."""
    pairs: list[Pair] = []
    values: list[str] = []
    for key, text in query:
        found = None if key.rpartition(".")[2] in _WORDS else _plain.fullmatch(text)
        if found is None:
            pairs.append((key, text))
        else:
            pairs.append((key, f"{found[1]}{_MARK}{len(values)}"))
            values.append(found[2])
    return tuple(pairs), values


def _slots(statement: Statement) -> _Slots | None:
    if _MARK in statement.text:
        return None
    values: list[int | None] = []
    for parameter in statement.parameters:
        if parameter is None or _MARK not in parameter:
            values.append(None)
        elif parameter[0] == _MARK and parameter[1:].isdigit():
            values.append(int(parameter[1:]))
        else:
            return None
    return _Slots(statement, tuple(values))


def _is_short(shape: _Shape) -> bool:
    method, path, pairs, headers = shape
    texts = [method, *path, *(text for pair in pairs for text in pair), *(text or "" for text in headers)]
    return sum(map(len, texts)) <= MOST_SHAPE_CHARS
