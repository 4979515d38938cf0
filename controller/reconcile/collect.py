"""Garbage collection: what nobody owns is found, and taken away by whoever owns the way to do it.

An instance's things go in its own reconcile, woken for it: that looks at the object again, and
follows the order of a removal. Networks, subnets and slots that are nobody's go here. It never
touches what bears no label of ours, nor another node's or another installation's: all lists are by
labels of this node and installation.
"""

import logging
from collections.abc import AsyncIterator, Collection

from controller.api import reasons
from controller.cluster.client import INSTANCES, Object
from controller.ledger import Ledger
from controller.reconcile import mounts, release
from controller.reconcile.clock import milliseconds
from controller.reconcile.comparison import Seen
from controller.reconcile.preparing import NOBODY
from controller.reconcile.services import Services
from controller.runtime import containers
from controller.runtime.containers import ContainerState
from controller.runtime.errors import RuntimeFault

logger = logging.getLogger(__name__)


async def look(services: Services) -> Seen:
    """Ask all three once, in the order that `Seen` wants; raises ApiError, RuntimeFault."""
    objects = {read["metadata"]["uid"]: read async for read in _objects(services)}
    found = await running(services)
    rows = {row.uid: row for row in await services.book(Ledger.instances)}
    left = await mounts.left(services, objects.keys())
    return Seen(objects=objects, containers=found, rows=rows, left=left)


async def running(services: Services) -> dict[str, list[ContainerState]]:
    """The node's containers by uid; raises EngineUnavailable."""
    settings = services.settings
    found: dict[str, list[ContainerState]] = {}
    for state in await containers.list_containers(
        services.engine, installation=settings.installation, node=settings.node_name
    ):
        found.setdefault(state.uid, []).append(state)
    return found


def is_busy(services: Services, uid: str) -> bool:
    """Whether the instance waits for something that will let it go on, or is being probed.

    A launch slot, an image, the engine's answer to a call, the pause after a failure.
    """
    return (
        services.gate.launches(uid)
        or services.pending(uid)
        or services.images.awaited_by(uid)
        or services.attempts.pending(uid, now=services.monotonic()) is not None
        or services.readiness.watches(uid)
    )


async def leftovers(services: Services, seen: Seen) -> None:
    """Take away subnets, slots, ports and networks that are nobody's, and say so.

    A network that resists is logged, and tried again the next time. Raises LedgerError.
    """
    found = await _in_the_ledger(services, seen)
    used = {state.network for states in seen.containers.values() for state in states}
    try:
        found["network"] = await release.networks(services, used=used)
    except RuntimeFault as fault:
        logger.warning("Cannot remove the networks that nobody owns: %s", fault)
    for kind, names in found.items():
        tell(services, kind, len(names))
    listed = "; ".join(
        f"{kind} {', '.join(sorted(names))}" for kind, names in found.items() if names
    )
    if listed:
        _event(services, f"Took away what nobody owned: {listed}")


async def _in_the_ledger(services: Services, seen: Seen) -> dict[str, Collection[str]]:
    """Free what the ledger holds for nobody, by kind; a subnet goes by its owner's name.

    Nothing is written where there is nothing to free. Of whom there are containers, subnets and
    ports stay: the row comes back by the instance's reconcile, or all goes by it.
    """
    now, book = milliseconds(services.clock.now()), services.book
    freed: dict[str, Collection[str]] = {}
    keep = {NOBODY, *seen.containers}
    if {held.owner for held in await book(Ledger.subnets)} - keep - seen.rows.keys():
        freed["subnet"] = await book(Ledger.free_ownerless_subnets, keep=keep, now=now)
    if any(slot.instance is None for slot in await book(Ledger.slots)):
        # No part of this version makes warm slots: whatever is there is of an unfinished trial.
        freed["slot"] = await book(Ledger.drop_warm_slots, keep=(), now=now)
    states = (state for found in seen.containers.values() for state in found)
    bound = {binding.host_port for state in states for binding in state.bindings}
    if left := await book(Ledger.ownerless_ports) - bound:
        ports = await book(Ledger.free_ownerless_ports, left, now=now)
        freed["port"] = {str(port) for port in ports}
    return freed


def removed(services: Services, uid: str) -> None:
    """Nothing of the uid is left; say so if it was found as an orphan."""
    orphan = services.findings.orphans.get(uid)
    services.findings.forget(uid)
    if orphan is None:
        return
    kinds = +orphan.kinds
    for kind, number in kinds.items():
        tell(services, kind, number)
    torn_down = set(kinds) - {"row", "port"}
    services.findings.tally["orphan" if torn_down else "released"] += 1
    name = f"{orphan.key.namespace}/{orphan.key.name} (uid {uid})"
    logger.info("Collected what was left of %s: %s", name, orphan)
    _event(services, f"Took away what was left of {name}, which this node does not have: {orphan}")


def tell(services: Services, kind: str, number: int = 1) -> None:
    """Count what was collected."""
    if number:
        services.findings.tally[kind] += number
        services.metrics.collection.collected(kind, number)


def _event(services: Services, message: str) -> None:
    if node := services.node():
        services.recorder.event(node, "Normal", reasons.COLLECTED, message)


async def _objects(services: Services) -> AsyncIterator[Object]:
    selector = f"status.nodeName={services.settings.node_name}"
    for namespace in services.settings.namespaces or ("",):
        async for read in services.cluster.list(INSTANCES, namespace, field_selector=selector):
            yield read
