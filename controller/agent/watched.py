"""What the watch tells of this node's instances: who is woken by it, and what it leaves to be used.

It decides nothing about an instance. A watch loses events and can lag, so what it tells is a
wake-up and a hint.
"""

import asyncio
from typing import Final

from controller.cluster.client import Object
from controller.reconcile.queue import Key, WorkQueue
from controller.reconcile.services import Services

ECHO: Final = 0.1
"""Seconds within which a write is answered whose echo has come already."""


class Watched:
    """The way from the watch to the work queue."""

    def __init__(self, services: Services, queue: WorkQueue) -> None:
        """Nothing was told so far."""
        self._services = services
        self._queue = queue

    def changed(self, key: Key, read: Object, deleted: bool) -> None:
        """The instance is this now, or was when it was deleted or left the selector.

        Wakes it, unless this is the echo of what its own reconcile has written.
        """
        if read["metadata"].get("deletionTimestamp"):
            self._services.hold.deleting(key.uid)
        if deleted:
            self._services.recent.forget(key.uid)
            self._queue.wake(key)
        elif self._is_new(key, read) and self._queue.running(key.uid):
            # The watch can be faster than the answer to the write that it tells of.
            asyncio.get_running_loop().call_later(ECHO, self._wake_if_new, key, read)
        elif self._is_new(key, read):
            self._services.recent.note(read)
            self._queue.wake(key)

    def _wake_if_new(self, key: Key, read: Object) -> None:
        if self._is_new(key, read):
            # What was read or written meanwhile may be older than this, or younger: read it.
            self._services.recent.forget(key.uid)
            self._queue.wake(key)

    def _is_new(self, key: Key, read: Object) -> bool:
        version: str = read["metadata"]["resourceVersion"]
        return self._services.seen.get(key.uid) != version
