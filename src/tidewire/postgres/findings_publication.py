"""Judges Tidewire's own database objects and the publications it follows. Does not look into the published tables."""

from collections.abc import Iterator, Sequence

from tidewire.postgres.doctor_facts import Facts, Publication
from tidewire.postgres.finding import Check, Observation, error, note, warning
from tidewire.postgres.repair import full_name, name
from tidewire.settings import Settings

ROLES = frozenset({"anon", "authenticated", "service_role", "authenticator"})
SCHEMAS = frozenset({"auth", "realtime"})
_STANDARD = Settings().publications
_MESSAGES = _STANDARD[-1]
"""Carries realtime.messages and nothing else."""


def _migrations(facts: Facts) -> Iterator[Observation]:
    objects = facts.objects
    missing = [
        *_counted("role", sorted(ROLES - objects.roles)),
        *_counted("schema", sorted(SCHEMAS - objects.schemas)),
        *_counted("table", ["realtime.tidewire_migrations"] if objects.migrations_readable is None else []),
        *_counted("migration", objects.unapplied_migrations),
    ]
    if objects.migrations_readable is False:
        yield note("which migrations are applied could not be seen")
    if missing:
        removed = objects.all_applied and objects.schemas >= SCHEMAS
        fix = "\n".join(_make_role(role) for role in sorted(ROLES - objects.roles)) if removed else "tidewire migrate"
        yield error(f"the database lacks {'; '.join(missing)}", fix)


def _make_role(role: str) -> str:
    """Roles belong to the server, so a database that was restored elsewhere arrives without them."""
    return f"CREATE ROLE {name(role)} NOLOGIN NOINHERIT{' BYPASSRLS' if role == 'service_role' else ''};"


def _counted(noun: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"{noun}{'s' * (len(names) > 1)} {', '.join(names)}"


def _publications(facts: Facts) -> Iterator[Observation]:
    present = {publication.name for publication in facts.objects.publications}
    if not facts.wanted_publications:
        yield error("no publication is configured", "unset TIDEWIRE_PUBLICATIONS    # the standard ones are used then")
    for wanted in facts.wanted_publications:
        if wanted not in present:
            by_migrating = wanted in _STANDARD and not facts.objects.all_applied
            yield error(
                f"publication {name(wanted)} does not exist",
                "tidewire migrate" if by_migrating else _make_publication(wanted),
            )


def _make_publication(wanted: str) -> str:
    content = " FOR TABLE realtime.messages" if wanted == _MESSAGES else ""
    return f"CREATE PUBLICATION {name(wanted)}{content} WITH (publish_via_partition_root = true);"


def _operations(facts: Facts) -> Iterator[Observation]:
    for publication in facts.objects.publications:
        asked = {
            "insert": publication.insert,
            "update": publication.update,
            "delete": publication.delete,
            "truncate": publication.truncate,
        }
        silent = [operation.upper() for operation, published in asked.items() if not published]
        if silent and not _is_internal(facts, publication):
            yield warning(
                f"publication {name(publication.name)} leaves out {', '.join(silent)}",
                f"ALTER PUBLICATION {name(publication.name)} SET (publish = 'insert, update, delete, truncate');",
            )


def _is_internal(facts: Facts, publication: Publication) -> bool:
    """The messages publication carries INSERT of realtime.messages on purpose."""
    members = [table for table in facts.tables if table.is_in(publication)]
    return bool(members) and all(table.schema == "realtime" for table in members)


def _via_root(facts: Facts) -> Iterator[Observation]:
    for publication in facts.objects.publications:
        parts = [t for t in facts.user_tables if t.root and t.is_in(publication)]
        if parts and not publication.via_root:
            yield warning(
                f"publication {name(publication.name)} names partitions such as {parts[0].display_name}, "
                "so readers of the partitioned table get nothing",
                f"ALTER PUBLICATION {name(publication.name)} SET (publish_via_partition_root = true);",
            )


def _lone_partitions(facts: Facts) -> Iterator[Observation]:
    for publication in facts.objects.publications:
        for table in facts.user_tables:
            if table.root and publication.via_root and table.is_in(publication):
                yield warning(
                    f"partition {table.display_name} is published without its table {'.'.join(table.root)}",
                    f"ALTER PUBLICATION {name(publication.name)} ADD TABLE {name(*table.root)};",
                    table.display_name,
                )


def _target(facts: Facts) -> str:
    """The publication that a table without one should join."""
    return name(next((wanted for wanted in facts.wanted_publications if wanted != _MESSAGES), _STANDARD[0]))


def _any_table(facts: Facts) -> Iterator[Observation]:
    if facts.restricted or any(table.memberships for table in facts.user_tables):
        return
    fix = "tidewire publish TABLE    # once you have one"
    if tables := ", ".join(name(*table) for table in facts.objects.publishable):
        fix = f"ALTER PUBLICATION {_target(facts)} ADD TABLE {tables};"
    yield warning("no table is published, so there is nothing to follow", fix)


def _membership(facts: Facts) -> Iterator[Observation]:
    for table in facts.user_tables:
        if table.memberships:
            yield note("is published", table=table.display_name)
        elif table.persistence == "p":
            yield error(
                "is in no publication that Tidewire follows",
                f"ALTER PUBLICATION {_target(facts)} ADD TABLE {full_name(table)};",
                table.display_name,
            )


CHECKS = (
    Check("Migrations", "Tidewire's database objects are up to date", _migrations),
    Check("Publications", "the publications exist", _publications),
    Check("PublishedOperations", "every operation is published", _operations),
    Check("PartitionRoot", "partitioned tables are published under their own name", _via_root),
    Check("LonePartitions", "no partition is published without its table", _lone_partitions),
    Check("PublishedTables", "tables are published", _any_table),
    Check("Membership", "the tables are published", _membership),
)
