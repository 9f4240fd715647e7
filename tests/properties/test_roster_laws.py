"""Rosters under everything a network does: clients, fed by diffs alone, always see the state, and all nodes agree.

Clients are played as the official ones do it: metas are added by key, and removed by their phx_ref.
"""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tidewire.presence.clock import Seen
from tidewire.presence.delta import Delta, decode_delta, encode_delta
from tidewire.presence.diff import Diff, Metas, Pending
from tidewire.presence.roster import Owner, Refusal, Roster

NODES = ("a", "b", "c")
nodes = st.sampled_from(NODES)
owners = st.sampled_from([Owner(1, "1"), Owner(2, "1"), Owner(2, "2")])
keys = st.sampled_from(["ada", "bob"])
payloads = st.sampled_from([b"{}", b'{"a": 1}'])

Frame = dict[str, dict[str, list[dict[str, Any]]]]


def parse(metas: Metas) -> Frame:
    """What a client's JSON parser makes of `presence_state`, or of one side of `presence_diff`."""
    return {key: {"metas": [json.loads(meta) for meta in of_key.values()]} for key, of_key in metas.items()}


class Client:
    """A browser that got one `presence_state` and knows the rest from diffs."""

    def __init__(self, state: Metas) -> None:
        self.presences = parse(state)

    def receive(self, diff: Diff | None) -> None:
        if diff is None:
            return
        assert diff.joins or diff.leaves, "an empty diff is not worth a frame"
        for key, joining in parse(diff.joins).items():
            refs = {meta["phx_ref"] for meta in joining["metas"]}
            present = [meta for meta in self.presences.get(key, {"metas": []})["metas"] if meta["phx_ref"] not in refs]
            self.presences[key] = {"metas": [*present, *joining["metas"]]}
        for key, leaving in parse(diff.leaves).items():
            refs = {meta["phx_ref"] for meta in leaving["metas"]}
            rest = [meta for meta in self.presences.get(key, {"metas": []})["metas"] if meta["phx_ref"] not in refs]
            self.presences.pop(key, None)
            if rest:
                self.presences[key] = {"metas": rest}

    def sees(self, state: Metas) -> bool:
        return shown(self.presences) == shown(parse(state))


def shown(presences: Frame) -> Counter[tuple[str, str]]:
    return Counter((key, json.dumps(meta)) for key, value in presences.items() for meta in value["metas"])


class Node:
    """One node: its roster, two of its clients, and what its channels have tracked."""

    def __init__(self, name: str, *, life: int, grace_s: float) -> None:
        self.name = name
        self.life = life
        self.roster = Roster(name, life=life, grace_s=grace_s)
        self.pending = Pending()
        self.prompt = Client({})
        self.patient = Client({})
        self.tracked: dict[Owner, tuple[str, bytes]] = {}
        for peer in NODES:
            self.roster.up(peer)

    def hear(self, result: Diff | Refusal | None) -> None:
        assert not isinstance(result, Refusal)
        self.prompt.receive(result)
        self.pending.add(result)


