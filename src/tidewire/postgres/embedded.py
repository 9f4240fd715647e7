"""The embedded Postgres: creates its data folder, starts or joins the server, and stops it after the last user."""

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from psycopg.conninfo import make_conninfo

from tidewire.model.errors import EmbeddedPostgresError
from tidewire.postgres import embedded_process as server
from tidewire.postgres.embedded_config import SUPERUSER, hba_conf, ident_conf, server_conf
from tidewire.postgres.embedded_data import initialise, server_environment, written_by
from tidewire.postgres.embedded_errors import held_by_another, in_recovery, os_failure, start_failure
from tidewire.postgres.embedded_place import Place, open_data_dir, prepare_place, socket_folder, write_file
from tidewire.postgres.embedded_programs import reachable_programs
from tidewire.postgres.embedded_users import Users
from tidewire.postgres.programs import find_programs

START_LIMIT_S = 30.0
RECOVERY_LIMIT_S = 300.0
HELD_LIMIT_S = 15.0
HELD_POLL_S = 0.1
LONGEST_LOG_BYTES = 10 * 2**20
LOG_EXCERPT_BYTES = 256 * 2**10


class EmbeddedPostgres:
    """One Postgres in one folder, shared by every process that starts it there; call `stop` when done with it.

    All methods block: in asyncio call them in a thread. `settings` are server parameters; like `port` they take effect
    when the server starts, not when a running one is joined.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        bin_dir: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._data_dir = Path(data_dir).absolute()
        self._port = port
        self._bin_dir = bin_dir
        self._settings = dict(settings or {})
        self._users: Users | None = None
        self._place: Place | None = None
        self._postmaster: server.Postmaster | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """Return a connection string over the unix socket. Only the superuser needs no password; call `start` first."""
        if self._postmaster is None:
            raise EmbeddedPostgresError("connecting: the embedded Postgres is not started", hint="call start() first")
        found = self._postmaster
        return make_conninfo("", host=found.sockets, port=found.port, user=user, dbname=database)

    def start(self) -> None:
        """Return when the server accepts connections; call `stop` later. Raises EmbeddedPostgresError with a remedy."""
        if self._users is not None:
            return
        try:
            folder = open_data_dir(self._data_dir)
            users = Users(folder)
            with users.turn() as turn:
                place = prepare_place(folder)
                users.join()
                try:
                    self._postmaster = self._join_or_start(place, turn)
                except BaseException:
                    self._leave(users, place)
                    raise
        except OSError as error:
            raise os_failure(f"starting the embedded Postgres in {self._data_dir}", error) from None
        self._place, self._users = place, users

    def stop(self) -> None:
        """Stop using the server; the last user stops it cleanly. Harmless when not started."""
        if self._users is None or self._place is None:
            return
        users, self._users, self._postmaster = self._users, None, None
        try:
            with users.turn():
                self._leave(users, self._place)
        except FileNotFoundError:  # someone deleted the folder; Postgres notices within a minute and ends by itself
            users.leave()

    @staticmethod
    def _leave(users: Users, place: Place) -> None:
        if users.leave() and (found := server.running(place.pgdata)):
            server.end(found, place.pgdata)
            if found.sockets and Path(found.sockets).parent != place.home:
                with contextlib.suppress(OSError):  # it is made again when needed
                    Path(found.sockets).rmdir()

    def _join_or_start(self, place: Place, turn: int) -> server.Postmaster:
        """Try until it works; again while another server process, dying or about to be joined, holds the folder."""
        deadline_s = time.monotonic() + HELD_LIMIT_S
        while True:
            log_from = _size(place.log)
            try:
                return self._join(place) or self._launch(place, turn)
            except EmbeddedPostgresError:
                if not held_by_another(_excerpt(place.log, log_from)) or time.monotonic() > deadline_s:
                    raise
            time.sleep(HELD_POLL_S)

    @staticmethod
    def _join(place: Place) -> server.Postmaster | None:
        found = server.running(place.pgdata)
        if found is not None and found.status == "stopping":
            server.wait_until_gone(found, place.pgdata, limit_s=server.STOP_LIMIT_S)
            found = server.running(place.pgdata)
        if found is None:
            return None
        pid = found.pid
        try:
            return _wait_until_ready(
                place, pid, alive=lambda: server.serves(pid, place.pgdata), log_from=_size(place.log)
            )
        except EmbeddedPostgresError:
            if server.serves(pid, place.pgdata):
                raise
            return None  # it died while starting, and why does not matter: we start another

    def _launch(self, place: Place, turn: int) -> server.Postmaster:
        major = written_by(place)
        programs = reachable_programs(find_programs(self._bin_dir, major=major), place.account)
        if major is None:
            initialise(place, programs, self._settings, keep_open=turn)
        self._write_configuration(place)
        if _size(place.log) > LONGEST_LOG_BYTES:
            place.log.replace(place.log.with_suffix(".log.1"))
        log_from = _size(place.log)
        process = server.launch(
            [programs.path("postgres"), "-D", str(place.pgdata), "-c", f"config_file={place.config}"],
            log=place.log,
            environment=server_environment() | server.stale_pid_ignored(place.pgdata),
            cwd="/",
            **place.account.popen_arguments(),
        )
        return _wait_until_ready(place, process.pid, alive=lambda: process.poll() is None, log_from=log_from)

    def _write_configuration(self, place: Place) -> None:
        files = place.files(socket_folder(place))
        write_file(Path(files.hba), hba_conf())
        write_file(Path(files.ident), ident_conf({place.account.name, "root"}))
        write_file(place.config, server_conf(files, port=self._port, settings=self._settings))


def _wait_until_ready(place: Place, pid: int, *, alive: Callable[[], bool], log_from: int) -> server.Postmaster:
    """Wait for the pid file to say ready. The server's own words decide how patient to be."""
    began_s = time.monotonic()
    limit_s = START_LIMIT_S
    while True:
        lives = alive()  # asked before the file is read, or a server that becomes ready in between would look dead
        found = server.read_pid_file(place.pgdata)
        if lives and found is not None and found.pid == pid and found.status in {"ready", "standby"}:
            return found
        if not lives:
            raise start_failure("starting the embedded Postgres", _excerpt(place.log, log_from), place.log)
        if time.monotonic() - began_s > limit_s:
            if limit_s == RECOVERY_LIMIT_S or not in_recovery(_excerpt(place.log, log_from)):
                break
            limit_s = RECOVERY_LIMIT_S
        time.sleep(server.POLL_S)
    raise EmbeddedPostgresError(
        f"starting the embedded Postgres: it was not ready after {limit_s:.0f} s", hint=f"see the log: {place.log}"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _excerpt(path: Path, start: int) -> str:
    """Return what was written since `start`, or from the beginning if the file was set aside in between."""
    size = _size(path)
    if size == 0:
        return ""
    with path.open("rb") as file:
        file.seek(start if start <= size else 0)
        return file.read(LOG_EXCERPT_BYTES).decode(errors="replace")
