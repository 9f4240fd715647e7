"""How much the fan-out measures, and what it must show. Measures nothing itself."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tidewire.bench.report import Need, median
from tidewire.bench.station import Round

IN_FLIGHT: Final = 64
IN_FLIGHT_S: Final = 4.0


class Plan(Struct, frozen=True, kw_only=True):
    """One form of the benchmark, long or short."""

    sizes: tuple[int, ...]
    single_rounds: int
    saturated_rounds: int
    saturated_s: float
    topics: int
    subscribers_per_topic: int
    topics_deliveries_per_s: float
    topics_s: float

    def in_flight(self, singles: Sequence[Round]) -> int:
        """Return how many messages to keep under way in a saturated round: as if so many senders took turns.

        Fewer where a message takes long, for what is under way must come to an end before the other one's turn.
        """
        at_once = IN_FLIGHT_S / median([each.outcome.seconds for each in singles])
        return max(2, min(IN_FLIGHT, int(at_once)))


PLAN: Final = Plan(
    sizes=(1_000, 5_000, 10_000),
    single_rounds=25,
    saturated_rounds=5,
    saturated_s=2.0,
    topics=100,
    subscribers_per_topic=100,
    topics_deliveries_per_s=50_000,
    topics_s=10.0,
)
QUICK_PLAN: Final = Plan(
    sizes=(200, 1_000),
    single_rounds=5,
    saturated_rounds=2,
    saturated_s=0.5,
    topics=10,
    subscribers_per_topic=20,
    topics_deliveries_per_s=5_000,
    topics_s=1.0,
)

NEEDS: Final[dict[str, Need]] = {
    "vs_send_loop_1000": (">=", 0.85),
    "vs_send_loop_5000": (">=", 0.85),
    "vs_send_loop_10000": (">=", 0.85),
    "saturated_vs_send_loop_1000": (">=", 1.2),
    "saturated_vs_send_loop_5000": (">=", 1.2),
    "saturated_vs_send_loop_10000": (">=", 1.7),
    "rss_kib_per_connection": ("<=", 8.0),
    "joined_rss_kib_per_connection": ("<=", 16.0),
    "topics_per_s": (">=", 49_500),  # of the 50 000 that were asked for: the last ones are still under way
    "topics_p99_ms": ("<=", 5.0),
}
