"""Clients compare these words, so they are written down a second time."""

from tidewire.model import reasons
from tidewire.model.reasons import Reason

MADE = [
    reasons.token_expired(5),
    reasons.signer_missing(),
    reasons.signer_missing("k"),
    reasons.unauthorized("room:7"),
    reasons.no_longer_authorized("room:7"),
    reasons.node_failed("gone"),
    reasons.changes_wait_timeout(15000),
    reasons.changes_refused("no such table"),
]
ALL = [value for value in vars(reasons).values() if isinstance(value, Reason)] + MADE

JOIN_REFUSALS = """\
InvalidJWTToken: Token has expired 5 seconds ago
InvalidJWTToken: Fields `role` and `exp` are required in JWT
InvalidJWTToken: Token expiration time is invalid
MalformedJWT: The token provided is not a valid JWT
JwtSignatureError: Failed to validate JWT signature
JwtSignerError: Failed to generate JWT signer, check your JWT secret or JWKS configuration
Unauthorized: You do not have permissions to read from this Channel topic: room:7
ChannelRateLimitReached: Too many channels
ConnectionRateLimitReached: Too many connected users
ClientJoinRateLimitReached: Too many joins per second
IncreaseConnectionPool: Please increase your connection pool size
DatabaseLackOfConnections: Database can't accept more connections, Realtime won't connect
DatabaseConnectionRateLimitReached: Too many database connections attempts per second
UnableToConnectToProject: Realtime was unable to connect to the project database
QueryCanceled: Query was cancelled, please try again
MissingPartition: Realtime was unable to find the expected messages partition
TimeoutOnRpcCall: Node request timeout
ErrorOnRpcCall: RPC call error: gone
InitializingProjectConnection: Realtime is initializing the project connection
InitializingProjectConnection: Connecting to the project database
PrivateOnly: This project only allows private channels
TenantNotFound: Tenant with the given ID does not exist
RealtimeDisabledForTenant: Realtime disabled for this tenant
RealtimeRestarting: Realtime is restarting, please standby
UnableToReplayMessages: Realtime was unable to replay messages
UnableToReplayMessages: Replay params are not valid
UnableToReplayMessages: Replay is not allowed for public channels
TopicNameRequired: You must provide a topic name
Unknown Error on Channel
unmatched topic
PostgresChangesSubscribeTimeout: Timed out after 15000ms waiting for the postgres_changes subscription
RealtimeDisabledForConfiguration: no such table"""

ENDINGS = """\
Token has expired 5 seconds ago
The token provided is not a valid JWT
Fields `role` and `exp` are required in JWT
You do not have permissions to read from this Channel topic: room:7
You no longer have permission to read from this Channel topic: room:7
Too many messages per second
Too many presence messages per second
Client presence rate limit exceeded
Track message size exceeded
Realtime was unable to connect to the project database
Query was cancelled, please try again
Node request timeout
RPC call error: gone
Replication connection was not established in time"""


def test_joins_are_refused_in_these_words() -> None:
    assert set(JOIN_REFUSALS.splitlines()) <= {reason.join_text for reason in ALL}


def test_channels_end_in_these_words() -> None:
    assert set(ENDINGS.splitlines()) <= {reason.message for reason in ALL}


def test_no_reason_is_said_twice() -> None:
    assert len({reason.join_text for reason in ALL}) == len(ALL)


def test_limits_ask_to_come_back_later() -> None:
    limits = [reason for reason in ALL if reason.code.endswith("RateLimitReached")]
    assert len(limits) == 4
    assert {reason.come_back for reason in limits} == {"later"}


def test_a_key_name_from_a_client_is_not_repeated_at_any_length() -> None:
    assert '(kid) "k",' in reasons.signer_missing("k").message
    assert len(reasons.signer_missing("k" * 10_000).message) < 200


def test_whatever_else_a_verifier_says_keeps_its_code() -> None:
    reason = reasons.token_refused("Claim `aud` in JWT is not accepted", "InvalidJWTToken")
    assert reason.join_text == "InvalidJWTToken: Claim `aud` in JWT is not accepted"
    assert reason.come_back == "new_token"
