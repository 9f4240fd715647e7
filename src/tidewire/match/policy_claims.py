"""Takes out of a token's claims what policies read, and gives it back as Postgres's JSON operators would."""

from collections.abc import Iterable, Mapping, Sequence
from json import dumps, loads
from math import isfinite
from typing import Any, Final

from tidewire.filters.unsure import Unsure
from tidewire.match.policy_tree import Path
from tidewire.match.subscription import Audience
from tidewire.model.errors import ConfigurationError

MAX_DEPTH: Final = 32
MAX_BITS: Final = 1024
"""Larger numbers are no claim of anybody."""

_MISSING: Final = object()


class Fails(Exception):  # noqa: N818 - not our error: Postgres would raise one
    """Evaluating this with these claims is an error in Postgres, whatever the row."""


class KnownClaims:
    """The claims of an audience, as far as policies read them."""

    def __init__(self, audience: Audience) -> None:
        self._values = {tuple(loads(path)): loads(value) for path, value in audience.claims}

    def text(self, path: Path) -> str | None:
        """Return a claim as `->>` does. Raises Unsure where only Postgres knows how it writes the value."""
        return _text(self._values.get(path))

    def exists(self, path: Path) -> bool:
        """Tell whether `->` gives anything, be it a JSON null."""
        return not path or path in self._values

    def flag(self, path: Path) -> str | None:
        """Return a claim as a cast from JSON to boolean does."""
        value = self._values.get(path, _MISSING)
        if value is _MISSING:
            return None
        if value is None:  # an error before version 18, NULL since then
            raise Unsure
        if not isinstance(value, bool):
            raise Fails
        return "t" if value else "f"

    def keys(self, path: Path) -> frozenset[str] | None:
        """Return what `?` finds in a claim: elements, keys, or the text that it is."""
        value = self._values.get(path, _MISSING)
        if value is _MISSING:
            return None
        if isinstance(value, str):
            return frozenset({value})
        return (
            frozenset(each for each in value if isinstance(each, str))
            if isinstance(value, list | dict)
            else frozenset()
        )

    def elements(self, path: Path) -> list[str | None]:
        """Return what `jsonb_array_elements_text` makes of a claim: nothing where there is none."""
        value = self._values.get(path, _MISSING)
        if value is _MISSING:
            return []
        if not isinstance(value, list):
            raise Fails
        return [_text(each) for each in value]


def audience_of(role: str, claims: Mapping[str, Any], reads: Iterable[Path]) -> Audience:
    """Return everyone whom policies that read these claims cannot tell apart from this token.

    Each claim is named by its path, both as JSON. Raises ConfigurationError for claims that Postgres could not take as
    JSON, whether they are read or not: refuse such a token.
    """
    check_claims(claims)
    found = []
    for path in sorted(set(reads)):
        value = _find(claims, path)
        if value is not _MISSING:
            found.append((_encode(list(path)), _encode(value)))
    return Audience(role, tuple(found))


def check_claims(claims: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for claims that Postgres could not take as JSON."""
    _check(claims, 0)


def session_settings(audience: Audience, names: Iterable[str]) -> dict[str, str]:
    """Return the settings under which Postgres must judge for an audience: `names` are those of single claims."""
    claims: dict[str, Any] = {}
    for path, text in audience.claims:
        keys = loads(path)
        place = claims
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = loads(text)
    settings = {"request.jwt.claims": _encode(claims)}
    for name in names:
        settings[f"request.jwt.claim.{name}"] = setting_text(claims.get(name))
    return settings


def setting_text(claim: Any) -> str:
    """Return what the setting of a single claim holds; of what is neither text nor number, its JSON."""
    try:
        return _text(claim) or ""
    except Unsure:
        return _encode(claim)


def _find(claims: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = claims
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return _MISSING
        value = value[key]
    return value


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise Unsure  # how Postgres writes fractions, lists and objects


def _encode(value: Any) -> str:
    return dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _check(value: Any, depth: int) -> None:
    """Raise for what jsonb does not take, and for what would make it work hard."""
    if depth > MAX_DEPTH:
        raise _unusable(f"at most {MAX_DEPTH} levels", "more")
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
            raise _unusable("texts that Postgres can hold", "one with a NUL or half a surrogate pair")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            _check(key, depth)
            _check(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            _check(each, depth + 1)
    elif isinstance(value, float) and not isfinite(value):
        raise _unusable("finite numbers", "another one")
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise _unusable(f"numbers of at most {MAX_BITS} bits", "a larger one")


def _unusable(expected: str, got: str) -> ConfigurationError:
    return ConfigurationError(
        f"reading claims: expected {expected}, got {got}", hint="correct whoever signs the tokens"
    )
