"""`tidewire bench changes` in its short form: real clients, and every delivery counted."""

import json
import os
import shutil

import pytest

from tests.support.command import run
from tests.support.postgres import require


@pytest.mark.timeout(120)
def test_every_change_reaches_every_follower_and_is_timed() -> None:
    """A delivery that is missing, or one too many, fails the command; how fast it is, is the benchmark's business."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    require(present=compiler is not None, what="a C compiler")
    result = run("bench", "changes", "--quick", "--json", timeout_s=110)
    assert result.returncode == 0, result
    report = json.loads(result.stdout)
    assert (report["bench"], report["ok"], report["needs"]) == ("changes", True, {})
    figures = report["figures"]
    for size in (100, 500):
        assert figures[f"eq_{size}_per_s"] > 0
        assert figures[f"all_{size}_deliveries_per_s"] > 0
    assert 0 < figures["commit_to_client_p50_ms"] <= figures["commit_to_client_p99_ms"]
    assert report["ratios"]["eq_flat"] > 0
    assert figures["upstream_eq_5000_per_s"] == 17
