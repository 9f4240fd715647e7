"""One frozen `Settings`, merged from tidewire.toml, then TIDEWIRE_* variables, then flags. Reads no files itself."""

import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tidewire.model.errors import ConfigurationError

PREFIX = "TIDEWIRE_"

Port = Annotated[int, Meta(ge=1, le=65535)]
Bytes = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(gt=0)]
Seconds = Annotated[float, Meta(gt=0)]
Pause = Annotated[float, Meta(ge=0)]
SlotName = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,63}\Z")]
"""What Postgres allows as the name of a replication slot."""
MIN_SECRET_CHARS = 32
Secret = Annotated[str, Meta(min_length=MIN_SECRET_CHARS)]
"""HS256 asks for 256 bits."""
PublishableKey = Annotated[str, Meta(pattern=r"^sb_publishable_[A-Za-z0-9_-]{22,200}\Z")]
SecretKey = Annotated[str, Meta(pattern=r"^sb_secret_[A-Za-z0-9_-]{22,200}\Z")]
"""22 characters of base64 are 128 bits: more than anybody can try."""

HttpUrl = Annotated[str, Meta(pattern=r"^https?://[^@\s]+\Z")]

SECRETS = frozenset(
    {
        "api_database_url",
        "database_url",
        "jwt_secret",
        "jwt_secret_previous",
        "jwks",
        "publishable_keys",
        "secret_keys",
        "smtp_url",
    }
)
"""Settings that are never shown; `jwks` because it may hold shared secrets or an address with one."""

