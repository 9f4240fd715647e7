"""Writes the SQL that doctor proposes, every name quoted. Runs nothing."""

from psycopg import sql

from tidewire.postgres.doctor_facts import Facts, Table

_RESTART = frozenset({"wal_level", "max_replication_slots", "max_wal_senders"})

_PROVIDERS = {
    "rds_superuser": ("the Amazon RDS parameter group", {"wal_level": "rds.logical_replication = 1"}),
    "cloudsqlsuperuser": ("the Cloud SQL database flags", {"wal_level": "cloudsql.logical_decoding = on"}),
    "azure_pg_admin": ("the Azure server parameters", {}),
}


def name(*parts: str) -> str:
    """Quote an identifier, schema first where there is one."""
    return sql.Identifier(*parts).as_string()


def literal(value: str) -> str:
    """Quote a text value."""
    return sql.Literal(value).as_string()


def full_name(table: Table) -> str:
    """Quote a table with its schema."""
    return name(table.schema, table.name)


def set_setting(facts: Facts, setting: str, value: str) -> str:
    """Change a setting where its present value comes from, so that the change is not hidden by a closer one."""
    server = facts.server
    source = server.settings[setting].source if setting in server.settings else ""
    assignment = f"SET {setting} = {literal(value)};"
    if source == "database":
        return f"ALTER DATABASE {name(server.database)} {assignment}"
    if source == "user":
        return f"ALTER ROLE {name(server.role)} {assignment}"
    if source == "database user":
        return f"ALTER ROLE {name(server.role)} IN DATABASE {name(server.database)} {assignment}"
    restart = setting in _RESTART
    if server.managed_by in _PROVIDERS:
        place, renamed = _PROVIDERS[server.managed_by]
        return f"-- in {place}: {renamed.get(setting, f'{setting} = {value}')}" + ("; then restart" if restart else "")
    after = "-- then restart Postgres" if restart else "SELECT pg_reload_conf();"
    return f"ALTER SYSTEM {assignment}\n{after}"


def drop_slot(slot: str) -> str:
    """Give up a replication slot and the log it keeps."""
    return f"SELECT pg_drop_replication_slot({literal(slot)});"


def set_identity(table: Table, identity: str) -> str:
    """Change the replica identity of a table; of a partitioned one, in every partition, since those hold the rows."""
    if table.kind != "p":
        return f"ALTER TABLE {full_name(table)} REPLICA IDENTITY {identity};"
    tree = literal(full_name(table))
    body = (
        f"DECLARE part regclass; BEGIN FOR part IN SELECT relid FROM pg_partition_tree({tree}) LOOP "  # noqa: S608 - quoted
        f"EXECUTE format('ALTER TABLE %s REPLICA IDENTITY {identity}', part); END LOOP; END"
    )
    return f"DO {literal(body)};"  # not $$: a table's name may hold that as well
