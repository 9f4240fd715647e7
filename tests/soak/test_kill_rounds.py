"""A reader killed at random moments under write load: its lives together saw everything, in order (long form)."""

from pathlib import Path

import pytest

from tests.support.kills import run_rounds

ROUNDS = 200


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_two_hundred_kills_lose_nothing(any_database: str, tmp_path: Path) -> None:
    await run_rounds(any_database, tmp_path, ROUNDS, seed=200)
