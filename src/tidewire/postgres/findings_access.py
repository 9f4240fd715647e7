"""Judges who may read each published table: grants to the readers' roles, and row-level security."""

from collections.abc import Iterator

from tidewire.postgres.doctor_facts import Facts, Table
from tidewire.postgres.finding import Check, Observation, error, warning
from tidewire.postgres.repair import full_name, name

READERS = ("anon", "authenticated")
_OWNER_COLUMNS = ("user_id", "owner_id", "owner", "profile_id", "author_id", "created_by")
"""A uuid column of such a name most likely holds auth.uid() of the row's owner."""


def _privilege(facts: Facts) -> Iterator[Observation]:
    if not facts.objects.roles.issuperset(READERS):
        return  # without the roles there is nobody to grant anything to; the migrations come first
    for table in facts.user_tables:
        if not table.readers:
            yield warning(
                "neither anon nor authenticated may read it, so no reader gets its changes",
                f"GRANT USAGE ON SCHEMA {name(table.schema)} TO authenticated;\n"
                f"GRANT SELECT ON {full_name(table)} TO authenticated;",
                table.display_name,
            )


def _row_security(facts: Facts) -> Iterator[Observation]:
    for table in facts.user_tables:
        if table.row_security:
            continue
        enable = f"ALTER TABLE {full_name(table)} ENABLE ROW LEVEL SECURITY;"
        if table.policies:
            yield error(
                "has policies, but row-level security is off, so none of them holds", enable, table.display_name
            )
        elif table.readers:
            yield warning(
                f"row-level security is off: {' and '.join(table.readers)} may read every row",
                f"{enable}\n{_read_policy(table, table.readers)}",
                table.display_name,
            )


def _policies(facts: Facts) -> Iterator[Observation]:
    for table in facts.user_tables:
        if table.row_security and not table.read_policies:
            yield warning(
                "row-level security is on and no policy admits readers, so only roles that bypass it see changes",
                _read_policy(table, ("authenticated",)),
                table.display_name,
            )


def _read_policy(table: Table, roles: tuple[str, ...]) -> str:
    owner = next(
        (column.name for column in table.columns if column.type == "uuid" and column.name in _OWNER_COLUMNS), None
    )
    rule, advice = ("false", "    -- nobody yet: put your own rule in place of false")  # a fix must not open a table
    if owner:
        rule, advice = f"{name(owner)} = (SELECT auth.uid())", "    -- own rows"
    return f"CREATE POLICY tidewire_read ON {full_name(table)} FOR SELECT TO {', '.join(roles)} USING ({rule});{advice}"


CHECKS = (
    Check("ReadPrivilege", "readers may read the tables", _privilege),
    Check("RowSecurity", "row-level security guards the tables that readers can reach", _row_security),
    Check("ReadPolicies", "policies admit readers", _policies),
)
