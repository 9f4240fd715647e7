"""Chooses the operating system account that runs the embedded server, and checks which folders it may use."""

import os
import pwd
import stat
from pathlib import Path
from typing import Any

from msgspec import Struct

from tidewire.model.errors import EmbeddedPostgresError

UNPRIVILEGED_ACCOUNT = "nobody"


class Account(Struct, frozen=True):
    """The operating system account that runs the server."""

    name: str
    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """Return what subprocess needs to run as this account: nothing if we already do."""
        if os.geteuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def server_account(data_dir: Path) -> Account:
    """Choose the account: ourselves, or for root the owner of the existing data, else an account without privileges."""
    uid = os.geteuid()
    if uid != 0:
        return _account_of(uid)
    for folder in (data_dir / "pgdata", data_dir):
        if folder.exists() and (owner := folder.stat().st_uid) != 0:
            return _account_of(owner)
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_ACCOUNT)
    except KeyError:
        raise EmbeddedPostgresError(
            f"choosing an account: Postgres does not run as root, and there is no account {UNPRIVILEGED_ACCOUNT}",
            hint="run Tidewire as a normal user, or set DATABASE_URL",
        ) from None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _account_of(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedPostgresError(
            f"choosing an account: expected user {uid} in /etc/passwd, where Postgres looks it up, but it is not there",
            hint="run as a user that /etc/passwd lists, or set DATABASE_URL",
        ) from None
    return Account(name=entry.pw_name, uid=uid, gid=entry.pw_gid)


def reachable(path: Path, account: Account) -> bool:
    """Tell whether the account may pass every folder down to `path` and enter or read it."""
    path = path.resolve()
    return all(_may_enter(folder.stat(), account) for folder in (path, *path.parents))


def _may_enter(found: os.stat_result, account: Account) -> bool:
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def own_folder(folder: Path, account: Account) -> None:
    """Make sure that `folder` is a private folder of the account."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        if os.geteuid() != account.uid:
            os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or found.st_mode & 0o077:
        raise EmbeddedPostgresError(
            f"opening {folder}: expected a private folder of user {account.name}, got one that others control",
            hint=f"remove {folder}",
        )


def root_folder(folder: Path) -> None:
    """Make sure that `folder` exists and only root may change it."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # whatever the umask says
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise EmbeddedPostgresError(
            f"opening {folder}: expected a folder that only root may change, got another",
            hint=f"check it, then remove it: {folder}",
        )
