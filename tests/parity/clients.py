"""Which stock clients are run, each by a puppet that is started when a test first wants it."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tests.parity.installed import CHROMIUM, find_chromium, find_node, install_packages, install_pypi_client
from tests.parity.puppets import Client, Puppet, PuppetProcess
from tests.parity.serving import TidewireServer, token

HERE = Path(__file__).parent
JAVASCRIPT = ("node20", "node-newest", "chromium")
KINDS = (*JAVASCRIPT, "pypi")

REMEMBERS_WHO_LEFT = ("node20",)
"""supabase-js 2.109.0 tells its callbacks who left, and keeps them in `presenceState()` all the same."""
ASCII_BROADCASTS = ("node20",)
"""It writes other letters of a topic as one byte each, which is no UTF-8: broadcasts there reach nobody."""

Connect = Callable[..., Client]


def installed_kinds() -> Sequence[str]:
    """Return the kinds for tests in which they meet: on a machine without a browser, the others. CI has one."""
    return [kind for kind in KINDS if kind != "chromium" or CHROMIUM or os.environ.get("CI")]


class Puppets:
    """One process per kind of client, which lives as long as the stack."""

    def __init__(self, cache: Path, stack: ExitStack) -> None:
        self._cache = cache
        self._stack = stack
        self._running: dict[str, PuppetProcess] = {}

    def get(self, kind: str) -> PuppetProcess:
        if kind not in self._running:
            puppet = self._describe(kind)
            errors = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack is its manager
            self._running[kind] = self._stack.enter_context(closing(PuppetProcess(puppet, errors)))
        return self._running[kind]

    def _describe(self, kind: str) -> Puppet:
        if kind == "pypi":
            return Puppet(kind, [install_pypi_client(self._cache), HERE / "pypi" / "puppet.py"])
        packages = install_packages(self._cache)
        if kind == "chromium":
            return Puppet(kind, [sys.executable, HERE / "chromium_puppet.py", find_chromium(), packages])
        node = find_node(packages, {"node20": "node-20"}.get(kind, kind))
        return Puppet(kind, [node, HERE / "js" / "node.mjs", packages, f"supabase-js-{kind.removeprefix('node-')}"])


@contextmanager
def connecting(tidewire: TidewireServer, puppets: Puppets) -> Iterator[Connect]:
    """Make clients: `connect(kind, token=…)`. In the end they are closed, and none got a frame it could not read."""
    made: list[Client] = []

    def make(kind: str, *, key: str = "", token: str | None = None, **realtime: object) -> Client:
        client = Client(puppets.get(kind), tidewire.url, key or anon_key(), token=token, realtime=realtime)
        made.append(client)
        return client

    try:
        yield make
    finally:
        for client in made:
            client.close()
    assert not [complaint for client in made for complaint in client.process.complaints]


def anon_key() -> str:
    """Make a project's key in the older form: a token of the role anon."""
    return token(role="anon", sub=...)
