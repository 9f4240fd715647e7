"""Which policies concern a role, and what of trees, constants and queries can be read at all."""

import pytest

from tidewire.match.policy import (
    PUBLIC,
    Names,
    Policy,
    PolicyUnprovable,
    Standing,
    TablePolicies,
    policies_bind,
    policies_for_reading,
)
from tidewire.match.policy_compile import Judgement, compile_policies
from tidewire.match.policy_constants import array_texts, constant_bytes, constant_text
from tidewire.match.policy_nodes import MAX_CHARS, MAX_DEPTH, Node, read_tree
from tidewire.match.policy_queries import only_value
from tidewire.match.subscription import Audience
from tidewire.model.relation import Column, PgType, Relation

TABLE = Relation(1, "public", "notes", "full", ())
READER, GROUP, OTHER = 10, 11, 12


def constant(oid: int, data: str, *, null: bool = False) -> str:
    length = len(data.split())
    return f"{{CONST :consttype {oid} :constisnull {'true' if null else 'false'} :constvalue {length} [ {data} ]}}"


def truth(*, value: bool) -> str:
    return constant(16, f"{int(value)} 0 0 0 0 0 0 0")


TRUE, FALSE = truth(value=True), truth(value=False)


def policy(
    name: str, tree: str | None, *, permissive: bool = True, to: int = PUBLIC, command: str = "SELECT"
) -> Policy:
    return Policy(name, permissive, command, (to,), tree)  # type: ignore[arg-type]  # one of the five


def table(*policies: Policy, enabled: bool = True, forced: bool = False, readable: bool = True) -> TablePolicies:
    return TablePolicies(enabled, forced, policies, Names(), readable)


def standing(*, bypasses: bool = False, owns: bool = False) -> Standing:
    return Standing("reader", bypasses, owns, frozenset({PUBLIC, READER, GROUP}))


def judged(found: TablePolicies) -> Judgement:
    return compile_policies(found, standing(), TABLE).judge(Audience("reader"))(())


@pytest.mark.parametrize(
    ("enabled", "forced", "bypasses", "owns", "bound"),
    [
        (False, False, False, False, False),
        (False, True, False, True, False),
        (True, False, False, False, True),
        (True, False, True, False, False),
        (True, False, False, True, False),
        (True, True, False, True, True),
        (True, True, True, True, False),
    ],
)
def test_whom_policies_bind(*, enabled: bool, forced: bool, bypasses: bool, owns: bool, bound: bool) -> None:
    found = table(enabled=enabled, forced=forced)
    assert policies_bind(found, standing(bypasses=bypasses, owns=owns)) is bound


def test_policies_of_other_roles_and_commands_do_not_concern_a_reader() -> None:
    found = table(
        policy("mine", TRUE, to=READER),
        policy("of my group", TRUE, to=GROUP),
        policy("of others", TRUE, to=OTHER),
        policy("for all commands", TRUE, command="ALL"),
        policy("for updates", TRUE, command="UPDATE"),
        policy("with check only", None, command="ALL"),
        policy("restrictive", TRUE, permissive=False),
    )
    permissive, restrictive = policies_for_reading(found, standing())
    assert [each.name for each in permissive] == ["of my group", "mine", "for all commands"]
    assert [each.name for each in restrictive] == ["restrictive"]


@pytest.mark.parametrize(
    ("permissive", "restrictive", "judgement"),
    [
        ([], [], Judgement.HIDDEN),
        ([], [TRUE], Judgement.HIDDEN),
        ([TRUE], [], Judgement.VISIBLE),
        ([FALSE], [], Judgement.HIDDEN),
        ([FALSE, TRUE], [], Judgement.VISIBLE),
        ([TRUE], [TRUE], Judgement.VISIBLE),
        ([TRUE, TRUE], [TRUE, FALSE], Judgement.HIDDEN),
        ([FALSE], [TRUE], Judgement.HIDDEN),
    ],
)
def test_one_permissive_and_every_restrictive_policy_must_be_true(
    permissive: list[str], restrictive: list[str], judgement: Judgement
) -> None:
    policies = [policy("p", tree) for tree in permissive] + [
        policy("r", tree, permissive=False) for tree in restrictive
    ]
    assert judged(table(*policies)) is judgement


def test_where_no_policy_binds_all_is_visible() -> None:
    found = table(policy("p", FALSE), enabled=False)
    assert judged(found) is Judgement.VISIBLE


def test_the_refusal_names_the_policy() -> None:
    with pytest.raises(PolicyUnprovable, match="policy odd is for Postgres to judge: CASE") as caught:
        judged(table(policy("plain", TRUE), policy("odd", "{CASEEXPR :casetype 16}")))
    assert (caught.value.policy, caught.value.what) == ("odd", "CASE")


def test_trees_of_an_unknown_form_are_refused_but_not_where_none_is_needed() -> None:
    with pytest.raises(PolicyUnprovable, match="not known here"):
        judged(table(policy("p", TRUE), readable=False))
    assert judged(table(enabled=False, readable=False)) is Judgement.VISIBLE


def columns(*names: str) -> Relation:
    return Relation(1, "public", "notes", "full", tuple(Column(name, PgType(25, "text")) for name in names))


