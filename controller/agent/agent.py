"""An agent's parts put together, and the order in which they start, serve and stop.

Stopping touches no container: they outlive their agent.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any, Final

from controller.agent import bookkeeper, fencing, handlers, overdue, ownnode, parts, uninstall
from controller.agent.address import towards
from controller.agent.comparisons import Comparisons
from controller.agent.firewall import NOT_YET, FirewallKeeper
from controller.agent.identity import holder
from controller.agent.metrics import NodeMetrics
from controller.agent.monitor import EngineMonitor
from controller.agent.node import NodeKeeper
from controller.agent.prepull import PrePull
from controller.agent.sampling import keep_sampling
from controller.agent.watched import Watched
from controller.cluster import operator
from controller.cluster.client import INSTANCES, NODES, Cluster
from controller.cluster.errors import ApiError
from controller.cluster.events import Recorder
from controller.cluster.lease import HeldElsewhere, Lease
from controller.cluster.tasks import cancel, first_ended, together, until_done
from controller.ledger import Ledger, LedgerLost, LedgerUnavailable
from controller.reconcile import preparing, volumelimits
from controller.reconcile.attempts import Attempts
from controller.reconcile.batch import FinalizeBatch
from controller.reconcile.bridges import SharedBridges
from controller.reconcile.clock import SystemClock, milliseconds
from controller.reconcile.instance import InstanceReconciler
from controller.reconcile.metrics import LaunchMetrics
from controller.reconcile.outages import Outages
from controller.reconcile.ownnetworks import OwnNetworks
from controller.reconcile.queue import Backoff, WorkQueue
from controller.reconcile.readiness import Readiness
from controller.reconcile.reading import Unreadable
from controller.reconcile.services import Services
from controller.runtime.engine import Engine
from controller.runtime.errors import RuntimeFault
from controller.runtime.probes import Probes
from controller.settings import Settings

logger = logging.getLogger(__name__)

EXPECTED: Final = (ApiError, RuntimeFault, LedgerUnavailable, Unreadable)
"""What a reconcile may end with while nothing is wrong with the program."""
STOP_DEADLINE: Final = 20.0
"""Seconds for launches under way to end when the agent is stopped."""


class Agent:
    """The agent's parts, and the tasks that they run in."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        cluster_uid: str,
        ledger: Ledger,
        engine: Engine,
        metrics: LaunchMetrics,
        about: NodeMetrics,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        random, clock = Random(), SystemClock()
        backoff = Backoff(settings.backoff_initial, settings.backoff_maximum, random)
        self._queue = WorkQueue(
            lambda key: self._reconciler.reconcile(key),
            backoff,
            expected=EXPECTED,
        )
        wake = self._queue.wake_uid
        own_address = settings.public_address or towards(cluster.configuration.host)
        self._services = Services(
            settings=settings,
            cluster=cluster,
            cluster_uid=cluster_uid,
            ledger=ledger,
            engine=engine,
            images=parts.images(settings, engine),
            bridges=SharedBridges(engine, settings),
            own_networks=OwnNetworks(engine, settings),
            gate=parts.gate(settings, engine, wake, metrics),
            metrics=metrics,
            readiness=Readiness(Probes(engine), wake),
            attempts=Attempts(backoff),
            batch=FinalizeBatch(ledger, lambda: milliseconds(clock.now())),
            outages=Outages(ledger, lambda: milliseconds(clock.now())),
            recorder=Recorder(cluster, "challenge-agent", settings.node_name),
            wake=wake,
            address=lambda: self._node.public_address or own_address,
            clock=clock,
            unsafe=NOT_YET,
        )
        engine.answered = self._services.answered
        metrics.watch(self._services.gate, engine)
        self._reconciler = InstanceReconciler(self._services, self._queue.forget)
        self._pre_pull = PrePull(self._services, backoff)
        self._comparisons = Comparisons(self._services, self._queue)
        self._node, self._firewall, self._monitor = self._keepers(about)
        self._services.fence.close()
        self._services.started = False
        self._tasks: list[asyncio.Task[Any]] = []

    def _keepers(self, about: NodeMetrics) -> tuple[NodeKeeper, FirewallKeeper, EngineMonitor]:
        """Who keeps the ChallengeNode, the firewall and the view of the engine."""
        node = ownnode.keeper(
            self._services,
            info=lambda: monitor.info,
            images=self._pre_pull.images,
            moved=self._moved,
            healed=self._comparisons.look_again,
            metrics=about,
        )
        firewall = FirewallKeeper(
            self._services,
            server=self._cluster.configuration.host,
            restored=self._comparisons.look_again,
            changed=node.changed,
        )
        monitor = EngineMonitor(
            self._services,
            secure=firewall.check,
            returned=self._comparisons.look_again,
            changed=node.changed,
        )
        return node, firewall, monitor

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Start the parts, and stop them in an order that loses nothing."""
        try:
            for part in self._parts():
                self._tasks.append(asyncio.create_task(part))
            yield
        finally:
            await cancel(self._tasks)
            await self._pre_pull.stop()
            await self._queue.stop(STOP_DEADLINE)
            await self._services.readiness.close()
            await self._services.images.close()
            await self._services.batch.flush()
            await self._services.recorder.flush()
            self._monitor.close()

    async def ended(self) -> None:
        """Wait for the first part that ends, which none should, and raise what ended it.

        Where it was the loss of the ledger, that is it, whatever the other parts make of it.
        """
        try:
            await first_ended(self._tasks)
        except LedgerUnavailable:
            errors = [task.exception() for task in self._tasks if task.done()]
            for lost in (error for error in errors if isinstance(error, LedgerLost)):
                raise lost from None
            raise

    def lacks(self) -> list[str]:
        """What is missing for the agent to be ready, in words; may be asked from any thread."""
        services, unsafe = self._services, self._services.unsafe
        found = []
        if self._node.read is None:
            found.append(f"the ChallengeNode {self._node.name} is not registered yet")
        found += [
            problem for problem in (services.engine_problem, services.ledger.problem) if problem
        ]
        if unsafe:
            found.append(unsafe.message)
        if not services.findings.is_over:
            found.append("ledger, engine and API server have not been compared yet")
        return found

    def _parts(self) -> list[Coroutine[Any, Any, None]]:
        return [
            self._services.recorder.run(),
            self._services.batch.run(),
            self._monitor.run(),
            self._firewall.run(),
            self._keep_node(),
            volumelimits.keep_sampling(
                self._services.volume_limits,
                self._queue.wake_uid,
                period=self._settings.storage_interval,
            ),
            keep_sampling(self._services),
            bookkeeper.keep(
                self._services.ledger,
                lost_after=self._settings.ledger_lost_after,
                troubled=self._services.troubled,
                monotonic=self._services.monotonic,
            ),
            uninstall.watch(self._cluster, self._settings, self._node, self._services.home),
            self._serve(),
        ]

    async def _serve(self) -> None:
        """Serve the node's instances, once it is certain that nobody else does."""
        await self._monitor.first_look()
        lease = await self._lease()
        await self._wait_for(lease)
        await asyncio.to_thread(self._services.folders.sweep)
        await self._node.in_force.wait()  # no port of another range than the operator's
        name = self._settings.node_name
        watched = Watched(self._services, self._queue)
        watching = operator.serve(
            "agent",
            self._cluster,
            handlers.registry(watched.changed, self._node.observe, self._challenge_changed),
            namespaces=self._settings.namespaces,
            selectors={INSTANCES: f"status.nodeName={name}", NODES: f"metadata.name={name}"},
        )
        sweeping = overdue.keep_sweeping(self._services, self._queue)
        keeping = lease.keep(lost_after=None)
        fenced = fencing.keep(self._services.fence, lease, self._comparisons.once, self._opened)
        comparing = self._comparisons.keep(before=self._pre_pull.compare)
        ahead = preparing.keep_preparing(self._services)
        await together(watching, fenced, comparing, sweeping, keeping, ahead)
        raise HeldElsewhere(lease.name, "another agent, which has taken it over")

    async def _keep_node(self) -> None:
        """Register the node, unless it may not serve this engine, and keep its status."""
        await self._monitor.first_look()
        await self._node.run()

    async def _lease(self) -> Lease:
        """The node's Lease, to be held as the agent of this very engine."""
        settings = self._settings
        recorded = partial(asyncio.to_thread, self._services.ledger.get_meta, "engine")
        engine = await until_done("Cannot look", recorded, errors=(LedgerUnavailable,))
        engine = engine or (await self._monitor.first_seen()).id
        return Lease(
            self._cluster,
            settings.controller_namespace,
            f"node-{settings.node_name}",
            identity=holder(engine),
            duration=settings.node_lease_duration,
        )

    async def _wait_for(self, lease: Lease) -> None:
        """Take the Lease; raises HeldElsewhere when another engine's agent lives."""
        take = partial(lease.wait, patience=2.0 * lease.duration)
        await until_done(f"Cannot take the Lease {lease.name}", take)

    def _challenge_changed(self, body: dict[str, Any], deleted: bool) -> None:
        self._pre_pull.observe(body, deleted=deleted)

    def _moved(self) -> None:
        """Players are told another address: in each instance's status, and the firewall knows."""
        self._firewall.soon()
        self._comparisons.look_again()

    def _opened(self) -> None:
        """Launches go on: the first time, all that the start has found was put right."""
        findings = self._services.findings
        if not findings.is_over:
            findings.is_over, findings.told = True, findings.summary()
            logger.info("Start-up: %s", findings.told)
            self._node.changed()
