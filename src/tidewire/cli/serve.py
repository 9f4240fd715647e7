"""`tidewire serve`: the server by itself, from the first listening socket to the last client sent away."""

import asyncio
import resource
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import quote

import structlog
import typer
import uvicorn
import uvloop
from starlette.routing import BaseRoute

from tidewire import __version__, assemble
from tidewire.cli.output import out
from tidewire.hub.authorize import sign_token
from tidewire.hub.tasks import Tasks
from tidewire.model.errors import ConfigurationError
from tidewire.server.app import NodeApp
from tidewire.server.console import Console
from tidewire.server.draining_server import BACKLOG, LAST_S, DrainingServer, server_config
from tidewire.server.secret import shared_secrets
from tidewire.server.socket_writes import IS_COMPILED
from tidewire.settings import Settings

log = structlog.get_logger()

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
KEY_LIFETIME_S: Final = 365 * 24 * 3600
SPARE_FILES: Final = 100
"""Descriptors for everything that is no client: the database, listeners, logs."""

WELCOME: Final = """\
[bold]Tidewire[/] {version} serves {database}

  URL    [bold]{url}[/]
{key}
  import {{ createClient }} from "@supabase/supabase-js"
  const client = createClient("{url}", KEY)
  client.channel("room").on("broadcast", {{ event: "hi" }}, console.log).subscribe()

{console}  publish tables   [bold]tidewire publish TABLE…[/]
  watch            [bold]tidewire top[/]
  stop             Ctrl-C
"""


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen at; 0.0.0.0 is every one.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen at; 0 is any free one.")] = None,
    database_url: Annotated[str | None, typer.Option(help="The database to follow [env: DATABASE_URL].")] = None,
) -> None:
    """Serve live clients. Without a database the embedded one is started, and brought up to date.

    SIGTERM and Ctrl-C send all clients away in waves and end the server within `drain_s`; the second one ends it at
    once.
    """
    settings = assemble.settings(host=host, port=port, database_url=database_url)
    _check_exposure(settings)
    shared_secrets(settings)  # what is wrong with them is told before anything starts
    assemble.app_options(settings)
    with closing(listen(settings.host, settings.port)) as listener, assemble.served_database(settings) as dsn:
        uvloop.run(serve_until_signal(settings, dsn, listener, partial(_welcome, settings, listener)))


async def serve_until_signal(
    settings: Settings,
    dsn: str,
    listener: socket.socket,
    welcome: Callable[[Console | None], str],
    *,
    doors: Sequence[BaseRoute] = (),
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve until a signal comes, or something fails that nothing works without.

    What `welcome` makes is printed when clients can come; `doors` are routes besides the server's, and `beside` runs
    as long.
    """
    stopping = _Stopping()
    try:
        async with assemble.running_app(settings, dsn, doors) as app, Tasks() as tasks:
            drain_s = max(settings.drain_s - LAST_S, settings.drain_s / 2)
            server = DrainingServer(_configure(settings, app), lambda: app.node.drain(drain_s))
            stopping.server = server
            _raise_file_limit(settings.max_connections)
            if not IS_COMPILED:
                log.info("sending_not_compiled", hint="install Tidewire again where a C compiler is")
            if beside is not None:
                tasks.start(beside(), name="beside the server")
            out.print(welcome(app.console))
            await server.serve(sockets=[listener])
    except asyncio.CancelledError:
        if not stopping.at_once:
            raise
    if stopping.number == signal.SIGINT:
        raise KeyboardInterrupt


class _Stopping:
    """What the signals have asked for, since this was made in the task that serves."""

    def __init__(self) -> None:
        self.server: DrainingServer | None = None
        self.number: int | None = None
        self.at_once = False
        self._task = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.on_signal, number)

    def on_signal(self, number: int) -> None:
        """End the server politely the first time; at once the second time, or when it has not begun."""
        is_first, self.number = self.number is None, number
        if is_first and self.server is not None:
            log.info("stopping", signal=signal.Signals(number).name)
            self.server.should_exit = True
        elif self._task is not None and not self.at_once:
            self.at_once = True
            self._task.cancel()


def _configure(settings: Settings, app: NodeApp) -> uvicorn.Config:
    tls = (settings.tls_certificate, settings.tls_key) if settings.tls_certificate and settings.tls_key else None
    try:
        return server_config(app, message_limit_bytes=settings.message_limit_bytes, drain_s=settings.drain_s, tls=tls)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"reading tls_certificate and tls_key: {error.strerror or type(error).__name__}",
            hint="both are PEM files; the key has no passphrase and belongs to the certificate",
        ) from None


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket. Raises ConfigurationError that says what to do."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"listening at {host} port {port}: {reason}", hint="stop what uses the port, or choose another with --port"
        ) from None


def _check_exposure(settings: Settings) -> None:
    """Refuse what would carry tokens in clear where others can read them."""
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise ConfigurationError("reading settings: expected tls_certificate and tls_key, got one", hint="set both")
    exposed = settings.host not in LOOPBACK and not settings.tls_certificate
    if settings.mode == "production" and exposed and not settings.plain_http:
        raise ConfigurationError(
            f"listening at {settings.host}: expected TLS in production, got plain HTTP",
            hint="set tls_certificate and tls_key, or TIDEWIRE_PLAIN_HTTP=true behind a proxy that speaks TLS",
        )


def _raise_file_limit(connections: int) -> None:
    """Allow as many open files as the system lets us; each client is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning("few_open_files_allowed", allowed=allowed, wanted=wanted, hint="raise ulimit -n")


def _welcome(settings: Settings, listener: socket.socket, console: Console | None) -> str:
    """Say where the server is and how to connect. In development that includes a key for anybody; it is no secret."""
    scheme = "https" if settings.tls_certificate else "http"
    host = f"[{settings.host}]" if ":" in settings.host else quote(settings.host)
    database = "the database of DATABASE_URL" if settings.database_url else f"embedded Postgres in {settings.data_dir}"
    url = f"{scheme}://{host}:{listener.getsockname()[1]}"
    return WELCOME.format(
        version=__version__,
        database=database,
        url=url,
        key=_key_line(settings),
        console=_console_line(settings, url, console),
    )


def _console_line(settings: Settings, url: str, console: Console | None) -> str:
    """Let whoever started the server into the console, and nobody who reads its output later.

    In production that goes to a log unless it is a terminal, and whoever is not on this machine signs in with a token.
    """
    is_private = settings.mode == "development" or out.is_terminal
    if console is None or settings.host not in LOOPBACK or not is_private:
        return ""
    path = console.sign_in_path()
    return "" if path is None else f"  CONSOLE {url}{path}\n          counts once, for ten minutes\n\n"


def _key_line(settings: Settings) -> str:
    if settings.mode == "production":
        return ""
    if settings.publishable_keys:
        key = settings.publishable_keys[0]
    else:
        now_s = int(time.time())
        demanded = {"aud": settings.jwt_audience, "iss": settings.jwt_issuer, **settings.jwt_claims}
        claims = {name: value for name, value in demanded.items() if value is not None}
        claims |= {"role": "anon", "iat": now_s, "exp": now_s + KEY_LIFETIME_S}
        key = sign_token(claims, shared_secrets(settings)[0])
    return f"  KEY    {key}\n         for browsers, role anon; others: tidewire token --role …\n"
