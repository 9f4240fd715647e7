"""Real Postgres servers for tests: shared ones, throw-away ones with their own settings, a fresh database per test.

`server` is the bundled version; `any_server` runs a test once per version. `database` and `any_database` are connection
strings of an empty database for the superuser, over the unix socket; `migrated_database` and `any_migrated_database` of
one in which `tidewire migrate` has been run.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.proxy import BreakableProxy
from tests.support.server import migrate
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.embedded_process import Postmaster, running

VERSIONS: dict[str, str | None] = {"embedded-18": None, "debian-15": "/usr/lib/postgresql/15/bin"}
FAST = {"fsync": "off", "shared_buffers": "32MB", "wal_sender_timeout": "10s"}
LOGGED = {
    "logging_collector": "on",
    "log_destination": "jsonlog",
    "log_filename": "statements.log",
    "log_rotation_size": "0",
    "log_statement": "all",
    "log_min_duration_statement": "0",  # this names a text when it is parsed, also when nothing comes of it
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "-1",
}
DROP_LIMIT_S = 10.0
TEMPORARY = "/tmp"  # noqa: S108 - mkdtemp makes the folders; a socket path must be short
MEMORY = "/dev/shm"  # noqa: S108 - the same; creating and dropping a database takes half the time here
MEMORY_NEEDED_BYTES = 4 * 2**30
FOLDER_PREFIX = "tw-"
MIGRATED = "migrated"
ORPHAN_AGE_S = 900.0

MakeServer = Callable[..., EmbeddedPostgres]
MakeLogin = Callable[..., str]


def require(*, present: bool, what: str) -> None:
    """Skip the test when a piece is missing on this machine; under CI nothing may be missing."""
    if not present and os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and under CI every test must run")
    if not present:
        pytest.skip(f"{what} is missing")


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder with a short name that every account may enter, unlike pytest's own ones."""
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=_parent()))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return an empty folder with a short name, for servers and sockets."""
    with open_folder() as made:
        yield made


def _parent() -> str:
    """Return where to make folders: in memory, on a machine that has plenty of it."""
    try:
        found = os.statvfs(MEMORY)
        (available,) = re.findall(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text())
    except (OSError, ValueError):
        return TEMPORARY
    free_bytes = min(found.f_bavail * found.f_frsize, int(available) * 1024)
    runs_programs = not found.f_flag & os.ST_NOEXEC
    return MEMORY if runs_programs and free_bytes >= MEMORY_NEEDED_BYTES else TEMPORARY


class Templates:
    """Data folders to copy, made once per version: copying takes a tenth of the time of initdb."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def copy_to(self, data_dir: Path, version: str) -> None:
        """Put a fresh cluster into `data_dir`, which must not exist yet."""
        template = self._root / version
        if not template.exists():
            with EmbeddedPostgres(template, bin_dir=programs_folder(version), settings=FAST):
                pass
        data_dir.mkdir(mode=0o755)
        data_dir.chmod(0o755)
        subprocess.run(["cp", "-a", template / "pgdata", data_dir / "pgdata"], check=True)


def programs_folder(version: str) -> str | None:
    """Return the program folder of a version in VERSIONS, or skip the test when it is not installed."""
    folder = VERSIONS[version]
    require(present=folder is None or Path(folder, "postgres").exists(), what=f"PostgreSQL in {folder}")
    return folder


@pytest.fixture(scope="session")
def templates() -> Iterator[Templates]:
    for parent in (TEMPORARY, MEMORY):
        _stop_orphans(Path(parent))
    with open_folder() as root:
        yield Templates(root)


def ask(dsn: str, query: LiteralString) -> Any:
    """Return the one value that a query answers, over a connection of its own."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def crash(server: EmbeddedPostgres) -> None:
    """Kill the postmaster as the kernel would; its children notice and end."""
    folder = Path(ask(server.dsn(), "show data_directory"))
    os.kill(int((folder / "postmaster.pid").read_text(encoding="ascii").split()[0]), signal.SIGKILL)
    server.stop()


def live(data_dir: Path) -> Postmaster:
    """Return the running server of a data folder, which must be there."""
    found = running(data_dir / "pgdata")
    assert found is not None
    return found


def _stop_orphans(parent: Path) -> None:
    """Stop servers of earlier test runs that were killed: unused, and older than any test may run."""
    for data_dir in parent.glob(f"{FOLDER_PREFIX}*/server"):
        postmaster = running(data_dir / "pgdata") if os.access(data_dir / "users.lock", os.W_OK) else None
        if postmaster and time.time() - (data_dir / "pgdata" / "postmaster.pid").stat().st_ctime > ORPHAN_AGE_S:
            with EmbeddedPostgres(data_dir):  # joins it; if we are the only user, leaving stops it
                pass


@contextmanager
def _serving(templates: Templates, version: str, settings: dict[str, str]) -> Iterator[EmbeddedPostgres]:
    bin_dir = programs_folder(version)
    with open_folder() as root:
        templates.copy_to(root / "server", version)
        with EmbeddedPostgres(root / "server", bin_dir=bin_dir, settings={**FAST, **settings}) as running:
            yield running


@pytest.fixture(scope="session")
def server(templates: Templates) -> Iterator[EmbeddedPostgres]:
    """Return the session's server of the bundled version. Do not stop or reconfigure it: see `make_server`."""
    with _serving(templates, "embedded-18", {}) as running:
        yield running


