"""`tidewire bench storm`, `resume`, `bulk`, `restart`: who has which row is accounted for, and the account can fail."""

import json
from collections.abc import Iterator
from struct import pack

import pytest

from tests.support.command import run
from tidewire.bench.bulk_baseline import baseline_max_ms
from tidewire.bench.bulk_forms import Form
from tidewire.bench.client_bytes import client_frame
from tidewire.bench.crowd import RETRIES_EACH, Arrival, Crowd
from tidewire.bench.follower import Follower, Words
from tidewire.bench.process import free_port
from tidewire.bench.resume import Absences
from tidewire.bench.storm import account
from tidewire.bench.storm_stage import StormStage, storm_stage
from tidewire.model.errors import BenchmarkFailed

WORDS = Words(b"hello", b"join", b"<", b">")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def said(text: str) -> bytes:
    """Write a frame as a server does: without a mask."""
    data = text.encode()
    return bytes((0x81, len(data))) + data if len(data) < 126 else bytes((0x81, 126)) + pack(">H", len(data)) + data


SAID = (
    SWITCHED
    + said('["1","1","t","phx_reply",{"status":"ok","response":{"position":"era.0.0","recovered":true}}]')
    + said('["1",null,"t","system",{"status":"ok"}]')
    + said('["1",null,"t","postgres_changes",{"ids":[1],"data":{"record":{"mark":12},"position":"era.1.0"}}]')
    + said(
        '["1",null,"t","postgres_changes",{"data":{"record":{"mark":345}},"b":"%s","position":"era.2.0"}]' % ("x" * 200)
    )
)
EXACT = {"lost": 0, "repeated": 0, "out_of_order": 0, "leaked": 0}


@pytest.fixture(scope="module")
def stage() -> Iterator[StormStage]:
    with storm_stage(None) as running:
        yield running


# --- the account -------------------------------------------------------------------------------------------------


def arrivals(*of_clients: tuple[int, int]) -> list[Arrival]:
    return [(number, mark, 0.0) for number, mark in of_clients]


@pytest.mark.parametrize(
    ("came", "wrong"),
    [
        ([(0, 0), (1, 1), (0, 2), (1, 3)], {}),
        ([(1, 1), (1, 3), (0, 0), (0, 2)], {}),
        ([(0, 0), (1, 1), (1, 3)], {"lost": 1}),
        ([(0, 0), (1, 1), (0, 2), (1, 3), (0, 0)], {"repeated": 1}),
        ([(0, 2), (1, 1), (0, 0), (1, 3)], {"out_of_order": 1}),
        ([(0, 0), (1, 1), (1, 2), (1, 3)], {"leaked": 1, "lost": 1}),
    ],
)
def test_every_row_is_accounted_for(came: list[tuple[int, int]], wrong: dict[str, int]) -> None:
    assert account(2, range(4), arrivals(*came)) == {**EXACT, **wrong}


# --- coming back -------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
def test_whoever_comes_back_has_exactly_what_was_missed(stage: StormStage) -> None:
    with Absences(stage) as absences:
        assert absences.one_ms(120, others=30) > 0
        assert absences.one_ms(0) > 0
        assert absences.many_ms(30) > 0


@pytest.mark.timeout(60)
def test_a_past_that_is_not_there_is_no_result(stage: StormStage) -> None:
    with stage.crowd(2) as crowd:
        crowd.let_in()
        crowd.followers[1].position = b"another.63.0"
        with pytest.raises(BenchmarkFailed, match="expected all of the past to be there, got 1 clients without"):
            crowd.come_back()


