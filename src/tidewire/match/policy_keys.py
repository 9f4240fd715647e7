"""Finds what a row must have in common with an audience to be visible to it, so that audiences can be looked up."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from tidewire.filters.scalars import as_written
from tidewire.match.policy_claims import KnownClaims
from tidewire.match.policy_members import claim_texts
from tidewire.match.policy_tree import (
    And,
    ClaimDocument,
    ClaimList,
    ClaimsAsText,
    ClaimSetting,
    ClaimText,
    ColumnValue,
    Compare,
    Condition,
    HasKey,
    Member,
    Or,
    Path,
    Value,
    reads_row,
)
from tidewire.match.policy_values import Known, Unclear, bind_value, key_of


class EqualityKey(Struct, frozen=True):
    """The canonical text of the row's `column` must be one of `values(claims)`, which come from the claim at `path`.

    `canonical` brings a row's text into that form and does not raise; None where rows have it already. A column that is
    ABSENT decides nothing: then every audience that is entered under this key is to be judged by its own `judge`.
    """

    column: int
    path: Path
    canonical: Callable[[str], str] | None
    condition: Compare | Member | HasKey

    def values(self, claims: KnownClaims) -> tuple[str, ...]:
        """Return the texts to enter the audience under; none where it can see nothing by way of this key.

        Raises Fails and Unclear as `bind_condition` does.
        """
        match self.condition:
            case HasKey(document=document):
                keys = claims.keys(document.path) or frozenset()
                if any("\ufffd" in key for key in keys):
                    raise Unclear
                return tuple(sorted(keys))
            case Member(values=ClaimList() as values, rules=rules):
                texts = claim_texts(values, claims) or []
            case Compare(left=left, right=right, rules=rules):
                bound = bind_value(right if isinstance(left, ColumnValue) else left, claims)
                texts = [bound.text] if isinstance(bound, Known) else []
            case _:
                raise Unclear
        for text in texts:
            if text is not None:
                key_of(text, rules)
        form = self.canonical or as_written
        return tuple(dict.fromkeys(form(text) for text in texts if text is not None))


def keys_of(condition: Condition) -> tuple[EqualityKey, ...]:
    """Return the keys of which a visible row must have one: several for an OR, none if there is no such key."""
    match condition:
        case Or(conditions=parts):
            found = [keys_of(each) for each in parts]
            return tuple(key for keys in found for key in keys) if all(found) else ()
        case And(conditions=parts):
            return min((keys for each in parts if (keys := keys_of(each))), key=_crowding, default=())
        case Compare(operator="=", left=left, right=right, rules=rules) if rules.index is not None:
            column, other = (left, right) if isinstance(left, ColumnValue) else (right, left)
            if isinstance(column, ColumnValue) and not reads_row(other) and (paths := list(claims_read(other))):
                return (_key(column, paths[0], rules.index, condition),)
        case Member(item=ColumnValue() as column, values=ClaimList(path=path), rules=rules, wanted=True):
            if rules.index is not None:
                return (_key(column, path, rules.index, condition),)
        case HasKey(document=document, key=ColumnValue() as column):
            return (_key(column, document.path, as_written, condition),)
    return ()


def _crowding(keys: tuple[EqualityKey, ...]) -> tuple[int, int]:
    """Compare ways to find audiences by how many a row may find: few users share a subject, and many a tenant."""
    return len(keys), sum(key.path != ("sub",) for key in keys)


def claims_read(part: Condition | Value) -> Iterator[Path]:
    """Yield the claims that something depends on, in the order in which they are met."""
    match part:
        case ClaimText(path=path) | ClaimDocument(path=path) | ClaimList(path=path):
            if path:
                yield path
        case ClaimSetting(name=name):
            yield (name,)
    yield from (path for each in _structs(part) for path in claims_read(each))


def settings_read(part: Condition | Value) -> Iterator[str]:
    """Yield the names of the claims that are read from settings of their own."""
    if isinstance(part, ClaimSetting):
        yield part.name
    yield from (name for each in _structs(part) for name in settings_read(each))


def reads_all_claims(part: Condition | Value) -> bool:
    """Tell whether something depends on the claims as a whole."""
    if isinstance(part, ClaimsAsText) or (isinstance(part, ClaimDocument) and not part.path):
        return True
    return any(map(reads_all_claims, _structs(part)))


def _structs(part: Struct) -> Iterator[Condition | Value]:
    for field in part.__struct_fields__:
        value = getattr(part, field)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Struct) and type(each).__module__ == Compare.__module__:
                yield each  # type: ignore[misc]  # all structs of that module are conditions or values


def _key(
    column: ColumnValue, path: Path, form: Callable[[str], str], condition: Compare | Member | HasKey
) -> EqualityKey:
    return EqualityKey(column.place, path, None if form is as_written else form, condition)
