"""Turns the payload of `phx_join` into a JoinRequest, leniently: what has the wrong type counts as not given.

Does not decide whether the request is granted.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Raw, Struct

from tidewire.model.reasons import TOO_MANY_BINDINGS, Reason
from tidewire.wire.binding import Binding, legacy_bindings, parse_binding
from tidewire.wire.requests import usable_token
from tidewire.wire.untrusted import lenient_flag, lenient_items, lenient_members, lenient_value, read_members

MAX_BINDINGS: Final = 1000
"""Reading one takes about 8 µs, so a join cannot hold up everybody else for more than about 8 ms."""

MAX_REPLAY_MESSAGES: Final = 25
DEFAULT_WAIT_MS: Final = 15_000
MAX_WAIT_MS: Final = 20_000

MAX_SINCE_MS: Final = 8_640_000_000_000_000
"""The last moment a JavaScript Date can name (the year 275760); Postgres can still name it too."""


class Replay(Struct, frozen=True):
    """Which kept broadcasts to send again. When not `valid`, the join must be refused."""

    since_ms: int = 0
    limit: int = MAX_REPLAY_MESSAGES
    valid: bool = True


class JoinRequest(Struct, frozen=True):
    """What a client wants from a channel. An empty `presence_key` asks the server to make one up.

    `access_token` is None when the connection's own counts. `legacy` clients sent no `config`: their one binding stands
    in the topic, and they expect changes under the names INSERT, UPDATE and DELETE. Refuse the join when there is a
    `refusal`.
    """

    broadcast_ack: bool = False
    broadcast_self: bool = False
    replay: Replay | None = None
    replication_ready: bool = False
    presence_key: str = ""
    presence_enabled: bool = True
    bindings: tuple[Binding, ...] = ()
    private: bool = False
    access_token: str | None = None
    wait: bool = False
    wait_timeout_ms: int = DEFAULT_WAIT_MS
    legacy: bool = False
    refusal: Reason | None = None


def parse_join(payload: bytes, *, subtopic: str) -> JoinRequest:
    """Read a join of `realtime:<subtopic>`. Raises DecodeError only when the payload is no object."""
    members = read_members(payload, "reading a join")
    tokens = (usable_token(lenient_value(members, name)) for name in ("access_token", "user_token"))
    token = next((token for token in tokens if token), None)
    if "config" not in members:
        return JoinRequest(bindings=legacy_bindings(subtopic), access_token=token, legacy=True)
    config = lenient_members(members, "config")
    broadcast = lenient_members(config, "broadcast")
    presence = lenient_members(config, "presence")
    options = lenient_members(config, "postgres_changes_options")
    # A null, or anything else that could not be echoed with an id, is left out of the reply as well.
    wishes = [item for item in lenient_items(config, "postgres_changes") if item.startswith(b"{")]
    refusal = TOO_MANY_BINDINGS if len(wishes) > MAX_BINDINGS else None
    return JoinRequest(
        broadcast_ack=lenient_flag(broadcast, "ack"),
        broadcast_self=lenient_flag(broadcast, "self"),
        replay=_replay(broadcast),
        replication_ready=lenient_flag(broadcast, "replication_ready"),
        presence_key=_presence_key(presence),
        # Clients older than this key expect presence to work.
        presence_enabled=lenient_flag(presence, "enabled", default=True),
        bindings=() if refusal else tuple(parse_binding(wish) for wish in wishes),
        private=lenient_flag(config, "private"),
        access_token=token,
        wait=lenient_flag(options, "wait"),
        wait_timeout_ms=_wait_timeout_ms(options),
        refusal=refusal,
    )


def _replay(broadcast: Mapping[str, Raw]) -> Replay | None:
    asked = lenient_value(broadcast, "replay")
    if asked is None or asked is False:
        return None
    if not isinstance(asked, dict):
        return Replay(valid=False)
    since_ms, limit = asked.get("since", 0), asked.get("limit", MAX_REPLAY_MESSAGES)
    if not (_is_whole(since_ms) and _is_whole(limit) and 0 <= since_ms <= MAX_SINCE_MS):
        return Replay(valid=False)
    return Replay(since_ms, min(max(limit, 1), MAX_REPLAY_MESSAGES))


def _presence_key(presence: Mapping[str, Raw]) -> str:
    key = lenient_value(presence, "key")
    return str(key) if isinstance(key, str | int | float) and not isinstance(key, bool) else ""


def _wait_timeout_ms(options: Mapping[str, Raw]) -> int:
    timeout_ms = lenient_value(options, "timeout")
    return min(timeout_ms, MAX_WAIT_MS) if _is_whole(timeout_ms) and timeout_ms > 0 else DEFAULT_WAIT_MS


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
