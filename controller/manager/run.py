"""The manager from start to stop: waits for its Lease, acts while it has it."""

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from collections.abc import Coroutine
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from controller import health
from controller.api.instance import ChallengeInstance
from controller.cluster import operator
from controller.cluster.client import (
    CHALLENGES,
    INSTANCES,
    NODES,
    POOLS,
    Cluster,
    Object,
)
from controller.cluster.errors import ApiError
from controller.cluster.events import Recorder
from controller.cluster.lease import Lease
from controller.cluster.tasks import together, until_done
from controller.manager import handlers
from controller.manager.assignments import Assignments, MemoryRule
from controller.manager.challenges import Challenges
from controller.manager.declared import Declared
from controller.manager.drain import Drain
from controller.manager.expiry import Expiry
from controller.manager.health import Health
from controller.manager.metrics import ManagerMetrics
from controller.manager.neighbours import Neighbours
from controller.manager.nodes import Nodes
from controller.manager.pending import Pending
from controller.manager.pools import Pools
from controller.manager.quota import Quota
from controller.manager.readiness import lacks
from controller.manager.scheduler import Scheduler, plain
from controller.manager.seen import Seen
from controller.manager.states import States
from controller.settings import Settings

logger = logging.getLogger(__name__)

LEASE = "challenge-manager"
BREATH = 2.0
"""Seconds between two beginnings anew."""


async def run(
    settings: Settings,
    cluster: Cluster,
    identity: str | None = None,
    registry: CollectorRegistry | None = None,
    well: health.Health | None = None,
) -> None:
    """Manage the cluster until cancelled, whenever the Lease is ours.

    ``identity`` is the Lease's holder; without it one that no other process has. ``registry`` is
    where its metrics go; ``well`` is told what it lacks.
    """
    metrics = ManagerMetrics(registry)
    who = identity or f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    lease = Lease(
        cluster,
        settings.controller_namespace,
        LEASE,
        identity=who,
        duration=settings.manager_lease_duration,
    )
    (well or health.Health()).role("manager", lambda: lacks(cluster, lease))
    try:
        while True:
            await _wait(lease)
            logger.info("Managing: this process holds the Lease %s", LEASE)
            await _act_while_held(settings, cluster, lease, metrics)
            logger.warning("No longer managing: the Lease %s is lost", LEASE)
    finally:
        with contextlib.suppress(ApiError, TimeoutError):
            async with asyncio.timeout(2.0):
                await lease.release()


async def _wait(lease: Lease) -> None:
    await until_done(f"Cannot take the Lease {lease.name}", lease.wait)


async def _act_while_held(
    settings: Settings, cluster: Cluster, lease: Lease, metrics: ManagerMetrics
) -> None:
    manager = _Manager(settings, cluster)
    metrics.acting(manager.pending, manager.states.count)
    try:
        await together(lease.keep(lost_after=lease.duration * 2 / 3), *manager.parts())
    finally:
        metrics.idle()
        await manager.recorder.flush()


