"""Keeps the private keys that tokens are signed with, so that all nodes on a database sign with the same."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from tidewire.postgres import queries
from tidewire.postgres.pool import Pool


class StoredKey(Struct, frozen=True):
    """A private key as JWK text. Its repr is never logged."""

    kid: str
    jwk: str
    made_at_s: float

    def __repr__(self) -> str:
        return f"StoredKey({self.kid})"


class KeyChange(Struct, frozen=True):
    """Keys to add, as id and JWK, and ids to delete."""

    added: tuple[tuple[str, str], ...] = ()
    deleted: tuple[str, ...] = ()


class SigningKeyStore:
    """Read the keys with `read`; change them with `change`, where one node at a time decides."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self) -> list[StoredKey]:
        """Return all keys in any order."""
        rows = await self._pool.fetch("reading signing keys", queries.load("accounts_keys"), {})
        return [StoredKey(*row) for row in rows]

    async def change(self, decide: Callable[[Sequence[StoredKey]], KeyChange]) -> list[StoredKey]:
        """Carry out what `decide` says about the keys as they are under the lock, and return all keys afterwards."""
        async with self._pool.connection("changing signing keys") as connection, connection.transaction():
            await connection.execute(queries.load("accounts_lock_keys"))
            cursor = await connection.execute(queries.load("accounts_keys"))
            change = decide([StoredKey(*row) for row in await cursor.fetchall()])
            for kid, jwk in change.added:
                await connection.execute(queries.load("accounts_add_key"), {"kid": kid, "jwk": jwk})
            if change.deleted:
                await connection.execute(queries.load("accounts_delete_keys"), {"kids": list(change.deleted)})
            cursor = await connection.execute(queries.load("accounts_keys"))
            return [StoredKey(*row) for row in await cursor.fetchall()]