@pytest.mark.parametrize(
    ("log", "known"),
    [(("a", "b"), True), (("b",), True), (("b", "a"), False), (("a", "c"), False), (("a", "a"), False)],
)
def test_numbers_of_columns_are_those_of_the_shape_in_the_log(*, log: tuple[str, ...], known: bool) -> None:
    found = TablePolicies(True, False, (policy("p", TRUE),), Names(columns={3: "b", 1: "a"}))
    if known:
        compile_policies(found, standing(), columns(*log))
    else:
        with pytest.raises(PolicyUnprovable, match="another shape"):
            compile_policies(found, standing(), columns(*log))


def test_a_tree_is_read_with_names_lists_and_escapes() -> None:
    node = read_tree('{A :one 1 :none <> :list ({B :x y} {B :x z}) :name a\\ b\\) :bytes 2 [ 1 2 ] :word ("=")}')
    assert node.number("one") == 1
    assert node.nodes("none") == ()
    assert [each.text("x") for each in node.nodes("list")] == ["y", "z"]
    assert node.text("name") == "a b)"
    assert node.fields["bytes"] == ["2", "[", "1", "2", "]"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{A :x 1",
        "A",
        "<>",
        "(1 2)",
        "{A} {B}",
        "{A :x 1 :x 2}",  # an alias in a query may be called `:x`
        "{A :x " * (MAX_DEPTH + 1),
        "{A :x " + "1" * MAX_CHARS + "}",
    ],
)
def test_what_is_no_tree_is_refused(text: str) -> None:
    with pytest.raises(PolicyUnprovable):
        read_tree(text)


def test_fields_of_another_form_are_refused() -> None:
    node = read_tree("{A :word x :list (1 2) :node {B}}")
    for read in (node.number, node.flag, node.node, node.nodes):
        with pytest.raises(PolicyUnprovable, match="A: its word"):
            read("word")
    for name in ("list", "node", "missing"):
        with pytest.raises(PolicyUnprovable):
            node.text(name)
    with pytest.raises(PolicyUnprovable):
        node.nodes("missing")


@pytest.mark.parametrize(
    ("oid", "data", "text"),
    [
        (16, "1 0 0 0 0 0 0 0", "t"),
        (23, "-2 -1 -1 -1 -1 -1 -1 -1", "-2"),
        (25, "24 0 0 0 97 98", "ab"),
        (1700, "48 0 0 0 1 -127 1 0 41 9 112 23", "12345.6"),
        (1700, "24 0 0 0 0 -128", "0"),
        (1700, "24 0 0 0 0 -64", "NaN"),
        (1082, "-1 -1 -1 -1 0 0 0 0", "1999-12-31"),
        (1184, "0 64 -23 -44 -43 -80 2 0", "2024-01-01 00:00:00+00"),
        (1114, "-1 -1 -1 -1 -1 -1 -1 127", "infinity"),
    ],
)
def test_constants_are_read(oid: int, data: str, text: str) -> None:
    found = constant_bytes(read_tree(constant(oid, data)))
    assert found is not None
    assert constant_text(oid, found) == text


@pytest.mark.parametrize(
    ("oid", "data"),
    [
        (25, "0 0 0 24 97 98"),  # the length as a big-endian server has it
        (25, "24 0 0 0 97"),
        (25, "20 0 0 0 -1"),
        (1082, "0 0 0 127 0 0 0 0"),  # beyond the year 9999
        (600, "0 0 0 0"),
        (2950, "1 2 3"),
    ],
)
def test_constants_that_cannot_be_read_are_refused(oid: int, data: str) -> None:
    found = constant_bytes(read_tree(constant(oid, data)))
    assert found is not None
    with pytest.raises(PolicyUnprovable):
        constant_text(oid, found)


@pytest.mark.parametrize("value", ["4", "4 1 2 3 4", "4 [ 1 2 ]", "1 [ x ]", "<>"])
def test_bytes_that_are_none_are_refused(value: str) -> None:
    with pytest.raises(PolicyUnprovable):
        constant_bytes(read_tree(f"{{CONST :constisnull false :constvalue {value}}}"))


def test_null_has_no_bytes() -> None:
    assert constant_bytes(read_tree("{CONST :constisnull true :constvalue <>}")) is None


def test_arrays_are_read() -> None:
    header = "1 0 0 0 0 0 0 0 25 0 0 0 2 0 0 0 1 0 0 0"
    data = constant_bytes(read_tree(constant(1009, f"-96 0 0 0 {header} 20 0 0 0 97 0 0 0 20 0 0 0 98 0 0 0")))
    assert data is not None
    assert array_texts(data) == (25, ["a", "b"])
    with pytest.raises(PolicyUnprovable):
        array_texts(data[:-8])


def test_a_sub_select_is_a_value_only_without_any_clause() -> None:
    def query(more: str = "", targets: str = f"({{TARGETENTRY :expr {TRUE}}})", source: str = "<>") -> Node:
        return read_tree(
            f"{{QUERY :commandType 1 :hasTargetSRFs false :jointree {{FROMEXPR :fromlist {source} :quals <>}}"
            f" :targetList {targets} :rtable <> :limitCount <> {more}}}"
        )

    assert only_value(query()).kind == "CONST"
    for odd in (
        query(":havingQual {X}"),
        query(":somethingNew true"),
        query(source="({RANGETBLREF :rtindex 1})"),
        query(targets=f"({{TARGETENTRY :expr {TRUE}}} {{TARGETENTRY :expr {TRUE}}})"),
    ):
        with pytest.raises(PolicyUnprovable, match="a sub-select"):
            only_value(odd)
