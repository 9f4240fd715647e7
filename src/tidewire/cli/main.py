"""The `tidewire` command: one module per subcommand, errors as one line with a remedy, never a traceback."""

import sys
from typing import Annotated

import typer

from tidewire import __version__
from tidewire.cli.bench import bench
from tidewire.cli.demo import demo
from tidewire.cli.doctor import doctor
from tidewire.cli.logs import Level, configure
from tidewire.cli.migrate import migrate
from tidewire.cli.output import complain
from tidewire.cli.publish import publish_tables
from tidewire.cli.serve import serve
from tidewire.cli.tail import tail
from tidewire.cli.token import token
from tidewire.cli.top import top
from tidewire.model.errors import TidewireError

app = typer.Typer(
    name="tidewire",
    help="Turn any PostgreSQL into a live backend.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tidewire {__version__}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    log_level: Annotated[
        Level, typer.Option(envvar="TIDEWIRE_LOG_LEVEL", help="How much to log on stderr.")
    ] = Level.WARNING,
) -> None:
    """Turn any PostgreSQL into a live backend."""
    configure(log_level)


app.command("bench")(bench)
app.command("demo")(demo)
app.command("doctor")(doctor)
app.command("migrate")(migrate)
app.command("publish")(publish_tables)
app.command("serve")(serve)
app.command("tail")(tail)
app.command("token")(token)
app.command("top")(top)


def run() -> None:
    """Run the command line; the process ends with the command's exit code."""
    try:
        app()
    except TidewireError as error:
        complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
