"""What the manager knows of the nodes: their objects, and whether they are alive.

A node lives as long as its Lease is renewed, judged on this process' own clock.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from controller.api import conditions
from controller.api.node import ChallengeNode
from controller.cluster.client import LEASES, NODES, Cluster, Object
from controller.cluster.errors import ApiError
from controller.cluster.lease import parse_micro_time

logger = logging.getLogger(__name__)

LEASE_PREFIX = "node-"
PERIOD = 5.0
"""Seconds between two looks at the Leases."""
FRESH_PERIOD = 0.5
"""The same while a node has just registered and its Lease was not there yet."""


FRESH_LOOKS = 20
"""How often it is looked at that closely: a node without an agent is no reason for more."""
CLOCKS_APART = 3.0
"""Durations of a Lease that hosts' clocks may differ by."""


@dataclass
class Node:
    """A node as placement sees it."""

    object: ChallengeNode
    renewed: str = ""
    seen_at: float = 0.0
    alive: bool = False
    looks: int = 0

    @property
    def name(self) -> str:
        """The node's name."""
        return self.object.metadata.name

    def problem(self) -> str:
        """Why the node takes nothing now, as kube-scheduler would word it; empty when it does."""
        ready = conditions.get(self.object.status.conditions, conditions.READY)
        if self.object.spec.unschedulable:
            return "cordoned"
        if ready is None or ready.status != "True":
            return f"not ready ({ready.reason})" if ready else "not ready"
        if conditions.is_true(self.object.status.conditions, conditions.DISK_PRESSURE):
            return "under disk pressure"
        return "" if self.alive else "not reporting"


@dataclass
class Nodes:
    """All nodes by name; ``changed`` is called when one may take instances that did not before."""

    changed: Callable[[], None]
    default_launches: int
    monotonic: Callable[[], float] = time.monotonic
    by_name: dict[str, Node] = field(default_factory=dict)
    _unjudged: asyncio.Event = field(default_factory=asyncio.Event)

    def observe(self, body: Object, *, deleted: bool) -> None:
        """Take a ChallengeNode as the watch has it."""
        node = ChallengeNode.model_validate(body)
        if deleted:
            self.by_name.pop(node.metadata.name, None)
        elif known := self.by_name.get(node.metadata.name):
            known.object = node
        else:
            self.by_name[node.metadata.name] = Node(node)
            self._unjudged.set()
        self.changed()

    async def load(self, cluster: Cluster) -> None:
        """Read all nodes anew; raises ApiError."""
        names = set()
        async for body in cluster.list(NODES):
            names.add(body["metadata"]["name"])
            self.observe(body, deleted=False)
        for name in set(self.by_name) - names:
            del self.by_name[name]

    async def run(self, cluster: Cluster, namespace: str) -> None:
        """Judge by the Leases who is alive, until cancelled."""
        while True:
            self._unjudged.clear()
            try:
                await self._look(cluster, namespace)
            except ApiError as error:
                logger.warning("Cannot read the nodes' Leases: %s", error)
            await self._next_look()

    async def _next_look(self) -> None:
        """Wait for the period to pass; a node whose Lease was not there yet is not left waiting."""
        fresh = [n for n in self.by_name.values() if not n.renewed and n.looks < FRESH_LOOKS]
        for node in fresh:
            node.looks += 1
        try:
            async with asyncio.timeout(FRESH_PERIOD if fresh else PERIOD):
                await self._unjudged.wait()
        except TimeoutError:
            return

    def objects(self) -> list[ChallengeNode]:
        """All nodes, ready or not."""
        return [node.object for node in self.by_name.values()]

    def launches(self, name: str) -> int:
        """The size of a node's launch gate."""
        node = self.by_name[name].object
        return node.spec.launch_concurrency or self.default_launches

    async def _look(self, cluster: Cluster, namespace: str) -> None:
        silent = set(self.by_name)
        async for lease in cluster.list(LEASES, namespace):
            prefix, found, name = lease["metadata"]["name"].partition(LEASE_PREFIX)
            if found and not prefix and name in self.by_name:
                self._renewal(self.by_name[name], lease)
                silent.discard(name)
        for name in silent & self.by_name.keys():
            self.by_name[name].alive = False  # without a Lease nobody vouches for it

    def _long_past(self, spec: Object) -> bool:
        renewed = parse_micro_time(str(spec.get("renewTime") or ""))
        limit = CLOCKS_APART * float(spec.get("leaseDurationSeconds") or 0)
        return renewed is None or (datetime.now(UTC) - renewed).total_seconds() > limit

    def _renewal(self, node: Node, lease: Object) -> None:
        spec = lease.get("spec") or {}
        now, renewed = self.monotonic(), str(spec.get("renewTime"))
        if renewed != node.renewed:
            # The first look has nothing to compare with: a Lease that ended long ago is not alive.
            stale = not node.renewed and self._long_past(spec)
            node.renewed, node.seen_at = renewed, (-math.inf if stale else now)
        alive = now - node.seen_at <= float(spec.get("leaseDurationSeconds") or 0)
        if alive and not node.alive:
            node.alive = True
            self.changed()
        node.alive = alive
