"""SQL as a value: text with `%s` where parameters go. Composes fragments; runs nothing.

Every parameter is bound as untyped text (what psycopg does with `str`), so that Postgres reads it as the type of what
it is compared with, as it does with a literal. A name comes in only through `name`, which quotes it.
"""

import re
from collections.abc import Iterable
from itertools import count

from msgspec import Struct

from tidewire.filters.sql import quote_identifier

_place = re.compile("%s|%%")


class Statement(Struct, frozen=True):
    """One statement to run with `parameters`, all of them untyped text."""

    text: str
    parameters: tuple[str | None, ...] = ()


class Sql(Struct, frozen=True):
    """A piece of a statement with the parameters that occur in it, in order."""

    text: str
    parameters: tuple[str | None, ...] = ()

    def statement(self) -> Statement:
        """Return the finished statement."""
        return Statement(self.text, self.parameters)


NOTHING = Sql("")


def compose(template: str, *parts: Sql) -> Sql:
    """Put the parts where the template, which is always a constant of ours, has `{}`."""
    return Sql(
        template.format(*(part.text for part in parts)), tuple(value for part in parts for value in part.parameters)
    )


def joined(separator: str, parts: Iterable[Sql]) -> Sql:
    """Put the separator between the parts."""
    listed = list(parts)
    return Sql(
        separator.join(part.text for part in listed), tuple(value for part in listed for value in part.parameters)
    )


def parameter(value: str | None, type_name: str = "") -> Sql:
    """Return the place of a value; with a type, it is cast to that type, which must be the Schema's or ours."""
    return Sql(f"%s::{type_name.replace('%', '%%')}" if type_name else "%s", (value,))


def name(text: str) -> Sql:
    """Quote a name."""
    return Sql(quote_identifier(text))


def names(texts: Iterable[str]) -> Sql:
    """Quote several names for a list."""
    return joined(", ", map(name, texts))


def type_text(type_name: str) -> Sql:
    """Return a type of the Schema, which is SQL already."""
    return Sql(type_name.replace("%", "%%"))


def numbered(text: str) -> bytes:
    """Write a statement as Postgres itself reads it: `$1`, `$2` where parameters go, and `%` for `%%`."""
    numbers = count(1)
    return _place.sub(lambda found: "%" if found[0] == "%%" else f"${next(numbers)}", text).encode()
