"""Says which address a request comes from and whether it came over TLS: by its connection, or by proxies we trust.

The one place that reads X-Forwarded-For and X-Forwarded-Proto: for HTTP, handshakes and whatever counts addresses.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import structlog
from msgspec import Struct

from tidewire.model.errors import ConfigurationError

log = structlog.get_logger()

Scope = Mapping[str, Any]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_PROXIES: Final = 16
"""How far a list of proxies is walked; who has more of them in a row trusts too much."""

KNOWN_ADDRESSES: Final = 8192
"""So many addresses are not read anew each time they ask."""

_SECURE: Final = frozenset({"https", "wss"})


class Visitor(Struct, frozen=True):
    """Who asks, as far as the network knows; `address` is empty where it does not."""

    address: str
    is_https: bool
    is_proxied: bool
    """Whether a trusted proxy speaks for them; then its other headers count as well."""


class TrustedProxies:
    """Ask `visitor` once for each request. Without proxies, the connection alone counts."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Take addresses and networks. Raises ConfigurationError for what is neither."""
        self._networks = tuple(_read_network(entry) for entry in entries)
        self._trusts = lru_cache(maxsize=KNOWN_ADDRESSES)(self._is_trusted)
        self._has_warned = False

    def visitor(self, scope: Scope) -> Visitor:
        """Return who is asking; what cannot be believed is left out."""
        client = scope.get("client")
        peer: str = client[0] if client else ""
        is_https = scope.get("scheme") in _SECURE
        if not self._trusts(peer):
            self._warn_of_forgotten_proxy(scope)
            return Visitor(peer, is_https=is_https, is_proxied=False)
        address, steps = self._walk(peer, _entries(scope, b"x-forwarded-for"))
        if schemes := _entries(scope, b"x-forwarded-proto"):
            is_https = schemes[-min(max(steps, 1), len(schemes))].lower() in _SECURE
        return Visitor(address, is_https=is_https, is_proxied=True)

    def _walk(self, peer: str, forwarded: list[str]) -> tuple[str, int]:
        """Go from the nearest entry outwards, as long as whoever wrote it is trusted; return where that ends."""
        address, steps = peer, 0
        for entry in reversed(forwarded[-MOST_PROXIES:]):
            read = _read_address(entry)
            if read is None:  # whoever wrote that knows no address: it is theirs that counts
                break
            address, steps = str(read), steps + 1
            if not self._trusts(address):
                break
        return address, steps

    def _is_trusted(self, host: str) -> bool:
        address = _read_address(host) if self._networks else None
        return address is not None and any(address in network for network in self._networks)

    def _warn_of_forgotten_proxy(self, scope: Scope) -> None:
        """Say once that somebody forwards for others and is not believed: most likely the operator's own proxy."""
        if not self._has_warned and any(name == b"x-forwarded-for" for name, _ in scope["headers"]):
            self._has_warned = True
            hint = "if it is your proxy, name it in trusted_proxies; until then all behind it count as one address"
            log.warning("forwarded_header_ignored", hint=hint)


@lru_cache(maxsize=KNOWN_ADDRESSES)
def network_of(host: str) -> str:
    """Return what limits count for: the address, and of version 6 the network, where everybody has 2^64 addresses."""
    address = _read_address(host)
    if address is None:
        return host
    if address.version == 4:
        return str(address)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))


def _read_address(text: str) -> Address | None:
    """Read an address, with a port or without; version 4 in the clothes of version 6 is version 4."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _read_network(entry: str) -> Network:
    try:
        return ipaddress.ip_network(entry.strip())
    except ValueError as error:
        raise ConfigurationError(
            f"reading trusted_proxies: expected an address or a network, got {entry[:100]!r} ({error})",
            hint="for example 10.0.0.7 or 10.0.0.0/8; names of hosts are not looked up",
        ) from None


def _entries(scope: Scope, wanted: bytes) -> list[str]:
    """Return what the headers of this name list, nearest proxy last; several headers are one list."""
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    return [entry.strip() for entry in ",".join(lines).split(",")] if lines else []
