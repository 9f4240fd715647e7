"""An error as one JSON document: with --json a program finds it on stdout, where it looks for everything else."""

from msgspec import Struct

from tidewire.model.errors import TidewireError


class Failure(Struct, frozen=True):
    """What went wrong, by its stable code, and what to do about it."""

    code: str
    message: str
    hint: str
    retryable: bool


def describe(error: TidewireError) -> Failure:
    """Turn an error into what `--json` prints under `error`."""
    return Failure(error.code, error.message, error.hint, error.retryable)
