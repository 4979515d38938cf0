"""The node's own object: registers the ChallengeNode, keeps its status and its Lease.

The operator's spec is read, never written. Status writes are coalesced.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from controller.api import conditions, reasons
from controller.api.node import (
    ChallengeNode,
    EngineStatus,
    LaunchStatus,
    NodeResources,
    NodeStatus,
)
from controller.cluster import status as status_writer
from controller.cluster.client import NODES, Object
from controller.cluster.errors import ApiError, Conflict, NotFound
from controller.ledger import Ledger, LedgerError
from controller.reconcile.services import Services
from controller.runtime.engine import EngineInfo

logger = logging.getLogger(__name__)

STATUS_PERIOD: Final = 10.0
"""Seconds between two status writes at least, unless a condition changes."""
PORT_PRESSURE: Final = 0.05
"""Share of free ports below which the node says that they run out."""


class NodeKeeper:
    """One node's ChallengeNode, from its agent's side."""

    def __init__(
        self,
        services: Services,
        info: Callable[[], EngineInfo | None],
        images: Callable[[], list[str]] = list,
    ) -> None:
        """``info`` gives what is known of the engine, None before it was first reached.

        ``images`` gives the names of the images that were pulled ahead.
        """
        self._services = services
        self._info = info
        self._images = images
        self._due = asyncio.Event()
        self._read: Object = {}
        self.deleted = False

    @property
    def name(self) -> str:
        """The node's name."""
        return self._services.settings.node_name

    def changed(self) -> None:
        """Write the status soon: a condition may have changed."""
        self._due.set()

    def observe(self, body: dict[str, Any]) -> None:
        """Take the object as the watch has it; empty when it was deleted."""
        if not body:
            self.deleted = True
            self._due.set()
            return
        self._read = body
        self._apply_spec(ChallengeNode.model_validate(body))

    async def register(self) -> None:
        """Make the ChallengeNode if there is none; raises ApiError."""
        try:
            self._read = await self._services.cluster.get(NODES, self.name)
        except NotFound:
            spec = {"unschedulable": True} if self.deleted else {}
            body = {"metadata": {"name": self.name}, "spec": spec}
            self._read = await self._services.cluster.create(NODES, body)
        self.deleted = False
        self._apply_spec(ChallengeNode.model_validate(self._read))

    async def run(self) -> None:
        """Keep the status up to date until cancelled."""
        while True:
            self._due.clear()
            try:
                if self.deleted:
                    await self.register()
                await self._write()
            except (ApiError, LedgerError) as error:
                logger.warning("Cannot write the status of ChallengeNode %s: %s", self.name, error)
                await asyncio.sleep(1.0)
                continue
            try:
                async with asyncio.timeout(STATUS_PERIOD):
                    await self._due.wait()
            except TimeoutError:
                continue

    async def _write(self) -> None:
        try:
            self._read = await self._services.cluster.get(NODES, self.name)
        except NotFound:
            self.deleted = True
            self._due.set()
            return
        node = ChallengeNode.model_validate(self._read)
        status = await self._status(node)
        if status == node.status:
            return
        try:
            self._read = await status_writer.write(
                self._services.cluster, NODES, self._read, status.manifest()
            )
        except Conflict:
            self._due.set()

    async def _status(self, node: ChallengeNode) -> NodeStatus:
        services, settings = self._services, self._services.settings
        usage = await services.book(Ledger.usage)
        uids = await services.book(Ledger.uids)
        total = usage.free + usage.reserved + usage.confirmed + usage.quarantined
        status = node.status.model_copy(deep=True)
        status.observed_generation = node.metadata.generation
        status.address = services.address()
        status.port_range = settings.ports
        if info := self._info():
            status.engine = EngineStatus(id=info.id, version=info.version)
        most = node.spec.max_instances
        most = settings.max_instances if most is None else most  # 0 is a limit too
        status.capacity = NodeResources(instances=settings.max_instances, ports=total)
        status.allocatable = NodeResources(instances=most, ports=total - usage.quarantined)
        status.allocated = NodeResources(
            instances=len(uids), ports=usage.reserved + usage.confirmed
        )
        gate = services.gate
        status.launch = LaunchStatus(launching=gate.held, waiting=gate.waiting)
        status.images = self._images()
        self._conditions(status, node, low=usage.free <= total * PORT_PRESSURE, free=usage.free)
        return status

    def _conditions(self, status: NodeStatus, node: ChallengeNode, *, low: bool, free: int) -> None:
        problem = self._services.engine_problem or self._services.gate.hanging
        unsafe = self._services.unsafe
        docker_reason = reasons.DOCKER_UNAVAILABLE if problem else reasons.AVAILABLE
        ready_reason, why = reasons.READY, ""
        if unsafe:
            ready_reason, why = unsafe.reason, unsafe.message
        if problem:
            ready_reason, why = reasons.DOCKER_UNAVAILABLE, problem
        pressure = f"{free} host ports are free"
        now = self._services.clock.now().replace(microsecond=0)

        def put(kind: str, value: bool, reason: str, message: str) -> None:
            conditions.set_condition(
                status.conditions,
                kind,
                "True" if value else "False",
                reason,
                message,
                now=now,
                observed_generation=node.metadata.generation,
            )

        put(conditions.READY, not why, ready_reason, why)
        put(conditions.DOCKER_REACHABLE, not problem, docker_reason, problem)
        put(conditions.FIREWALL_READY, *self._firewall())
        put(conditions.LEDGER_HEALTHY, True, reasons.AVAILABLE, "")
        put(
            conditions.PORT_PRESSURE,
            low,
            reasons.LOW if low else reasons.AVAILABLE,
            pressure if low else "",
        )

    def _firewall(self) -> tuple[bool, str, str]:
        """Whether instances are kept apart, and what to say of it."""
        if unsafe := self._services.unsafe:
            return False, unsafe.reason, unsafe.message
        if self._services.settings.firewall == "off":
            message = "CHALLENGE_FIREWALL=off: its operator keeps instances from the host"
            return False, reasons.FIREWALL_OFF, message
        return True, reasons.AVAILABLE, ""

    def _apply_spec(self, node: ChallengeNode) -> None:
        wanted = node.spec.launch_concurrency or self._services.settings.launches
        if self._services.gate.capacity != wanted:
            self._services.gate.resize(wanted)
        self.public_address = node.spec.public_address or ""

    public_address = ""
    """The address that the operator has set on the ChallengeNode; empty when there is none."""