@pytest.fixture(scope="session")
def logging_server(templates: Templates) -> Iterator[EmbeddedPostgres]:
    """Return a server of the session that logs every statement, for `StatementLog` to read."""
    with _serving(templates, "embedded-18", LOGGED) as running:
        yield running


@pytest.fixture(scope="session", params=list(VERSIONS))
def any_server(request: pytest.FixtureRequest, templates: Templates) -> Iterator[EmbeddedPostgres]:
    """Return the session's server of each version in turn."""
    if request.param == "embedded-18":
        yield request.getfixturevalue("server")
        return
    with _serving(templates, request.param, {}) as running:
        yield running


@pytest.fixture
def cluster(folder: Path, templates: Templates) -> Path:
    """Return the data folder of a cluster of the bundled version, for tests that start it themselves with FAST."""
    templates.copy_to(folder / "server", "embedded-18")
    return folder / "server"


@pytest.fixture
def make_server(templates: Templates) -> Iterator[MakeServer]:
    """Start servers of your own, to restart, kill or configure: `make_server("debian-15", wal_level="replica")`."""
    with ExitStack() as stack:

        def make(version: str = "embedded-18", **settings: str) -> EmbeddedPostgres:
            return stack.enter_context(_serving(templates, version, settings))

        yield make


@pytest.fixture
def database(server: EmbeddedPostgres) -> Iterator[str]:
    """Return the connection string of an empty database on the bundled version."""
    with fresh_database(server) as dsn:
        yield dsn


@pytest.fixture
def any_database(any_server: EmbeddedPostgres) -> Iterator[str]:
    """Return the connection string of an empty database, on each version in turn."""
    with fresh_database(any_server) as dsn:
        yield dsn


@pytest.fixture
def migrated_database(server: EmbeddedPostgres) -> Iterator[str]:
    """Return the connection string of a migrated database on the bundled version."""
    with fresh_migrated_database(server) as dsn:
        yield dsn


@pytest.fixture
def any_migrated_database(any_server: EmbeddedPostgres) -> Iterator[str]:
    """Return the connection string of a migrated database, on each version in turn."""
    with fresh_migrated_database(any_server) as dsn:
        yield dsn


@contextmanager
def fresh_migrated_database(server: EmbeddedPostgres) -> Iterator[str]:
    """Do as `fresh_database`, and have it migrated: once per server, of which every such database is a copy."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        made = admin.execute("select from pg_database where datname = %s and not datallowconn", [MIGRATED]).fetchone()
        if made is None:
            admin.execute(sql.SQL("create database {} template template0").format(sql.Identifier(MIGRATED)))
            migrate(server.dsn(MIGRATED))
            admin.execute(sql.SQL("alter database {} allow_connections false").format(sql.Identifier(MIGRATED)))
    with fresh_database(server, template=MIGRATED) as dsn:
        yield dsn


@contextmanager
def fresh_database(server: EmbeddedPostgres, *, template: str = "template0") -> Iterator[str]:
    """Create a database and drop it afterwards, with the replication slots that the test left in it."""
    name = f"t_{secrets.token_hex(6)}"
    # by copying files: without fsync that takes half the time of writing every page of the template into the log
    create = sql.SQL("create database {} template {} strategy file_copy")
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield server.dsn(name)
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            _drop_slots(admin, name)
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _drop_slots(admin: psycopg.Connection, database: str) -> None:
    deadline_s = time.monotonic() + DROP_LIMIT_S
    while slots := admin.execute(
        "select slot_name, active_pid from pg_replication_slots where database = %s", [database]
    ).fetchall():
        for slot, active_pid in slots:
            if active_pid is not None:
                admin.execute("select pg_terminate_backend(%s, 1000)", [active_pid])
            try:
                admin.execute("select pg_drop_replication_slot(%s)", [slot])
            except (psycopg.errors.ObjectInUse, psycopg.errors.UndefinedObject):
                if time.monotonic() > deadline_s:
                    raise


@pytest.fixture
def make_login() -> Iterator[MakeLogin]:
    """Create roles with a password: `make_login(dsn, "REPLICATION")` returns `dsn` for the new role."""
    made: list[tuple[str, str]] = []

    def make(dsn: str, attributes: str = "") -> str:
        name, password = f"r_{secrets.token_hex(6)}", secrets.token_hex(8)
        statement = sql.SQL("create role {} login password {} " + attributes)
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(statement.format(sql.Identifier(name), sql.Literal(password)))
        made.append((dsn, name))
        return make_conninfo(dsn, user=name, password=password)

    yield make
    for dsn, name in made:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = %s", [name])
            admin.execute(sql.SQL("drop owned by {} cascade").format(sql.Identifier(name)))
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@pytest.fixture
def breakable(database: str) -> Iterator[BreakableProxy]:
    """Return a proxy in front of `database` whose connections can be cut, refused and frozen; connect to its `dsn`."""
    with proxied(database) as proxy:
        yield proxy


@pytest.fixture
def any_breakable(any_database: str) -> Iterator[BreakableProxy]:
    """Return a proxy in front of `any_database`."""
    with proxied(any_database) as proxy:
        yield proxy


@contextmanager
def proxied(dsn: str) -> Iterator[BreakableProxy]:
    """Put a breakable proxy in front of any server that listens on a unix socket."""
    given = conninfo_to_dict(dsn)
    name = f".s.PGSQL.{given['port']}"
    with open_folder() as folder:
        target = Path(str(given["host"])) / name
        with BreakableProxy(folder / name, target, dsn=make_conninfo(dsn, host=str(folder))) as proxy:
            yield proxy
