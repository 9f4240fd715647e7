"""Foreign keys become the ways from one table to another: to one row, to many, or to many through a junction."""

from collections.abc import Iterator

from msgspec import Struct

from tidewire.query.errors import QueryError
from tidewire.query.schema import Reference, Schema, Table

Pairs = tuple[tuple[str, str], ...]
Outgoing = dict[tuple[str, str], list[Reference]]


class Link(Struct, frozen=True):
    """A way from `origin` to `target`. `pairs` join (origin, target), or with a junction (origin, junction).

    `onward` then joins (junction, target).
    """

    origin: Table
    target: Table
    cardinality: str
    pairs: Pairs
    constraint: str
    junction: Table | None = None
    onward: Pairs = ()
    onward_constraint: str = ""

    @property
    def to_one(self) -> bool:
        return self.cardinality in {"many-to-one", "one-to-one"}

    def describe(self) -> dict[str, str]:
        """Return what clients are shown of one of several ways."""
        if self.junction is None:
            near, far = (", ".join(side) for side in zip(*self.pairs, strict=True))
            relationship = f"{self.constraint} using {self.origin.name}({near}) and {self.target.name}({far})"
        else:
            near = ", ".join(column for _, column in self.pairs)
            far = ", ".join(column for column, _ in self.onward)
            relationship = f"{self.junction.name} using {self.constraint}({near}) and {self.onward_constraint}({far})"
        return {
            "cardinality": self.cardinality,
            "embedding": f"{self.origin.name} with {self.target.name}",
            "relationship": relationship,
        }

    def suits(self, hint: str) -> bool:
        """Tell whether the hint means this way: a constraint, one column of either side, or a junction.

        Of the two constraints of a junction it is the one that leads to the target, so that a table that a junction
        joins to itself can be reached in both directions.
        """
        if self.junction is not None:
            return hint in {self.junction.name, self.onward_constraint}
        single = set(self.pairs[0]) if len(self.pairs) == 1 else set()
        return hint == self.constraint or hint in single


def find_link(schema: Schema, origin: Table, name: str, hint: str | None) -> Link:
    """Return the only way from a table to what a select list calls `name`. Raises QueryError for none or several."""
    links = list(_links(schema, origin))
    named = [link for link in links if link.target.name == name]
    found = named or [link for link in links if link.cardinality != "many-to-many" and link.constraint == name]
    if not found:  # a column with a foreign key leads to the row that it refers to
        found = [link for link in links if link.to_one and len(link.pairs) == 1 and link.pairs[0][0] == name]
    if hint is not None:
        found = [link for link in found if link.suits(hint)]
    if len(found) == 2 and all(link.target is origin for link in found) and found[0].constraint == found[1].constraint:
        # Both ends of a key of the table to itself: its name means the rows that refer to this one.
        found = [link for link in found if link.cardinality != "many-to-one"][-1:]
    if len(found) == 1:
        return found[0]
    raise _ambiguous(origin, name, found) if found else _unrelated(origin, name, hint)


def _links(schema: Schema, origin: Table) -> Iterator[Link]:
    """Find every way to a table of the same schema."""
    outgoing: dict[tuple[str, str], list[Reference]] = {}
    for reference in schema.references:
        outgoing.setdefault((reference.schema, reference.table), []).append(reference)
    return (link for link in _every_link(schema, origin, outgoing) if link.target.schema == origin.schema)


def _every_link(schema: Schema, origin: Table, outgoing: Outgoing) -> Iterator[Link]:
    for reference in schema.references:
        source = schema.tables.get((reference.schema, reference.table))
        target = schema.tables.get((reference.to_schema, reference.to_table))
        if source is None or target is None:
            continue
        forward = tuple(zip(reference.columns, reference.to_columns, strict=True))
        if source is origin:
            yield Link(source, target, "one-to-one" if reference.unique else "many-to-one", forward, reference.name)
        if target is origin:
            backward = tuple((far, near) for near, far in forward)
            yield Link(target, source, "one-to-one" if reference.unique else "one-to-many", backward, reference.name)
            yield from _through(schema, origin, source, reference, outgoing)


def _through(schema: Schema, origin: Table, junction: Table, near: Reference, outgoing: Outgoing) -> Iterator[Link]:
    """Find the tables behind a junction, whose primary key holds both of its foreign keys."""
    primary = {column.name for column in junction.columns if column.primary}
    for far in outgoing[junction.schema, junction.name]:
        target = schema.tables.get((far.to_schema, far.to_table))
        if far == near or target is None or not {*near.columns, *far.columns} <= primary:
            continue
        pairs = tuple(zip(near.to_columns, near.columns, strict=True))
        onward = tuple(zip(far.columns, far.to_columns, strict=True))
        yield Link(origin, target, "many-to-many", pairs, near.name, junction, onward, far.name)


def _ambiguous(origin: Table, name: str, links: list[Link]) -> QueryError:
    tries = [f"'{name}!{link.onward_constraint or link.constraint}'" for link in links]
    return QueryError(
        300,
        "PGRST201",
        f"Could not embed because more than one relationship was found for '{origin.name}' and '{name}'",
        details=[link.describe() for link in links],
        hint=f"Try changing '{name}' to one of the following: {', '.join(tries)}. "
        "Find the desired relationship in the 'details' key.",
    )


def _unrelated(origin: Table, name: str, hint: str | None) -> QueryError:
    by = "" if hint is None else f" using the hint '{hint}'"
    return QueryError(
        400,
        "PGRST200",
        f"Could not find a relationship between '{origin.name}' and '{name}' in the schema cache",
        details=f"Searched for a foreign key relationship between '{origin.name}' and '{name}'{by} "
        f"in the schema '{origin.schema}', but no matches were found.",
    )
