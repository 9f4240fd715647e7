"""Who may see which rows of the benchmark of row-level security, computed without asking anybody.

Rows are numbered by their marks, and belong to groups in turn; a reader sees the rows of its groups. The tables, their
policies and what writes them are in queries/bench_rls.sql.
"""

from collections.abc import Callable, Sequence
from typing import Final, LiteralString

from msgspec import Struct

from tidewire.bench.listener import Share, digest

TEAMS: Final = 200
"""Each multiple of so many readers has teams of one size: with 1 000 readers, of ten."""

OWN_PER_TRANSACTION: Final = 10
"""The planner knows it: it is written out in bench_write_own()."""


class Workload(Struct, frozen=True):
    """A table, and how its rows are shared out among so many readers."""

    table: str
    write: LiteralString
    """Writes `transactions` of `rows_each` rows, from the mark `first` on, for so many `groups`."""
    group_count: Callable[[int], int]
    """How many groups there are for so many readers."""
    groups_of: Callable[[int], tuple[int, ...]]
    """The groups of a reader."""
    filter_of: Callable[[int], str]
    """The filter that lets the same rows through as the policy does for a reader."""


def user_id(reader: int) -> str:
    """Return the reader's id, the `sub` of its token; bench_user_id() in SQL is the same."""
    return f"{reader:08x}-0000-4000-8000-{reader:012x}"


def teams(reader: int) -> tuple[int, int]:
    """Return the reader's two teams, as bench_members in SQL has them."""
    return reader % TEAMS, (reader + 1 + reader // TEAMS % (TEAMS - 1)) % TEAMS


OWN_ROWS: Final = Workload(
    "bench_own",
    "call bench_write_own(%(first)s, %(transactions)s, %(groups)s)",
    group_count=lambda readers: readers,
    groups_of=lambda reader: (reader,),
    filter_of=lambda reader: f"user_id=eq.{user_id(reader)}",
)
TEAM_ROWS: Final = Workload(
    "bench_posts",
    "call bench_write_posts(%(first)s, %(transactions)s, %(rows_each)s, %(groups)s)",
    group_count=lambda _: TEAMS,
    groups_of=teams,
    filter_of=lambda reader: f"team_id=in.({','.join(map(str, teams(reader)))})",
)


def shares(workload: Workload, marks: range, readers: int) -> Sequence[Share]:
    """Return what each reader must receive of the rows with these marks."""
    count = workload.group_count(readers)
    rows: list[list[int]] = [[] for _ in range(count)]
    for mark in marks:
        rows[mark % count].append(mark)
    of_groups = [Share(len(marks_of), digest(marks_of)) for marks_of in rows]
    return [_sum([of_groups[group] for group in workload.groups_of(reader)]) for reader in range(readers)]


def _sum(parts: Sequence[Share]) -> Share:
    return Share(sum(part.messages for part in parts), sum(part.digest for part in parts) % (1 << 64))
