"""Taking an instance's things away: containers, network, volumes and folder, ports.

By uid alone, so that it serves what the API server no longer knows as well. In this order: ports
go last, and only when the engine is known to hold none of them.
"""

import contextlib
import logging
from collections.abc import Iterable

from controller.api import conditions
from controller.cluster.client import Object
from controller.ledger import Ledger
from controller.reconcile import mounts
from controller.reconcile.clock import milliseconds
from controller.reconcile.services import Services
from controller.reconcile.work import Work
from controller.runtime import containers, labels
from controller.runtime.containers import ContainerState
from controller.runtime.errors import NotFound, OutcomeUnknown

logger = logging.getLogger(__name__)


async def existing(services: Services, uid: str, names: Iterable[str] = ()) -> list[ContainerState]:
    """The instance's containers on this node's engine, whatever their state.

    ``names`` are the engine's names of those that a launch makes. Each that is not listed is asked
    for: an engine that was started on a full disk has containers that it does not list.
    """
    installation = services.settings.installation
    found = await containers.list_containers(services.engine, installation=installation, uid=uid)
    for name in {*names} - {state.name for state in found}:
        with contextlib.suppress(NotFound):
            state = await containers.inspect(services.engine, name)
            # One that was renamed is listed by its other name; another's is none of ours.
            if state.uid == uid and state.id not in {each.id for each in found}:
                logger.warning("The engine has %s and does not list it: restart the engine", name)
                found.append(state)
    return found


def names_of(uid: str, read: Object | None) -> list[str]:
    """The engine's names of an instance's containers, from the plain object, however odd it is."""
    template = ((read or {}).get("status") or {}).get("template") or {}
    return [labels.container_name(uid, each["name"]) for each in template.get("containers") or ()]


async def remove(services: Services, uid: str, found: list[ContainerState]) -> None:
    """Remove the containers found, and give the instance's own network back if it has one.

    Returns when the engine has confirmed it. Raises RuntimeFault; what is left then is found again
    by the next try.
    """
    for state in found:
        await containers.remove(services.engine, state.name, stop_timeout=0)
    if orphan := services.findings.orphans.get(uid):  # another process may have made its network
        on = {state.network for state in found}
        orphan.kinds["network"] += await services.own_networks.remove_left((), on)
    await services.own_networks.give_back(uid)


async def discard(services: Services, uid: str, names: list[str]) -> None:
    """Remove containers by the engine's names, and the instance's own network with them.

    For what failed, or somebody has meddled with: the next instance gets no network of it. A
    removal by name waits for a creation whose outcome is not known yet. Raises RuntimeFault.
    """
    for name in names:  # one after the other: there is one slot for it
        await containers.remove(services.engine, name, stop_timeout=0)
    await services.own_networks.remove(uid)


async def free(services: Services, uid: str) -> None:
    """Remove a uid's volumes and folder, and give its ports, subnet and row back to the ledger.

    To be called when its containers are gone. Raises RuntimeFault; OutcomeUnknown while a call is
    under way that may yet make the engine hold them.
    """
    if services.pending(uid):
        raise OutcomeUnknown("The engine has not answered an earlier call on its containers")
    await mounts.remove(services, uid)
    services.bridges.discard(uid)
    await services.book(Ledger.release, uid, now=milliseconds(services.clock.now()))
    services.memory.pop(uid, None)
    services.own_networks.lost(uid)


async def release(work: Work) -> None:
    """Give the reservation back and take it out of the status' draft."""
    await free(work.services, work.uid)
    work.row = None
    work.status.address = None
    work.status.ports = []
    work.status.containers = []
    work.drop(conditions.PORTS_RESERVED)


async def undo(work: Work) -> None:
    """Take away what a failed launch has made, ports included."""
    await discard(work.services, work.uid, work.names)
    await release(work)
    work.containers = []
