"""Turns the setting `jwks` into keys by id: JSON as it is, a file, or a URL, the last two read again after a while."""

import asyncio
import http.client
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit

import structlog
from joserfc.jwk import Key

from tidewire.hub.authorize import Keys
from tidewire.model.errors import ConfigurationError
from tidewire.server.key_set import KeysById, parse_key_set

log = structlog.get_logger()

MAX_BYTES: Final = 256 * 1024
"""Several hundred keys; a source that sends more is not sending a key set."""
TIMEOUT_S: Final = 5.0
"""Half of what clients wait for a join."""
RETRY_S: Final = 10.0
"""How often a source is asked at most, whatever key ids strangers invent and however it fails."""
STALE_S: Final = 24 * 3600.0
"""How long beyond their time keys still count while their source is away; a withdrawn key must end some day."""


def open_keys(source: str, *, ttl_s: float, clock: Callable[[], float]) -> Keys:
    """Make the key set of a setting; `clock` is monotonic. Raises ConfigurationError; a URL is only asked when needed.

    Shared secrets (`oct`) are taken from inline JSON and files only: what can be fetched is no secret.
    """
    if source.lstrip().startswith("{"):
        return FixedKeys(_not_empty(parse_key_set(source.encode(errors="replace"), with_secrets=True)))
    if "://" in source:
        _check_address(source)
        return CachedKeys(lambda: fetch(source), ttl_s=ttl_s, clock=clock)
    path = Path(source)
    try:
        first = _not_empty(parse_key_set(read_file(path), with_secrets=True))
    except (OSError, ValueError) as error:  # the path is not repeated: it may be a key set that was quoted wrongly
        raise ConfigurationError(
            f"reading the file that jwks names: {getattr(error, 'strerror', None) or error}",
            hint="jwks is JSON, the path of a file or a URL",
        ) from None
    return CachedKeys(lambda: read_file(path), ttl_s=ttl_s, clock=clock, first=first, with_secrets=True)


class FixedKeys:
    """Keys that never change."""

    def __init__(self, keys: KeysById) -> None:
        self._keys = keys

    async def find(self, kid: str, key_type: str) -> Key | None:
        return self._keys.get((key_type, kid))


class CachedKeys:
    """Keys that are read again when their time is over or an id is not among them; old ones serve while that fails."""

    def __init__(
        self,
        read: Callable[[], bytes],
        *,
        ttl_s: float,
        clock: Callable[[], float],
        first: KeysById | None = None,
        with_secrets: bool = False,
    ) -> None:
        """Call `read` in a thread; it may block, and raise OSError, ValueError or HTTPException."""
        self._read = read
        self._ttl_s = ttl_s
        self._clock = clock
        self._with_secrets = with_secrets
        self._keys: KeysById = first or {}
        self._read_at_s = self._asked_at_s = clock() if first is not None else float("-inf")
        self._reading: asyncio.Future[KeysById] | None = None

    async def find(self, kid: str, key_type: str) -> Key | None:
        if key_type == "oct" and not self._with_secrets:
            return None
        wanted = (key_type, kid)
        if wanted not in self._keys or self._clock() - self._read_at_s >= self._ttl_s:
            await self._ask()
        if self._clock() - self._read_at_s >= self._ttl_s + STALE_S:
            return None
        return self._keys.get(wanted)

    async def _ask(self) -> None:
        """Wait for the source, together with everybody else who does. Its thread goes on when we give up."""
        if self._reading is None:
            if self._clock() - self._asked_at_s < RETRY_S:
                return
            self._asked_at_s = self._clock()
            self._reading = asyncio.get_running_loop().run_in_executor(None, self._load)
            self._reading.add_done_callback(self._settle)
        patience_s = self._asked_at_s + TIMEOUT_S - self._clock()
        if patience_s > 0:
            await asyncio.wait((self._reading,), timeout=patience_s)

    def _load(self) -> KeysById:
        return parse_key_set(self._read(), with_secrets=self._with_secrets)

    def _settle(self, reading: "asyncio.Future[KeysById]") -> None:
        self._reading = None
        try:
            self._keys = reading.result()
        except (OSError, ValueError, http.client.HTTPException, ConfigurationError) as error:
            log.warning("key_set_unavailable", reason=_describe(error), keys_held=len(self._keys))
        else:
            self._read_at_s = self._clock()


def read_file(path: Path) -> bytes:
    """Return the file's bytes. Raises ValueError when there are too many."""
    with path.open("rb") as file:
        return _within_limit(file.read(MAX_BYTES + 1))


class _StayThere(urllib.request.HTTPRedirectHandler):
    """Take a redirect as an error: the address of the keys is configured, not something to be led away from."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def fetch(url: str) -> bytes:
    """Return the body that the address answers with. It blocks: call it in a thread."""
    deadline_s = time.monotonic() + TIMEOUT_S
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "tidewire"})  # noqa: S310 - open_keys lets http and https pass only
    try:
        with urllib.request.build_opener(_StayThere).open(request, timeout=TIMEOUT_S) as response:
            return _read(response, deadline_s)
    except HTTPError as error:
        error.close()  # it is the answer as well, and holds the socket
        raise


def _read(response: http.client.HTTPResponse, deadline_s: float) -> bytes:
    body = b""
    while part := response.read1(64 * 1024):
        body = _within_limit(body + part)
        if time.monotonic() > deadline_s:  # the socket's own limit starts anew with every byte
            raise TimeoutError
    return body


def _within_limit(body: bytes) -> bytes:
    if len(body) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return body


def _check_address(url: str) -> None:
    try:
        address = urlsplit(url)
        usable = address.scheme in {"http", "https"} and address.hostname and address.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in address.netloc:
        raise ConfigurationError(
            "reading jwks: expected an http or https URL without a user, got another",
            hint="for example https://example.com/auth/v1/.well-known/jwks.json",
        )


def _not_empty(keys: KeysById) -> KeysById:
    if not keys:
        raise ConfigurationError(
            "reading jwks: expected at least one key that can verify, got none",
            hint="each needs kty and kid; RSA 2048 bits, secrets 256 bits",
        )
    return keys


def _describe(error: Exception) -> str:
    """Say what failed without the address, which may hold a secret."""
    return f"HTTP {error.code}" if isinstance(error, HTTPError) else type(error).__name__
