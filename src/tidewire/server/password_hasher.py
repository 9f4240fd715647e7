"""Hashes and checks passwords with argon2id in threads: as many at once as there are places, the rest wait in line.

Hashes that come along from elsewhere may be bcrypt's: they are checked once, and the sign-in renews them.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import bcrypt
from argon2 import PasswordHasher as Argon2
from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from tidewire.accounts.passwords import encode_password, is_checkable
from tidewire.accounts.refusals import BUSY, AccountRefused

PLACES: Final = 2
"""Each takes 19 MiB and a core for some 20 ms: more would only take the time from who waits for messages."""
MOST_WAITING: Final = 100
"""About a second's work; whoever comes later is told to come again."""
MOST_MEMORY_KIB: Final = 256 * 1024
MOST_TIME: Final = 10
MOST_LANES: Final = 8
MOST_BCRYPT_COST: Final = 12
"""What hashes that an administrator brings along may cost; 12 is a quarter of a second."""
BCRYPT_BYTES: Final = 72
"""Whatever else a password has is not part of the hash."""
_BCRYPT: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")

Result = TypeVar("Result")

# OWASP's first recommendation for argon2id. The parameters stand in each hash; a sign-in renews older ones.
_ARGON2: Final = Argon2(time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)


class PasswordHasher:
    """Give it texts; it knows how they become bytes. Raises AccountRefused when too many wait."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(PLACES, thread_name_prefix="passwords")
        self._waiting = 0
        self._decoy: str | None = None

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._threads.shutdown(cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return the hash to store, with its salt and parameters."""
        return await self._run(lambda: _ARGON2.hash(encode_password(password)))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Say whether it is the password. Without a stored hash the work is the same, and the answer no."""
        if self._decoy is None:
            self._decoy = await self.hash("of nobody")
        against = self._decoy if stored is None or not is_checkable_hash(stored) else stored
        known = against is stored and is_checkable(password)
        found = await self._run(lambda: _verify(password if is_checkable(password) else "", against))
        return known and found

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= MOST_WAITING:
            raise AccountRefused(BUSY)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def is_checkable_hash(stored: str) -> bool:
    """Say whether it is a hash that may be checked: argon2id or bcrypt, and not so costly as to exhaust the server."""
    if found := _BCRYPT.fullmatch(stored):
        return 4 <= int(found[1]) <= MOST_BCRYPT_COST
    try:
        parameters = extract_parameters(stored)
    except (InvalidHashError, ValueError):
        return False
    bounded = parameters.memory_cost <= MOST_MEMORY_KIB and parameters.time_cost <= MOST_TIME
    return parameters.type is Type.ID and bounded and parameters.parallelism <= MOST_LANES


def is_outdated(stored: str) -> bool:
    """Say whether the hash was made otherwise than ours today, so that the next sign-in should renew it."""
    return _BCRYPT.fullmatch(stored) is not None or _ARGON2.check_needs_rehash(stored)


def _verify(password: str, stored: str) -> bool:
    try:
        if _BCRYPT.fullmatch(stored):
            # As whoever made the hash did: the bytes as they were typed, and no more than bcrypt looks at.
            return bcrypt.checkpw(password.encode(errors="replace")[:BCRYPT_BYTES], stored.encode())
        return _ARGON2.verify(stored, encode_password(password))
    except (VerificationError, InvalidHashError, ValueError):
        return False
