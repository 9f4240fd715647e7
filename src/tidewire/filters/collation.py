"""What the locale of a collation promises about texts. Knows names only; which column has which is in the catalog.

Locales are given as the catalog has them (`collcollate` or `colllocale`, for the default collation those of the
database): "C", "en_US.UTF-8", "de-AT". Give UNKNOWN when in doubt, and for an ICU collation never "C".
"""

from typing import Final

UNKNOWN: Final = ""
"""Equality of texts is taken to be that of their bytes; nothing is taken for granted about order and case."""

NONDETERMINISTIC: Final = "nondeterministic"
"""Stands for any locale of a collation whose `collisdeterministic` is false: even equality is for Postgres to tell."""

_CODE_POINTS = frozenset({"C", "POSIX", "C.UTF-8", "C.utf8", "ucs_basic", "pg_c_utf8"})
_OWN_CASE_RULES = ("tr", "az", "lt", "crh")
"""Turkic languages fold `I` to a dotless `ı`; Lithuanian has rules for dots above."""


def orders_by_code_point(locale: str) -> bool:
    """Tell whether texts sort as Python sorts them."""
    return locale in _CODE_POINTS


def folds_ascii_plainly(locale: str) -> bool:
    """Tell whether the lower case of ASCII text is what `str.lower` makes of it."""
    return locale not in {UNKNOWN, NONDETERMINISTIC} and not locale.lower().startswith(_OWN_CASE_RULES)
