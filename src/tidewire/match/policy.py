"""What the catalog says of a table's row-level security, and which of it concerns a role. Judges no row.

postgres/policies.py reads it ─► policy_compile.py, once for each role and shape of the table
  policy_nodes, policy_constants           Postgres's own expression trees become values
  policy_conditions, policy_scalars        what is understood of them becomes policy_tree; the rest is refused
  policy_columns                           the columns that a tree reads, understood or not
  policy_reads                             the claims that it reads, where that is certain though it is not understood
  policy_claims, policy_bind               an audience's claims go in, a predicate over rows comes out
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

Command = Literal["ALL", "SELECT", "INSERT", "UPDATE", "DELETE"]

PUBLIC: Final = 0
"""Stands among the roles of a policy for everybody, as in the catalog."""


class PolicyUnprovable(Exception):  # noqa: N818 - not an error: the question goes to Postgres
    """The answers of `policy` cannot be proven here: let Postgres judge. `what` is met in it, `why` says the reason."""

    def __init__(self, what: str, why: str, *, policy: str = "") -> None:
        self.policy = policy
        self.what = what
        self.why = why
        super().__init__(f"policy {policy or '?'} is for Postgres to judge: {what}: {why}")


class Policy(Struct, frozen=True):
    """One policy. `tree` is its USING expression as Postgres keeps it, `expression` the same for people to read."""

    name: str
    permissive: bool
    command: Command
    roles: tuple[int, ...]
    tree: str | None
    expression: str | None = None


class Operator(Struct, frozen=True):
    """An operator that came with Postgres: its name and the types of what stands left and right of it."""

    name: str
    left: int
    right: int


class Function(Struct, frozen=True):
    """A function that a policy calls. `builtin`: it came with Postgres, and its name and arguments say what it does.
    `immutable`: its result depends on nothing but them.

    For others written in SQL, `body` is the tree of a body that was parsed when the function was made, `source` the
    text of one that is parsed when it is called. `plain`: nothing but the body has a say in the result.
    """

    name: str
    arguments: tuple[int, ...]
    result: int
    builtin: bool
    executable: bool
    plain: bool = False
    body: str | None = None
    source: str | None = None
    immutable: bool = False


class Names(Struct, frozen=True):
    """What the numbers in the trees stand for. What is not in here is not understood."""

    columns: Mapping[int, str] = {}
    operators: Mapping[int, Operator] = {}
    functions: Mapping[int, Function] = {}
    labels: Mapping[int, str] = {}
    collations: Mapping[int, str] = {}
    """Locales, as `tidewire.filters.collation` understands them."""


class TablePolicies(Struct, frozen=True):
    """The row-level security of one table. `readable`: the trees have a form that is known here."""

    enabled: bool
    forced: bool
    policies: tuple[Policy, ...]
    names: Names
    readable: bool = True


class Standing(Struct, frozen=True):
    """What a role is to a table: `member_of` has every role whose rights it has, its own and PUBLIC included."""

    role: str
    bypasses: bool
    owns: bool
    member_of: frozenset[int]


def policies_bind(table: TablePolicies, standing: Standing) -> bool:
    """Tell whether policies decide what the role sees. Otherwise it sees every row that its privileges allow."""
    return table.enabled and not standing.bypasses and (table.forced or not standing.owns)


def check_readable(table: TablePolicies) -> None:
    """Raise PolicyUnprovable where the trees have a form that is not known here."""
    if not table.readable:
        raise PolicyUnprovable("the catalog", "this version or kind of server keeps policies in a form not known here")


def policies_for_reading(table: TablePolicies, standing: Standing) -> tuple[list[Policy], list[Policy]]:
    """Return the permissive and the restrictive policies that the role reads under.

    A row must satisfy one of the former and all of the latter: without any permissive one nothing is visible. A policy
    without a USING expression, which is possible where it has a WITH CHECK, neither admits nor restricts.

    They are in the order in which Postgres evaluates them, which matters where one of them is an error: the restrictive
    ones by their names, then the permissive ones from the last name to the first.
    """
    concerned = [
        policy
        for policy in table.policies
        if policy.command in {"ALL", "SELECT"}
        and policy.tree is not None
        and (PUBLIC in policy.roles or not standing.member_of.isdisjoint(policy.roles))
    ]
    concerned.sort(key=lambda policy: policy.name.encode())
    return [each for each in reversed(concerned) if each.permissive], [
        each for each in concerned if not each.permissive
    ]
