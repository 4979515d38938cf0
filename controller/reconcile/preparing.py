"""Networks made ahead of the instances that will need them, while the engine has nothing to do.

One at a time, under the launch gate, and only while nobody is at it or waits for it. The ledger
holds the subnet meanwhile, so that no launch is given it half made. It removes nothing.
"""

import asyncio
import logging
from functools import partial
from typing import Final

from controller.ledger import Ledger, LedgerError, SubnetsExhausted
from controller.reconcile import freesubnet, gate, release
from controller.reconcile.clock import milliseconds
from controller.reconcile.services import Services
from controller.runtime.errors import RuntimeFault
from controller.runtime.labels import Owner

PERIOD: Final = 1.0
"""Seconds between two looks whether there is time for it."""
RETRY: Final = 60.0
"""Seconds of rest after it has failed."""
NOBODY: Final = "prepared-network"
"""Who holds the slot and the subnet; no uid."""

logger = logging.getLogger(__name__)


async def keep_preparing(services: Services) -> None:
    """Have ``CHALLENGE_PREPARED_NETWORKS`` spare ones there until cancelled."""
    known = False
    while True:
        await asyncio.sleep(PERIOD)
        try:
            if not known and services.started and not services.engine_problem:
                await release.networks(services)  # an earlier process may have made some
                known = True
            while known and await prepare(services):
                pass
        except (RuntimeFault, LedgerError) as error:
            logger.warning("Cannot make a network ahead: %s", error)
            await asyncio.sleep(RETRY)


async def prepare(services: Services) -> bool:
    """Make one if some are wanted and there is time; whether it did.

    Raises RuntimeFault, LedgerError.
    """
    own, slots = services.own_networks, services.gate
    if own.prepared >= services.settings.prepared_networks:
        return False
    if services.engine_problem or services.unsafe or not services.started:
        return False
    if slots.waiting or slots.held:
        return False
    try:
        return slots.request(NOBODY, gate.Work.LAUNCH) and await _make(services)
    except SubnetsExhausted:
        return False  # instances have them all
    finally:
        slots.release(NOBODY)


async def _make(services: Services) -> bool:
    settings, own = services.settings, services.own_networks
    owner = Owner(settings.installation, settings.node_name, NOBODY, "", "", "")
    try:
        async with asyncio.timeout(settings.launch_timeout):
            return await freesubnet.with_free(services, NOBODY, partial(own.prepare, owner))
    except TimeoutError:
        return False
    finally:
        now = milliseconds(services.clock.now())
        await services.book(Ledger.free_subnet, NOBODY, now=now)
