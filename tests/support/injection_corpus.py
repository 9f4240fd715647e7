"""Texts that try to be more than a text. Each holds MARK, so that it can be found wherever it went.

Names of things in them exist in the tables of the tests that use them, so that what worked would show.
"""

from typing import Final

from msgspec import Struct

MARK: Final = "zq9mark"
"""Stands in every text that is sent; letters and a digit, so that no quoting changes it."""
FOREIGN: Final = "row of another tenant"
"""Stands in rows that nobody who asks here may see."""

SQL: Final = (
    f"'; drop table notes; -- {MARK}",
    f'"; drop table notes; -- {MARK}',
    f"') or 1=1 -- {MARK}",
    f"1) or (1=1 /* {MARK} */",
    f"{MARK}' or '1'='1",
    f"' union select id, body, owner from own where body <> '{MARK}",
    f"{MARK}, (select string_agg(body, ',') from own) as x",
    f"'||(select body from own limit 1)||'{MARK}",
    f"'||pg_sleep(5)||'{MARK}",
    f"1; select pg_sleep(5) -- {MARK}",
    f"$${MARK}$$",
    f"$tag${MARK}$tag$; select pg_sleep(5)",
    f"E'{MARK}\\'",
    f"\\' or 1=1 -- {MARK}",
    f"{MARK}\\",
    f'{MARK}"',
    f'{MARK}""',
    f"{MARK}''",
    f"{MARK}'::text",
    f"{MARK}::regclass::text",
    f"{MARK}';set role postgres;--",
    f"{MARK}'; commit; begin; reset role; --",
    f"U&'\\0027 {MARK}'",
    f"{MARK} %s %(x)s %% %",
    f"{{{MARK}}} {{0}} {{}}",
    f"$1 {MARK} $2",
    f"{MARK}/**/or/**/true",
    f"{MARK}\n--\r\nor true",
    f"current_setting('request.jwt.claims') {MARK}",
    f"own.body {MARK}",
)
GRAMMAR: Final = (
    f"{MARK},id",
    f"{MARK})",
    f"({MARK}",
    f"{MARK}.eq.1",
    f"{MARK}:id",
    f"{MARK}(id)",
    f"{MARK}!inner(id)",
    f"id::{MARK}",
    f"doc->{MARK}->>0",
    f"...{MARK}(id)",
    f"in.({MARK})",
    f"not.and({MARK}.eq.1)",
    f"{MARK}->",
    f"{MARK}&id=eq.1",
    f"{MARK}=eq.1",
    f"{MARK};x=1",
    f"../{MARK}",
    f"%27{MARK}",
    MARK * 9,
    MARK,
    f"null {MARK}",
)
UNICODE: Final = (
    f"\u202e{MARK}\u2066",
    f"e\u0301\u0327{MARK}",
    f"{MARK}\U0001f4a9\U0010ffff",
    f"{MARK}\ufeff\u200b\u2028\x85",
    f"{MARK}\u02bc\uff07 or 1=1",
    f"{MARK}\ud800",
    f"\udfff{MARK}",
    f"{MARK}\0",
    f"{MARK}\x01\x1b[31m\x7f",
    f"\u0130\u0131{MARK}\u00df",
)
"""Among them what is not text at all: halves of characters, which travel as three bytes each, and NUL."""

BYTES: Final = (
    b"%s\xc0\xa7 or 1=1" % MARK.encode(),
    b"%s\xe0\x80\xa7" % MARK.encode(),
    b"%s\xff\xfe" % MARK.encode(),
    b"%s\xf4\x90\x80\x80" % MARK.encode(),
    b"%s\x80" % MARK.encode(),
)
"""No UTF-8: overlong forms of a quote, bytes that never occur, more than there is, half of something."""


class Hostile(Struct, frozen=True):
    """One text as the bytes that travel. `text` is what they mean, where they mean one."""

    raw: bytes
    text: str | None

    @property
    def short(self) -> str:
        return self.raw.decode(errors="backslashreplace")[:40]


CORPUS: Final = (
    *(Hostile(text.encode(errors="surrogatepass"), text) for text in (*SQL, *GRAMMAR, *UNICODE)),
    *(Hostile(raw, None) for raw in BYTES),
)