_LISTS = frozenset({"cors_origins"})
"""Lists whose default is not one."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be configured. Secrets are never printed: see `public()`."""

    mode: Literal["development", "production"] = "development"
    """Whether missing secrets are made up, or refused together with well-known ones."""
    database_url: str | None = None
    """The database to follow; without it the embedded Postgres in `data_dir` runs."""
    data_dir: str = ".tidewire"
    """Where the embedded Postgres keeps its files."""
    postgres_port: Port | None = None
    """Loopback port of the embedded Postgres; without it only the unix socket listens."""
    postgres_bin: str | None = None
    """Folder with Postgres programs for the embedded server (also TIDEWIRE_PG_BIN)."""
    slot: SlotName = "tidewire"
    """Name of the durable replication slot; nodes with the same slot are one cluster."""
    publications: Annotated[tuple[str, ...], Meta(min_length=1)] = (
        "supabase_realtime",
        "supabase_realtime_messages_publication",
    )
    """Publications whose tables are followed."""
    failover_slot: bool = False
    """Ask Postgres 17+ to keep the slot on its standbys, so that a promotion loses nothing."""
    queue_bytes: Bytes = 64 * 2**20
    """How much undecoded log may wait in memory before the connection is dropped and resumed later."""
    spool_bytes: Annotated[int, Meta(ge=0)] = 2**30
    """How much of transactions that are still running may lie in temporary files; with 0 they come when they commit."""
    history_bytes: Bytes = 64 * 2**20
    """How much of the recent past the in-memory bus keeps."""
    history_age_s: Seconds = 300.0
    """How old the recent past in the in-memory bus may grow."""
    retention_age_s: Seconds = 300.0
    """How long the slot keeps the log after it was read, so that clients can go on across restarts of the server."""
    retention_bytes: Bytes = 256 * 2**20
    """How much of the log the slot keeps so at most."""
    jwt_secret: Secret | None = None
    """The shared secret that HS256, HS384 and HS512 tokens are signed with; in development one is made."""
    jwt_secret_previous: Secret | None = None
    """The secret before the last rotation: still verifies, never signs."""
    jwks: str | None = None
    """Public keys that tokens are verified with: a JWK Set as JSON, the path of a file, or a URL."""
    jwks_ttl_s: Seconds = 600.0
    """How long keys from a file or URL count before they are read again."""
    jwt_audience: str | None = None
    """What `aud` of every token must be or contain."""
    jwt_issuer: str | None = None
    """What `iss` of every token must be."""
    jwt_claims: dict[str, str | int | float | bool] = {}
    """Further claims that every token must have, with exactly these values."""
    publishable_keys: tuple[PublishableKey, ...] = ()
    """Opaque keys that stand for the role anon."""
    secret_keys: tuple[SecretKey, ...] = ()
    """Opaque keys that stand for the role service_role."""

    host: str = "127.0.0.1"
    """The address that `serve` listens at; `0.0.0.0` is every one of the machine's."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 4000
    """The port that `serve` listens at; 0 is any free one."""
    tls_certificate: str | None = None
    """File with the certificate chain that `serve` shows; with it, `tls_key`."""
    tls_key: str | None = None
    """File with the key of the certificate."""
    plain_http: bool = False
    """Let production listen beyond loopback without TLS, because a proxy in front of it speaks TLS."""
    cors_origins: tuple[str, ...] | None = None
    """Origins whose pages may call the HTTP API; without it every one in development, and none in production."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies that are believed when they say who asks, and over what."""
    https_redirect: bool = False
    """Lead whoever comes over plain HTTP to HTTPS, and refuse what they send."""
    hsts_s: Annotated[int, Meta(ge=0)] = 0
    """For how long browsers that came over HTTPS are told to use nothing else; 0 tells them nothing."""
    requests_per_s_per_address: Rate = 1000.0
    """How many HTTP requests a second an address on the network may make."""
    requests_at_once_per_address: Count = 2000
    """How many of them may come at once after a rest."""
    requests_per_s_per_token: Rate = 500.0
    """How many HTTP requests a second may be made with a token of a user."""
    requests_at_once_per_token: Count = 1000
    """How many of them may come at once after a rest."""
    drain_s: Seconds = 8.0
    """How long a server that is told to stop takes to send its clients away; orchestrators kill after 10 s or more."""

    max_connections: Count = 10_000
    """How many clients may be connected at once; one more is refused."""
    joins_per_s: Rate | None = None
    """Average over a minute of joins by all clients together; at this rate they are refused."""
    events_per_s: Rate | None = None
    """Average over a minute of messages sent and delivered by all clients; at this rate receiving channels end."""
    presence_events_per_s: Rate | None = None
    """Average over a minute of presence messages of all clients; at this rate the channel that adds one ends."""
    channels_per_connection: Count = 100
    """How many topics a connection may have joined at once."""
    joins_per_s_per_connection: Rate = 100.0
    """Average over a minute; at this rate the connection is closed."""
    events_per_s_per_connection: Rate = 100.0
    """Average over a minute of messages sent and delivered; at this rate the channel that adds one ends."""
    presence_calls: Count = 5
    """How often a channel may track or untrack within `presence_window_s`."""
    presence_window_s: Seconds = 30.0
    """The time in which `presence_calls` count."""
    presence_keys: Count = 10_000
    """How many different keys may be present in a topic."""
    presence_metas: Count = 20_000
    """How many channels may be present in a topic."""
    presence_grace_s: Pause = 0.0
    """How long somebody whose connection ended still counts as present, so that a reload does not flicker."""
    payload_bytes: Bytes = 3_000_500
    """The largest broadcast and the largest tracked object."""
    change_bytes: Bytes = 1024 * 1024
    """The largest row change; of a larger one only the small values are sent, with an error that says so."""
    delete_visibility: Literal["strict", "upstream"] = "strict"
    """Who hears of deletions under row-level security: those who could see the row, or everybody who follows."""
    message_limit_bytes: Bytes = 5_000_000
    """The largest message of a client, and the largest body of a request; a connection that sends more is closed."""
    topic_bytes: Annotated[int, Meta(ge=16, le=255)] = 255
    """The longest topic, with its `realtime:`."""
    outbox_bytes: Bytes = 256 * 1024
    """What may wait for a client that reads too slowly before it is sent away."""
    bulk_changes: Count = 1000
    """So many changes of one transaction a reader is told as they come; the rest it hears from the past."""
    slow_broadcasts: Literal["close", "drop"] = "close"
    """Whether a client that reads broadcasts too slowly is sent away, or loses the oldest of them."""
    send_buffer_bytes: Bytes = 32 * 1024
    """What the operating system may hold for a client besides that."""
    resume_s: Seconds = 300.0
    """How long after its end a connection that named its session can be resumed."""
    resume_channels: Count = 20_000
    """How many channels of such connections are remembered; the oldest are forgotten first."""
    refusal_delay_s: Pause = 0.5
    """How long a refused handshake or join waits for its answer, so that clients without back-off cannot spin."""
    join_timeout_s: Seconds = 9.0
    """How long a join may take; official clients give up after 10 s."""
    token_interval_s: Seconds = 10.0
    """A channel's new tokens are looked at no more often than this."""
    replication_timeout_s: Seconds = 60.0
    """How long a channel waits to be told that broadcasts from the database flow."""
    idle_s: Seconds = 60.0
    """A connection that sends nothing for so long is closed."""
    empty_s: Seconds = 600.0
    """A connection without a channel is closed after this time."""
    stream_heartbeat_s: Annotated[float, Meta(gt=0, le=60)] = 15.0
    """How long an event stream may be silent before a comment shows that it lives."""
    poll_wait_s: Annotated[float, Meta(gt=0, le=60)] = 15.0
    """How long a poll waits for messages; official clients give up after 20 s."""
    poll_gap_s: Seconds = 30.0
    """A client that has not polled for so long has gone."""
    private_only: bool = False
    """Whether public channels are refused."""
    database_pool: Count = 4
    """How many connections the server asks questions through, besides the one that follows the log."""
    database_timeout_s: Seconds = 5.0
    """How long a question to the database may take."""
    data_api: bool = True
    """Whether the tables, views and functions of `api_schemas` are served at /rest/v1."""
    api_schemas: Annotated[tuple[str, ...], Meta(min_length=1)] = ("public",)
    """Schemas that the data API serves; the first one where a request names none."""
    api_max_rows: Count = 1000
    """How many rows an answer of the data API holds at most, and each list within it."""
    api_aggregates: bool = False
    """Whether the data API computes counts, sums, averages and extremes; they read all rows that a filter leaves."""
    api_timeout_s: Seconds = 8.0
    """How long a statement of the data API may run."""
    api_pool: Count = 10
    """How many connections the data API runs statements on."""
    api_database_url: str | None = None
    """How the data API connects: as a user who may become the roles of clients and do nothing else."""
    console: bool = True
    """Whether operators find a console at /console."""
    accounts: bool = True
    """Whether users sign up and in at /auth/v1."""
    auth_algorithm: Literal["ES256", "HS256"] = "ES256"
    """What tokens of users are signed with: keys in the database, or the shared secret."""
    signing_key_s: Annotated[float, Meta(ge=86_400)] = 90 * 86_400.0
    """How old a signing key grows before the next one is made."""
    access_token_s: Annotated[int, Meta(ge=60, le=86_400)] = 3600
    """How long an access token is valid."""
    access_token_hook: Annotated[str, Meta(pattern=r"^[^.\x00]{1,63}\.[^.\x00]{1,63}\Z")] | None = None
    """A function in SQL, with its schema, that may add claims to access tokens."""
    refresh_grace_s: Pause = 10.0
    """How long a used refresh token may be shown again before that ends the session."""
    session_idle_s: Seconds = 90 * 86_400.0
    """A session that is not used for so long ends."""
    signup: bool = True
    """Whether users may sign up by themselves."""
    anonymous_sign_in: bool = False
    """Whether users without an address may sign in."""
    auto_confirm: bool | None = None
    """Whether addresses count without proof; without it in development only."""
    password_chars: Annotated[int, Meta(ge=6, le=128)] = 8
    """How many characters a new password has at least."""
    reauthenticate_s: Seconds | None = None
    """How old a sign-in may be for a new password without the current one or a code by e-mail; without it, any age."""
    auth_attempts_per_min: Count = 30
    """How many passwords, sign-ups and codes an address on the network may try in a minute."""
    mails_per_h: Count = 10
    """How many e-mails go to one address in an hour; ten times as many may be asked for from one on the network."""
    mail_code_s: Seconds = 3600.0
    """How long a link or code in an e-mail counts."""
    smtp_url: str | None = None
    """The server that takes e-mails: smtp:// or smtps://, with user and password."""
    mail_from: str | None = None
    """Whom the e-mails are from."""
    public_url: HttpUrl | None = None
    """Where browsers reach this server; links in e-mails begin with it."""
    site_url: HttpUrl | None = None
    """Where links in e-mails lead in the end: your application; without it `public_url`."""
    redirect_urls: tuple[str, ...] = ()
    """Addresses beyond those of `site_url` that links may lead to, exactly as they are asked for."""

    def public(self) -> dict[str, Any]:
        """Return the settings without secrets, for logs and `--json`."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return {name: "(set)" if name in SECRETS and value else value for name, value in values.items()}

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.public().items())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return list(self.public().items())


def load(
    toml_text: str = "", environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """Merge the three sources; later ones win. Raises ConfigurationError naming the setting that is wrong."""
    environ = environ or {}
    try:
        merged: dict[str, Any] = tomllib.loads(toml_text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"reading tidewire.toml: {error}", hint="correct the file's syntax") from None
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    if environ.get("DATABASE_URL"):
        merged["database_url"] = environ["DATABASE_URL"]
    if environ.get("TIDEWIRE_PG_BIN"):
        merged["postgres_bin"] = environ["TIDEWIRE_PG_BIN"]
    for name, field in fields.items():
        if (text := environ.get(PREFIX + name.upper())) is not None:
            merged[name] = _from_text(field, text)
    merged.update({name: value for name, value in (flags or {}).items() if value is not None})
    try:
        return msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"reading settings: {error}", hint="docs/reference/settings.md lists every setting"
        ) from None


def _from_text(field: msgspec.structs.FieldInfo, text: str) -> Any:
    """Read a variable: lists are separated by commas, mappings are JSON; the rest is converted by its type."""
    if isinstance(field.default, tuple) or field.name in _LISTS:
        return text.split(",") if text else []
    if field.default_factory is dict:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise ConfigurationError(
                f"reading {PREFIX}{field.name.upper()}: expected a JSON object", hint='for example {"iss": "me"}'
            ) from None
    return text
