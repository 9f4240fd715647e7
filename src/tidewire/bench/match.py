"""What a change costs in the matcher, by the number of subscriptions: with equality filters and without any.

Nothing is encoded or sent, and no server is involved; this is the part that must not grow with who is not concerned.
Times are of the processor, not of the clock: nothing is waited for here, and other programs must not count.
"""

import gc
import random
import time
import tracemalloc

from tidewire.bench.report import Report, judge, median
from tidewire.match.matcher import Matcher
from tidewire.match.subscription import Audience, Compile, CompiledFilter, Subscription
from tidewire.model.change import Change
from tidewire.model.relation import Column, PgType, Relation
from tidewire.testing.rows import updated

SIZES = (100, 1000, 5000, 50_000)
QUICK_SIZES = (100, 1000, 5000)
CHANGES = 20_000
QUICK_CHANGES = 4000
ROUNDS = 7
QUICK_ROUNDS = 3
UNFILTERED_DELIVERIES = 200_000
"""Without filters everyone gets every change: fewer changes, so that a round takes as long."""

MEMORY_SAMPLE = 20_000
REMOVED = 100_000
NEED_FLAT = 1.5
NEED_BYTES = 2500.0
NEED_REMOVE_S = 2.0

TEXT = PgType(25, "text")
TABLE = Relation(
    1,
    "public",
    "bench",
    "default",
    (Column("id", PgType(23, "int4"), identity=True, primary=True), Column("note", TEXT)),
)
EVERYONE = Audience("anon")


def run(*, quick: bool, bin_dir: str | None = None) -> Report:  # noqa: ARG001 - no server is needed here
    """Measure all sizes in turn, round by round; `eq_flat` is the largest against the smallest within one round."""
    sizes = QUICK_SIZES if quick else SIZES
    figures = {"bytes_per_subscription": _bytes_each(), f"remove_{REMOVED}_s": _time_removal()}
    filtered = {size: _matcher(size, filtered=True) for size in sizes}
    unfiltered = {size: _matcher(size, filtered=False) for size in sizes}
    changes = {size: _changes(size, QUICK_CHANGES if quick else CHANGES) for size in sizes}
    gc.collect()
    gc.freeze()  # as a server does once it has started: the garbage collector would be measured otherwise
    times: dict[str, list[float]] = {}
    for _ in range(QUICK_ROUNDS if quick else ROUNDS):
        for size in sizes:
            times.setdefault(f"eq_{size}_us", []).append(_time_us(filtered[size], changes[size], receivers=1))
            few = changes[size][: max(20, UNFILTERED_DELIVERIES // size // (5 if quick else 1))]
            times.setdefault(f"none_{size}_us", []).append(_time_us(unfiltered[size], few, receivers=size))
    gc.unfreeze()
    figures |= {name: median(rounds) for name, rounds in times.items()}
    largest, smallest = times[f"eq_{sizes[-1]}_us"], times[f"eq_{sizes[0]}_us"]
    return judge(
        "match",
        postgres="",
        figures=figures,
        ratios={"eq_flat": median([large / small for large, small in zip(largest, smallest, strict=True)])},
        needs={
            "eq_flat": ("<=", NEED_FLAT),
            "bytes_per_subscription": ("<=", NEED_BYTES),
            f"remove_{REMOVED}_s": ("<=", NEED_REMOVE_S),
        },
    )


def _matcher(size: int, *, filtered: bool) -> Matcher:
    """Fill a matcher: one connection each, in topics of a hundred, every filter on a value of its own."""
    matcher = Matcher()
    for number in range(size):
        subscription = Subscription(
            id=number,
            connection=number,
            topic=f"realtime:room-{number // 100}",
            wire_id=number + 1 if filtered else 1,
            schema="public",
            table="bench",
            event="*",
            filter=f"id=eq.{number}" if filtered else "",
            select=None,
            audience=EVERYONE,
        )
        matcher.add(subscription, _equality(str(number)) if filtered else None)
    matcher.match(_changes(1, 1))  # compiles
    return matcher


def _equality(value: str) -> Compile:
    return lambda relation: CompiledFilter(equality=(0, (value,)))  # noqa: ARG005 - the table has one shape here


def _changes(size: int, count: int) -> list[Change]:
    """Make changes that each concern one of the filters, in no order, so that a large index is met cold."""
    values = random.Random(size).choices(range(size), k=count)  # noqa: S311 - the same load in every run, not a secret
    return [updated(TABLE, (str(value), "a note"), index=index) for index, value in enumerate(values)]


def _time_us(matcher: Matcher, changes: list[Change], *, receivers: int) -> float:
    """Match each change by itself, as in transactions of one row, and take its deliveries."""
    reached = 0
    started = time.process_time()
    for change in changes:
        candidates = matcher.match((change,))
        for delivery in candidates.deliveries([True] * len(candidates.asks)):
            for group in delivery.receivers:
                reached += len(group.connections)
    elapsed_s = time.process_time() - started
    if reached != receivers * len(changes):
        raise AssertionError(f"expected {receivers * len(changes)} receivers, got {reached}")
    return elapsed_s / len(changes) * 1e6


def _bytes_each() -> float:
    """Weigh a subscription with a filter of its own, everything included: text, index, connection."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    matcher = _matcher(MEMORY_SAMPLE, filtered=True)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(matcher)


def _time_removal() -> float:
    matcher = _matcher(REMOVED, filtered=True)
    started = time.process_time()
    for connection in range(REMOVED):
        matcher.remove_connection(connection)
    elapsed_s = time.process_time() - started
    if len(matcher):
        raise AssertionError(f"expected no subscription to remain, got {len(matcher)}")
    return elapsed_s
