"""Completes the headers of an answer: who may read it, what a browser may do with it, and the id of its request.

A header that the door has set itself is left as it is.
"""

from typing import Final

from msgspec import Struct

from tidewire.server.cors import Cors
from tidewire.server.websocket_handshake import Headers

API_POLICY: Final = b"default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""For every page that we serve: its scripts and styles are files of ours, and it speaks to nobody else."""

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),  # answers hold rows and tokens; what may be kept says so itself
)


class Asked(Struct, frozen=True):
    """What the headers of an answer depend on."""

    request_id: str
    origin: bytes | None
    is_https: bool


class AnswerHeaders:
    """Call `complete` once for each answer."""

    def __init__(self, cors: Cors, *, hsts_s: int) -> None:
        """With `hsts_s`, browsers that came over TLS are told to come in no other way for so long."""
        self._cors = cors
        self._strict = ((b"strict-transport-security", b"max-age=%d" % hsts_s),) if hsts_s else ()

    def complete(self, headers: Headers, asked: Asked) -> Headers:
        """Return the headers with those that were missing."""
        present = dict(headers)
        is_page = present.get(b"content-type", b"").startswith(b"text/html")
        wanted = [
            *_ALWAYS,
            (b"content-security-policy", PAGE_POLICY if is_page else API_POLICY),
            (b"x-request-id", asked.request_id.encode()),
            *(self._strict if asked.is_https else ()),
            *self._cors.headers(asked.origin),
        ]
        return [*headers, *(header for header in wanted if header[0] not in present or header[0] == b"vary")]
