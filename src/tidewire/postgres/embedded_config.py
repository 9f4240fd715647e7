"""Turns wishes into the text of the embedded server's configuration files. Pure: writes nothing."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tidewire.model.errors import EmbeddedPostgresError

SUPERUSER = "postgres"
SOCKET_PORT = 5432
"""The number in the socket's file name while no TCP port is open."""

DEFAULTS: Mapping[str, str] = {
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_slot_wal_keep_size": "4GB",  # a reader that never comes back must not fill the disk
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "lc_messages": "C",  # start failures are recognised by their English text
    "log_checkpoints": "off",  # the log is only shortened at start, so routine lines stay out of it
    "logging_collector": "off",
    "log_destination": "stderr",
}


class ServerFiles(Struct, frozen=True):
    """Absolute paths that the configuration refers to."""

    data: str
    hba: str
    ident: str
    sockets: str


def server_conf(files: ServerFiles, *, port: int | None, settings: Mapping[str, str]) -> str:
    """Build the main configuration: the data folder's own file first, then ours, then the caller's settings."""
    values = {
        **DEFAULTS,
        "listen_addresses": "" if port is None else "127.0.0.1",
        "port": str(SOCKET_PORT if port is None else port),
        **settings,
        "unix_socket_directories": _list_item(files.sockets),
        "unix_socket_permissions": "0777",  # the folder around it is private, and pg_hba decides
        "hba_file": files.hba,
        "ident_file": files.ident,
    }
    lines = [f"{name} = {_quote(value)}" for name, value in values.items()]
    first = ["# Written by Tidewire at every start.", f"include {_quote(files.data + '/postgresql.conf')}"]
    return "\n".join([*first, *lines, ""])


def hba_conf() -> str:
    """Build the access rules: the superuser only by operating system account, everyone else by password."""
    return "\n".join(
        [
            "# Written by Tidewire at every start.",
            "# type  database     user      address        method",
            f"local   all          {SUPERUSER}                 peer map=tidewire",
            f"local   replication  {SUPERUSER}                 peer map=tidewire",
            "local   all          all                      scram-sha-256",
            "local   replication  all                      scram-sha-256",
            "host    all          all       127.0.0.1/32   scram-sha-256",
            "host    replication  all       127.0.0.1/32   scram-sha-256",
            "",
        ]
    )


def ident_conf(accounts: Iterable[str]) -> str:
    """Build the map of operating system accounts that may be superuser."""
    lines = [f"tidewire  {_ident_quote(account)}  {SUPERUSER}" for account in sorted(set(accounts))]
    return "\n".join(["# Written by Tidewire at every start.", *lines, ""])


def _quote(value: str) -> str:
    if any(ord(character) < 32 for character in value):
        raise EmbeddedPostgresError(
            "writing the configuration: expected one line per value, got a control character",
            hint="choose a data folder and settings without line breaks",
        )
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _list_item(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _ident_quote(account: str) -> str:
    return '"' + account.replace('"', '""') + '"'
