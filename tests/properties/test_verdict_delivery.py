"""The console's verdict on a row and a reader is what really happens to that row and that reader."""

import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime
from tests.support.verdicts import ADA, BOB, DEEDS, READERS, following, insert, told, unhurried, verdict
from tidewire.postgres.embedded import EmbeddedPostgres

ROWS = 4
PAIRS = ROWS * len(READERS)
EXAMPLES = (1000 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 100) // PAIRS
"""A hundred pairs of a row and a reader in the short form, a thousand in the long one."""

COLUMNS = {"id", "owner", "team", "title", "stars", "shown", "flag", "at"}
ids, marks = count(1), count(1)


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(made, *DEEDS)
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with unhurried(), realtime(dsn, database_timeout_s=15.0) as running:
        yield running


def records() -> SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "owner": st.sampled_from([ADA, BOB, None]),
            "team": st.sampled_from([1, 2, 3, None]),
            "title": st.sampled_from(["a", "b", "B ", "", None]),
            "stars": st.sampled_from([-1, 0, 2, 2.5, 5, None]),
            "shown": st.sampled_from([True, False, None]),
            "flag": st.sampled_from(["x", "xyz", None]),
            "at": st.sampled_from(["2026-03-01T10:00:00.25+02:00", None]),
        }
    )


@pytest.mark.timeout(120)
@settings(
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # the rows are small already, and each attempt takes seconds
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=st.lists(records(), min_size=ROWS, max_size=ROWS))
def test_the_verdict_is_what_happens(served: RealtimeServer, dsn: str, drawn: list[dict[str, Any]]) -> None:
    rows = [{**row, "id": next(ids)} for row in drawn]
    mark = -next(marks)
    with following(served) as clients:
        insert(dsn, rows, mark)
        heard = [told(client, mark) for client in clients]
    for reader, shown in zip(READERS, heard, strict=True):
        for row in rows:
            said = verdict(served, reader.wish(row))
            assert said["delivered"] == (row["id"] in shown), (reader, row, said)
            if said["delivered"]:
                assert set(said["columns"] or COLUMNS) == shown[row["id"]]
            assert_explained(said)


def assert_explained(said: dict[str, Any]) -> None:
    """Every verdict follows from its steps: they are all that has to be right, and nothing else is."""
    permissive = [each["answer"] == "true" for each in said["policies"] if each["permissive"]]
    restrictive = [each["answer"] == "true" for each in said["policies"] if not each["permissive"]]
    admitted = not said["policies_bind"] or (any(permissive) and all(restrictive))
    steps = [said[name]["ok"] for name in ("publication", "wish", "privilege", "filter")]
    assert said["delivered"] == (all(steps) and admitted), said