class _Manager:
    """What the manager knows while it holds the Lease, and the tasks that act on it."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._settings = settings
        self._cluster = cluster
        self.recorder = Recorder(
            cluster, "challenge-manager", is_busy=lambda: self._scheduler.is_busy()
        )
        memory = MemoryRule(overcommit=settings.memory_overcommit)
        self._pending, self._assignments = Pending(), Assignments(memory)
        self._challenges = Challenges(cluster, settings.namespaces)
        self._nodes = Nodes(
            lambda: self._scheduler.kick(),
            settings.launches,
            lease_duration=float(settings.node_lease_duration),
            installation=settings.installation,
            others=Neighbours(settings.installation, settings.namespaces, self.recorder),
        )
        self._health = Health(cluster, self.recorder, self._nodes, self._in_use, settings)
        self._pools = Pools(cluster, self.recorder, self._nodes, settings.namespaces)
        self._scheduler = Scheduler(
            cluster,
            self.recorder,
            self._nodes,
            self._pending,
            self._assignments,
            challenges=self._challenges,
            quota=Quota(settings.max_instances_per_user),
            pool_of=self._pools.store.owner,
        )
        self._drain = Drain(
            cluster, self.recorder, self._nodes, self._assignments, settings.namespaces
        )
        self._seen, self._due = Seen(), asyncio.Event()
        self.states = States()
        self._expiry = Expiry(cluster, settings.prune_age)
        self._declared = Declared(cluster, self._assignments.by_challenge, self._nodes.objects)

    def pending(self) -> int:
        """Instances that wait for a node."""
        return len(self._pending)

    def _in_use(self) -> set[str]:
        """The names of the nodes that instances are on, known or not."""
        return {name for name, load in self._assignments.loads.items() if load.instances}

    def parts(self) -> list[Coroutine[Any, Any, None]]:
        """The tasks; none of them ends by itself."""
        registry = handlers.registry(
            {
                INSTANCES: self._instance,
                CHALLENGES: self._challenge,
                POOLS: lambda body, deleted: self._pools.observe(plain(body), deleted),
                NODES: self._node,
            }
        )
        return [
            self.recorder.run(),
            self._nodes.run(self._cluster, self._settings.controller_namespace),
            self._place(),
            self._health.run(),
            self._expiry.run(),
            self._declared.run(),
            self._pools.run(),
            self._drain.run(),
            self._resync(),
            self._begin_anew(),
            operator.serve(
                "manager", self._cluster, registry, namespaces=self._settings.namespaces
            ),
        ]

    def _node(self, body: Object, deleted: bool) -> None:
        self._nodes.observe(body, deleted=deleted)
        self._nodes_changed()

    def _nodes_changed(self) -> None:
        self._pools.nodes_changed()
        self._drain.nodes_changed()

    def _challenge(self, body: Object, deleted: bool) -> None:
        self._declared.observe(CHALLENGES, plain(body), deleted=deleted)
        self._challenges.observe(plain(body), deleted=deleted)
        self._pools.store.observe_challenge(body, deleted=deleted)
        if not deleted:
            self._scheduler.kick()

    def _instance(self, body: Object, deleted: bool) -> None:
        uid = body["metadata"]["uid"]
        if deleted:
            self._gone(uid)
            return
        if not self._seen.is_news(body):
            return
        placed = (body.get("status") or {}).get("nodeName")
        if placed in self._nodes.others.names:
            self._gone(uid)
            return
        if body["metadata"].get("deletionTimestamp") and not placed:
            self._health.orphans.observe(plain(body))  # whether the rest can be read or not
            self._gone(uid)
            return
        try:
            instance = ChallengeInstance.model_validate(body)
        except ValidationError as error:
            logger.warning("Cannot read instance %s: %s", body["metadata"]["name"], error)
            return
        node = instance.status.node_name
        self.states.observe(instance)
        self._expiry.observe(instance)
        self._pools.store.observe_instance(instance)
        self._drain.instance_changed(uid, node)
        if node is None:
            self._scheduler.waits(instance, plain(body))
        else:
            self._scheduler.has_node(instance, node)

    def _gone(self, uid: str) -> None:
        self._seen.forget(uid)
        self.states.forget(uid)
        self._expiry.forget(uid)
        self._scheduler.gone(uid)
        self._pools.store.forget(uid)
        self._drain.forget(uid)

    async def _place(self) -> None:
        """Place once it is known who has what: else the first ones would get what is taken."""
        await until_done("Cannot read nodes and instances", self._compare)
        await self._scheduler.run()

    async def _resync(self) -> None:
        """Make good what the watch loses: compare with a list of our own every so often."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.resync_interval):
                    await self._due.wait()
            self._due.clear()
            try:
                await self._compare()
            except ApiError as error:
                logger.warning("The manager's resync failed: %s", error)

    async def _begin_anew(self) -> None:
        """Believe what the API server has once its store has gone back to an earlier state."""
        history = self._cluster.history
        turns = history.turns
        while True:
            turns = await history.turned(turns)
            self._seen.clear()
            self._challenges.forget_versions()
            self._nodes.forget_versions()
            self._scheduler.forget_versions()
            self._pools.store.members.forget_versions()
            self._due.set()
            await asyncio.sleep(BREATH)  # whatever else is amiss, not over and over

    async def _compare(self) -> None:
        await self._nodes.load(self._cluster)
        self._nodes_changed()
        await self._challenges.load()
        await self._pools.resync()
        known = self._scheduler.known() | self._pools.store.members.uids()
        listed, seen = set(), self._seen.newest()
        for namespace in self._settings.namespaces or ("",):
            async for body in self._cluster.list(INSTANCES, namespace):
                uid = body["metadata"]["uid"]
                listed.add(uid)
                self._cluster.history.compare(body, seen.get(uid, 0))
                self._instance(body, deleted=False)
        for uid in known - listed:
            self._gone(uid)
        self._scheduler.retry_all()
