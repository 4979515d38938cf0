"""Release: ports, subnet and row of a removed instance go back to the ledger."""

import logging
from collections.abc import Set

from controller.ledger import Ledger
from controller.reconcile import teardown
from controller.reconcile.ownnetworks import owners
from controller.reconcile.result import DONE, Result
from controller.reconcile.services import Services
from controller.runtime import containers
from controller.runtime.errors import RuntimeFault

logger = logging.getLogger(__name__)


async def release(services: Services, uid: str) -> Result:
    """Give everything back that the ledger holds for the uid; nothing held is fine."""
    await teardown.free(services, uid)
    services.attempts.succeed(uid)
    services.starved.pop(uid, None)
    services.unanswered.pop(uid, None)
    services.seen.pop(uid, None)
    services.recent.forget(uid)
    services.stopping.pop(uid, None)
    services.storage.forget(uid)
    services.gate.release(uid)
    services.wake_starved()
    return DONE


async def tidy(services: Services) -> None:
    """Remove all networks when no instance is on the node; at the next comparison, if it fails.

    One that is kept as an object when its time is over counts for none. Spare networks stay where
    the operator wants some to be there before the first instance is.
    """
    if not services.started:
        return  # the ledger may not know yet what runs
    left = await services.book(Ledger.uids)
    if left:
        return
    try:
        await services.bridges.tidy()
        await networks(services, keep=services.settings.prepared_networks > 0)
    except RuntimeFault as error:
        logger.warning("Cannot remove the networks that nobody uses: %s", error.message)


async def networks(
    services: Services, *, used: Set[str] | None = None, keep: bool = True
) -> list[str]:
    """Remove the instances' networks whose owners are gone; their names.

    One that a container is on goes after it: ``used`` are these by name, where they are known
    already. Spare ones stay unless ``keep`` is false. Raises RuntimeFault, LedgerError.
    """
    settings = services.settings
    if used is None:
        found = await containers.list_containers(
            services.engine, installation=settings.installation, node=settings.node_name
        )
        used = {state.network for state in found}
    # Of whatever range: instances of before it was changed have theirs.
    known = await services.book(owners)
    return await services.own_networks.collect(known, used=used, keep=keep)
