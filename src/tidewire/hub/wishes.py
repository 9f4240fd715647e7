"""Decides whether what a client wishes to hear of can be had, by its role, and says why not. Subscribes nobody.

The words of a refusal are those that clients of this protocol know.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from tidewire.filters.checks import check_conditions
from tidewire.filters.grammar import Condition, parse_filter
from tidewire.hub.wish_texts import shortened, show_params, show_wish
from tidewire.match.policy_claims import check_claims
from tidewire.match.row_filter import row_filter
from tidewire.match.rule import TableAccess
from tidewire.match.subscription import ANY, Compile, Select
from tidewire.model import reasons
from tidewire.model.claims import Claims
from tidewire.model.errors import ConfigurationError
from tidewire.model.relation import MESSAGES, PgType, Relation
from tidewire.ports import Tables
from tidewire.wire.binding import Binding, EventName

MAX_CONDITIONS: Final = 100
MAX_FILTER_CHARS: Final = 65_536
"""Enough for a hundred conditions or values, and little enough to ask Postgres about."""

_FILTER_REFUSED = "Error parsing `filter` params: "


class Wish(Struct, frozen=True):
    """A binding that can be had: make one subscription for each of the targets, with the same `compile`.

    There are several where partitions are in the log by themselves and their parent was asked for.
    """

    targets: tuple[tuple[str, str], ...]
    """Schema and table, `*` for any."""
    event: EventName
    filter: str
    select: Select
    compile: Compile | None
    reads: tuple[str, ...]
    """The columns that the filter reads."""
    truncate: bool
    moves: bool


class _Refused(Exception):  # noqa: N818 - carries the text for the client out of the checks
    pass


class _Objection(Exception):  # noqa: N818 - carries what the database objects to; the wish is shown with it
    pass


async def judge(binding: Binding, claims: Claims, tables: Tables) -> Wish | str:
    """Return what to subscribe to, or the text that refuses: the same wish would be refused again.

    Raises PostgresError when the database cannot be asked: try again later if it is retryable.
    """
    try:
        return await _judge(binding, claims, tables)
    except _Refused as refused:
        return shortened(str(refused))


async def _judge(binding: Binding, claims: Claims, tables: Tables) -> Wish:
    target, role = binding.target, claims.role
    if binding.refusal is not None:
        raise _Refused(binding.refusal)
    if target is None:
        raise _Refused(reasons.nothing_wished(show_params(binding.raw)))
    conditions = _parse(binding.filter)
    if binding.select is not None and ANY in target:
        raise _Refused(reasons.SELECT_WITH_WILDCARD)
    relations = await tables.published(*target)
    if not relations:
        raise _Refused(reasons.table_not_published(show_wish(binding, conditions)))
    try:
        await _check_claims(claims, relations, tables, every=ANY in target)
        if binding.moves:
            _check_moves(relations)
        locales = await _check_filter(conditions, role, relations, tables)
        select = await _check_select(binding.select, role, relations, tables)
    except _Objection as objection:
        raise _Refused(reasons.wish_refused(show_wish(binding, conditions), str(objection))) from None
    return Wish(
        targets=_targets(target, relations),
        event=binding.event,
        filter=binding.filter,
        select=select,
        compile=row_filter(conditions, locales) if conditions else None,
        reads=tuple(condition.column for condition in conditions),
        truncate=binding.truncate,
        moves=binding.moves,
    )


def _parse(text: str) -> tuple[Condition, ...]:
    if len(text) > MAX_FILTER_CHARS:
        raise _Refused(f"{_FILTER_REFUSED}filter is too long. Maximum {MAX_FILTER_CHARS} characters")
    try:
        conditions = parse_filter(text)
    except ConfigurationError as error:
        raise _Refused(_FILTER_REFUSED + error.message.removeprefix(_FILTER_REFUSED)) from None
    if len(conditions) > MAX_CONDITIONS:
        raise _Refused(f"{_FILTER_REFUSED}too many conditions. Maximum {MAX_CONDITIONS}")
    return conditions


async def _access(role: str, relation: Relation, tables: Tables) -> TableAccess:
    access = await tables.access(role, relation)
    if access is None:
        raise _Objection(reasons.role_missing(role))
    return access


async def _check_claims(claims: Claims, relations: Sequence[Relation], tables: Tables, *, every: bool) -> None:
    """Refuse a role that is not there, claims that no policy could be judged by, and what is read in topics only."""
    for relation in relations:
        if not (await _access(claims.role, relation, tables)).unrestricted:
            if (relation.schema, relation.name) == MESSAGES and not every:
                raise _Objection(reasons.messages_have_topics(claims.role))
            with _objecting():
                check_claims(claims.values)


def _check_moves(relations: Sequence[Relation]) -> None:
    """Refuse to tell of rows that come into sight where the log does not say how they were before."""
    for relation in relations:
        if relation.identity != "full":
            raise _Objection(reasons.moves_need_old_rows(relation.qualified_name))


async def _check_filter(
    conditions: Sequence[Condition], role: str, relations: Sequence[Relation], tables: Tables
) -> Mapping[tuple[str, str], Mapping[str, str]]:
    """Check the filter against every table that it will be applied to, and return the locales of their columns."""
    if not conditions:
        return {}
    names = [condition.column for condition in conditions]
    found: dict[tuple[str, str], Mapping[str, str]] = {}
    probed: set[tuple[tuple[PgType, str | None], ...]] = set()
    for relation in relations:
        access = await _access(role, relation, tables)
        _check_readable("filter", names, access.columns, relation)
        with _objecting():
            check_conditions(conditions, relation)
        locales = await tables.locales(relation)
        types = {column.name: column.type for column in relation.columns}
        asked = tuple((types[name], locales.get(name)) for name in names)
        if asked not in probed:  # partitions are alike
            probed.add(asked)
            if complaint := await tables.probe(role, relation, conditions):
                raise _Objection(complaint)
        found[relation.schema, relation.name] = locales
        with _objecting():
            row_filter(conditions, found)(relation)
    return found


async def _check_select(select: Select, role: str, relations: Sequence[Relation], tables: Tables) -> Select:
    """Return the columns in the table's order, with the key: without it no client knows which row it is."""
    if select is None:
        return None
    wanted = set(select)
    ordered: dict[str, None] = {}
    for relation in relations:
        access = await _access(role, relation, tables)
        _check_readable("select", select, access.columns, relation)
        ordered |= {column.name: None for column in relation.columns if column.primary or column.name in wanted}
    return tuple(ordered)


@contextmanager
def _objecting() -> Iterator[None]:
    """Turn what our own checks refuse into what the database would have said."""
    try:
        yield
    except ConfigurationError as error:
        raise _Objection(reasons.exception_raised(error.message)) from None


def _check_readable(what: str, names: Iterable[str], readable: frozenset[str], relation: Relation) -> None:
    there = readable & {column.name for column in relation.columns}
    for name in names:
        if name not in there:
            raise _Objection(reasons.exception_raised(f"invalid column for {what} {name}"))


def _targets(target: tuple[str, str], relations: Iterable[Relation]) -> tuple[tuple[str, str], ...]:
    """Return what was asked for, and by its own name each table that another name stands for."""
    schema, table = target
    return tuple(
        dict.fromkeys(
            target
            if schema in {ANY, relation.schema} and table in {ANY, relation.name}
            else (relation.schema, relation.name)
            for relation in relations
        )
    )
