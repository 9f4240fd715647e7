"""How texts compare, which depends on their collation, and the choice of the rules for any column."""

from tidewire.filters.checks import BPCHAR, NAME, TEXT, VARCHAR, base_type
from tidewire.filters.collation import NONDETERMINISTIC, orders_by_code_point
from tidewire.filters.scalars import Scalar, as_written, scalar
from tidewire.filters.unsure import Unsure
from tidewire.model.relation import PgType

_MAX_NAME_BYTES = 63


def rules(type_: PgType, locale: str) -> Scalar:
    """Return how values of a column compare. Raises Unsure for types and collations that only Postgres knows."""
    oid = base_type(type_).oid
    if oid in {TEXT, VARCHAR, NAME, BPCHAR}:
        if locale == NONDETERMINISTIC:
            raise Unsure
        return _text_rules(oid, ordered=orders_by_code_point(locale))
    found = scalar(base_type(type_))
    if found is None:
        raise Unsure
    return found


def _text_rules(oid: int, *, ordered: bool) -> Scalar:
    if oid == BPCHAR:
        return Scalar(
            _padded_constant, _without_padding, same_text=False, ordered=ordered, index=_without_padding, patterns=True
        )
    constant = _name_constant if oid == NAME else _text_constant
    return Scalar(constant, ordered=ordered, index=as_written, patterns=True)


def _text_constant(text: str) -> str:
    if "\ufffd" in text:  # also stands for bytes of the log that were not UTF-8
        raise Unsure
    return text


def _name_constant(text: str) -> str:
    if len(text.encode()) > _MAX_NAME_BYTES:  # Postgres cuts it off
        raise Unsure
    return _text_constant(text)


def _padded_constant(text: str) -> str:
    return _without_padding(_text_constant(text))


def _without_padding(text: str) -> str:
    """Drop the blanks that char(n) is filled up with: they do not count when it compares."""
    return text.rstrip(" ")
