"""Every sentence that tells a client why something ended or was refused, what it means, and whether to come back.

Clients compare these texts, so they are part of the protocol. A reason is said in three places: in the reply to a join
(`join_text`, with its code in front), in a `system` message before a channel closes, and in a refused handshake (both
`message` alone). Decides nothing.
"""

from typing import Final, Literal

from msgspec import Struct

ComeBack = Literal["soon", "later", "new_token", "changed"]
"""What helps: trying again with the usual back-off; after half a minute; with another token; only another request."""


class Reason(Struct, frozen=True):
    """Why. `message` is shown as it is; `code` stands in front of it where a join is refused."""

    message: str
    come_back: ComeBack
    code: str = ""

    @property
    def join_text(self) -> str:
        """The `reason` in the reply to a refused join."""
        return f"{self.code}: {self.message}" if self.code else self.message


# --- who is asking -----------------------------------------------------------------------------------------

EXPIRY_INVALID: Final = Reason("Token expiration time is invalid", "new_token", "InvalidJWTToken")
"""`exp` is there but is not a time."""
CLAIMS_MISSING: Final = Reason("Fields `role` and `exp` are required in JWT", "new_token", "InvalidJWTToken")
"""The token is genuine but says too little."""
TOKEN_INVALID: Final = Reason("The token provided is not a valid JWT", "new_token", "MalformedJWT")
"""The token cannot be read at all."""
SIGNATURE_INVALID: Final = Reason("Failed to validate JWT signature", "new_token", "JwtSignatureError")
"""Nobody we trust signed the token."""
API_KEY_MISSING: Final = Reason("API key is missing", "new_token")
"""The handshake carried neither the query parameter nor the header."""


def token_expired(seconds: int) -> Reason:
    """The token was good until `seconds` ago; also ends a channel whose token runs out."""
    return Reason(f"Token has expired {seconds} seconds ago", "new_token", "InvalidJWTToken")


MAX_KID_CHARS: Final = 64
"""A client wrote it, so it is not repeated at any length."""


def signer_missing(kid: str | None = None) -> Reason:
    """There is no key to check the token with: the server's configuration, not the client's fault."""
    key = "" if kid is None else f' for key ID (kid) "{kid[:MAX_KID_CHARS]}"'
    return Reason(
        f"Failed to generate JWT signer{key}, check your JWT secret or JWKS configuration",
        "new_token",
        "JwtSignerError",
    )


def token_refused(message: str, code: str) -> Reason:
    """Any other complaint of the token's verifier, such as a claim that is not accepted here."""
    return Reason(message, "new_token", code)


# --- what they may read ------------------------------------------------------------------------------------


def unauthorized(topic: str) -> Reason:
    """Policies let this token read nothing of the channel. `topic` is without its `realtime:`."""
    return Reason(f"You do not have permissions to read from this Channel topic: {topic}", "new_token", "Unauthorized")


def no_longer_authorized(topic: str) -> Reason:
    """A new token, or a changed policy, took the permission away from a joined channel."""
    return Reason(f"You no longer have permission to read from this Channel topic: {topic}", "new_token")


PRIVATE_ONLY: Final = Reason("This project only allows private channels", "changed", "PrivateOnly")
"""Join again with `private: true`."""

# --- how much ----------------------------------------------------------------------------------------------

TOO_MANY_CHANNELS: Final = Reason("Too many channels", "later", "ChannelRateLimitReached")
"""This connection has as many channels as it may have."""
TOO_MANY_USERS: Final = Reason("Too many connected users", "later", "ConnectionRateLimitReached")
"""The server has as many connections as it may have; also refuses a handshake."""
TOO_MANY_JOINS: Final = Reason("Too many joins per second", "later", "ClientJoinRateLimitReached")
"""Clients join faster than allowed; the connection is closed after the reply. Also refuses a handshake."""
TOO_MANY_MESSAGES: Final = Reason("Too many messages per second", "later")
"""Ends the channels that receive when more is sent than allowed."""
TOO_MANY_PRESENCE_MESSAGES: Final = Reason("Too many presence messages per second", "later")
"""Ends the channel: all clients together track too often."""
CLIENT_PRESENCE_LIMIT: Final = Reason("Client presence rate limit exceeded", "later")
"""Ends the channel: this client tracks too often."""
TRACK_TOO_LARGE: Final = Reason("Track message size exceeded", "changed")
"""Ends the channel: what was tracked is larger than a payload may be."""

