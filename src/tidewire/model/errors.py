"""Every error Tidewire raises on purpose, in one tree. A foreign exception becomes one of these once, where it enters.

    TidewireError
    ├── ConfigurationError        a setting or argument is wrong; nothing was started
    │   ├── InvalidPosition       a position text that no Tidewire wrote
    │   └── UnknownTable          a table that is not there or cannot be published
    ├── PostgresError             the database said no
    │   ├── DatabaseUnreachable   no connection (retryable)
    │   │   ├── DatabaseFull      Postgres has no connection left for us
    │   │   └── PoolExhausted     all of our own connections stayed busy
    │   ├── QueryCanceled         Postgres stopped a query that took too long (retryable)
    │   ├── AuthenticationFailed  wrong user or password
    │   ├── MissingPrivilege      the role may not do this
    │   ├── LogicalDecodingOff    wal_level is not logical
    │   ├── SlotTaken             the slot name belongs to something else
    │   ├── SlotBusy              another node holds the slot (retryable: wait as standby)
    │   └── SlotLost              the slot cannot continue: history has a hole and everyone must reload
    ├── DecodeError               bytes in the log or in a frame that its format does not allow
    ├── EmbeddedPostgresError     the bundled server cannot start
    ├── MigrationError            the schema objects could not be brought up to date
    ├── BusError
    │   └── SubscriberLagged      a subscriber fell behind the bounded history
    ├── TokenRefused              a token or key does not say who is asking
    └── BenchmarkFailed           a benchmark could not be carried out

The class docstring is the default message; `code` is the stable name that logs, JSON output and documentation use;
`hint` tells the reader what to do next; `retryable` says whether trying again unchanged can help.
"""

from typing import ClassVar

from tidewire.model.reasons import Reason


class TidewireError(Exception):
    """Something went wrong."""

    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        self.message = message or type(self).__doc__ or ""
        self.hint = self.default_hint if hint is None else hint
        super().__init__(self.message)

    @property
    def code(self) -> str:
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigurationError(TidewireError):
    """A setting is not usable."""


class InvalidPosition(ConfigurationError):  # noqa: N818 - the code is the stable name, without a suffix
    """Reading a position: the text was not written by Tidewire."""

    default_hint = "pass a position exactly as a frame or `tidewire tail` printed it"


class UnknownTable(ConfigurationError):  # noqa: N818
    """The table does not exist."""


class PostgresError(TidewireError):
    """Postgres refused."""


class DatabaseUnreachable(PostgresError):  # noqa: N818
    """Postgres cannot be reached."""

    retryable = True
    default_hint = "check DATABASE_URL and that the server accepts connections"


class DatabaseFull(DatabaseUnreachable):
    """Postgres has no connection left."""

    default_hint = "raise max_connections, or the role's connection limit, or end sessions that idle"


class PoolExhausted(DatabaseUnreachable):
    """All connections to Postgres stayed busy."""

    default_hint = "raise TIDEWIRE_DATABASE_POOL, or look in pg_stat_activity for what takes so long"


class QueryCanceled(PostgresError):  # noqa: N818
    """Postgres stopped a query that took too long."""

    retryable = True
    default_hint = "raise TIDEWIRE_DATABASE_TIMEOUT_S, or look for what holds it up"


class AuthenticationFailed(PostgresError):  # noqa: N818
    """Postgres refused the user or password."""

    default_hint = "check the user and password in DATABASE_URL"


class MissingPrivilege(PostgresError):  # noqa: N818
    """The database role lacks a privilege."""


class LogicalDecodingOff(PostgresError):  # noqa: N818
    """The server's wal_level is not logical."""

    default_hint = "run ALTER SYSTEM SET wal_level = logical; then restart Postgres"


class SlotTaken(PostgresError):  # noqa: N818
    """The replication slot's name belongs to something else."""

    default_hint = "choose another name with TIDEWIRE_SLOT, or drop that slot"


class SlotBusy(PostgresError):  # noqa: N818
    """Another node holds the replication slot."""

    retryable = True
    default_hint = "this node waits as standby and takes over when the holder goes away"


class SlotLost(PostgresError):  # noqa: N818
    """The replication slot cannot continue, so part of the history is gone."""

    default_hint = "readers must load their data again; a new slot and epoch begin"


class DecodeError(TidewireError):
    """Bytes do not have the form that their format demands."""


class EmbeddedPostgresError(TidewireError):
    """The embedded Postgres cannot start."""


class MigrationError(TidewireError):
    """The database objects could not be brought up to date."""


class BusError(TidewireError):
    """The bus cannot deliver."""


class SubscriberLagged(BusError):  # noqa: N818
    """A subscriber fell behind what the bus keeps."""

    default_hint = "read the current state again, then follow from now"


class TokenRefused(TidewireError):  # noqa: N818
    """A token or key does not say who is asking."""

    default_hint = "sign in again, or mint a token with `tidewire token`"

    def __init__(self, reason: Reason, *, handshake: str | None = None) -> None:
        """Tell clients the `reason`; `handshake` is the text that answers an upgrade request."""
        super().__init__(f"checking a token: {reason.message}")
        self.reason = reason
        self.handshake = handshake or reason.message


class BenchmarkFailed(TidewireError):  # noqa: N818
    """The benchmark could not be carried out."""
