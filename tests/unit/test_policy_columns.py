"""Columns are found at every level of an expression, and nothing is claimed of one that is not understood."""

import pytest

from tidewire.match.policy_columns import columns_read

COLUMNS = {1: "id", 2: "owner", 4: "team"}


def var(number: int, level: int = 0) -> str:
    return f"{{VAR :varno 1 :varattno {number} :vartype 25 :varlevelsup {level} :location -1}}"


def call(*arguments: str) -> str:
    return f"{{FUNCEXPR :funcid 100 :args ({' '.join(arguments)}) :location 7}}"


def query(*inside: str) -> str:
    return f"{{SUBLINK :subLinkType 0 :subselect {{QUERY :targetList ({' '.join(inside)}) :jointree <>}} :location 9}}"


@pytest.mark.parametrize(
    ("trees", "expected"),
    [
        ([], set()),
        ([call()], set()),
        ([var(1)], {"id"}),
        ([call(var(1), call(var(4)))], {"id", "team"}),
        ([var(1), call(var(2))], {"id", "owner"}),
        # within a query, level 0 is its own tables
        ([query(var(1))], set()),
        ([query(var(1), var(2, 1))], {"owner"}),
        ([query(query(var(1), var(2, 1), var(4, 2)))], {"team"}),
        ([call(query(var(1, 1)), var(2))], {"id", "owner"}),
        # what every table has
        ([call(var(-1), var(1))], {"id"}),
    ],
)
def test_columns_of_the_table(trees: list[str], expected: set[str]) -> None:
    assert columns_read(trees, COLUMNS) == frozenset(expected)


@pytest.mark.parametrize(
    "tree",
    [
        var(0),  # the whole row
        query(var(0, 1)),
        var(3),  # no such column
        "",
        "no tree",
        "{VAR :varno 1",
        "{VAR :varno 1 :varattno 1}",
        "{VAR :varno 1 :varattno x :varlevelsup 0}",
        "{VAR :varattno 1 :varattno 2 :varlevelsup 0}",
        "{X :a " * 5000,
    ],
)
def test_it_may_be_any_column(tree: str) -> None:
    assert columns_read([var(1), tree], COLUMNS) is None


def test_a_whole_row_of_another_table_does_not_matter() -> None:
    assert columns_read([query(var(0), var(1, 1))], COLUMNS) == frozenset({"id"})
