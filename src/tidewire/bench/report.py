"""What a benchmark says: figures, ratios against a baseline measured in the same run, and whether needs are met."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

Need = tuple[Literal[">=", "<="], float]


class Report(Struct, frozen=True, omit_defaults=True):
    """One benchmark's outcome, printed as one JSON object. `ok` is false when a need is not met."""

    bench: str
    machine: Mapping[str, Any]
    figures: Mapping[str, float]
    ratios: Mapping[str, float]
    needs: Mapping[str, Need]
    ok: bool
    not_measured: Mapping[str, str] = {}
    """What could not be compared, and why."""


def judge(
    bench: str, *, postgres: str, figures: Mapping[str, float], ratios: Mapping[str, float], needs: Mapping[str, Need]
) -> Report:
    """Hold the measured values against the needs; a need that was not measured is not met."""
    measured = {**figures, **ratios}
    missed = [name for name, need in needs.items() if name not in measured or not _met(measured[name], need)]
    return Report(
        bench,
        machine(postgres),
        {name: round(value, 4) for name, value in figures.items()},
        {name: round(value, 4) for name, value in ratios.items()},
        needs,
        not missed,
    )


def _met(value: float, need: Need) -> bool:
    comparison, bound = need
    return value >= bound if comparison == ">=" else value <= bound


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the sorted values lie (nearest rank)."""
    if not sorted_values:
        raise ValueError("a percentile of nothing")
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def median(values: Sequence[float]) -> float:
    """Return the middle value: single slow or quick rounds of a shared machine do not count."""
    return statistics.median(values)


def machine(postgres: str) -> dict[str, Any]:
    """Describe where this was measured, as far as it matters for comparing."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "postgres": postgres,
        "load_before": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
