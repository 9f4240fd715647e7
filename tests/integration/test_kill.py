"""A reader killed at random moments under write load: its lives together saw everything, in order (short form)."""

from pathlib import Path

import pytest

from tests.support.kills import run_rounds

ROUNDS = 12


@pytest.mark.timeout(60)
async def test_twelve_kills_lose_nothing(database: str, tmp_path: Path) -> None:
    await run_rounds(database, tmp_path, ROUNDS, seed=12)