def test_nobody_at_the_port_is_told() -> None:
    with (
        Crowd(free_port(), [WORDS]) as crowd,
        pytest.raises(BenchmarkFailed, match=r"as client 0: expected to stay connected, got .*refused"),
    ):
        crowd.let_in()
    assert crowd.retries == RETRIES_EACH


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_the_server_says_may_come_in_any_pieces(size: int) -> None:
    follower = Follower(WORDS)
    assert follower.connected() == b"hello"
    answers = [follower.receive(SAID[begin : begin + size]) for begin in range(0, len(SAID), size)]
    assert b"".join(answers) == b"join"
    assert follower.is_joined
    assert follower.recovered
    assert follower.marks == [12, 345]
    assert follower.position == b"era.2.0"
    follower.connected()
    assert follower.receive(b"HTTP/1.1 101 \r\n\r\n") == client_frame(b"<era.2.0>")


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "shaking hands: .* 503"),
        (SWITCHED + said('["1","1","t","phx_reply",{"status":"error"}]'), 'joining: .*"error"'),
        (SWITCHED + said('["1",null,"t","system",{"status":"error"}]'), 'following: .*"system"'),
        (SWITCHED + said('["1",null,"t","phx_close",{}]'), 'following: .*"phx_close"'),
    ],
)
def test_a_client_that_is_not_let_in_says_what_it_was_told(said: bytes, complaint: str) -> None:
    follower = Follower(WORDS)
    follower.connected()
    with pytest.raises(BenchmarkFailed, match=complaint):
        follower.receive(said)


# --- the reports -------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_nothing_is_lost_when_all_come_back_at_once() -> None:
    result = run("bench", "storm", "--quick", "--json", timeout_s=110)
    assert result.returncode == 0, result
    report = json.loads(result.stdout)
    assert (report["bench"], report["ok"], report["needs"].keys()) == ("storm", True, EXACT.keys())
    figures = report["figures"]
    assert {name: figures[name] for name in EXACT} == EXACT
    assert figures["clients"] == 200
    assert figures["written"] > 200
    assert 0 < figures["back_s"] <= figures["caught_up_s"]
    assert figures["bystander_storm_p50_ms"] <= figures["bystander_storm_p99_ms"]


@pytest.mark.timeout(120)
def test_the_report_says_what_a_missed_row_costs() -> None:
    result = run("bench", "resume", "--quick", "--json", timeout_s=110)
    assert result.returncode == 0, result
    report = json.loads(result.stdout)
    assert (report["bench"], report["ok"], report["needs"]) == ("resume", True, {})
    assert report["ratios"].keys() == {"flat", "others_vs_own", "together_vs_alone"}
    assert {"own_0_ms", "own_200_ms", "us_per_missed_200", "us_per_row_of_others"} <= report["figures"].keys()


@pytest.mark.timeout(120)
def test_every_row_of_a_large_transaction_is_told_and_bystanders_are_timed() -> None:
    result = run("bench", "bulk", "--quick", "--json", timeout_s=110)
    assert result.returncode == 0, result
    report = json.loads(result.stdout)
    assert (report["bench"], report["ok"], report["needs"].keys()) == ("bulk", True, {"server_peak_mib"})
    figures = report["figures"]
    assert figures["rows"] == 40_000
    assert 0 < figures["bystander_calm_p50_ms"] <= figures["bystander_calm_p99_ms"]
    for form in ("statement", "import"):
        assert figures[f"{form}_first_told_s"] < figures[f"{form}_told_s"]
        assert figures[f"{form}_bystander_told_p99_ms"] <= figures[f"{form}_bystander_max_ms"]
        ours_ms = figures[f"{form}_added_ms"] + figures[f"{form}_baseline_max_ms"]
        assert ours_ms == pytest.approx(figures[f"{form}_bystander_max_ms"], rel=0.01)
        assert figures[f"{form}_baseline_max_ms"] > 0


@pytest.mark.timeout(60)
def test_a_baseline_that_stops_following_is_no_result() -> None:
    cut = "select pg_terminate_backend(active_pid) from pg_replication_slots where active"
    form = Form("cut", "bench_bulk", lambda _rows: lambda connection: connection.execute(cut))
    with pytest.raises(BenchmarkFailed, match=r"following with pg_recvlogical: expected it to run, got its end: .+"):
        baseline_max_ms(form, 1, None)


@pytest.mark.timeout(120)
def test_a_server_that_was_killed_is_followed_again() -> None:
    result = run("bench", "restart", "--quick", "--json", timeout_s=110)
    assert result.returncode == 0, result
    report = json.loads(result.stdout)
    assert (report["bench"], report["ok"], report["needs"]) == ("restart", True, {})
    assert 0 < report["figures"]["first_change_s"] == report["figures"]["first_change_max_s"]
    assert report["figures"]["first_missed_s"] > 0
