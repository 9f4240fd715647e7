"""One message to many sockets: ours against a C program that loops send() over as many, and against other servers.

All of them meet the same generator and get their rounds in turn. The generator needs a core as well, so the ratios are
what counts.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tidewire.bench.compiler import Programs, compile_programs
from tidewire.bench.fanout_plan import PLAN, QUICK_PLAN, Plan
from tidewire.bench.fanout_tally import Tally
from tidewire.bench.open_files import SPARE_FILES, allow_files
from tidewire.bench.report import Report
from tidewire.bench.send_loop import SendLoop
from tidewire.bench.serve import Serve
from tidewire.bench.station import Round, Station, station
from tidewire.bench.subject import Peer
from tidewire.model.errors import BenchmarkFailed
from tidewire.postgres.programs import find_programs
from tidewire.server.socket_writes import IS_COMPILED

CEILING_COPIES = 64


def run(*, quick: bool, bin_dir: str | None = None, peers: Sequence[Peer] = ()) -> Report:
    """Measure all sizes. A peer that cannot be started is named in the report, and its needs are not met."""
    plan = QUICK_PLAN if quick else PLAN
    allow_files(max(plan.sizes) + SPARE_FILES)
    tally = Tally(peers, quick=quick)
    tally.figures["compiled_send"] = float(IS_COMPILED)  # ours is another process, but the same installation
    with tempfile.TemporaryDirectory(prefix="tidewire-bench-") as folder:
        programs = compile_programs(Path(folder))
        for size in plan.sizes:
            _measure_size(size, plan, programs, tally, peers=peers, bin_dir=bin_dir)
        _measure_topics(plan, programs, tally, bin_dir=bin_dir)
        tally.figures["generator_ceiling_per_s"] = _ceiling(plan, programs)
    return tally.report(postgres=find_programs(bin_dir).version)


def _measure_size(
    size: int, plan: Plan, programs: Programs, tally: Tally, *, peers: Sequence[Peer], bin_dir: str | None
) -> None:
    """Keep ours and its subscribers while one other after the other comes to be compared with it."""
    with station(Serve(bin_dir=bin_dir), programs.receiver, size) as ours:
        tally.add_memory("", size, ours.memory)
        loop = SendLoop(programs.send_loop)
        with station(loop, programs.receiver, size) as other:
            tally.add_pairs(loop.name, size, *_compare(ours, other, plan))
        for peer in (peer for peer in peers if size in peer.needs):
            try:
                with station(peer, programs.receiver, size) as other:
                    pairs = _compare(ours, other, plan)
                    tally.add_memory(f"{peer.name}_", size, other.memory)
                    tally.add_pairs(peer.name, size, *pairs)
            except BenchmarkFailed as failure:
                tally.not_measured[f"{peer.name}_{size}"] = failure.message


Pairs = list[tuple[Round, Round]]


def _compare(ours: Station, other: Station, plan: Plan) -> tuple[Pairs, Pairs]:
    """Take rounds in turn: with one message, then saturated. The first pair only warms up."""
    single = [(ours.single(), other.single()) for _ in range(1 + plan.single_rounds)][1:]
    ours_at_once, others_at_once = plan.in_flight([a for a, _ in single]), plan.in_flight([b for _, b in single])
    saturated = [
        (
            ours.saturated(in_flight=ours_at_once, seconds=plan.saturated_s),
            other.saturated(in_flight=others_at_once, seconds=plan.saturated_s),
        )
        for _ in range(plan.saturated_rounds)
    ]
    return single, saturated


def _measure_topics(plan: Plan, programs: Programs, tally: Tally, *, bin_dir: str | None) -> None:
    """Send at a steady pace to many small topics, which is what most traffic looks like."""
    ours = Serve(topics=plan.topics, bin_dir=bin_dir)
    with station(ours, programs.receiver, plan.topics * plan.subscribers_per_topic) as running:
        per_s = plan.topics_deliveries_per_s / plan.subscribers_per_topic
        running.paced(per_s=per_s, seconds=1)  # warms up
        tally.add_topics(running.paced(per_s=per_s, seconds=plan.topics_s))


def _ceiling(plan: Plan, programs: Programs) -> float:
    """Return what the generator can count at least: the send loop carries many messages in each send() for once."""
    loop = SendLoop(programs.send_loop, copies=CEILING_COPIES)
    with station(loop, programs.receiver, plan.sizes[-1]) as running:
        running.single()
        outcome = running.saturated(in_flight=2, seconds=plan.saturated_s).outcome
        return outcome.per_s * CEILING_COPIES
