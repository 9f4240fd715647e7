"""nginx with the nchan module, one worker: the generator needs the other core."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from benchmarks.compare.installing import debian_packages, libraries
from tidewire.bench.client_bytes import upgrade_request
from tidewire.bench.process import free_port, server_process
from tidewire.bench.subject import MESSAGE_BYTES, Dialogue, Running

CONFIG = """
load_module {module};
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {slots}; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  nchan_message_buffer_length 1000;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location = /subscribe {{
      nchan_subscriber websocket;
      nchan_subscriber_first_message newest;
      nchan_channel_id bench;
    }}
    location = /publish {{
      nchan_publisher;
      nchan_channel_id bench;
    }}
  }}
}}
"""

"""The user is the only one of the namespace below."""

APART = ("unshare", "--map-root-user", "--mount", "sh", "-c")
SCRIPT = 'mount -t tmpfs none /var/lib && mkdir /var/lib/nginx && exec "$@"'
"""The module insists on a folder in /var/lib. It gets one that nobody else sees."""


class Nchan:
    name = "nchan"
    needs: ClassVar = {1_000: 1.0, 5_000: 1.0, 10_000: 1.0}

    def __init__(self, place: Path) -> None:
        self._place = place

    @contextmanager
    def start(self, folder: Path, *, connections: int) -> Iterator[Running]:
        root = debian_packages(self._place, "libnginx-mod-nchan", "nginx")
        module = root / "usr/lib/nginx/modules/ngx_nchan_module.so"
        port = free_port()
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(module=module, folder=folder, port=port, slots=2 * connections))
        publish = (
            f"POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {MESSAGE_BYTES}\r\n\r\n{'x' * MESSAGE_BYTES}"
        )
        dialogue = Dialogue(request=upgrade_request("/subscribe", port), publish=[publish.encode()])
        command: list[str | Path] = [
            *APART,
            SCRIPT,
            "nginx",
            root / "usr/sbin/nginx",
            "-p",
            folder,
            "-c",
            config,
            "-e",
            folder / "error.log",
        ]
        with server_process(command, port=port, folder=folder, environ=libraries(root), family=True) as process:
            yield Running(process, port, dialogue)
