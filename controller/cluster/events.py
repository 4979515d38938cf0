"""Kubernetes Events about our objects: once per change of state, and never in the way.

Events are sent from a queue of their own; one that cannot be sent is logged and dropped, since no
work may wait for the telling of it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import uuid4

from controller.cluster.client import EVENTS, Cluster, Object
from controller.cluster.errors import ApiError, ApiUnavailable
from controller.cluster.holds import LONGEST

logger = logging.getLogger(__name__)

MESSAGE_LIMIT: Final = 1024
"""The API server refuses a longer note in an Event, in bytes."""
QUEUE_LIMIT: Final = 10_000
RESTRAINT: Final = 9
"""While others are busy, pauses between Events are this many times as long as sending one took."""

EventType = Literal["Normal", "Warning"]


class Recorder:
    """Sends Events for one component, in order, in the background."""

    def __init__(
        self,
        cluster: Cluster,
        component: str,
        host: str = "",
        *,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """``component`` and ``host`` are the Event's source.

        While ``is_busy`` the API server is left to those who need it for more than telling.
        """
        self._cluster = cluster
        self._source = {"component": component} | ({"host": host} if host else {})
        self._is_busy = is_busy
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue(QUEUE_LIMIT)

    def event(self, about: Object, kind: EventType, reason: str, message: str) -> None:
        """Queue an Event about an object (as read: apiVersion, kind, metadata)."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            self._queue.put_nowait(_Entry(_reference(about), kind, reason, message, now))
        except asyncio.QueueFull:
            logger.warning("Dropped an Event about %s: %s", about["metadata"]["name"], reason)

    async def run(self) -> None:
        """Send what is queued until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            entry = await self._queue.get()
            begun = clock()
            await self._send(entry)
            if self._is_busy():
                await asyncio.sleep(RESTRAINT * (clock() - begun))

    async def flush(self, deadline: float = 2.0) -> None:
        """Send what is left, for ``deadline`` seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                while not self._queue.empty():
                    await self._send(self._queue.get_nowait())

    async def _send(self, entry: "_Entry") -> None:
        name, namespace = entry.about["name"], entry.about.get("namespace") or "default"
        body = {
            "metadata": {"name": f"{name[:200].rstrip('-.')}.{uuid4().hex[:16]}"},
            "involvedObject": entry.about,
            "type": entry.kind,
            "reason": entry.reason,
            "message": entry.message.encode()[:MESSAGE_LIMIT].decode(errors="ignore"),
            "source": self._source,
            "firstTimestamp": entry.time,
            "lastTimestamp": entry.time,
            "count": 1,
        }
        try:
            await self._create(body, namespace)
        except ApiError as error:
            logger.info("Dropped an Event about %s: %s", name, error)

    async def _create(self, body: Object, namespace: str) -> None:
        """Create an Event, when the API server has told for once when it has time for it."""
        try:
            await self._cluster.create(EVENTS, body, namespace)
        except ApiUnavailable as error:
            if error.retry_after is None:
                raise  # it may even have been made
            await asyncio.sleep(min(LONGEST, error.retry_after))
            await self._cluster.create(EVENTS, body, namespace)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An Event before it is written out: thousands may wait."""

    about: dict[str, Any]
    kind: EventType
    reason: str
    message: str
    time: str


def _reference(about: Object) -> dict[str, Any]:
    meta = about["metadata"]
    reference = {
        "apiVersion": about.get("apiVersion"),
        "kind": about.get("kind"),
        "name": meta["name"],
        "namespace": meta.get("namespace"),
        "uid": meta["uid"],
        "resourceVersion": meta.get("resourceVersion"),
    }
    return {key: value for key, value in reference.items() if value}
