"""Decides where the embedded server's files live, and prepares those folders. Starts nothing.

Postgres refuses to run as root. So for root it runs as the folder's owner or as `nobody`, and what that account cannot
reach moves: the data to /var/lib/tidewire with a link left behind, the programs as a copy to /var/cache/tidewire.
"""

import hashlib
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from tidewire.model.errors import EmbeddedPostgresError
from tidewire.postgres.embedded_account import Account, own_folder, reachable, root_folder, server_account
from tidewire.postgres.embedded_config import ServerFiles
from tidewire.postgres.embedded_process import end, running

STATE_ROOT = Path("/var/lib/tidewire")
LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103  # bytes of sockaddr_un.sun_path without its NUL
LONGEST_SOCKET_NAME = len("/.s.PGSQL.65535")


class Place(Struct, frozen=True):
    """The folders of one server: `data_dir` is what the user named, `home` is where the account can work."""

    data_dir: Path
    home: Path
    account: Account

    @property
    def pgdata(self) -> Path:
        return self.home / "pgdata"

    @property
    def unfinished(self) -> Path:
        """Where initdb works, so that `pgdata` is either complete or absent."""
        return self.home / "pgdata.new"

    @property
    def config(self) -> Path:
        return self.home / "conf" / "postgresql.conf"

    @property
    def log(self) -> Path:
        return self.data_dir / "postgres.log"

    def files(self, sockets: Path) -> ServerFiles:
        """Name the files that the configuration refers to."""
        hba, ident = self.config.with_name("pg_hba.conf"), self.config.with_name("pg_ident.conf")
        return ServerFiles(data=str(self.pgdata), hba=str(hba), ident=str(ident), sockets=str(sockets))


def open_data_dir(data_dir: Path) -> Path:
    """Create the folder if need be and return its real path; lock it before `prepare_place`."""
    try:
        data_dir.mkdir(parents=True)
    except FileExistsError:
        if not data_dir.is_dir():
            raise
    else:
        data_dir.chmod(0o755 if os.geteuid() == 0 else 0o700)  # whatever the umask says
    data_dir = data_dir.resolve()
    with suppress(FileExistsError), (data_dir / ".gitignore").open("x", encoding="utf-8") as ignore:
        ignore.write("*\n")
    return data_dir


def prepare_place(data_dir: Path) -> Place:
    """Choose the account and the home of the server's files, and create what is missing. OSErrors pass through."""
    account = server_account(data_dir)
    place = Place(data_dir=data_dir, home=_home(data_dir, account), account=account)
    for folder in (place.home, place.config.parent):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)
    return place


def _home(data_dir: Path, account: Account) -> Path:
    link = data_dir / "pgdata"
    outside = STATE_ROOT / _digest(data_dir)
    ours = link.is_symlink() and link.readlink() == outside / "pgdata"
    if not ours and (os.geteuid() == account.uid or reachable(data_dir, account)):
        return data_dir
    if not ours and link.exists():
        raise EmbeddedPostgresError(
            f"opening {link}: the account {account.name}, to which it belongs, may not enter a folder above it",
            hint=f"allow it with chmod o+x on the folders above {data_dir}, or choose another TIDEWIRE_DATA_DIR",
        )
    root_folder(STATE_ROOT)
    if not ours:
        _set_aside(outside)
        link.symlink_to(outside / "pgdata")
    return outside


def _set_aside(outside: Path) -> None:
    """Keep one older copy when the link to it was deleted: whoever removed the data folder wants to begin afresh."""
    if not outside.exists():
        return
    if orphan := running(outside / "pgdata"):
        end(orphan, outside / "pgdata")
    older = outside.with_suffix(".old")
    if older.exists():
        shutil.rmtree(older)
    outside.rename(older)


def socket_folder(place: Place) -> Path:
    """Return a folder that only the account may enter and whose name leaves room for a socket."""
    folder = place.home / "run"
    # libpq reads a comma in `host` as a list, and there is no way to quote it
    if len(os.fsencode(folder)) + LONGEST_SOCKET_NAME > LONGEST_SOCKET_PATH or "," in str(folder):
        name = f"tidewire-{place.account.uid}-{_digest(place.data_dir)}"
        folder = Path("/tmp", name)  # noqa: S108 - own_folder checks that nobody else made it
    own_folder(folder, place.account)
    return folder


def write_file(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a file in one step, never following a link that someone left in its place."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
    fresh.replace(path)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
