"""Signs tokens of accounts, and shows the keys that verify them: ES256 keys out of the database, or a shared secret.

The keys are read anew when a minute has passed and somebody asks. Which of them signs is decided in `accounts`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog
from joserfc.jwk import ECKey, Key

from tidewire.accounts.signing_keys import KeyAge, KeyPlan, plan_keys
from tidewire.hub.authorize import Keys, import_secret, sign_claims
from tidewire.model.errors import PostgresError, TidewireError
from tidewire.postgres.signing_key_store import KeyChange, SigningKeyStore, StoredKey

log = structlog.get_logger()

FRESH_S: Final = 60.0
"""How old what we know of the keys may be; another node shows a new one for an hour before it signs."""
RETRY_S: Final = 10.0
"""How often the database is asked at most because of a key id that nobody knows."""
PAUSE_S: Final = 1.0
"""How often it is asked at most while it does not answer."""


class Signer(Protocol):
    """Signs tokens, and publishes what verifies them."""

    async def sign(self, values: Mapping[str, Any]) -> str:
        """Return the claims as a token. Raises TidewireError when there is no key now."""
        ...

    async def published(self) -> list[dict[str, Any]]:
        """Return the public keys, each as a JWK."""
        ...


class SecretSigner:
    """Signs with HS256 and the shared secret; there is nothing to publish."""

    def __init__(self, secret: str) -> None:
        self._key = import_secret(secret)

    async def sign(self, values: Mapping[str, Any]) -> str:
        return sign_claims(values, self._key, "HS256")

    async def published(self) -> list[dict[str, Any]]:
        return []


class SigningKeys:
    """Implements `Signer`, and `Keys` for the authorizer of the same process."""

    def __init__(
        self, store: SigningKeyStore, *, rotation_s: float, token_s: float, clock: Callable[[], float]
    ) -> None:
        """Take Unix time from `clock`."""
        self._store = store
        self._rotation_s = rotation_s
        self._token_s = token_s
        self._clock = clock
        self._keys: dict[str, ECKey] = {}
        self._plan = KeyPlan(None, (), (), needs_key=True)
        self._read_at_s = self._asked_at_s = float("-inf")
        self._reading = asyncio.Lock()

    async def sign(self, values: Mapping[str, Any]) -> str:
        await self._refresh(FRESH_S)
        if self._plan.signer is None:
            raise PostgresError("signing a token: expected a signing key, got none")
        return sign_claims(values, self._keys[self._plan.signer], "ES256")

    async def published(self) -> list[dict[str, Any]]:
        await self._refresh(FRESH_S)
        return [
            {**self._keys[kid].as_dict(private=False), "alg": "ES256", "use": "sig", "key_ops": ["verify"]}
            for kid in self._plan.shown
        ]

    async def find(self, kid: str, key_type: str) -> Key | None:
        if key_type != "EC":
            return None
        try:
            await self._refresh(FRESH_S if kid in self._keys else RETRY_S)
        except TidewireError:
            log.debug("signing_keys_unavailable")  # those that are known still verify
        return self._keys.get(kid)

    async def _refresh(self, oldest_s: float) -> None:
        """Read the keys when they are older than this, and change them when it is time; many who ask share one."""
        async with self._reading:
            now_s = self._clock()
            if now_s - self._read_at_s < oldest_s or now_s - self._asked_at_s < PAUSE_S:
                return
            self._asked_at_s = now_s
            stored = await self._store.read()
            if _needs_change(self._plan_for(stored)):
                stored = await self._store.change(self._decide)
            self._plan = self._plan_for(stored)
            self._keys = {key.kid: ECKey.import_key(msgspec.json.decode(key.jwk)) for key in stored}
            self._read_at_s = now_s

    def _plan_for(self, stored: Sequence[StoredKey]) -> KeyPlan:
        ages = [KeyAge(key.kid, key.made_at_s) for key in stored]
        return plan_keys(ages, self._clock(), rotation_s=self._rotation_s, token_s=self._token_s)

    def _decide(self, stored: Sequence[StoredKey]) -> KeyChange:
        plan = self._plan_for(stored)
        return KeyChange((_make_key(),) if plan.needs_key else (), plan.outlived)


class KeysInOrder:
    """The first of several key sets that knows a key."""

    def __init__(self, *sets: Keys) -> None:
        self._sets = sets

    async def find(self, kid: str, key_type: str) -> Key | None:
        for keys in self._sets:
            if (key := await keys.find(kid, key_type)) is not None:
                return key
        return None


def _needs_change(plan: KeyPlan) -> bool:
    return plan.needs_key or bool(plan.outlived)


def _make_key() -> tuple[str, str]:
    key = ECKey.generate_key("P-256", auto_kid=True)
    return str(key.kid), msgspec.json.encode(key.as_dict(private=True)).decode()
