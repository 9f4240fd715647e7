"""Counts failed sign-ins in schema auth, so that a lock holds on every node and through a restart.

A row lives for half an hour at most after its last failure, and no row is made for what `server/auth_door.py` has
refused already, so there are never more than two for each attempt of that time. It knows hashes only.
"""

import hashlib
from typing import Final

from tidewire.accounts.lockout import FOR_ACCOUNT, FOR_ADDRESS, KEPT_S, Failures
from tidewire.postgres import queries
from tidewire.postgres.pool import Pool

_KEY_BYTES: Final = 16


class AccountAttempts:
    """Call `begin` before a password is looked at, and `succeed` when it was right."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, account: str, address: str) -> float:
        """Count an attempt as failed, or return for how many seconds there may be none; then nothing is counted.

        It is the same work whether there is such an account or not. Attempts at one account are counted one by one, so
        that guessing in parallel is not quicker.
        """
        keys = _keys(account, address)
        doing = "counting a sign-in"
        async with self._pool.connection(doing) as connection, connection.transaction():
            cursor = await connection.execute(queries.load("accounts_attempts_lock"), keys)
            found = {bytes(key): Failures(count, age_s) for key, count, age_s in await cursor.fetchall()}
            of_account, of_pair = found[keys["account"]], found[keys["pair"]]
            if wait_s := max(FOR_ACCOUNT.wait_s(of_account), FOR_ADDRESS.wait_s(of_pair)):
                return wait_s
            counted = {
                "account_failures": FOR_ACCOUNT.count(of_account),
                "pair_failures": FOR_ADDRESS.count(of_pair),
                "kept_s": KEPT_S,
            }
            await connection.execute(queries.load("accounts_attempts_count"), {**keys, **counted})
        return 0.0

    async def succeed(self, account: str, address: str) -> None:
        """Forget the failures of the account, and of the address at it."""
        async with self._pool.connection("forgetting failed sign-ins") as connection:
            await connection.execute(queries.load("accounts_attempts_forget"), _keys(account, address))


def _keys(account: str, address: str) -> dict[str, bytes]:
    return {"account": _hash(account), "pair": _hash(f"{address}\0{account}")}


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=_KEY_BYTES).digest()
