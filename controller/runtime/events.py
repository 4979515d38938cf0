"""What the engine tells of containers and networks as it happens.

Responsible for reading the engine's event stream in a thread of its own. Events are hints: the
engine drops and merges them, so nobody may conclude from one more than that a look is due.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import docker
from docker.types.daemon import CancellableStream

from controller.runtime import labels, transport
from controller.runtime.errors import EngineUnavailable

# Only these, so that other programs' health checks (an exec each) do not wake us.
_ACTIONS = ("start", "die", "oom", "destroy", "pause", "unpause", "rename", "stop", "kill")


@dataclass(frozen=True)
class Event:
    """One change: `type` is "container", "network" or "engine"; `time` is in ms UTC.

    `name` is the engine's; `uid` and `container` are of the instance, where the engine tells them
    (of a network it tells the name only).
    """

    type: str
    action: str
    name: str = ""
    uid: str | None = None
    container: str | None = None
    time: int = 0


CONNECTED = Event("engine", "connected")


class _Reader:
    """The thread that reads, and the way to stop it."""

    def __init__(self, connect: Callable[[], docker.APIClient], url: str) -> None:
        self.queue: asyncio.Queue[Event | BaseException] = asyncio.Queue()
        self._connect = connect
        self._url = url
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._stream: CancellableStream[dict[str, Any]] | None = None
        self._stopped = False

    def read(self, installation: str) -> None:
        """Read until the stream ends or is stopped; the last thing told is why."""
        reason: BaseException = EngineUnavailable(
            f"Docker engine at {self._url}: the event stream ended"
        )
        try:
            client = self._connect()
            try:
                self._tell_all(client, installation)
            finally:
                client.close()
        except BaseException as error:  # noqa: BLE001 - carried over to the task that awaits it
            reason = transport.fault(error, effect=False, url=self._url)
        self._tell(reason)

    def stop(self) -> None:
        """End the thread's read at once. May be called more than once."""
        with self._lock:
            self._stopped = True
            stream = self._stream
        if stream is not None:
            with contextlib.suppress(OSError):  # closed already, by either side
                stream.close()

    def _tell_all(self, client: docker.APIClient, installation: str) -> None:
        filters = {"type": ["container", "network"], "event": list(_ACTIONS)}
        stream = client.events(filters=filters, decode=True)
        with self._lock:
            self._stream = stream
            stopped = self._stopped
        if stopped:
            return self.stop()
        self._tell(CONNECTED)
        for raw in stream:
            event = parse(raw, installation)
            if event is not None:
                self._tell(event)
        return None

    def _tell(self, told: Event | BaseException) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self.queue.put_nowait, told)


async def follow(
    connect: Callable[[], docker.APIClient], url: str, installation: str
) -> AsyncGenerator[Event]:
    """Events of an installation's containers, and of all networks with our kind of name.

    Raises EngineUnavailable when the stream cannot be had, or ends.
    """
    reader = _Reader(connect, url)
    threading.Thread(
        target=reader.read, args=(installation,), name="docker-events", daemon=True
    ).start()
    try:
        while True:
            told = await reader.queue.get()
            if isinstance(told, BaseException):
                raise told
            yield told
    finally:
        reader.stop()


def parse(raw: dict[str, Any], installation: str) -> Event | None:
    """One event of the engine's, or None when it is no concern of this installation's.

    The engine cannot be asked for this by label: it gives networks' events no labels.
    """
    actor = raw.get("Actor") or {}
    told = actor.get("Attributes") or {}
    kind, name = raw.get("Type", ""), told.get("name", "")
    if kind == "container" and told.get(labels.INSTALLATION) != installation:
        return None
    if kind == "network" and not name.startswith(labels.NAME_PREFIX):
        return None
    if kind not in ("container", "network"):
        return None
    return Event(
        type=kind,
        action=raw.get("Action", ""),
        name=name,
        uid=told.get(labels.INSTANCE_UID),
        container=told.get(labels.CONTAINER),
        time=int(raw.get("timeNano", 0)) // 1_000_000,
    )
