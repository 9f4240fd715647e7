"""What doctor knows about a database, as frozen values. Holds no opinion: the findings_* modules judge."""

from msgspec import Struct


class Setting(Struct, frozen=True):
    """One server setting in its base unit, and where its value comes from (`pg_settings.source`)."""

    value: str
    source: str = "configuration file"


class Server(Struct, frozen=True, kw_only=True):
    """The server, the database and the role that doctor logged in with."""

    version_num: int
    version: str
    in_recovery: bool
    database: str
    encoding: str
    connections: int
    wal_senders: int
    role: str
    may_replicate: bool
    sees_all_sessions: bool
    managed_by: str | None
    """The provider's administrator role where there is one; such servers refuse ALTER SYSTEM."""
    settings: dict[str, Setting]

    @property
    def major(self) -> int:
        return self.version_num // 10_000

    def setting(self, name: str) -> str:
        """Return a setting's value, or an empty text on a server that does not know it."""
        return self.settings[name].value if name in self.settings else ""

    def number(self, name: str) -> int:
        """Return a whole-number setting in its base unit; 0 on a server that does not know it."""
        return int(self.setting(name) or 0)


class Link(Struct, frozen=True, kw_only=True):
    """The connection between this machine and the server."""

    remote: bool
    encrypted: bool
    clock_skew_s: float
    """Server clock minus this machine's clock."""
    clock_error_s: float
    """How far `clock_skew_s` may be off: half the round trip."""


class Publication(Struct, frozen=True, kw_only=True):
    """One of the publications that Tidewire follows."""

    name: str
    via_root: bool
    insert: bool
    update: bool
    delete: bool
    truncate: bool
    generated: str | None
    """From 18 on: `s` publishes stored generated columns, `n` does not."""


class Objects(Struct, frozen=True, kw_only=True):
    """Which of the objects made by `tidewire migrate` exist."""

    roles: frozenset[str]
    schemas: frozenset[str]
    migrations_readable: bool | None
    """None when the table of applied migrations does not exist."""
    unapplied_migrations: tuple[str, ...] = ()
    """Those that this Tidewire ships and the database has not seen, or not with this text."""
    publications: tuple[Publication, ...]
    event_triggers: dict[str, str] = {}
    """When each fires: `A` always, `O` or `R` in one kind of session only, `D` never."""
    publishable: tuple[tuple[str, str], ...]
    """A few tables of the user, as examples in a fix."""

    @property
    def all_applied(self) -> bool:
        """`tidewire migrate` would find nothing to do, so what is missing was removed later."""
        return bool(self.migrations_readable) and not self.unapplied_migrations


class Slot(Struct, frozen=True, kw_only=True):
    """One replication slot; physical slots have neither plugin nor database."""

    name: str
    plugin: str | None
    database: str | None
    active: bool
    active_pid: int | None
    wal_status: str | None
    safe_wal_size: int | None
    retained_bytes: int | None
    lag_bytes: int | None
    invalidation_reason: str | None
    inactive_s: float | None
    """None while active, and before 17, which does not remember."""


class OpenTransaction(Struct, frozen=True, kw_only=True):
    """A transaction that has written and not ended yet: of a session (`pid`) or prepared (`gid`)."""

    pid: int | None
    gid: str | None
    database: str | None
    age_s: float


class Membership(Struct, frozen=True, kw_only=True):
    """A table's place in one publication."""

    publication: str
    columns: tuple[str, ...] | None
    """Published columns; None before 15, where it is always all of them."""
    filter: str | None


class Column(Struct, frozen=True, kw_only=True):
    """A column; `generated` is `s` (stored), `v` (virtual) or empty."""

    name: str
    type: str
    generated: str
    expression: str | None


class Storage(Struct, frozen=True, kw_only=True):
    """A relation that really holds rows: the table itself or one of its leaf partitions."""

    schema: str
    name: str
    logged: bool
    identity: str
    """`d` primary key, `f` whole row, `n` nothing, `i` an index."""
    has_key: bool
    """The key that `identity` relies on exists."""

    @property
    def identifiable(self) -> bool:
        return self.identity == "f" or (self.identity != "n" and self.has_key)


class Table(Struct, frozen=True, kw_only=True):
    """A published table, or one that the user asked about."""

    schema: str
    name: str
    kind: str
    """`r` ordinary, `p` partitioned."""
    root: tuple[str, str] | None
    """The table that this one is a partition of."""
    persistence: str
    memberships: tuple[Membership, ...]
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    storage: tuple[Storage, ...]
    filter_columns: tuple[str, ...]
    """Columns that a publication's row filter reads."""
    row_security: bool
    policies: int
    read_policies: int
    """Permissive policies that apply to SELECT; without one, nobody passes."""
    readers: tuple[str, ...]
    """Those of anon and authenticated that may SELECT."""

    @property
    def display_name(self) -> str:
        return f"{self.schema}.{self.name}"

    def is_in(self, publication: Publication) -> bool:
        """Return whether the publication names this table itself."""
        return any(member.publication == publication.name for member in self.memberships)

    def hidden_columns(self) -> tuple[str, ...]:
        """Return the ordinary columns that a publication's column list leaves out."""
        lists = [member.columns for member in self.memberships if member.columns is not None]
        plain = (column.name for column in self.columns if not column.generated)
        return tuple(name for name in plain if any(name not in listed for listed in lists))


class Unseen(Struct, frozen=True):
    """Something this role was not allowed to look at, and the SQL that would allow it."""

    what: str
    fix: str


class Facts(Struct, frozen=True, kw_only=True):
    """Everything doctor looked at, from one moment."""

    server: Server
    link: Link
    objects: Objects
    slot_name: str
    wanted_publications: tuple[str, ...]
    slots: tuple[Slot, ...]
    transactions: tuple[OpenTransaction, ...]
    tables: tuple[Table, ...]
    retention_bytes: int = 0
    """How much of the log Tidewire keeps on purpose, at most."""
    restricted: bool = False
    """Only the tables that the user named were looked at."""
    unseen: tuple[Unseen, ...] = ()

    @property
    def slot(self) -> Slot | None:
        """The slot that Tidewire uses, if it exists."""
        return next((slot for slot in self.slots if slot.name == self.slot_name), None)

    @property
    def user_tables(self) -> tuple[Table, ...]:
        """Tables other than Tidewire's own, which `tidewire migrate` looks after."""
        return tuple(table for table in self.tables if table.schema != "realtime")
