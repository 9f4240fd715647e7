"""Turns patterns of `like` and of regular expressions into functions from text to bool, where Postgres provably agrees.

Python's matcher backtracks and would run in the event loop, so only patterns without nested repetition are taken, and
the work on one text is bounded: beyond it the function raises Unsure and Postgres answers.
"""

import re
from collections.abc import Callable

from tidewire.filters.unsure import Unsure

Matcher = Callable[[str], bool]

MAX_WORK = 1_000_000
"""Character comparisons that one text may cost in the worst case, about 10 ms."""

MAX_OPTIONAL = 4

_like_token = re.compile(r"\\(?P<escaped>.)|(?P<any>%)|(?P<one>_)|(?P<plain>[^\\])", re.DOTALL)

# What means the same to Postgres and to Python: plain characters, the dot, escaped punctuation and ASCII classes. Not
# taken are groups, alternatives, bounds and backreferences (syntax differs), and \w or [[:alpha:]] (locales differ).
_range = "[a-z]-[a-z]|[A-Z]-[A-Z]|[0-9]-[0-9]"
_atom = rf"(?:[^\\.\[\]{{}}()|*+?^$]|\.|\\[!-/:-@\[-`{{-~]|\[\^?(?:{_range}|[A-Za-z0-9_ ])+\])"
_expression = re.compile(rf"\^?(?:{_atom}[*+?]?)*\$?", re.ASCII).fullmatch
_part = re.compile(rf"(?P<atom>{_atom})(?P<count>[*+?]?)|(?P<anchor>[\^$])", re.ASCII)


def like_matcher(pattern: str) -> Matcher:
    """Return the function that `text LIKE pattern` is. Its time is linear in the text: `%` never backtracks."""
    segments = _like_segments(pattern)
    plain = _plain_matcher(segments)
    if plain is not None:
        return plain
    work = len(pattern) + 1
    first, *middle, last = segments if len(segments) > 1 else [segments[0], segments[0]]
    starts, width = _compile(first).match, len(last)
    searches = [_compile(segment).search for segment in middle]
    ends = _compile(last).fullmatch

    def match_exactly(text: str) -> bool:
        return len(text) == width and ends(text) is not None

    def match(text: str) -> bool:
        if len(text) * work > MAX_WORK:
            raise Unsure
        found = starts(text)
        for search in searches:
            if found is None:
                return False
            found = search(text, found.end())
        if found is None or len(text) - width < found.end():
            return False
        return ends(text, len(text) - width) is not None

    return match if len(segments) > 1 else match_exactly


def expression_matcher(pattern: str) -> Matcher:
    """Return the function that `text ~ pattern` is. Raises Unsure for expressions outside the common subset."""
    if not _expression(pattern):
        raise Unsure
    parts = list(_part.finditer(pattern))
    counts = [part["count"] for part in parts if part["count"]]
    optional = counts.count("?")
    unbounded = len(counts) - optional
    if unbounded > 1 or optional > MAX_OPTIONAL:
        raise Unsure
    # Postgres's `$` is the very end of the text, and its dot matches line breaks.
    anchors = {"^": r"\A", "$": r"\Z"}
    try:
        search = re.compile("".join(anchors.get(part[0], part[0]) for part in parts), re.DOTALL | re.ASCII).search
    except re.error:  # a range that runs backwards: an error in Postgres, too
        raise Unsure from None
    work = (len(pattern) + 1) << optional  # each `?` may double the ways to try

    def match(text: str) -> bool:
        if len(text) * work * (len(text) if unbounded else 1) > MAX_WORK:
            raise Unsure
        return search(text) is not None

    return match


def ignoring_case(build: Callable[[str], Matcher], pattern: str) -> Matcher:
    """Return a matcher that folds case. Only ASCII folds alike under every collation that is not Turkic."""
    if not pattern.isascii():
        raise Unsure
    match = build(pattern.lower())

    def match_folded(text: str) -> bool:
        if not text.isascii():
            raise Unsure
        return match(text.lower())

    return match_folded


def _plain_matcher(segments: list[list[str | None]]) -> Matcher | None:
    """Return the method of str that does the same, for the shapes that most patterns have."""
    texts = ["".join(part for part in segment if part is not None) for segment in segments]
    if any(None in segment for segment in segments):
        return None
    match texts:
        case [whole]:
            return whole.__eq__
        case [start, ""]:
            return lambda text: text.startswith(start)
        case ["", end]:
            return lambda text: text.endswith(end)
        case ["", middle, ""]:
            return lambda text: middle in text
    return None


def _like_segments(pattern: str) -> list[list[str | None]]:
    """Cut at `%`. In a segment None stands for `_`, any one character."""
    segments: list[list[str | None]] = [[]]
    position = 0
    while position < len(pattern):
        token = _like_token.match(pattern, position)
        if token is None:  # ends with the escape character: an error in Postgres
            raise Unsure
        if token["any"]:
            segments.append([])
        else:
            segments[-1].append(None if token["one"] else token["escaped"] or token["plain"])
        position = token.end()
    return segments


def _compile(segment: list[str | None]) -> re.Pattern[str]:
    return re.compile("".join("." if part is None else re.escape(part) for part in segment), re.DOTALL)
