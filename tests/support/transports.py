"""The ways to the server that one suite is passed on, each with its client."""

from typing import Final

from tests.support.live_client import LiveClient
from tests.support.long_poll_client import LongPollClient
from tests.support.server import RealtimeServer, token
from tests.support.sse_client import SseClient

PATHS: Final = {"websocket": "direct", "websocket_asgi": "asgi", "sse": "direct", "longpoll": "direct"}
"""Each transport, and the kind of server that it is tried on: see `WEBSOCKET_CLASSES`."""

ADDRESSES: Final = {
    "websocket": "/realtime/v1/websocket",
    "websocket_asgi": "/realtime/v1/websocket",
    "sse": "/realtime/v1/sse",
    "longpoll": "/realtime/v1/longpoll",
}


def connect(server: RealtimeServer, transport: str, *, vsn: str = "2.0.0", apikey: str | None = None) -> LiveClient:
    """Connect a client in one of these ways."""
    key = apikey or token()
    match transport:
        case "sse":
            return SseClient(server.url, apikey=key, vsn=vsn)
        case "longpoll":
            return LongPollClient(server.url, apikey=key, vsn=vsn)
        case _:
            return server.connect(vsn=vsn, apikey=key)
