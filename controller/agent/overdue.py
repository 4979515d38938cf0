"""The sweep behind the timers: whose time is over by the ledger is looked at again.

At most once a minute. It ends nothing itself: the instance's own reconcile does, or the manager
deletes the object.
"""

import asyncio
import logging
from typing import Final

from controller.ledger import Ledger, LedgerError
from controller.reconcile.clock import milliseconds
from controller.reconcile.queue import Key, WorkQueue
from controller.reconcile.services import Services

logger = logging.getLogger(__name__)

PERIOD: Final = 60.0
"""Seconds between two sweeps; the timer of each instance is exact, and survives no failed look."""


async def keep_sweeping(services: Services, queue: WorkQueue) -> None:
    """Sweep until cancelled."""
    while True:
        await asyncio.sleep(PERIOD)
        try:
            await sweep(services, queue)
        except LedgerError as error:
            logger.warning("Cannot look for instances whose time is over: %s", error)


async def sweep(services: Services, queue: WorkQueue) -> None:
    """Wake every instance whose time is over; raises LedgerError."""
    now = milliseconds(services.clock.now())
    for row in await services.book(Ledger.expired, now=now):
        queue.wake(Key(uid=row.uid, namespace=row.namespace, name=row.name))
