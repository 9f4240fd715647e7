"""The same puppet as js/puppet.mjs for PyPI's `realtime`, in an environment of its own: our `websockets` is newer.

Commands are lines on stdin, what happens are lines on stdout; changes and broadcasts are told in supabase-js's words.
"""

import asyncio
import base64
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient

clients: dict[str, AsyncRealtimeClient] = {}
channels: dict[str, AsyncRealtimeChannel] = {}


def tell(**message: Any) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 - these lines are the program's answer


class Complaints(logging.Handler):
    """A frame that the client cannot read is logged and otherwise lost: the test must hear of it."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Unrecognized message format"):
            tell(complaint=record.getMessage())


def given(payload: Any) -> Any:
    return base64.b64decode(payload["$bytes"]) if isinstance(payload, dict) and "$bytes" in payload else payload


def change_told(payload: Mapping[str, Any]) -> dict[str, Any]:
    data = payload["data"]
    return {
        **{name: data[name] for name in ("schema", "table", "commit_timestamp", "errors")},
        "eventType": data["type"],
        "new": data.get("record") or {},
        "old": data.get("old_record") or {},
    }


def listen(
    channel: AsyncRealtimeChannel,
    name: str,
    *,
    broadcast: Sequence[str],
    presence: bool,
    changes: Sequence[Mapping[str, Any]],
) -> None:
    def hear(heard: str, **values: Any) -> None:
        tell(channel=name, heard=heard, **values)

    def hear_change(index: int) -> Callable[[Any], None]:
        return lambda payload: hear("change", binding=index, payload=change_told(payload))

    channel.on_system(lambda payload: hear("system", payload=dict(payload)))
    for event in broadcast:
        channel.on_broadcast(
            event, lambda sent: hear("broadcast", event=sent["event"], payload=sent["payload"], meta=sent.get("meta"))
        )
    if presence:
        channel.on_presence_sync(lambda: hear("sync", state=channel.presence_state()))
        channel.on_presence_join(lambda key, _, new: hear("join", key=key, presences=new))
        channel.on_presence_leave(lambda key, _, left: hear("leave", key=key, presences=left))
    for index, binding in enumerate(changes):
        channel.on_postgres_changes(callback=hear_change(index), **binding)


async def connect(*, client: str, url: str, key: str, token: str | None, realtime: dict[str, Any]) -> None:
    made = AsyncRealtimeClient(f"{url}/realtime/v1", key, **realtime)
    clients[client] = made
    if token:
        await made.set_auth(token)


async def make_channel(*, client: str, channel: str, topic: str, config: dict[str, Any], **wishes: Any) -> None:
    made = clients[client].channel(topic, {"config": {"broadcast": None, "presence": None, "private": False, **config}})
    listen(made, channel, **wishes)
    channels[channel] = made


async def subscribe(*, channel: str) -> None:
    """Answer at once, as the JavaScript client does; what becomes of it is a status."""

    def on_status(status: Any, error: Exception | None) -> None:
        tell(channel=channel, heard="status", status=status.value, error=None if error is None else str(error))

    async def join() -> None:
        try:
            await channels[channel].subscribe(on_status)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to see it
            tell(channel=channel, heard="status", status="CHANNEL_ERROR", error=str(error))

    in_background(join())


async def send(*, channel: str, event: str, payload: Any) -> str:
    made = channels[channel]
    if not (made.params["config"].get("broadcast") or {}).get("ack"):
        await made.send_broadcast(event, payload)
        return "ok"
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    push = await made.push("broadcast", {"type": "broadcast", "event": event, "payload": payload})
    for status in ("ok", "error"):
        push.receive(status, lambda _, status=status: answer.set_result(status))
    push.receive("timeout", lambda: answer.set_result("timed out"))
    return await answer


async def http_send(*, channel: str, event: str, payload: Any) -> None:
    await channels[channel].http_send(event, given(payload))


async def track(*, channel: str, payload: dict[str, Any]) -> None:
    await channels[channel].track(payload)


async def untrack(*, channel: str) -> None:
    await channels[channel].untrack()


async def unsubscribe(*, channel: str) -> None:
    await channels[channel].unsubscribe()


async def set_auth(*, client: str, token: str) -> None:
    await clients[client].set_auth(token)


async def disconnect(*, client: str) -> None:
    await clients[client].close()


async def close(*, client: str) -> None:
    await clients.pop(client).remove_all_channels()


VERBS: dict[str, Callable[..., Awaitable[Any]]] = {
    "connect": connect,
    "channel": make_channel,
    "subscribe": subscribe,
    "send": send,
    "http_send": http_send,
    "track": track,
    "untrack": untrack,
    "unsubscribe": unsubscribe,
    "set_auth": set_auth,
    "disconnect": disconnect,
    "close": close,
}

_running: set[asyncio.Task[None]] = set()


def in_background(work: Any) -> None:
    task = asyncio.get_running_loop().create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)


async def obey(line: str) -> None:
    command = json.loads(line)
    number, verb = command.pop("id"), command.pop("verb")
    try:
        tell(id=number, result=await VERBS[verb](**command))
    except Exception as error:  # noqa: BLE001 - the test decides what an error means
        tell(id=number, error=f"{type(error).__name__}: {error}")


async def main() -> None:
    logging.basicConfig()  # to stderr, which is shown when a test fails
    logging.getLogger("realtime").addHandler(Complaints())
    while line := await asyncio.to_thread(sys.stdin.readline):
        in_background(obey(line))


asyncio.run(main())
