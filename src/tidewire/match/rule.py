"""What a role may see of a table at one point of the log: its privileges, and the policies that it reads under."""

from msgspec import Struct

from tidewire.match.policy_compile import CompiledPolicies
from tidewire.match.policy_reads import Reads


class TableAccess(Struct, frozen=True):
    """What a role may see of a table.

    `unrestricted` means that no policy stands in its way: row-level security is off, or not for this role.
    """

    columns: frozenset[str]
    has_key: bool
    sees_key: bool
    unrestricted: bool


class Restriction(Struct, frozen=True, eq=False):
    """Policies as Postgres writes them: a row is visible where `expression` is true. Compared by identity, like rules.

    Names in it are qualified as under an empty search path, and the table goes by its own name. `columns` are those of
    the row that it reads: two rows that agree in them are judged alike.
    """

    expression: str
    columns: frozenset[str]


class Rule(Struct, frozen=True, eq=False):
    """How one role stands to one table. It is compared by identity: each reading of the catalog makes new ones.

    Where policies bind the role there is a `restriction`, and `compiled` unless only Postgres can judge; then
    `left_to_postgres` says why, and `reads` what of the claims its answers depend on, if that is certain.
    """

    role: str
    access: TableAccess
    restriction: Restriction | None = None
    compiled: CompiledPolicies | None = None
    left_to_postgres: str = ""
    announced: bool = False
    """Whether the log has a message for every change of it. Otherwise a table described anew may be a sign of one."""
    reads: Reads | None = None
