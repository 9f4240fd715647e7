"""A part of a route that takes any text. Starlette's own `path` stops at a line break, and then nobody answers."""

from typing import Final

from starlette.convertors import Convertor, register_url_convertor

ANY_TEXT: Final = "any_text"
"""Write `{name:any_text}` in a route."""


class AnyText(Convertor[str]):
    """Everything up to the end."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """Take the text as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Put the text into a path."""
        return value


register_url_convertor(ANY_TEXT, AnyText())
