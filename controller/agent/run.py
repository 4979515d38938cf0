"""The agent from start to stop: checks who it is, then serves.

Stopping touches no container: they outlive their agent.
"""

import logging
from contextlib import AsyncExitStack
from typing import Final

from prometheus_client import CollectorRegistry

from controller.agent import parts, uninstall
from controller.agent.agent import Agent
from controller.agent.identity import confirm
from controller.agent.lock import HostLock
from controller.agent.metrics import NodeMetrics
from controller.agent.uninstall import UninstallAsked
from controller.callmetrics import EngineMetrics
from controller.cluster.client import Cluster
from controller.cluster.errors import ApiUnavailable
from controller.cluster.tasks import until_done
from controller.health import Health
from controller.ledger import LedgerLost
from controller.reconcile.metrics import LaunchMetrics
from controller.runtime.engine import Engine
from controller.settings import Settings

logger = logging.getLogger(__name__)

CALLS: Final = 80
"""Calls to the engine at a time: the largest gate, 64, and some that must not wait for it."""
STARTING: Final = "it has not reached the API server yet"
UNINSTALLED: Final = "it was asked to uninstall its node, and serves no more until it is restarted"


async def run(
    settings: Settings,
    cluster: Cluster,
    registry: CollectorRegistry | None = None,
    health: Health | None = None,
) -> None:
    """Serve one node until cancelled; ``registry`` is where its metrics go.

    ``health`` is told what it lacks.

    Begins anew when the ledger was lost. Raises AlreadyRunning, IdentityMismatch, LedgerError: what
    an operator must put right.
    """
    metrics, about, well = LaunchMetrics(registry), NodeMetrics(registry), health or Health()
    engine = Engine(settings.docker_host, timeout=settings.docker_timeout, workers=CALLS)
    engine.observed = EngineMetrics(registry).observe
    try:  # it is kept: it knows which calls it has not answered
        while True:
            try:
                await _keep_one_ledger(settings, cluster, engine, metrics, about, well)
            except LedgerLost as lost:
                logger.error("%s. Beginning anew: it is rebuilt from what runs", lost)
            except UninstallAsked as asked:
                well.role("agent", lambda: [UNINSTALLED])
                await uninstall.carry_out(cluster, settings, engine, str(asked))
    finally:
        await engine.close()


async def _keep_one_ledger(
    settings: Settings,
    cluster: Cluster,
    engine: Engine,
    metrics: LaunchMetrics,
    about: NodeMetrics,
    health: Health,
) -> None:
    """Serve one node with one ledger; raises LedgerLost as well."""
    health.role("agent", lambda: [STARTING])
    async with AsyncExitStack() as stack:
        settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = HostLock(settings.state_dir / "agent.lock")
        lock.acquire()
        stack.callback(lock.release)
        ledger = stack.enter_context(parts.ledger(settings))
        cluster_uid = await _cluster_identity(cluster)
        await confirm(ledger, "cluster", cluster_uid)
        await confirm(ledger, "node", settings.node_name)
        await confirm(ledger, "installation", settings.installation)
        agent = Agent(settings, cluster, cluster_uid, ledger, engine, metrics, about)
        health.role("agent", agent.lacks)
        await stack.enter_async_context(agent.serving())
        await agent.ended()


async def _cluster_identity(cluster: Cluster) -> str:
    return await until_done("No answer", cluster.identity, errors=(ApiUnavailable,))
