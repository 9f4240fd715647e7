"""How every command speaks: one JSON object with --json, tables and colours on a terminal, errors on stderr."""

import sys
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from tidewire.model.errors import TidewireError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Write one JSON document and nothing else to stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")


def complain(error: TidewireError) -> None:
    """Say what went wrong and what to do about it, in two short lines on stderr."""
    err.print(Text.assemble(("error ", "bold red"), f"{error.code}: {error.message}"))
    if error.hint:
        err.print(Text.assemble(("fix   ", "bold"), error.hint))
