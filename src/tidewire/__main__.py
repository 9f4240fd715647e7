"""`python -m tidewire` is the `tidewire` command."""

from tidewire.cli.main import run

run()
