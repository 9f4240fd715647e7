"""Compiles, per relation, the function that turns a row of the log into a JSON object. Decides nothing about access."""

from collections.abc import Callable, Collection
from functools import lru_cache
from json.encoder import encode_basestring as quote
from typing import Any

from tidewire.model.change import ABSENT, Row
from tidewire.model.relation import Relation
from tidewire.model.values import JsonEncoder, json_encoder

RecordEncoder = Callable[[Row], str]
"""A row aligned with the relation's columns in, JSON object text out."""

_Member = tuple[int, str, JsonEncoder]


@lru_cache(maxsize=4096)
def record_encoder(relation: Relation, names: tuple[str, ...] | None = None) -> RecordEncoder:
    """Return the encoder for rows of this relation, limited to the columns in `names`. Keep it as long as the relation.

    Members stand in the order of the columns; ABSENT columns are left out, and so are names the relation does not have.
    """
    members = [
        (place, f"{quote(column.name)}:", json_encoder(column.type))
        for place, column in enumerate(relation.columns)
        if names is None or column.name in names
    ]

    def encode_sparse(row: Row) -> str:
        """Slower: builds the object member by member, because some are missing."""
        found = [(key, row[place], encode) for place, key, encode in members]
        texts = [
            key + ("null" if value is None else encode(value)) for key, value, encode in found if value is not ABSENT
        ]
        return f"{{{','.join(texts)}}}"

    return _compile(len(relation.columns), members, encode_sparse) if members else encode_sparse


def _compile(width: int, members: list[_Member], encode_sparse: RecordEncoder) -> RecordEncoder:
    """Build one f-string over all members: half the time of a loop, since nothing is looked up per value.

    The generated code contains numbers only. Column names and encoders enter as values of its namespace, so no name,
    however hostile, can become code.
    """
    namespace: dict[str, Any] = {"encode_sparse": encode_sparse}
    separator = "{"
    for place, key, encode in members:
        namespace[f"key_{place}"] = separator + key
        namespace[f"encode_{place}"] = encode
        separator = ","
    exec(_source(width, [place for place, _, _ in members]), namespace)  # noqa: S102 - made of numbers only, see above
    compiled: RecordEncoder = namespace["encode"]
    return compiled


def _source(width: int, places: Collection[int]) -> str:
    chosen = set(places)
    targets = "".join(f"v{place}, " if place in chosen else "_, " for place in range(width))
    absent = " or ".join(f"v{place} is {ABSENT}" for place in places)
    members = "".join(
        f"{{key_{place}}}{{'null' if v{place} is None else encode_{place}(v{place})}}" for place in places
    )
    return f'def encode(row):\n {targets}= row\n if {absent}:\n  return encode_sparse(row)\n return f"{members}}}}}"\n'
