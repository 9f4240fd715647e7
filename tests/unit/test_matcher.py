"""The matcher by example: which change reaches whom, what is evaluated how often, what is left when all have gone."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest

from tidewire.filters.answer import UNDECIDED, Predicate
from tidewire.match import index
from tidewire.match.candidates import Candidates, Delivery
from tidewire.match.matcher import Matcher
from tidewire.match.subscription import Audience, Compile, CompiledFilter, Receivers, Subscription
from tidewire.model.change import ABSENT, Change, Operation, Row
from tidewire.model.errors import ConfigurationError, DecodeError
from tidewire.model.relation import Column, PgType, Relation
from tidewire.testing.rows import deleted, inserted, truncated, updated

INT, TEXT = PgType(23, "int4"), PgType(25, "text")
ID, NAME, ROOM = Column("id", INT, identity=True, primary=True), Column("name", TEXT), Column("room", INT)
TODOS = Relation(1, "public", "todos", "default", (ID, NAME, ROOM))
LOGGED = Relation(1, "public", "todos", "full", (ID, NAME, ROOM))
"""The same table, when old rows are logged completely."""

ANON, MEMBER = Audience("anon"), Audience("authenticated", (("sub", "u1"),))
ANN, BEN, CAT = 1, 2, 3

Compiled = Callable[[Relation], CompiledFilter]


def wish(id_: int, connection: int = ANN, **fields: Any) -> Subscription:
    defaults: dict[str, Any] = {
        "topic": "realtime:a",
        "wire_id": 100 + id_,
        "schema": "public",
        "table": "todos",
        "event": "*",
        "filter": "",
        "select": None,
        "audience": ANON,
    }
    return Subscription(id=id_, connection=connection, **(defaults | fields))


def where(column: str, *values: str, residual: Predicate | None = None) -> Compile:
    """Compile to an equality with one of the values. Fails as the real compiler does when the column is gone."""

    def compile_(relation: Relation) -> CompiledFilter:
        names = [each.name for each in relation.columns]
        if column not in names:
            raise ConfigurationError(f"invalid column for filter {column}")
        return CompiledFilter(equality=(names.index(column), values), residual=residual)

    return compile_


def holding(residual: Predicate) -> Compile:
    return lambda _: CompiledFilter(residual=residual)


def change(operation: Operation, row: Row, *, number: int = 0) -> Change:
    if operation == "DELETE":
        return deleted(LOGGED, row, lsn=7, index=number)
    return (inserted if operation == "INSERT" else updated)(TODOS, row, lsn=7, index=number)


def insert(row: Row, *, number: int = 0, relation: Relation = TODOS) -> Change:
    return inserted(relation, row, lsn=7, index=number)


def deliver(candidates: Candidates) -> list[Delivery[str]]:
    return list(candidates.deliveries(["all"] * len(candidates.asks)))


def reached(matcher: Matcher, *changes: Change) -> list[tuple[int, int]]:
    """(connection, wire id) of everyone who hears of the changes, in order within one frame, sorted between frames."""
    return sorted(
        (connection, wire_id)
        for delivery in deliver(matcher.match(changes))
        for receivers in delivery.receivers
        for connection in receivers.connections
        for wire_id in receivers.ids
    )


def filled(*wishes: Subscription | tuple[Subscription, Compile]) -> Matcher:
    matcher = Matcher()
    for each in wishes:
        subscription, compile_ = each if isinstance(each, tuple) else (each, None)
        assert not matcher.add(subscription, compile_)
    return matcher


ROW: Row = ("1", "milk", "5")


@pytest.mark.parametrize(
    ("schema", "table", "hears"),
    [
        ("public", "todos", True),
        ("public", "*", True),
        ("*", "todos", True),
        ("*", "*", True),
        ("public", "Todos", False),
        ("private", "todos", False),
        ("private", "*", False),
        ("*", "notes", False),
    ],
)
def test_names_match_exactly_or_by_wildcard(schema: str, table: str, *, hears: bool) -> None:
    matcher = filled(wish(1, schema=schema, table=table))
    assert bool(reached(matcher, insert(ROW))) == hears


@pytest.mark.parametrize("operation", ["INSERT", "UPDATE", "DELETE"])
def test_events_match_by_name_or_all(operation: Operation) -> None:
    matcher = filled(*(wish(n, event=event) for n, event in enumerate(("INSERT", "UPDATE", "DELETE", "*"))))
    ids = {"INSERT": 100, "UPDATE": 101, "DELETE": 102}
    assert reached(matcher, change(operation, ROW)) == [(ANN, ids[operation]), (ANN, 103)]


def test_an_equality_reaches_those_who_asked_for_the_value() -> None:
    matcher = filled(
        (wish(1, ANN, filter="room=eq.5"), where("room", "5")), (wish(2, BEN, filter="room=eq.6"), where("room", "6"))
    )
    assert reached(matcher, insert(("1", "milk", "5"))) == [(ANN, 101)]
    assert reached(matcher, insert(("1", "milk", "6"))) == [(BEN, 102)]
    assert reached(matcher, insert(("1", "milk", "7"))) == []


def test_one_of_several_values_is_found_by_look_up_too() -> None:
    matcher = filled(
        (wish(1, filter="room=in.(5,6,5)"), where("room", "5", "6", "5")),
        (wish(2, filter="room=in.()"), where("room")),
    )
    assert [len(reached(matcher, insert(("1", None, room)))) for room in ("4", "5", "6")] == [0, 1, 1]
    matcher.remove(1)
    assert reached(matcher, insert(ROW)) == []


def test_null_and_values_outside_the_log_equal_nothing() -> None:
    matcher = filled((wish(1, filter="name=eq.False"), where("name", "False", "None", "")))
    assert reached(matcher, insert(("1", None, "5")), updated(TODOS, ("1", ABSENT, "5"))) == []


def test_both_sides_of_an_equality_are_brought_into_one_form() -> None:
    def canonical(text: str) -> str:
        return text.lstrip("0")

    def compile_(_: Relation) -> CompiledFilter:
        return CompiledFilter(equality=(2, ("5",)), canonical=canonical)

    matcher = filled(*((wish(n, n, filter=f"room=eq.{'0' * n}5"), compile_) for n in (1, 2, 3)))
    assert reached(matcher, insert(("1", "milk", "0005"))) == [(1, 101), (2, 102), (3, 103)]
    matcher.remove(1)
    assert reached(matcher, insert(ROW)) == [(2, 102), (3, 103)]
    matcher.remove(3)
    assert reached(matcher, insert(ROW)) == [(2, 102)]


@pytest.mark.parametrize(("answer", "hears"), [(True, True), (False, False), (None, False)])
def test_only_true_delivers(*, answer: bool | None, hears: bool) -> None:
    matcher = filled((wish(1, filter="name=neq.x"), holding(lambda _: answer)))
    assert bool(reached(matcher, insert(ROW))) == hears


def test_an_update_is_judged_by_its_new_row() -> None:
    matcher = filled((wish(1, filter="room=eq.5"), where("room", "5")))
    came = updated(LOGGED, ("1", "milk", "5"), ("1", "milk", "6"))
    left = updated(LOGGED, ("1", "milk", "6"), ("1", "milk", "5"), index=1)
    assert [each.change for each in deliver(matcher.match((came, left)))] == [came]


def test_a_delete_is_judged_by_what_the_log_keeps_of_the_old_row() -> None:
    matcher = filled(
        wish(1),
        (wish(2, filter="id=eq.1"), where("id", "1")),
        (wish(3, filter="room=eq.5"), where("room", "5")),
    )
    assert reached(matcher, deleted(TODOS, ("1", ABSENT, ABSENT))) == [(ANN, 101), (ANN, 102)]
    assert reached(matcher, deleted(LOGGED, ("1", "milk", "5"))) == [(ANN, 101), (ANN, 102), (ANN, 103)]


def test_truncate_reaches_those_who_opted_in_whatever_their_filter() -> None:
    matcher = filled(
        wish(1),
        wish(2, truncate=True, event="DELETE"),
        (wish(3, truncate=True, filter="room=eq.5"), where("room", "5")),
        wish(4, truncate=True, table="*"),
        wish(5, truncate=True, table="notes"),
    )
    assert reached(matcher, truncated(TODOS)) == [(ANN, 102), (ANN, 103), (ANN, 104)]
    matcher.remove(3)
    assert reached(matcher, truncated(TODOS)) == [(ANN, 102), (ANN, 104)]
    matcher.remove(2)
    matcher.remove(4)
    assert not matcher.match([truncated(TODOS)]).asks


def test_a_row_that_nobody_filters_is_not_read() -> None:
    """Its bytes are damaged, which only those who read it may notice."""
    whole = insert(ROW)
    damaged = msgspec.structs.replace(whole, data=whole.data[:-1])
    matcher = filled(wish(1), wish(2, event="INSERT"), wish(3, table="*"), wish(4, event="UPDATE"))
    matcher.add(wish(5, event="UPDATE", filter="room=eq.5"), where("room", "5"))
    assert [connection for connection, _ in reached(matcher, damaged)] == [ANN] * 3
    matcher.add(wish(6, event="INSERT", filter="room=eq.5"), where("room", "5"))
    with pytest.raises(DecodeError):
        matcher.match([damaged])


def counting(calls: list[Any], *, answer: Any = True) -> Callable[[Any], Any]:
    def call(value: Any) -> Any:
        calls.append(value)
        return answer

    return call


def test_a_filter_that_many_share_is_compiled_and_evaluated_once() -> None:
    compiled: list[Relation] = []
    evaluated: list[Row] = []
    matcher = Matcher()
    for number in range(5000):
        subscription = wish(number, connection=number, filter="name=neq.x", topic=f"realtime:{number % 7}")
        matcher.add(subscription, counting(compiled, answer=CompiledFilter(residual=counting(evaluated))))
    assert compiled == []
    assert len(reached(matcher, insert(ROW))) == 5000
    assert (compiled, evaluated) == ([TODOS], [ROW])
    matcher.add(wish(5000, filter="name=neq.x"), counting(compiled))
    matcher.remove(0)
    assert len(reached(matcher, insert(ROW))) == 5000
    assert (compiled, evaluated) == ([TODOS], [ROW, ROW])


def test_filters_that_a_look_up_excludes_are_not_evaluated() -> None:
    evaluated: list[Row] = []
    matcher = Matcher()
    for number in range(1000):
        subscription = wish(number, connection=number, filter=f"room=eq.{number},name=neq.x")
        matcher.add(subscription, where("room", str(number), residual=counting(evaluated)))
        matcher.add(wish(1000 + number, event="UPDATE", filter=f"name=neq.{number}"), holding(counting(evaluated)))
    assert reached(matcher, insert(ROW)) == [(5, 105)]
    assert evaluated == [ROW]


def test_filters_are_compiled_again_only_when_the_table_changed_its_shape() -> None:
    compiled: list[Relation] = []

    def compile_(relation: Relation) -> CompiledFilter:
        compiled.append(relation)
        return where("room", "5")(relation)

    matcher = filled((wish(1, filter="room=eq.5"), compile_))
    again = Relation(1, "public", "todos", "default", (ID, NAME, ROOM))
    moved = Relation(1, "public", "todos", "default", (ID, ROOM))
    for relation, row in ((TODOS, ROW), (again, ROW), (moved, ("1", "5")), (moved, ("2", "5"))):
        assert reached(matcher, insert(row, relation=relation)) == [(ANN, 101)]
    assert compiled == [TODOS, moved]


def test_a_column_that_vanished_breaks_only_those_who_filter_by_it() -> None:
    matcher = filled(
        (wish(1, ANN, filter="room=eq.5"), where("room", "5")),
        (wish(2, BEN, filter="room=eq.5"), where("room", "5")),
        (wish(3, CAT, filter="id=eq.1"), where("id", "1")),
        wish(4, CAT),
    )
    matcher.match([insert(ROW)])
    narrow = Relation(1, "public", "todos", "default", (ID, NAME))
    first = matcher.match([insert(("1", "milk"), relation=narrow), insert(("1", "jam"), relation=narrow)])
    assert [(each.subscriptions, each.relation, str(each.error)) for each in first.broken] == [
        ((1, 2), narrow, "invalid column for filter room")
    ]
    assert len(deliver(first)) == 2
    assert reached(matcher, insert(("1", "milk"), relation=narrow)) == [(CAT, 103), (CAT, 104)]
    assert not matcher.match([insert(("1", "milk"), relation=narrow)]).broken
    assert reached(matcher, insert(ROW)) == [(ANN, 101), (BEN, 102), (CAT, 103), (CAT, 104)]


def test_a_filter_that_does_not_fit_is_refused_at_once_when_the_table_is_known() -> None:
    matcher = filled((wish(1, filter="id=eq.1"), where("id", "1")))
    matcher.match([insert(ROW)])
    for id_ in (2, 3):  # the second finds the first's filter already there
        broken = matcher.add(wish(id_, filter="gone=eq.1"), where("gone", "1"))
        assert id_ in broken[0].subscriptions
    matcher.remove(2)
    matcher.remove(3)
    assert not matcher.match([insert(ROW)]).broken


def test_a_filter_that_raises_is_reported_and_stops_nobody_else() -> None:
    def fail(_: Row) -> bool:
        raise ZeroDivisionError

    matcher = filled(
        (wish(1, ANN, filter="name=match.("), holding(fail)),
        (wish(2, BEN, filter="name=neq.x"), holding(lambda _: True)),
    )
    candidates = matcher.match([insert(ROW), insert(ROW, number=1)])
    assert [(each.subscriptions, type(each.error)) for each in candidates.broken] == [((1,), ZeroDivisionError)]
    assert [delivery.receivers[0].connections for delivery in deliver(candidates)] == [(BEN,), (BEN,)]
    matcher.remove(1)
    assert reached(matcher, insert(ROW)) == [(BEN, 102)]


def test_each_audience_is_asked_once_for_each_change() -> None:
    matcher = filled(
        *(wish(n, n, audience=ANON, topic=f"realtime:{n % 5}") for n in range(50)),
        *(wish(n, n, audience=Audience(MEMBER.role, MEMBER.claims), select=("id",)) for n in range(50, 100)),
        *(wish(n, n, audience=MEMBER, event="INSERT") for n in range(100, 150)),
    )
    first, second = insert(ROW), change("UPDATE", ROW, number=1)
    asks = matcher.match((first, second)).asks
    assert [(ask.change, ask.audience) for ask in asks] == [
        (first, MEMBER),
        (first, ANON),
        (second, ANON),
        (second, MEMBER),
    ]


def by_receivers(deliveries: Iterable[Delivery[str]]) -> dict[tuple[tuple[str, ...] | None, str], Sequence[Receivers]]:
    return {(each.select, each.answer): each.receivers for each in deliveries}


def test_equal_answers_share_a_delivery_and_none_is_silence() -> None:
    other = Audience("authenticated", (("sub", "u2"),))
    matcher = filled(
        wish(1, ANN, audience=ANON, wire_id=9),
        wish(2, BEN, audience=MEMBER, wire_id=9),
        wish(3, CAT, audience=other, wire_id=9),
        wish(4, CAT, audience=other, wire_id=10, select=("id",)),
    )
    candidates = matcher.match([insert(ROW)])
    assert [ask.audience for ask in candidates.asks] == [ANON, MEMBER, other]
    assert by_receivers(candidates.deliveries(["all", "all", None])) == {
        (None, "all"): [Receivers("realtime:a", (9,), (ANN, BEN))]
    }
    assert by_receivers(candidates.deliveries(["all", None, "some"])) == {
        (None, "all"): (Receivers("realtime:a", (9,), (ANN,)),),
        (None, "some"): (Receivers("realtime:a", (9,), (CAT,)),),
        (("id",), "some"): (Receivers("realtime:a", (10,), (CAT,)),),
    }
    assert list(candidates.deliveries([None, None, None])) == []


def test_a_channel_gets_one_frame_with_all_its_ids() -> None:
    matcher = filled(
        wish(1, ANN, wire_id=30),
        wish(2, ANN, wire_id=20, event="INSERT"),
        (wish(3, ANN, wire_id=10, filter="room=eq.5"), where("room", "5")),
        wish(4, ANN, wire_id=30),  # the client bound the same twice
        wish(5, BEN, wire_id=30),
        wish(6, CAT, wire_id=20, event="INSERT"),
        wish(7, CAT, wire_id=30, table="*"),
        wish(8, ANN, wire_id=30, topic="realtime:b"),
    )
    (delivery,) = deliver(matcher.match([insert(ROW)]))
    assert sorted(delivery.receivers, key=lambda each: (each.topic, each.ids)) == [
        Receivers("realtime:a", (10, 20, 30), (ANN,)),
        Receivers("realtime:a", (20, 30), (CAT,)),
        Receivers("realtime:a", (30,), (BEN,)),
        Receivers("realtime:b", (30,), (ANN,)),
    ]


def test_the_ids_of_a_frame_are_in_order() -> None:
    ids = (9, 100_000, 8, 77, 65_536)
    matcher = filled(*(wish(number, wire_id=id_) for number, id_ in enumerate(ids)))
    (delivery,) = deliver(matcher.match([insert(ROW)]))
    assert delivery.receivers == [Receivers("realtime:a", (8, 9, 77, 65_536, 100_000), (ANN,))]


def test_two_equal_bindings_of_a_channel_are_one_to_the_client() -> None:
    matcher = filled(wish(1, wire_id=9), wish(2, wire_id=9))
    for _ in range(2):
        (delivery,) = deliver(matcher.match([insert(ROW)]))
        assert delivery.receivers == (Receivers("realtime:a", (9,), (ANN,)),)
        matcher.remove(1)


def test_coming_and_going_shows_in_the_next_change() -> None:
    matcher = filled(wish(1, ANN, wire_id=9), wish(2, ANN, wire_id=8, topic="realtime:b"))
    assert reached(matcher, insert(ROW)) == [(ANN, 8), (ANN, 9)]
    matcher.add(wish(3, BEN, wire_id=9))
    assert reached(matcher, insert(ROW)) == [(ANN, 8), (ANN, 9), (BEN, 9)]
    matcher.remove(2)
    assert reached(matcher, insert(ROW)) == [(ANN, 9), (BEN, 9)]
    matcher.add(wish(4, CAT, audience=MEMBER))
    assert len(matcher.match([insert(ROW)]).asks) == 2
    matcher.remove(4)
    assert len(matcher.match([insert(ROW)]).asks) == 1


def test_wishes_that_differ_in_anything_are_kept_apart() -> None:
    matcher = filled(
        wish(1, wire_id=9),
        wish(2, wire_id=9, select=("id",)),
        wish(3, wire_id=9, audience=MEMBER),
        wish(4, BEN, wire_id=9, truncate=True),
    )
    assert len(matcher.match([insert(ROW)]).asks) == 2
    assert len(deliver(matcher.match([insert(ROW)]))) == 2
    assert reached(matcher, truncated(TODOS)) == [(BEN, 9)]


def test_those_who_wish_the_same_are_one_group_of_receivers() -> None:
    matcher = filled(*(wish(n, n, wire_id=9) for n in range(1000)))
    (delivery,) = deliver(matcher.match([insert(ROW)]))
    assert delivery.receivers == (Receivers("realtime:a", (9,), tuple(range(1000))),)


def test_deliveries_follow_the_order_of_the_changes() -> None:
    matcher = filled(wish(1), (wish(2, BEN, filter="room=eq.5", topic="realtime:b"), where("room", "5")))
    changes = [insert((str(n), "milk", str(n % 7)), number=n) for n in range(50)]
    assert [each.change.index for each in deliver(matcher.match(changes))] == list(range(50))


def test_who_leaves_while_visibility_is_asked_gets_nothing_and_who_comes_neither() -> None:
    matcher = filled(wish(1, ANN, wire_id=9), wish(2, BEN, wire_id=9), wish(3, CAT, wire_id=9, topic="realtime:c"))
    candidates = matcher.match([insert(ROW)])
    matcher.remove_connection(BEN)
    matcher.remove(3)
    matcher.add(wish(3, CAT, wire_id=9, topic="realtime:c"))
    matcher.add(wish(4, 4, wire_id=9))
    (delivery,) = deliver(candidates)
    assert delivery.receivers == [Receivers("realtime:a", (9,), (ANN,))]


def test_no_delivery_is_made_for_nobody() -> None:
    matcher = filled(wish(1))
    candidates = matcher.match([insert(ROW)])
    matcher.remove(1)
    assert deliver(candidates) == []


def test_what_cannot_be_decided_here_is_asked_together_with_visibility() -> None:
    matcher = filled(
        wish(1, ANN),
        (wish(2, BEN, filter="name=match.x", wire_id=9), holding(lambda _: UNDECIDED)),
        (wish(3, CAT, filter="name=match.x", wire_id=9), holding(lambda _: UNDECIDED)),
        (wish(4, CAT, filter="room=eq.6,name=match.x"), where("room", "6", residual=lambda _: UNDECIDED)),
    )
    candidates = matcher.match([insert(ROW)])
    assert [(ask.audience, ask.filter) for ask in candidates.asks] == [(ANON, ""), (ANON, "name=match.x")]
    assert by_receivers(candidates.deliveries(["all", None])) == {
        (None, "all"): (Receivers("realtime:a", (101,), (ANN,)),)
    }
    assert by_receivers(candidates.deliveries(["all", "all"])) == {
        (None, "all"): [Receivers("realtime:a", (101,), (ANN,)), Receivers("realtime:a", (9,), (BEN, CAT))]
    }


def test_nothing_remains_of_those_who_left() -> None:
    matcher = filled(
        wish(1, truncate=True),
        (wish(2, ANN, filter="room=eq.5"), where("room", "5")),
        (wish(3, BEN, filter="room=eq.5,name=neq.x", table="*"), where("room", "5", residual=lambda _: True)),
        (wish(4, BEN, filter="name=neq.x", event="INSERT"), holding(lambda _: True)),
    )
    matcher.match([insert(ROW)])
    matcher.remove(4)
    matcher.remove(4)
    assert len(matcher) == 3
    matcher.remove(2)
    assert not matcher._tables["public", "todos"]._events["*"]._plans
    matcher.remove_connection(ANN)
    matcher.remove_connection(BEN)
    matcher.remove_connection(CAT)
    assert len(matcher) == 0
    assert reached(matcher, insert(ROW), truncated(TODOS)) == []
    assert not matcher._tables
    assert not matcher._connections


def test_a_filter_that_nobody_uses_is_not_kept_for_the_table() -> None:
    matcher = filled((wish(0, filter="room=eq.1"), where("room", "1")))
    matcher.match([insert(ROW)])
    for number in range(1, 100):
        matcher.add(wish(number, filter=f"room=eq.{number},"), where("room", str(number)))
        matcher.add(wish(1000 + number, filter=f"name=neq.{number}"), holding(lambda _: True))
        matcher.remove(number)
        matcher.remove(1000 + number)
    (plan,) = matcher._tables["public", "todos"]._events["*"]._plans.values()
    assert len(plan._compiled) == 1
    assert not plan._unindexed
    assert (len(plan._columns[2].exact), len(plan._columns[2].others)) == (1, 0)


def test_a_wildcard_keeps_filters_compiled_for_a_bounded_number_of_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MAX_PLANS", 3)
    matcher = filled((wish(1, table="*", filter="room=eq.5"), where("room", "5")))
    for number in range(10):
        table = Relation(number, "public", f"t{number}", "default", (ID, NAME, ROOM))
        assert reached(matcher, insert(ROW, relation=table)) == [(ANN, 101)]
    assert len(matcher._tables["public", "*"]._events["*"]._plans) == 3
    assert reached(matcher, insert(ROW, relation=TODOS)) == [(ANN, 101)]


def test_mistakes_of_the_caller_are_told() -> None:
    matcher = filled(wish(1))
    with pytest.raises(ValueError, match="subscription 1 is here already"):
        matcher.add(wish(1))
    with pytest.raises(ValueError, match="compile"):
        matcher.add(wish(2, filter="id=eq.1"))
    with pytest.raises(ValueError, match="compile"):
        matcher.add(wish(2, filter=" "), where("id", "1"))
    with pytest.raises(ValueError, match="expected 1 answers, got 0"):
        list(matcher.match([insert(ROW)]).deliveries([]))
    assert reached(matcher, insert(ROW)) == [(ANN, 101)]
