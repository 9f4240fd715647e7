"""Judges who may read each published table, by grants and row-level security, and whether changes of that are seen."""

from collections.abc import Iterator

from tidewire.postgres.doctor_facts import Facts, Table
from tidewire.postgres.finding import Check, Observation, error, warning
from tidewire.postgres.repair import full_name, name

READERS = ("anon", "authenticated")
EVENT_TRIGGERS = ("tidewire_rules", "tidewire_rules_dropped")
_MIGRATION = "0008_pre_rules"
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


def _rule_changes(facts: Facts) -> Iterator[Observation]:
    objects = facts.objects
    if objects.migrations_readable is None or _MIGRATION in objects.unapplied_migrations:
        return  # the migrations come first
    if set(EVENT_TRIGGERS) - objects.event_triggers.keys():
        yield warning(
            "the event triggers tidewire_rules and tidewire_rules_dropped are missing: until somebody calls "
            "realtime.rules_changed(), readers may be judged by old privileges and policies of partitioned tables and "
            "by old functions",
            f"DELETE FROM realtime.tidewire_migrations WHERE version = {int(_MIGRATION[:4])};\n"  # noqa: S608 - a number
            "-- then run as a role that may create event triggers, usually a superuser: tidewire migrate",
        )
        return
    for trigger, fires in objects.event_triggers.items():
        if fires != "A":
            yield warning(
                f"event trigger {trigger} is not enabled in every session, so changes of policies may go unnoticed",
                f"ALTER EVENT TRIGGER {name(trigger)} ENABLE ALWAYS;",
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
    Check("RuleChanges", "changes of policies and privileges are noticed when they are committed", _rule_changes),
)
