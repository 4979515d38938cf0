"""Looks again and again at how much containers have written, while the engine answers.

It must not decide anything: that is the part of `reconcile.storage`.
"""

import asyncio
import logging

from controller.reconcile import storage
from controller.reconcile.services import Services
from controller.runtime.errors import RuntimeFault

logger = logging.getLogger(__name__)


async def keep_sampling(services: Services) -> None:
    """Look every ``storage_interval`` seconds until cancelled; a look that fails is logged."""
    while True:
        await asyncio.sleep(services.settings.storage_interval)
        if services.engine_problem:
            continue
        try:
            await storage.sample(services)
        except RuntimeFault as error:
            logger.warning("Cannot see how much containers have written: %s", error.message)
