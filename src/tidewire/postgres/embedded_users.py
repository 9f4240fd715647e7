"""Counts who uses one embedded server, by file locks that the kernel releases even after kill -9. Knows no Postgres."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidewire.model.errors import EmbeddedPostgresError

TURN_LIMIT_S = 330.0  # longer than the longest start, crash recovery included
POLL_S = 0.02


class Users:
    """One user of the server in `folder`. Call `join` and `leave` only inside `turn`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    @contextmanager
    def turn(self) -> Iterator[int]:
        """Be the only one who starts or stops this server; waits for others, but not for ever.

        The turn lasts as long as any process has the descriptor open that this yields.
        """
        descriptor = self._open("start.lock")
        try:
            self._wait_for(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def join(self) -> None:
        """Count as a user from now on."""
        if self._descriptor is None:
            self._descriptor = self._open("users.lock")
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def leave(self) -> bool:
        """Stop counting as a user. True: nobody else is left, so stop the server before the turn ends."""
        if self._descriptor is None:
            return False
        descriptor, self._descriptor = self._descriptor, None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _open(self, name: str) -> int:
        path = self._folder / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        owner = self._folder.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:  # the folder's owner must be able to lock it later
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return descriptor

    def _wait_for(self, descriptor: int) -> None:
        deadline_s = time.monotonic() + TURN_LIMIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise EmbeddedPostgresError(
                        f"waiting to start: another process has been starting or stopping it for {TURN_LIMIT_S:.0f} s",
                        hint=f"see which process holds {self._folder / 'start.lock'}, and end it",
                    ) from None
                time.sleep(POLL_S)
            else:
                return
