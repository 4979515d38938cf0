"""Before anything is served: a ledger that was lost is rebuilt from what runs.

Only instances that this cluster knows, on this node, whose containers the engine has, are taken
over, on the ports that their status tells. It changes nothing but the ledger.
"""

import logging

from controller.api.instance import ChallengeInstance
from controller.cluster.client import INSTANCES
from controller.ledger import Instance, Ledger
from controller.reconcile.clock import milliseconds
from controller.reconcile.services import Services
from controller.runtime import containers, labels, networks
from controller.runtime.containers import ContainerState

logger = logging.getLogger(__name__)


class NothingMatches(Exception):
    """The ledger is new, and the engine's containers are of no instance of this cluster."""


async def rebuild(services: Services) -> None:
    """Take over into a new ledger what runs.

    Raises NothingMatches when there are containers of this node, and the cluster knows none of
    their instances: that is a wrong kubeconfig rather than a lost ledger.
    """
    settings = services.settings
    found = await containers.list_containers(
        services.engine, installation=settings.installation, node=settings.node_name
    )
    uids = {state.uid for state in found}
    if not uids:
        await services.book(Ledger.restore, [], now=milliseconds(services.clock.now()))
        return
    rows = [row for row in await _instances(services) if row.uid in uids]
    if not rows:
        raise NothingMatches(
            f"The ledger {services.ledger.path} is new, but the engine has {len(found)} "
            f"containers of node {settings.node_name!r}, and this cluster knows none of their "
            "instances. Point the agent to the right cluster or put the ledger's file back; or, "
            "if nobody needs the containers any more, remove them: docker rm -f $(docker ps -aq "
            f"--filter label=challenge-controller.io/node={settings.node_name})"
        )
    now = milliseconds(services.clock.now())
    problems = await services.book(Ledger.restore, rows, now=now)
    await _adopt_subnets(services, {row.uid for row in rows}, found, now)
    logger.warning(
        "The ledger %s is new: took over %d instances that run here",
        services.ledger.path,
        len(rows) - len(problems),
    )
    for problem in problems:
        logger.warning("Not taken over: %s", problem.detail)


async def _adopt_subnets(
    services: Services, uids: set[str], found: list[ContainerState], now: int
) -> None:
    """Note whose networks are whose: a network is its containers' instance's."""
    settings, pool = services.settings, services.own_networks.pool
    users = {state.network: state.uid for state in found}
    for network in await networks.list_networks(
        services.engine, installation=settings.installation, node=settings.node_name
    ):
        owner = users.get(network.name)
        if network.kind != labels.KIND_INSTANCE or owner not in uids or network.subnet is None:
            continue
        if network.subnet.subnet_of(pool):
            await services.book(
                Ledger.adopt_subnet, owner, pool=pool, subnet=network.subnet, now=now
            )


async def _instances(services: Services) -> list[Instance]:
    """The instances that the API server has on this node, on the ports that their status tells."""
    rows = []
    selector = f"status.nodeName={services.settings.node_name}"
    now = milliseconds(services.clock.now())
    for namespace in services.settings.namespaces or ("",):
        async for read in services.cluster.list(INSTANCES, namespace, field_selector=selector):
            instance = ChallengeInstance.model_validate(read)
            ref = instance.spec.challenge_ref
            row = Instance(
                uid=instance.metadata.uid,
                namespace=instance.metadata.namespace,
                name=instance.metadata.name,
                challenge=ref.name if ref else None,
                ports={port.name: port.host_port for port in instance.status.ports},
                created=now,
                attempt_started=now,
            )
            rows.append(row)
    return rows
