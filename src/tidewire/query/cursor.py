"""A place in the text of one parameter, and the few things that its grammars read there. Knows no grammar itself."""

import re

from tidewire.query.errors import QueryError, exceeded, unparsable
from tidewire.query.limits import Limits

_bare = re.compile(r'(?:[^,.()!:"\-\x00-\x1f]|-(?!>))++')
_quoted = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_escaped = re.compile(r"\\(.)", re.DOTALL)
MAX_NAME_BYTES = 63


def as_name(text: str, *, quoted: bool = False) -> str:
    """Return how a parameter has to write a name, so that `Cursor.name` reads it: in quotes where it must be."""
    if not quoted and _bare.fullmatch(text) and text == text.strip(" "):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Cursor:
    """Reads `text` from the left; `what` names it in errors. Every method raises QueryError where it cannot read."""

    def __init__(self, text: str, what: str, limits: Limits, *, depth: int = 0) -> None:
        self.text = text
        self.limits = limits
        self._what = what
        self._place = 0
        self._depth = depth

    @property
    def at_end(self) -> bool:
        return self._place >= len(self.text)

    def peek(self, token: str) -> bool:
        return self.text.startswith(token, self._place)

    def take(self, token: str) -> bool:
        """Pass over the token if it comes next."""
        found = self.peek(token)
        if found:
            self._place += len(token)
        return found

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise self.refused(f'"{token}"')

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Pass over what matches the pattern here."""
        found = pattern.match(self.text, self._place)
        if found:
            self._place = found.end()
        return found

    def rest(self) -> str:
        """Take everything that is left."""
        start, self._place = self._place, len(self.text)
        return self.text[start:]

    def quoted(self) -> str | None:
        """Take a text in double quotes, without them; None when there is none here."""
        found = self.match(_quoted)
        return None if found is None else _escaped.sub(r"\1", found[1])

    def name(self) -> str:
        """Take a name, in quotes or as it stands."""
        text = self.quoted()
        if text is None:
            bare = self.match(_bare)
            text = bare[0].strip(" ") if bare else ""
        if not text:
            raise self.refused("a name")
        if len(text.encode()) > MAX_NAME_BYTES:
            raise exceeded("bytes of a name", MAX_NAME_BYTES)
        return text

    def enter(self) -> None:
        """Go one level down; every level needs its `leave`."""
        self._depth += 1
        if self._depth > self.limits.max_depth:
            raise exceeded("depth of nesting", self.limits.max_depth)

    def leave(self) -> None:
        self._depth -= 1

    def finish(self) -> None:
        if not self.at_end:
            raise self.refused("its end")

    def refused(self, expected: str) -> QueryError:
        """Return the error that says what should have stood here, without repeating what does."""
        return unparsable(self._what, f"at character {self._place + 1}: expected {expected}")
