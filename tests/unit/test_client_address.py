"""Who is asking: the connection's word, and that of proxies, as far as they are trusted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tidewire.model.errors import ConfigurationError
from tidewire.server.client_address import MOST_PROXIES, TrustedProxies, Visitor, network_of

OURS = ("10.0.0.0/8", "2001:db8:1::/48", "192.0.2.1")
ADDRESSES = st.ip_addresses().map(str)


def visitor(peer: str, *forwarded: str, proto: str | None = None, scheme: str = "http", **changed: Any) -> Visitor:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", each.encode("latin-1")) for each in forwarded)]
    if proto is not None:
        headers.append((b"x-forwarded-proto", proto.encode()))
    scope = {"client": (peer, 1234), "scheme": scheme, "headers": headers, **changed}
    return TrustedProxies(OURS).visitor(scope)


def test_nobody_is_believed_by_default() -> None:
    scope = {
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "headers": [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https")],
    }
    assert TrustedProxies(()).visitor(scope) == Visitor("127.0.0.1", is_https=False, is_proxied=False)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9"], "203.0.113.9"),  # what a client claims stands further left
        ("10.0.0.1", ["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9, 10.9.9.9, 192.0.2.1"], "203.0.113.9"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),  # somebody within the own network
        ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, unknown, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["\xff\xfe"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9:5123"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8:2::7]:443"], "2001:db8:2::7"),
        ("10.0.0.1", ["2001:db8:2::7"], "2001:db8:2::7"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("2001:db8:1::5", ["203.0.113.9"], "203.0.113.9"),
        ("192.0.2.2", ["203.0.113.9"], "192.0.2.2"),
    ],
)
def test_the_list_is_walked_from_the_right(peer: str, forwarded: list[str], expected: str) -> None:
    assert visitor(peer, *forwarded).address == expected


@pytest.mark.parametrize(
    ("peer", "proto", "scheme", "expected"),
    [
        ("10.0.0.1", "https", "http", True),
        ("10.0.0.1", "HTTPS", "http", True),
        ("10.0.0.1", "wss", "ws", True),
        ("10.0.0.1", "http", "https", False),
        ("10.0.0.1", None, "https", True),
        ("10.0.0.1", "https, http", "http", False),  # a client wrote the first one
        ("203.0.113.9", "https", "http", False),
        ("203.0.113.9", "http", "wss", True),
    ],
)
def test_whether_it_came_over_tls(peer: str, proto: str | None, scheme: str, *, expected: bool) -> None:
    assert visitor(peer, "203.0.113.7", proto=proto, scheme=scheme).is_https is expected


def test_of_several_schemes_the_one_beside_the_address_counts() -> None:
    assert visitor("10.0.0.1", "203.0.113.9, 192.0.2.1", proto="https, http").is_https
    assert not visitor("10.0.0.1", "203.0.113.9, 192.0.2.1", proto="http, https").is_https


def test_a_connection_without_an_address() -> None:
    assert visitor("", client=None).address == ""
    assert visitor("/run/tidewire.sock", "203.0.113.9").address == "/run/tidewire.sock"


@given(st.lists(ADDRESSES, max_size=2 * MOST_PROXIES), ADDRESSES)
def test_nothing_left_of_a_stranger_is_ever_believed(claimed: list[str], stranger: str) -> None:
    proxies = TrustedProxies(["10.0.0.0/8"])
    forwarded = ", ".join([*claimed, stranger, "10.0.0.2"]).encode()
    scope = {"client": ("10.0.0.1", 1), "scheme": "http", "headers": [(b"x-forwarded-for", forwarded)]}
    if network_of(stranger).startswith("10."):
        return
    assert network_of(proxies.visitor(scope).address) == network_of(stranger)


@given(st.binary(max_size=200))
def test_any_bytes_are_read(forwarded: bytes) -> None:
    scope = {"client": ("10.0.0.1", 1), "scheme": "http", "headers": [(b"x-forwarded-for", forwarded)]}
    assert TrustedProxies(OURS).visitor(scope).address


def test_what_limits_count_for() -> None:
    assert network_of("203.0.113.9") == network_of("::ffff:203.0.113.9") == "203.0.113.9"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2%eth0")
    assert network_of("") == ""


@pytest.mark.parametrize("entry", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33", "", "*"])
def test_a_wrong_entry_is_named(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies") as caught:
        TrustedProxies([entry])
    assert caught.value.hint


def test_a_proxy_that_nobody_named_is_mentioned_once() -> None:
    proxies = TrustedProxies(())
    scope = {"client": ("172.17.0.1", 1), "scheme": "http", "headers": [(b"x-forwarded-for", b"203.0.113.9")]}
    with capture_logs() as logs:
        for _ in range(3):
            proxies.visitor(scope)
    assert [each["event"] for each in logs] == ["forwarded_header_ignored"]
