"""Where transactions that are still running lie: in files without names, gone with the process however it ends."""

import tempfile
from contextlib import suppress
from typing import Final

BUFFER_BYTES: Final = 128 * 1024


class FileSpool:
    """Bytes in the folder for temporary files (`TMPDIR`). Close it when nobody needs them any more."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="tidewire-", buffering=BUFFER_BYTES)  # noqa: SIM115 - closed by its owner

    def append(self, data: bytes, /) -> None:
        """Add bytes behind all others."""
        self._file.write(data)

    def truncate(self, size: int, /) -> None:
        """Forget everything behind so many bytes."""
        self._file.seek(size)
        self._file.truncate()

    def rewind(self) -> None:
        """Read from the start from now on."""
        self._file.seek(0)

    def read(self, size: int, /) -> bytes:
        """Return the next so many bytes."""
        data: bytes = self._file.read(size)
        return data

    def close(self) -> None:
        """Forget everything."""
        with suppress(OSError):  # it tries to write what it still holds
            self._file.close()