# --- the database ------------------------------------------------------------------------------------------

DATABASE_UNREACHABLE: Final = Reason(
    "Realtime was unable to connect to the project database", "soon", "UnableToConnectToProject"
)
"""No connection; also ends a channel whose permission cannot be checked any more."""
DATABASE_POOL_FULL: Final = Reason("Please increase your connection pool size", "later", "IncreaseConnectionPool")
"""All of our own connections stayed busy."""
DATABASE_FULL: Final = Reason(
    "Database can't accept more connections, Realtime won't connect", "later", "DatabaseLackOfConnections"
)
"""Postgres has no connection left for us."""
DATABASE_ATTEMPTS_LIMIT: Final = Reason(
    "Too many database connections attempts per second", "later", "DatabaseConnectionRateLimitReached"
)
"""We are holding back from connecting."""
CONNECTING: Final = Reason("Connecting to the project database", "soon", "InitializingProjectConnection")
"""The first connection is being made."""
INITIALIZING: Final = Reason("Realtime is initializing the project connection", "soon", "InitializingProjectConnection")
"""The first connection is made and what rests on it is being prepared."""
QUERY_CANCELED: Final = Reason("Query was cancelled, please try again", "soon", "QueryCanceled")
"""Postgres stopped the permission check, mostly because it took too long."""
PARTITION_MISSING: Final = Reason(
    "Realtime was unable to find the expected messages partition", "soon", "MissingPartition"
)
"""Today's partition of the messages table is not there."""
REPLICATION_LATE: Final = Reason("Replication connection was not established in time", "soon")
"""Ends a channel that asked to be told when broadcasts from the database flow."""

# --- the server --------------------------------------------------------------------------------------------

RESTARTING: Final = Reason("Realtime is restarting, please standby", "soon", "RealtimeRestarting")
"""The server is shutting down; another one, or the next one, will answer."""
NODE_TIMEOUT: Final = Reason("Node request timeout", "soon", "TimeoutOnRpcCall")
"""Another node did not answer in time."""
UNKNOWN: Final = Reason("Unknown Error on Channel", "soon")
"""Something that has no reason of its own; the server's log knows more."""
TENANT_UNKNOWN: Final = Reason("Tenant with the given ID does not exist", "changed", "TenantNotFound")
"""There is no such project here; the connection is closed after the reply."""
DISABLED: Final = Reason("Realtime disabled for this tenant", "changed", "RealtimeDisabledForTenant")
"""The operator has switched live connections off."""


def node_failed(detail: str) -> Reason:
    """Another node answered with an error; `detail` must hold nothing secret."""
    return Reason(f"RPC call error: {detail}", "soon", "ErrorOnRpcCall")


# --- the request -------------------------------------------------------------------------------------------

TOPIC_MISSING: Final = Reason("You must provide a topic name", "changed", "TopicNameRequired")
"""The topic was `realtime:` and nothing else."""
REPLAY_FAILED: Final = Reason("Realtime was unable to replay messages", "soon", "UnableToReplayMessages")
"""Kept broadcasts could not be read."""
REPLAY_INVALID: Final = Reason("Replay params are not valid", "changed", "UnableToReplayMessages")
"""`since` and `limit` must be whole numbers."""
REPLAY_PUBLIC: Final = Reason("Replay is not allowed for public channels", "changed", "UnableToReplayMessages")
"""Only private channels keep broadcasts."""
TOO_MANY_BINDINGS: Final = Reason("Too many postgres_changes in one join", "changed", "ChannelBindingLimitReached")
"""Ours alone: each binding costs time to set up, so their number is bounded. Spread them over several channels."""
UNMATCHED_TOPIC: Final = Reason("unmatched topic", "changed")
"""A message for a channel that is not joined, or a topic that does not begin with `realtime:`."""
TRACK_NOT_OBJECT: Final = Reason("Presence track payload must be a map", "changed")
"""Only objects can be tracked."""