class Cluster(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.refs = 0
        self.now = 0.0
        self.in_flight: list[tuple[str, bytes]] = []

    @initialize(grace_s=st.sampled_from([0.0, 5.0]))
    def start(self, grace_s: float) -> None:
        self.grace_s = grace_s
        self.nodes = {name: Node(name, life=1, grace_s=grace_s) for name in NODES}

    def clock(self, node: Node) -> float:
        """Nodes do not agree about the time."""
        return self.now + 1000 * NODES.index(node.name)

    # --- channels ----------------------------------------------------------------------------------------

    @rule(name=nodes, owner=owners, key=keys, payload=payloads)
    def track(self, name: str, owner: Owner, key: str, payload: bytes) -> None:
        node = self.nodes[name]
        same = node.tracked.get(owner) == (key, payload)
        self.refs += 1
        result = node.roster.track(owner, key, payload, f"ref{self.refs}")
        assert not same or result is None
        node.tracked[owner] = (key, payload)
        node.hear(result)

    @rule(name=nodes, owner=owners)
    def untrack(self, name: str, owner: Owner) -> None:
        node = self.nodes[name]
        node.tracked.pop(owner, None)
        node.hear(node.roster.untrack(owner))

    @rule(name=nodes, owner=owners)
    def drop(self, name: str, owner: Owner) -> None:
        node = self.nodes[name]
        node.tracked.pop(owner, None)
        node.hear(node.roster.drop(owner, self.clock(node)))

    @rule(seconds=st.floats(0, 4))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for node in self.nodes.values():
            node.hear(node.roster.tick(self.clock(node)))
            assert (node.roster.due_at or self.clock(node) + 1) > self.clock(node)

    # --- the network -------------------------------------------------------------------------------------

    @rule(name=nodes, fate=st.sampled_from(["under way", "arrives", "lost"]))
    def tell_peers(self, name: str, fate: str) -> None:
        delta = self.nodes[name].roster.take_delta()
        if delta is None or fate == "lost":
            return
        self.send(delta)
        while fate == "arrives" and self.in_flight and self.in_flight[-1][1] == encode_delta(delta):
            self.arrive(len(self.in_flight) - 1)

    @rule(name=nodes)
    def tell_everything(self, name: str) -> None:
        self.send(self.nodes[name].roster.everything())

    def send(self, delta: Delta) -> None:
        self.in_flight.extend((peer, encode_delta(delta)) for peer in NODES if peer != delta.node)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, *, again: bool) -> None:
        index = data.draw(st.integers(0, len(self.in_flight) - 1), label="which")
        if again:
            self.in_flight.insert(index, self.in_flight[index])
        self.arrive(index)

    def arrive(self, index: int) -> None:
        name, message = self.in_flight.pop(index)
        self.nodes[name].hear(self.nodes[name].roster.merge(decode_delta(message)))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        del self.in_flight[data.draw(st.integers(0, len(self.in_flight) - 1), label="which")]

    @rule(name=nodes, peer=nodes)
    def peer_is_down(self, name: str, peer: str) -> None:
        node = self.nodes[name]
        if peer != name:
            node.hear(node.roster.down(peer))

    @rule(name=nodes, peer=nodes)
    def peer_is_up(self, name: str, peer: str) -> None:
        self.nodes[name].roster.up(peer)

    @rule(name=nodes)
    def crash(self, name: str) -> None:
        """All of the node's channels are gone, and it remembers nothing. Nobody is told."""
        self.nodes[name] = Node(name, life=self.nodes[name].life + 1, grace_s=self.grace_s)

    # --- what must hold ----------------------------------------------------------------------------------

    @rule(name=nodes)
    def flush(self, name: str) -> None:
        node = self.nodes[name]
        node.patient.receive(node.pending.take())
        assert node.patient.sees(node.roster.state())

    @rule(name=nodes)
    def newcomer(self, name: str) -> None:
        """Whoever comes between two flushes knows just what the others know."""
        node = self.nodes[name]
        assert node.patient.sees(node.pending.rewind(node.roster.state()))

    @invariant()
    def diffs_add_up_to_the_state(self) -> None:
        for node in getattr(self, "nodes", {}).values():
            state = node.roster.state()
            assert node.prompt.sees(state)
            assert node.roster.size == sum(map(len, state.values()))
            assert all(state.values()), "a key without metas is no presence"

    @rule()
    def settle(self) -> None:
        """Anti-entropy: everything still under way arrives, everybody announces, and whoever lags asks once."""
        self.wait(self.grace_s + 1)
        for name in NODES:
            self.tell_peers(name, "under way")
        while self.in_flight:
            self.arrive(0)
        for node in self.nodes.values():
            for peer in self.nodes.values():
                node.roster.up(peer.name)
                node.roster.announced(peer.name, peer.roster.version)
            for lagging in node.roster.lagging():
                node.hear(node.roster.merge(self.nodes[lagging].roster.everything()))
            assert not node.roster.lagging()
        expected = Counter(
            (key, json.dumps(json.loads(payload)))
            for node in self.nodes.values()
            for key, payload in node.tracked.values()
        )
        for node in self.nodes.values():
            assert node.roster.state() == self.nodes["a"].roster.state()
            assert without_refs(node.roster.state()) == expected, "no ghost, and nobody forgotten"

    def teardown(self) -> None:
        if hasattr(self, "nodes"):
            self.settle()


def without_refs(state: Metas) -> Counter[tuple[str, str]]:
    plain = {
        key: {"metas": [{name: value for name, value in meta.items() if name == "a"} for meta in presence["metas"]]}
        for key, presence in parse(state).items()
    }
    return shown(plain)


PATIENCE_S = 60 * max(1, settings().max_examples // 100)

TestCluster = pytest.mark.timeout(PATIENCE_S)(Cluster.TestCase)
TestCluster.settings = settings(stateful_step_count=50)

moves = st.lists(
    st.tuples(st.sampled_from(["track", "untrack", "tell", "everything", "reborn"]), owners, keys, payloads),
    max_size=25,
)


def deltas_of(name: str, script: list[tuple[str, Owner, str, bytes]]) -> list[Delta]:
    life, roster = 1, Roster(name)
    deltas: list[Delta] = []
    for step, (move, owner, key, payload) in enumerate(script):
        if move == "track":
            roster.track(owner, key, payload, f"{name}{step}")
        elif move == "untrack":
            roster.untrack(owner)
        elif move == "tell":
            deltas.extend(filter(None, [roster.take_delta()]))
        elif move == "everything":
            deltas.append(roster.everything())
        else:
            life += 1
            roster = Roster(name, life=life)
    return deltas


@pytest.mark.timeout(PATIENCE_S)
@given(moves, moves, st.data())
def test_order_and_repetition_of_deltas_do_not_matter(
    one: list[tuple[str, Owner, str, bytes]], two: list[tuple[str, Owner, str, bytes]], data: st.DataObject
) -> None:
    deltas = [*deltas_of("a", one), *deltas_of("b", two)]
    repeats = data.draw(st.lists(st.sampled_from(deltas), max_size=5)) if deltas else []
    states = []
    for order in (deltas, data.draw(st.permutations([*deltas, *repeats]))):
        roster = Roster("c")
        roster.up("a")
        roster.up("b")
        for delta in order:
            roster.merge(delta)
        states.append((roster.state(), roster.size, sorted(roster.lagging())))
    assert states[0] == states[1]


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6)), max_size=40))
def test_ranges_of_numbers_are_a_set_of_numbers(ranges: list[tuple[int, int]]) -> None:
    seen, model = Seen(), set[int]()
    for first, length in ranges:
        seen.add(first, first + length - 1)
        model.update(range(first, first + length))
        assert [number in seen for number in range(50)] == [number in model for number in range(50)]
        assert len(seen) == sum(number - 1 not in model for number in model), "ranges never touch"
        assert seen.complete == next(number for number in range(1, 99) if number not in model) - 1
