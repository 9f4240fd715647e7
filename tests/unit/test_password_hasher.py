"""Passwords in threads: what verifies, what may be brought along, and how many may wait."""

import asyncio

import bcrypt
import pytest
from argon2 import PasswordHasher as Argon2

from tidewire.accounts.refusals import AccountRefused
from tidewire.server import password_hasher
from tidewire.server.password_hasher import PasswordHasher, is_checkable_hash, is_outdated

OLDER = Argon2(time_cost=1, memory_cost=8192, parallelism=1)


async def test_only_the_password_verifies() -> None:
    hasher = PasswordHasher()
    stored = await hasher.hash("correct horse")
    assert await hasher.verify("correct horse", stored)
    assert not await hasher.verify("wrong horse", stored)
    assert not await hasher.verify("correct horse" + "x" * 2000, stored)
    assert not await hasher.verify("correct horse", None)
    assert not await hasher.verify("of nobody", None), "not even the password of the decoy"
    assert stored != await hasher.hash("correct horse")
    hasher.close()


async def test_a_hash_of_others_verifies_and_is_renewed() -> None:
    hasher = PasswordHasher()
    brought = OLDER.hash(b"correct horse")
    assert await hasher.verify("correct horse", brought)
    assert is_outdated(brought)
    assert not is_outdated(await hasher.hash("correct horse"))
    hasher.close()


@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
async def test_a_hash_of_bcrypt_verifies_and_is_renewed(prefix: str) -> None:
    """What other systems call their variant of the same algorithm; they all look at 72 bytes."""
    hasher = PasswordHasher()
    long = "é" * 50
    for password in ("correct horse", long):
        made = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode().replace("$2b$", f"${prefix}$")
        assert is_checkable_hash(made)
        assert is_outdated(made)
        assert await hasher.verify(password, made)
        assert not await hasher.verify(f"x{password}", made)
    hasher.close()


@pytest.mark.parametrize(
    "brought",
    [
        "",
        "x",
        "$2b$13$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
        "$2b$31$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
        "$2x$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
        "$2b$10$N9qo8uLOickgx2ZMRZoMye",
        "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\n",
        "$argon2i$v=19$m=8192,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=19$m=9999999,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=19$m=8192,t=99,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=19$m=8192,t=1,p=900$YWFhYWFhYWE$YWFhYWFhYWE",
    ],
)
async def test_what_is_no_hash_that_we_check(brought: str) -> None:
    hasher = PasswordHasher()
    assert not is_checkable_hash(brought)
    assert not await hasher.verify("correct horse", brought)
    hasher.close()


async def test_a_crowd_is_told_to_come_again() -> None:
    hasher = PasswordHasher()
    tried = (hasher.hash("x") for _ in range(password_hasher.MOST_WAITING + 3))
    answers = await asyncio.gather(*tried, return_exceptions=True)
    refused = [each for each in answers if isinstance(each, AccountRefused)]
    assert len(refused) == 3
    assert {each.refusal.status for each in refused} == {503}
    hasher.close()
