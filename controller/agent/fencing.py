"""Keeps the fence: an agent that was cut off takes away what was moved before it launches anything.

The fence closes when the Lease was not renewed for its duration, since from then on the manager may
count the node as lost, and is closed when the agent starts. It opens after a renewal, a comparison
with the API server made after that, and the end of everything that the comparison has found not to
be this node's own; or when that end is not reached in time, so that an engine which cannot remove
one container does not keep all instances waiting for ever.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from controller.cluster.lease import Lease
from controller.reconcile.fence import Fence

logger = logging.getLogger(__name__)

PATIENCE: Final = 60.0
"""Seconds that launches wait for the end of what is no longer this node's own."""
RETRY: Final = 2.0
"""Seconds between two tries of the comparison."""


async def keep(
    fence: Fence,
    lease: Lease,
    compare: Callable[[], Awaitable[bool]],
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Open and close the fence until cancelled; it is closed, and the Lease held, at first.

    ``compare`` makes a comparison from beginning to end, and tells whether it could; ``opened`` is
    called each time that launches go on.
    """
    while True:
        while not await _through(fence, lease, compare):
            await lease.renewed()
        fence.open()
        opened()
        await lease.lapsed()
        logger.warning("The Lease %s has lapsed: nothing is launched until it is back", lease.name)
        fence.close()
        await lease.renewed()


async def _through(fence: Fence, lease: Lease, compare: Callable[[], Awaitable[bool]]) -> bool:
    """Compare and wait for the end of what is not ours; False when the Lease lapsed meanwhile."""
    while True:
        if await compare():
            break
        await asyncio.sleep(RETRY)
    if left := await fence.settled(PATIENCE):
        logger.warning(
            "Launching again, though %d instances that are no longer of this node are still here",
            len(left),
        )
    return lease.silence <= lease.duration