def changes_wait_timeout(timeout_ms: int) -> Reason:
    """A join that wanted to wait for its row changes waited for as long as it had allowed."""
    return Reason(
        f"Timed out after {timeout_ms}ms waiting for the postgres_changes subscription",
        "soon",
        "PostgresChangesSubscribeTimeout",
    )


def changes_refused(detail: str) -> Reason:
    """A join that wanted to wait for its row changes asked for some that it cannot have; `detail` says which."""
    return Reason(detail, "changed", "RealtimeDisabledForConfiguration")


# --- texts without a reason --------------------------------------------------------------------------------

SUBSCRIBED: Final = "Subscribed to PostgreSQL"
"""`system`, ok: from here on no matching row change is missed."""
REPLICATION_READY: Final = "Replication connection established"
"""`system`, ok: broadcasts from the database flow."""
DISCONNECT_REQUESTED: Final = "Server requested disconnect"
"""`system`, ok: the server closes the connection with 1012 next; come back soon."""
PAYLOAD_TOO_LARGE: Final = "payload_size_exceeded"
"""The error code that answers an acknowledged broadcast which is too large: send less."""


def broadcasts_dropped(messages: int) -> str:
    """`system`, error, extension broadcast: the channel stays, and the client has missed so many of its messages."""
    return f"{messages} broadcasts were dropped, because this client reads too slowly"


WriteRefusal = Literal[
    "unauthorized",
    "rls_policy_error",
    "query_canceled",
    "missing_partition",
    "unable_to_connect_to_project",
    "increase_connection_pool",
    "unable_to_set_policies",
    "invalid_persist_ttl",
]
"""Error codes that answer an acknowledged broadcast which the sender may not write; it reached nobody."""

SELECT_NOT_A_LIST: Final = (
    'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]'
)
"""`system`, error, extension postgres_changes: the channel stays, this binding gets no changes."""
SELECT_WITH_WILDCARD: Final = (
    "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name."
)
"""As above: columns of which table?"""


def nothing_wished(parameters: str) -> str:
    """As above: neither a schema nor a table was named."""
    return (
        "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: " + parameters
    )


def table_not_published(parameters: str) -> str:
    """As above: no table of that name is in the publications. Publish it, or correct the name."""
    return (
        "Unable to subscribe to changes with given parameters."
        f" Please check Realtime is enabled for the given connect parameters: {parameters}"
    )


def wish_refused(parameters: str, exception: str) -> str:
    """As above: `exception` is what the database objects to, as it would say it itself."""
    return (
        "Unable to subscribe to changes with given parameters."
        f" An exception happened so please check your connect parameters: {parameters}. Exception: {exception}"
    )


def exception_raised(message: str) -> str:
    """Say an objection of ours in the form of one that a function in the database raises."""
    return f"ERROR P0001 (raise_exception) {message}"


def role_missing(role: str) -> str:
    """The `exception` for a token whose role is not in the database."""
    return f'ERROR 42704 (undefined_object) role "{role}" does not exist'


def messages_have_topics(role: str) -> str:
    """Refuse to tell of private broadcasts as rows. Ours alone."""
    return (
        "ERROR 42501 (insufficient_privilege) row-level security of realtime.messages is about topics:"
        f' role "{role}" reads messages by joining theirs'
    )


def moves_need_old_rows(table: str) -> str:
    """Refuse to tell of moves in a table whose old rows are not in the log."""
    return exception_raised(
        f"`moves` needs the old rows of {table} in the log, where there are only their keys: "
        f"run ALTER TABLE {table} REPLICA IDENTITY FULL"
    )
