"""Counts requests by the address they come from and by the token they carry, before anything is done for them.

Knows nothing of HTTP and verifies no tokens: one that is made up has its own bucket, and costs its address the same.
"""

from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from tidewire.accounts.rates import Allowance, Rates
from tidewire.server.client_address import network_of

LONGEST_TOKEN_BYTES: Final = 64 * 1024


class RequestAllowances(Struct, frozen=True, kw_only=True):
    """How many requests a second an address and a token have, and how many at once after a rest."""

    per_s_per_address: float = 1000.0
    burst_per_address: int = 2000
    per_s_per_token: float = 500.0
    burst_per_token: int = 1000


class _Names(Struct, frozen=True):
    """What of a token says whether it is somebody's own."""

    sub: str | None = None


_decode = msgspec.json.Decoder(_Names).decode


class RequestLimits:
    """Ask `wait_s` with every request. `clock` must never go back."""

    def __init__(self, allowances: RequestAllowances, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._addresses = _rates(allowances.per_s_per_address, allowances.burst_per_address)
        self._tokens = _rates(allowances.per_s_per_token, allowances.burst_per_token)

    def wait_s(self, address: str, token: bytes) -> float:
        """Count a request, or say after how many seconds it may come again; 0 when it may be answered now."""
        now_s = self._clock()
        if wait_s := self._addresses.take(network_of(address), now_s):
            return wait_s
        key = personal_key(token)
        return 0.0 if key is None else self._tokens.take(key, now_s)

    def stranger_wait_s(self, address: str) -> float:
        """Say how long an address has to wait that is counted by `count_stranger` only."""
        return self._addresses.wait_s(network_of(address), self._clock())

    def count_stranger(self, address: str) -> None:
        """Count a handshake that was refused; those that were not are clients, and limited as such."""
        self._addresses.take(network_of(address), self._clock())


def personal_key(token: bytes) -> str | None:
    """Return what stands for a token of one person, or None for the keys that everybody in an application shares."""
    parts = token.split(b".") if len(token) <= LONGEST_TOKEN_BYTES else ()
    if len(parts) != 3:
        return None
    try:
        named = _decode(urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (Base64Error, msgspec.DecodeError, ValueError, RecursionError):
        return None
    return blake2b(token, digest_size=16).hexdigest() if named.sub else None


def _rates(per_s: float, burst: int) -> Rates:
    return Rates(Allowance(burst, burst / per_s))
