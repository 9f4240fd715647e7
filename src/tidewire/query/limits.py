"""How large a request of the data API may be, and which schemas it may name."""

from msgspec import Struct


class Limits(Struct, frozen=True):
    """What the caller of `plan` allows; `schemas` are the exposed ones, the first of which is the default."""

    schemas: tuple[str, ...] = ("public",)
    max_rows: int = 1000
    max_body_bytes: int = 1 << 20
    max_query_chars: int = 64 << 10
    max_conditions: int = 200
    max_list: int = 5000
    max_depth: int = 8
    max_resources: int = 30
    max_fields: int = 1600  # as many columns as a table of Postgres can have
    max_default_cells: int = 10_000
    aggregates: bool = False
