"""How much one connection may ask for and how long it may take. Holds numbers only; the session counts and acts."""

from msgspec import Struct


class SessionLimits(Struct, frozen=True, kw_only=True):
    """The limits of one connection. Those of a whole project are for whoever carries out a session's effects."""

    channels: int = 100
    """How many topics a connection may have joined at once."""
    joins_per_s: float = 100.0
    """Average over a minute; at this rate the connection is closed."""
    events_per_s: float = 100.0
    """Average over a minute of messages sent and delivered; at this rate the channel that adds one is shut down."""
    presence_calls: int = 5
    """How often a channel may track or untrack within `presence_window_s`."""
    presence_window_s: float = 30.0
    payload_bytes: int = 3_000_500
    """The largest broadcast and the largest tracked object."""
    topic_bytes: int = 255
    """The longest topic, in UTF-8: a binary frame cannot name a longer one."""
    refusal_delay_s: float = 0.5
    """How long a refused join waits for its answer, so that clients without back-off cannot spin."""
    join_timeout_s: float = 9.0
    """How long a join may take. Official clients give up after 10 seconds, and then do not learn why."""
    token_interval_s: float = 10.0
    """A channel's new tokens are looked at no more often than this; of several, the last one counts."""
    replication_timeout_s: float = 60.0
    """How long a channel waits to be told that broadcasts from the database flow."""
    idle_s: float = 60.0
    """A connection that sends nothing for so long is closed; clients send a heartbeat every 25 seconds."""
    empty_s: float = 600.0
    """A connection without a channel is closed after this time."""
    private_only: bool = False
    """Whether public channels are refused."""
