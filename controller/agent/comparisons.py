"""When API server, ledger and engine are compared: from time to time, and when there is a reason.

One comparison at a time. What one does is the resync's.
"""

import asyncio
from collections.abc import Awaitable, Callable

from controller.agent import resync
from controller.reconcile.queue import WorkQueue
from controller.reconcile.services import Services


class Comparisons:
    """The comparisons of one agent."""

    def __init__(self, services: Services, queue: WorkQueue) -> None:
        """Nothing was compared so far."""
        self._services = services
        self._queue = queue
        self._wanted, self._comparing = asyncio.Event(), asyncio.Lock()

    def look_again(self) -> None:
        """Compare soon, and wake all: the engine or the ledger is back, say."""
        self._wanted.set()
        for key in self._queue.known():
            self._queue.wake(key)

    async def keep(self, before: Callable[[], Awaitable[None]]) -> None:
        """Compare until cancelled; ``before`` is done ahead of each wait for the next time.

        The first comparison of a process is not made here: it is the fence's.
        """
        settings = self._services.settings
        period = min(settings.resync_interval, settings.collect_interval)
        self._wanted.clear()
        while True:
            await before()
            try:
                async with asyncio.timeout(period):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            await self.once()

    async def once(self) -> bool:
        """Compare now, and tell whether it could be done; see `resync.once`."""
        async with self._comparing:
            return await resync.once(self._services, self._queue)
