"""Decides which of the signing keys signs, which are still shown, and when the next one is due. Makes no key.

A new key is shown for a while before it signs, so that whoever caches the key set knows it in time; a replaced key is
shown until the last token that it signed has expired.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

AHEAD_S: Final = 3600.0
"""How long a key is shown before it signs; clients keep a key set for ten minutes, gateways for up to an hour."""


class KeyAge(Struct, frozen=True):
    """A key by its id, and when it was made, in Unix seconds."""

    kid: str
    made_at_s: float


class KeyPlan(Struct, frozen=True):
    """What to do now: sign with `signer`, show `shown`, delete `outlived`, and make a key if `needs_key`."""

    signer: str | None
    shown: tuple[str, ...]
    outlived: tuple[str, ...]
    needs_key: bool


def plan_keys(keys: Sequence[KeyAge], now_s: float, *, rotation_s: float, token_s: float) -> KeyPlan:
    """Plan for keys in any order. The oldest signs until the next one has been shown for long enough."""
    ordered = sorted(keys, key=lambda key: (key.made_at_s, key.kid))
    ready = [at for at, key in enumerate(ordered) if at == 0 or key.made_at_s + AHEAD_S <= now_s]
    if not ready:
        return KeyPlan(None, (), (), needs_key=True)
    signer = ready[-1]
    # A key stopped signing when the one after it became ready.
    outlived = tuple(
        key.kid
        for at, key in enumerate(ordered[:signer])
        if ordered[at + 1].made_at_s + AHEAD_S + token_s + AHEAD_S < now_s
    )
    newest = ordered[-1].made_at_s
    return KeyPlan(
        ordered[signer].kid,
        tuple(key.kid for key in ordered if key.kid not in outlived),
        outlived,
        needs_key=now_s - newest >= rotation_s,
    )
