"""What the manager knows of the nodes: their objects, and whether they are alive.

A node lives as long as its Lease is renewed (see heartbeats). Those of another installation are
none of its business: of these only the names are known, so that it leaves alone what is on them.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from controller.api import conditions, labels
from controller.api.node import ChallengeNode
from controller.cluster.client import NODES, Cluster, Object
from controller.cluster.errors import ApiError
from controller.cluster.version import version_of
from controller.manager.heartbeats import Heartbeats, period
from controller.manager.neighbours import Neighbours

logger = logging.getLogger(__name__)

FRESH_PERIOD = 0.5
"""Seconds between two looks while a node has just registered and its Lease was not there yet."""
FRESH_LOOKS = 20
"""How often it is looked at that closely: a node without an agent is no reason for more."""
LEASE_DURATION = 40.0
"""Seconds that a node without a Lease is waited for, unless another time is set."""


@dataclass
class Node:
    """A node as placement sees it."""

    object: ChallengeNode
    alive: bool = False
    looks: int = 0

    @property
    def name(self) -> str:
        """The node's name."""
        return self.object.metadata.name

    def matches(self, selector: Mapping[str, str]) -> bool:
        """Whether the node has all the labels of a nodeSelector."""
        has = self.object.metadata.labels
        return all(has.get(key) == value for key, value in selector.items())

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
    lease_duration: float = LEASE_DURATION
    installation: str = labels.DEFAULT_INSTALLATION
    by_name: dict[str, Node] = field(default_factory=dict)
    watched: set[str] = field(default_factory=set)
    """Names whose Leases are looked at though there is no such node (any more)."""
    others: Neighbours = field(default_factory=Neighbours)
    heartbeats: Heartbeats = field(init=False)
    _unjudged: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Nothing is known of any Lease yet."""
        self.heartbeats = Heartbeats(self.lease_duration, self.monotonic)

    def observe(self, body: Object, *, deleted: bool) -> None:
        """Take a ChallengeNode as the watch, or a list, has it."""
        name = body["metadata"]["name"]
        known = self.by_name.get(name)
        if deleted:
            self.by_name.pop(name, None)
            self.changed()
            return
        if labels.installation(body["metadata"].get("labels") or {}) != self.installation:
            self.others.observe(body)
            if self.by_name.pop(name, None):
                self.changed()
            return
        self.others.forget(name)
        if known and _is_older(body, known.object):
            return
        try:
            node = ChallengeNode.model_validate(body)
        except ValidationError as error:
            logger.warning("Cannot read ChallengeNode %s: %s", name, error)
            return
        if known:
            known.object = node
        else:
            self.by_name[name] = Node(node)
            self._unjudged.set()
        self.changed()

    async def load(self, cluster: Cluster) -> None:
        """Read all nodes anew; raises ApiError."""
        before, names = {name: _version(node) for name, node in self.by_name.items()}, set()
        async for body in cluster.list(NODES):
            name = body["metadata"]["name"]
            names.add(name)
            cluster.history.compare(body, before.get(name, 0))
            self.observe(body, deleted=False)
        for name in before.keys() - names:  # who has come meanwhile is not in the list, and stays
            self.by_name.pop(name, None)

    def forget_versions(self) -> None:
        """What comes next counts, whatever was known: the store has gone back."""
        for node in self.by_name.values():
            node.object.metadata.resource_version = ""

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
        fresh = [
            node
            for name, node in self.by_name.items()
            if not self.heartbeats.has_lease(name) and node.looks < FRESH_LOOKS
        ]
        for node in fresh:
            node.looks += 1
        usual = period(self.lease_duration)
        try:
            async with asyncio.timeout(min(FRESH_PERIOD, usual) if fresh else usual):
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
        await self.heartbeats.look(cluster, namespace, self.by_name.keys() | self.watched)
        for name, node in self.by_name.items():
            was, node.alive = node.alive, self.heartbeats.alive(name)
            if node.alive and not was:
                self.changed()


def _version(node: Node) -> int:
    text = node.object.metadata.resource_version
    return int(text) if text.isdecimal() else 0


def _is_older(body: Object, known: ChallengeNode) -> bool:
    """Whether the object as read is from before what is known: a list can be behind the watch."""
    version = known.metadata.resource_version
    same = body["metadata"].get("uid") == known.metadata.uid
    return same and version.isdecimal() and version_of(body) < int(version)
