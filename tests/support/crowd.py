"""Both ways of writing to many sockets, for tests that prove that they do the same."""

import os
from typing import Final

import pytest

from tidewire.server import socket_writes
from tidewire.server.socket_writes import SendAll

WAYS: Final = ("compiled", "python")


def need_compiled() -> SendAll:
    """Return the compiled function. Without it the test is skipped, or fails where nothing may be missing."""
    if socket_writes.IS_COMPILED:
        return socket_writes.send_all
    missing = "_tidewire_send was not compiled when this was installed"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
