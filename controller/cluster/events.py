"""Kubernetes Events about our objects: once per change of state, and never in the way.

Events are sent from a queue of their own; one that cannot be sent is logged and dropped, since no
work may wait for the telling of it.
"""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import uuid4

from controller.cluster.client import EVENTS, Cluster, Object
from controller.cluster.errors import ApiError

logger = logging.getLogger(__name__)

MESSAGE_LIMIT: Final = 1024
"""The API server refuses a longer note in an Event, in bytes."""
QUEUE_LIMIT: Final = 10_000

EventType = Literal["Normal", "Warning"]


class Recorder:
    """Sends Events for one component, in order, in the background."""

    def __init__(self, cluster: Cluster, component: str, host: str = "") -> None:
        """``component`` and ``host`` are the Event's source."""
        self._cluster = cluster
        self._source = {"component": component} | ({"host": host} if host else {})
        self._queue: asyncio.Queue[tuple[str, Object]] = asyncio.Queue(QUEUE_LIMIT)

    def event(self, about: Object, kind: EventType, reason: str, message: str) -> None:
        """Queue an Event about an object (as read: apiVersion, kind, metadata)."""
        meta = about["metadata"]
        namespace = meta.get("namespace") or "default"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "metadata": {"name": f"{meta['name'][:200].rstrip('-.')}.{uuid4().hex[:16]}"},
            "involvedObject": _reference(about),
            "type": kind,
            "reason": reason,
            "message": message.encode()[:MESSAGE_LIMIT].decode(errors="ignore"),
            "source": self._source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._queue.put_nowait((namespace, body))
        except asyncio.QueueFull:
            logger.warning("Dropped an Event about %s: %s", meta["name"], reason)

    async def run(self) -> None:
        """Send what is queued until cancelled."""
        while True:
            await self._send(*await self._queue.get())

    async def flush(self, deadline: float = 2.0) -> None:
        """Send what is left, for ``deadline`` seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                while not self._queue.empty():
                    await self._send(*self._queue.get_nowait())

    async def _send(self, namespace: str, body: Object) -> None:
        try:
            await self._cluster.create(EVENTS, body, namespace)
        except ApiError as error:
            logger.info("Dropped an Event about %s: %s", body["involvedObject"]["name"], error)


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
