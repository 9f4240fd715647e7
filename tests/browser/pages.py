"""Serves files of the test run to a browser, by their names."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Files(SimpleHTTPRequestHandler):
    """Looks for a name in one folder after the other, and logs nothing."""

    def __init__(self, *arguments: object, folders: tuple[Path, ...], **options: object) -> None:
        self.folders = folders
        super().__init__(*arguments, **options)  # type: ignore[arg-type]  # whatever the server hands over

    def translate_path(self, path: str) -> str:
        name = Path(path.partition("?")[0]).name
        return str(next((found for folder in self.folders if (found := folder / name).is_file()), ""))

    def guess_type(self, path: Any) -> str:
        return "text/html" if str(path).endswith(".html") else "text/javascript"

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving_files(*folders: Path) -> Iterator[str]:
    """Serve what lies in these folders; yields the address, without a slash at its end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, folders=folders)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
