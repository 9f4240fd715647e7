"""What the fan-out has found: rounds become figures and ratios by name, and at the end a report."""

from collections.abc import Sequence
from typing import Final

import msgspec

from tidewire.bench.fanout_plan import NEEDS
from tidewire.bench.report import Need, Report, judge, median
from tidewire.bench.station import Memory, Round
from tidewire.bench.subject import Peer

Pair = tuple[Round, Round]

TICK_S: Final = 0.01
"""The system counts time on the processor in hundredths of a second; a tiny round may take none."""


class Tally:
    """Add everything, then ask for the report. The short form needs nothing: its sizes are too small to judge by."""

    def __init__(self, peers: Sequence[Peer], *, quick: bool) -> None:
        self.figures: dict[str, float] = {}
        self.not_measured: dict[str, str] = {}
        self._ratios: dict[str, float] = {}
        self._needs: dict[str, Need] = {}
        if not quick:
            self._needs = NEEDS | {
                f"vs_{peer.name}_{size}": (">=", need)
                for peer in peers
                for size, need in peer.needs.items()
                if need is not None
            }

    def add_memory(self, prefix: str, size: int, memory: Memory) -> None:
        """Note what a connection costs. The largest size comes last and is the one without a number in its name."""
        for name, value in (("rss", memory.idle_kib), ("joined_rss", memory.joined_kib)):
            self.figures[f"{prefix}{name}_kib_per_connection_{size}"] = value
            self.figures[f"{prefix}{name}_kib_per_connection"] = value

    def add_pairs(self, other: str, size: int, single: Sequence[Pair], saturated: Sequence[Pair]) -> None:
        """Note rounds of ours and another, taken in turn."""
        plain, full = _ratio(single), _ratio(saturated)
        if other == "send_loop":
            self._ratios[f"vs_{other}_{size}"] = plain
            self._ratios[f"saturated_vs_{other}_{size}"] = full
            self._ratios[f"cpu_vs_{other}_{size}"] = median(
                [max(theirs.cpu_s, TICK_S) / max(ours.cpu_s, TICK_S) for ours, theirs in single]
            )
            self._add_rounds("", size, [ours for ours, _ in single], [ours for ours, _ in saturated])
        else:  # what other servers are asked for is many messages
            self._ratios[f"vs_{other}_{size}"] = full
            self._ratios[f"single_vs_{other}_{size}"] = plain
        self._add_rounds(f"{other}_", size, [theirs for _, theirs in single], [theirs for _, theirs in saturated])

    def add_topics(self, paced: Round) -> None:
        """Note the round at a steady pace."""
        outcome = paced.outcome
        self.figures |= {
            "topics_per_s": outcome.per_s,
            "topics_p50_ms": outcome.p50_ms,
            "topics_p99_ms": outcome.p99_ms,
            "topics_cpu_s_per_100k": _cpu_s_per_100k([paced]),
        }

    def report(self, *, postgres: str) -> Report:
        """Hold everything against the needs."""
        report = judge("fanout", postgres=postgres, figures=self.figures, ratios=self._ratios, needs=self._needs)
        return msgspec.structs.replace(report, not_measured=self.not_measured)

    def _add_rounds(self, prefix: str, size: int, single: Sequence[Round], saturated: Sequence[Round]) -> None:
        for kind, rounds in (("single", single), ("saturated", saturated)):
            outcomes = [each.outcome for each in rounds]
            self.figures |= {
                f"{prefix}{kind}_per_s_{size}": median([outcome.per_s for outcome in outcomes]),
                f"{prefix}{kind}_p50_ms_{size}": median([outcome.p50_ms for outcome in outcomes]),
                f"{prefix}{kind}_p99_ms_{size}": median([outcome.p99_ms for outcome in outcomes]),
                f"{prefix}{kind}_cpu_s_per_100k_{size}": _cpu_s_per_100k(rounds),
            }


def _ratio(pairs: Sequence[Pair]) -> float:
    return median([ours.outcome.per_s / theirs.outcome.per_s for ours, theirs in pairs])


def _cpu_s_per_100k(rounds: Sequence[Round]) -> float:
    return sum(each.cpu_s for each in rounds) / sum(each.outcome.deliveries for each in rounds) * 100_000
