"""`tidewire bench` prints exactly one JSON object, and its exit code says whether the needs were met."""

import json

import pytest

from tests.support.command import run


@pytest.mark.timeout(180)
def test_memory_in_its_short_form_meets_its_need() -> None:
    result = run("bench", "memory", "--quick", "--json", timeout_s=170)
    report = json.loads(result.stdout)
    assert result.returncode == 0, result
    assert report["ok"] is True
    assert report["bench"] == "memory"
    assert report["needs"] == {"peak_rss_mib": ["<=", 300.0]}
    assert report["figures"]["rows"] == 200_000
    assert report["figures"]["parts"] > 100


@pytest.mark.timeout(180)
def test_decode_in_its_short_form_compares_with_pg_recvlogical() -> None:
    """The ratio itself is the benchmark's business: a busy machine must not fail this test."""
    result = run("bench", "decode", "--quick", "--json", timeout_s=170)
    report = json.loads(result.stdout)
    assert result.returncode == (0 if report["ok"] else 1)
    needed = {f"vs_pg_recvlogical_{rows}" for rows in (1, 10, 1000)}
    assert set(report["needs"]) == needed
    assert set(report["ratios"]) == needed | {f"read_{name}" for name in needed}
    assert all(ratio > 0 for ratio in report["ratios"].values())
