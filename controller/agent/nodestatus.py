"""The draft of a ChallengeNode's status: looked up, put together, and written by nobody here."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller import __version__
from controller.agent import cgroup, disks, nodeconditions, portoverlap, resources
from controller.agent.disks import Disk
from controller.agent.inforce import InForce
from controller.agent.metrics import NodeMetrics
from controller.api import conditions
from controller.api.annotations import UNINSTALL
from controller.api.node import ChallengeNode, EngineStatus, HeldOrphans, LaunchStatus, NodeStatus
from controller.ledger import LedgerUnavailable, Totals
from controller.reconcile.clock import milliseconds
from controller.reconcile.isolation import cgroup_parent
from controller.reconcile.services import Services
from controller.runtime.engine import EngineInfo

logger = logging.getLogger(__name__)

CGROUP_VERSION: Final = "1"
"""The engine's, until it was reached."""


@dataclass(frozen=True)
class Host:
    """What was seen of the host: its disks, the cgroup's limit in bytes, the ports' overlap."""

    disks: list[Disk]
    memory_limit: int | None
    overlap: str


class StatusDraft:
    """Drafts the status of one node."""

    def __init__(
        self,
        services: Services,
        in_force: InForce,
        *,
        info: Callable[[], EngineInfo | None],
        images: Callable[[], list[str]] = list,
        healed: Callable[[], None] = lambda: None,
        metrics: NodeMetrics | None = None,
    ) -> None:
        """``info`` gives what is known of the engine, None before it was first reached.

        ``images`` gives the names of the images that were pulled ahead. ``healed``: the ledger can
        be used again.
        """
        self._services = services
        self._in_force = in_force
        self._info = info
        self._images = images
        self._healed = healed
        self._metrics = metrics or NodeMetrics()
        self._warned = self._refused = ""
        self.ports_outside = 0
        """Ports that instances hold outside of the range in force, as last looked up."""

    async def __call__(self, node: ChallengeNode) -> NodeStatus:
        """What the status is to say now, of the object as read; amounts stay as they were while
        the ledger cannot be asked."""
        services, info = self._services, self._info()
        totals = await self._totals()
        host = await asyncio.to_thread(self._look, info)
        self._warn(host.overlap)
        status = node.status.model_copy(deep=True)
        status.observed_generation = node.metadata.generation
        status.address = services.address()
        status.version = __version__
        status.namespaces = list(services.settings.namespaces)
        status.controller_namespace = services.settings.controller_namespace
        status.port_range = self._in_force.port_range
        if info:
            status.engine = EngineStatus(id=info.id, version=info.version)
        status.launch = LaunchStatus(launching=services.gate.held, waiting=services.gate.waiting)
        status.images = self._images()
        status.orphans = await self._orphans(status.orphans)
        if totals:
            self.ports_outside = totals.ports.outside
            self._amounts(status, node, totals, host, info)
        if UNINSTALL not in node.metadata.annotations:
            conditions.remove(status.conditions, conditions.UNINSTALLED)
        said = nodeconditions.put(
            status,
            node,
            services,
            short=disks.shortages(
                host.disks,
                reserve=services.settings.disk_reserve,
                before=nodeconditions.is_short_of_disk(node.status),
            ),
            overlap=host.overlap,
        )
        status.summary = resources.summary(status, said)
        return status

    async def _totals(self) -> Totals | None:
        """What is taken by the ledger; None while it cannot be asked, which it notes itself.

        Not by `services.book`, which would have the status drafted again at once.
        """
        ledger, pool = self._services.ledger, self._services.own_networks.pool
        try:
            if ledger.problem:
                now = milliseconds(self._services.clock.now())
                await asyncio.to_thread(ledger.probe, now=now)
                logger.info("The ledger %s can be used again", ledger.path)
                self._healed()
            totals = await asyncio.to_thread(ledger.totals, pool=pool)
        except LedgerUnavailable as error:
            if str(error) != self._refused:  # once: each use that fails has the status drafted
                logger.warning("The ledger cannot be used: %s", error)
            self._refused = str(error)
            return None
        self._refused = ""
        return totals

    async def _orphans(self, before: HeldOrphans | None) -> HeldOrphans | None:
        """Who is held, and what they take; ``before`` was said of it last."""
        services, held = self._services, self._services.hold.summary()
        if held is None:
            return None
        uids = services.hold.uids()
        try:
            rows = await asyncio.to_thread(services.ledger.instances, uids=uids)
            ports = sum(len(row.ports) for row in rows)
        except LedgerUnavailable:  # which was said with the totals
            ports = before.ports if before else 0
        return HeldOrphans(
            instances=held.instances,
            ports=ports,
            memory=sum(services.memory.get(uid, 0) for uid in uids),
            since=held.since,
            until=held.until,
        )

    def _look(self, info: EngineInfo | None) -> Host:
        """Look at the host; blocks."""
        services = self._services
        parent = cgroup_parent(services, None)
        version = info.cgroup_version if info else CGROUP_VERSION
        folders = [Path(info.root)] if info and info.root else []
        return Host(
            disks=disks.look([*folders, services.settings.state_dir]),
            memory_limit=cgroup.memory_limit(parent, version) if parent else None,
            overlap=portoverlap.overlap(self._in_force.port_range),
        )

    def _amounts(
        self,
        status: NodeStatus,
        node: ChallengeNode,
        totals: Totals,
        host: Host,
        info: EngineInfo | None,
    ) -> None:
        settings = self._services.settings
        machine = info.memory if info else status.capacity and status.capacity.memory
        memory = resources.Memory(
            machine=machine or None,
            limit=host.memory_limit,
            promised=sum(self._services.memory.values()),
        )
        resources.put(status, totals, memory, settings, node.spec.max_instances)
        networks = resources.networks(settings)
        self._metrics.show(totals, networks=networks, memory=memory.promised)

    def _warn(self, overlap: str) -> None:
        if overlap and overlap != self._warned:
            logger.warning("Host ports %s: %s", self._in_force.port_range, overlap)
        self._warned = overlap
