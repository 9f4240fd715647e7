"""A JWK Set becomes the keys that can verify; what cannot is left out, what is no key set is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.tokens import EVERY_ALGORITHM, key, key_set_text, public_jwk
from tidewire.model.errors import ConfigurationError
from tidewire.server.jwks import MAX_BYTES, CachedKeys, open_keys
from tidewire.server.key_set import parse_key_set
from tidewire.settings import load


def test_every_key_is_found_by_its_type_and_id() -> None:
    keys = parse_key_set(key_set_text(), with_secrets=True)
    assert {kid for _, kid in keys} == set(EVERY_ALGORITHM.values())
    assert keys["RSA", "rsa"].thumbprint() == key("rsa").thumbprint()


def test_keys_of_different_types_may_share_an_id_and_the_first_of_one_type_counts() -> None:
    text = key_set_text(public_jwk("rsa", kid="1"), public_jwk("p256", kid="1"), public_jwk("p384", kid="1"))
    keys = parse_key_set(text, with_secrets=True)
    assert set(keys) == {("RSA", "1"), ("EC", "1")}
    assert keys["EC", "1"].thumbprint() == key("p256").thumbprint()


def test_shared_secrets_are_taken_only_where_they_can_be_secret() -> None:
    text = key_set_text(public_jwk("oct"), public_jwk("p256"))
    assert set(parse_key_set(text, with_secrets=True)) == {("oct", "oct"), ("EC", "p256")}
    assert set(parse_key_set(text, with_secrets=False)) == {("EC", "p256")}


USELESS: dict[str, dict[str, Any]] = {
    "empty": {},
    "unknown type": {"kty": "AKP", "kid": "quantum", "pub": "AA"},
    "no id": public_jwk("rsa", kid=None),
    "id is a number": public_jwk("rsa", kid=5),
    "for encryption": public_jwk("rsa", use="enc"),
    "no verify operation": public_jwk("rsa", key_ops=["encrypt"]),
    "short modulus": public_jwk("rsa", n="AQAB"),
    "modulus is a number": public_jwk("rsa", n=7),
    "not on the curve": public_jwk("p256", y="AAAA"),
    "unknown curve": public_jwk("p256", crv="P-1"),
    "no base64": public_jwk("ed25519", x="!"),
    "short secret": public_jwk("oct", k="c2hvcnQ"),
    "no secret": public_jwk("oct", k=None),
    "type is a list": {"kty": ["RSA"], "kid": "list"},
}


@pytest.mark.parametrize("useless", USELESS.values(), ids=USELESS.keys())
def test_a_key_that_cannot_verify_is_left_out_and_the_others_stay(useless: dict[str, Any]) -> None:
    keys = parse_key_set(key_set_text(useless, public_jwk("p384")), with_secrets=True)
    assert set(keys) == {("EC", "p384")}


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"keys": {}}', b'{"keys": [1]}', b"\xff", b'{"keys":' * 2000])
def test_what_is_no_key_set_is_refused(text: bytes) -> None:
    with pytest.raises(ConfigurationError, match="reading a key set"):
        parse_key_set(text, with_secrets=True)


@pytest.mark.parametrize(
    "source",
    [
        "{}",
        '{"keys": []}',
        "no-such-file.json",
        "ftp://127.0.0.1/keys",
        "file:///etc/passwd",
        "https://user:hunter2@127.0.0.1/keys",
        "https:///keys",
        "https://[::1/keys",
        "https://127.0.0.1:99999/keys",
        "https://127.0.0.1:port/keys",
        "[{'k': 'hunter2'}]",
        "hunter2" * 1000,
        "hunter2\0",
    ],
)
def test_a_wrong_setting_is_refused_at_the_start(source: str) -> None:
    with pytest.raises(ConfigurationError, match="reading") as caught:
        open_keys(source, ttl_s=1, clock=lambda: 0)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(ConfigurationError, match="more than"):
        open_keys(str(tmp_path / "keys.json"), ttl_s=1, clock=lambda: 0)


def test_settings_never_show_keys_or_secrets() -> None:
    hidden = {
        "jwt_secret": "hunter2-hunter2-hunter2-hunter2-hunter2",
        "jwt_secret_previous": "hunter2-hunter2-hunter2-hunter2-hunter2",
        "jwks": '{"keys": ["hunter2"]}',
        "publishable_keys": ("sb_publishable_hunter2-hunter2-hunter2",),
        "secret_keys": ("sb_secret_hunter2-hunter2-hunter2",),
        "database_url": "postgresql://u:hunter2@h/d",
    }
    settings = load("", {}, hidden)
    for shown in (repr(settings), str(settings), str(settings.public()), str(settings.__rich_repr__())):
        assert "hunter2" not in shown
        assert shown.count("(set)") == len(hidden)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jwt_secret", "hunter2"),
        ("jwt_secret_previous", "hunter2"),
        ("publishable_keys", ("sb_secret_hunter2-hunter2-hunter2",)),
        ("secret_keys", ("sb_secret_hunter2",)),
        ("jwt_claims", {"a": ["hunter2"]}),
    ],
)
def test_a_wrong_secret_is_named_and_not_shown(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        load("", {}, {name: value})
    assert "hunter2" not in str(caught.value)


def test_lists_and_mappings_come_from_the_environment() -> None:
    settings = load("", {"TIDEWIRE_JWT_CLAIMS": '{"beta": true}', "TIDEWIRE_SECRET_KEYS": f"sb_secret_{'x' * 22}"})
    assert settings.jwt_claims == {"beta": True}
    assert settings.secret_keys == (f"sb_secret_{'x' * 22}",)
    assert load("", {"TIDEWIRE_SECRET_KEYS": ""}).secret_keys == ()
    with pytest.raises(ConfigurationError, match="TIDEWIRE_JWT_CLAIMS"):
        load("", {"TIDEWIRE_JWT_CLAIMS": "{"})


class Source:
    """Bytes that somebody else publishes, how often they were read, and a clock to turn."""

    def __init__(self, *texts: bytes | Exception) -> None:
        self._texts: Iterator[bytes | Exception] = iter(texts)
        self.reads = 0
        self.now_s = 0.0

    def read(self) -> bytes:
        self.reads += 1
        text = next(self._texts)
        if isinstance(text, Exception):
            raise text
        return text

    def cached(self) -> CachedKeys:
        return CachedKeys(self.read, ttl_s=100, clock=lambda: self.now_s)


async def found(keys: CachedKeys, kid: str) -> bool:
    return await keys.find(kid, "EC") is not None


async def test_keys_are_read_when_first_needed_and_again_when_their_time_is_over() -> None:
    source = Source(key_set_text(public_jwk("p256")), key_set_text(public_jwk("p384")))
    keys = source.cached()
    assert source.reads == 0
    for source.now_s in (0.0, 50.0, 99.9):
        assert await found(keys, "p256")
        assert source.reads == 1
    source.now_s = 100
    assert not await found(keys, "p256")  # withdrawn
    assert await found(keys, "p384")
    assert source.reads == 2


async def test_an_unknown_id_asks_again_but_only_once_in_ten_seconds() -> None:
    source = Source(*[key_set_text(public_jwk("p256"))] * 2, key_set_text(public_jwk("p256"), public_jwk("p384")))
    keys = source.cached()
    for kid in ("p384", "p521", "invented"):
        assert not await found(keys, kid)
    assert source.reads == 1
    source.now_s = 9.9
    assert not await found(keys, "p384")
    assert source.reads == 1
    source.now_s = 10
    assert not await found(keys, "p384")
    source.now_s = 20
    assert await found(keys, "p384")
    assert source.reads == 3


@pytest.mark.parametrize("failure", [OSError("away"), ValueError("too long"), b"<html>", TimeoutError()], ids=repr)
async def test_old_keys_serve_while_the_source_fails_and_end_after_a_day(failure: bytes | Exception) -> None:
    source = Source(key_set_text(public_jwk("p256")), *[failure] * 3, key_set_text(public_jwk("p256")))
    keys = source.cached()
    for source.now_s, reads in ((0.0, 1), (100.0, 2), (105.0, 2), (100.0 + 86_399, 3)):
        assert await found(keys, "p256")
        assert source.reads == reads
    source.now_s = 100.0 + 86_400 + 10
    assert not await found(keys, "p256")
    source.now_s += 10
    assert await found(keys, "p256")


async def test_a_secret_is_never_asked_from_a_url() -> None:
    source = Source()
    assert await source.cached().find("oct", "oct") is None
    assert source.reads == 0
