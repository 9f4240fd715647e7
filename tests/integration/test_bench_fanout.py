"""The fan-out's generator counts exactly what was sent, and the benchmark runs from the first socket to the report."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.command import run
from tests.support.postgres import require
from tests.support.waiting import wait_until
from tests.support.websocket import serving
from tidewire.bench import fanout
from tidewire.bench.client_bytes import client_frame, upgrade_request
from tidewire.bench.compiler import Programs, compile_programs
from tidewire.bench.fanout_plan import NEEDS, Plan
from tidewire.bench.fanout_tally import Tally
from tidewire.bench.generator import Generator
from tidewire.bench.process import ServerProcess, free_port, server_process
from tidewire.bench.send_loop import SendLoop
from tidewire.bench.station import Memory, station
from tidewire.bench.subject import MESSAGE_BYTES, Running
from tidewire.model.errors import BenchmarkFailed

TINY = Plan(
    sizes=(20,),
    single_rounds=3,
    saturated_rounds=1,
    saturated_s=0.1,
    topics=4,
    subscribers_per_topic=5,
    topics_deliveries_per_s=500,
    topics_s=0.4,
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    require(present=any(map(shutil.which, ("cc", "gcc", "clang"))), what="a C compiler")
    return compile_programs(tmp_path_factory.mktemp("native"))


@contextmanager
def connected(
    programs: Programs, folder: Path, *, subscribers: int, copies: int = 1
) -> Iterator[tuple[Generator, ServerProcess]]:
    """A generator whose subscribers are all connected to the send loop."""
    with (
        SendLoop(programs.send_loop, copies=copies).start(folder, connections=subscribers) as running,
        Generator(programs.receiver, subscribers=subscribers, limit_s=2) as generator,
    ):
        generator.open_publishers(running.port, running.dialogue.publisher_request)
        generator.open_subscribers(running.port, running.dialogue.request)
        yield generator, running.process


MESSAGE = [client_frame(b"to everybody")]


def test_the_generator_counts_exactly_what_was_sent(programs: Programs, tmp_path: Path) -> None:
    with connected(programs, tmp_path, subscribers=50) as (generator, _):
        outcome = generator.publish(MESSAGE, 7, payload_bytes=MESSAGE_BYTES)
        again = generator.publish(MESSAGE, 1, payload_bytes=MESSAGE_BYTES)
    assert (outcome.messages, outcome.deliveries, outcome.frames) == (7, 350, 350)
    assert outcome.payload_bytes == 350 * MESSAGE_BYTES
    assert outcome.missing == outcome.lost == 0
    assert again.frames == 50, "an order counts from zero"


def test_messages_count_however_they_are_cut_into_frames(programs: Programs, tmp_path: Path) -> None:
    with connected(programs, tmp_path, subscribers=10, copies=3) as (generator, _):
        outcome = generator.publish(MESSAGE, 2, payload_bytes=3 * MESSAGE_BYTES)
    assert (outcome.deliveries, outcome.frames) == (20, 60)


def test_a_saturated_round_delivers_all_that_it_sent(programs: Programs, tmp_path: Path) -> None:
    with connected(programs, tmp_path, subscribers=20) as (generator, _):
        outcome = generator.saturate(MESSAGE, in_flight=8, seconds=0.2, payload_bytes=MESSAGE_BYTES)
    assert outcome.deliveries == outcome.frames == 20 * outcome.messages
    assert outcome.per_s == pytest.approx(outcome.deliveries / outcome.seconds)
    assert 0.1 < outcome.seconds < 2.2
    assert 0 < outcome.p50_ms <= outcome.p99_ms


def test_a_paced_round_sends_no_more_than_was_asked_for(programs: Programs, tmp_path: Path) -> None:
    with connected(programs, tmp_path, subscribers=5) as (generator, _):
        outcome = generator.pace(MESSAGE, per_s=100, seconds=0.5, payload_bytes=MESSAGE_BYTES)
    assert 1 <= outcome.messages <= 51


@pytest.mark.parametrize(
    ("expected_bytes", "complaint"),
    [(MESSAGE_BYTES + 1, "expected 50, got 0"), (MESSAGE_BYTES // 2, "more was received than published")],
)
def test_what_was_not_delivered_or_not_sent_is_no_result(
    programs: Programs, tmp_path: Path, expected_bytes: int, complaint: str
) -> None:
    with (
        connected(programs, tmp_path, subscribers=50) as (generator, _),
        pytest.raises(BenchmarkFailed, match=complaint),
    ):
        generator.publish(MESSAGE, 1, payload_bytes=expected_bytes)


def test_a_server_that_goes_away_is_no_result(programs: Programs, tmp_path: Path) -> None:
    leave = client_frame(b"\x03\xe8", opcode=8)
    with connected(programs, tmp_path, subscribers=3) as (generator, _):
        with pytest.raises(BenchmarkFailed, match=r"[123] were closed"):
            generator.tell_subscribers([leave], replies=1)
        with pytest.raises(BenchmarkFailed, match="it ended"):
            generator.publish(MESSAGE, 1, payload_bytes=MESSAGE_BYTES)


async def refuse(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


def test_a_refused_handshake_is_told(programs: Programs) -> None:
    with (
        serving(refuse) as server,
        Generator(programs.receiver, subscribers=1) as generator,
        pytest.raises(BenchmarkFailed, match=r"expected HTTP/1\.1 101, got HTTP/1\.1 403"),
    ):
        generator.open_subscribers(server.port, upgrade_request("/", server.port))


def test_nobody_at_the_port_is_told(programs: Programs) -> None:
    with (
        Generator(programs.receiver, subscribers=1) as generator,
        pytest.raises(BenchmarkFailed, match="connecting: Connection refused"),
    ):
        generator.open_subscribers(free_port(), b"GET / HTTP/1.1\r\n\r\n")


# --- processes ---------------------------------------------------------------------------------------------------


def test_cpu_time_and_memory_are_those_of_the_server(programs: Programs, tmp_path: Path) -> None:
    with connected(programs, tmp_path, subscribers=200) as (generator, process):
        before_s = process.cpu_s()
        generator.publish(MESSAGE, 20, payload_bytes=MESSAGE_BYTES)
        assert 0 < process.cpu_s() - before_s < 5
        assert 100 < process.rss_kib() < 50_000


def test_the_family_of_a_server_counts_as_well(tmp_path: Path) -> None:
    port = free_port()
    listen = f"import socket; s = socket.create_server(('127.0.0.1', {port})); import time; time.sleep(60)"
    command = ["sh", "-c", f'{sys.executable} -c "{listen}" & wait']
    with server_process(command, port=port, folder=tmp_path, family=True) as process:
        alone = ServerProcess(process.pid, family=False)
        assert process.rss_kib() > alone.rss_kib() > 0
    wait_until(lambda: process.rss_kib() == 0)  # children that the server leaves behind are stopped with it


def test_a_server_that_does_not_start_has_the_last_word(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchmarkFailed, match=r"expected sh to listen on port \d+, got no room left"),
        server_process(["sh", "-c", "echo no room left; exit 3"], port=free_port(), folder=tmp_path),
    ):
        raise AssertionError


# --- the compiler ------------------------------------------------------------------------------------------------


def test_without_a_compiler_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchmarkFailed, match="expected a C compiler on the PATH, got none") as failure:
        compile_programs(tmp_path)
    assert "apt-get install gcc" in failure.value.hint


@pytest.mark.parametrize(
    ("compiler", "complaint"),
    [("/nowhere/cc", "expected to run /nowhere/cc, got"), ("false", "expected receiver from false, got")],
)
def test_a_compiler_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: str, complaint: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(BenchmarkFailed, match=complaint) as failure:
        compile_programs(tmp_path)
    assert "CC" in failure.value.hint


# --- the benchmark -----------------------------------------------------------------------------------------------


class Unstartable:
    name = "unstartable"
    needs: ClassVar = {20: 2.0}

    def start(self, folder: Path, *, connections: int) -> AbstractContextManager[Running]:  # noqa: ARG002 - not even that
        raise BenchmarkFailed("installing with pip: no such thing")


class Loop(SendLoop):
    name = "peer"
    needs: ClassVar = {20: None, 7: 1.0}


@pytest.mark.timeout(120)
def test_peers_are_compared_or_named_with_the_reason(monkeypatch: pytest.MonkeyPatch, programs: Programs) -> None:
    monkeypatch.setattr(fanout, "QUICK_PLAN", TINY)
    report = fanout.run(quick=True, peers=[Unstartable(), Loop(programs.send_loop)])
    assert report.not_measured == {"unstartable_20": "installing with pip: no such thing"}
    assert report.ratios.keys() == {
        *("vs_send_loop_20", "saturated_vs_send_loop_20", "cpu_vs_send_loop_20"),
        *("vs_peer_20", "single_vs_peer_20"),
    }
    assert report.figures["topics_per_s"] > 0
    assert "peer_saturated_per_s_20" in report.figures


@pytest.mark.timeout(180)
def test_the_short_form_prints_one_report(programs: Programs) -> None:  # noqa: ARG001 - without a compiler there is none
    result = run("bench", "fanout", "--quick", "--json", timeout_s=170)
    assert result.returncode == 0, result
    report = json.loads(result.stdout)
    assert report["bench"] == "fanout"
    assert report["ok"] is True
    assert report["needs"] == {}, "small sizes judge nothing"
    assert report["ratios"].keys() == {
        f"{kind}vs_send_loop_{size}" for kind in ("", "saturated_", "cpu_") for size in (200, 1000)
    }
    assert all(ratio > 0 for ratio in report["ratios"].values())
    figures = report["figures"]
    assert figures["generator_ceiling_per_s"] > figures["send_loop_saturated_per_s_1000"]
    assert {"rss_kib_per_connection", "joined_rss_kib_per_connection", "topics_p99_ms"} <= figures.keys()


def test_a_peer_that_was_not_measured_does_not_meet_its_need(programs: Programs) -> None:
    tally = Tally([Unstartable()], quick=False)
    tally.add_memory("", 10_000, Memory(1, 2))
    with station(SendLoop(programs.send_loop), programs.receiver, 5) as one:
        tally.add_topics(one.single())
    report = tally.report(postgres="18")
    assert report.needs.keys() == {*NEEDS, "vs_unstartable_20"}
    assert not report.ok


def test_too_few_open_files_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "SPARE_FILES", 1 << 40)
    with pytest.raises(BenchmarkFailed, match="may be open at once, got a limit of") as failure:
        fanout.run(quick=True)
    assert "ulimit -Hn" in failure.value.hint
