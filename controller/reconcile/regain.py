"""What runs and the ledger has lost, or has wrong, goes into the ledger again.

On the very ports that the containers are bound to: the engine is asked, not the book. It changes
nothing but the ledger.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.api import reasons
from controller.api.container import ContainerPort
from controller.api.instance import ChallengeInstance
from controller.api.template import published_ports, template_hash
from controller.cluster.client import Object
from controller.ledger import Instance as Row
from controller.ledger import Ledger, LedgerConflict
from controller.reconcile import comparison, reading, teardown
from controller.reconcile.clock import milliseconds
from controller.reconcile.services import Services
from controller.runtime import containers, labels, networks
from controller.runtime.containers import ContainerState
from controller.runtime.errors import NotFound

logger = logging.getLogger(__name__)


async def regain(services: Services, read: Object, before: Row | None) -> Row | None:
    """Have the row again of an instance that has none, or one with other ports than it runs on.

    ``before`` is the one that there is, and the result when it is right, or cannot be put right:
    nothing of the instance runs that fits, or somebody else has its ports. Raises RuntimeFault,
    LedgerError, Unreadable.
    """
    uid, instance = read["metadata"]["uid"], reading.parse(ChallengeInstance, read)
    found = await teardown.existing(services, uid)
    if not found or comparison.is_booked(before, found, port_names(instance)):
        services.findings.unbooked.discard(uid)
        return before
    row = await called_for(services, instance, found, before)
    if row is None:
        services.findings.unbooked.add(uid)
        return before
    now = milliseconds(services.clock.now())
    instead_of = [] if before is None else [uid]
    problems = await services.book(Ledger.restore, [row], now=now, instead_of=instead_of)
    if problems:
        logger.warning("Not reserved again: %s", problems[0].detail)
        services.findings.unbooked.add(uid)
        return await services.book(Ledger.get, uid)
    await adopt_subnets(services, {uid: found})
    reserved_again(services, read, row)
    return row


def reserved_again(services: Services, read: Object, row: Row) -> None:
    """Say that the ledger has the instance's ports again."""
    services.findings.unbooked.discard(row.uid)
    services.findings.tally["reserved"] += 1
    services.metrics.collection.reserved_again()
    ports = ", ".join(f"{name} {port}" for name, port in row.ports.items()) or "none"
    message = f"The ledger had lost it, and has it again, on the ports that it runs on: {ports}"
    services.recorder.event(read, "Normal", reasons.RESERVED_AGAIN, message)


def port_names(instance: ChallengeInstance) -> dict[comparison.Inner, str]:
    """The names of the instance's ports, by container, its own port and protocol ("tcp")."""
    template = instance.status.template
    published = [] if template is None else published_ports(template)
    return {
        (container.name, port.container_port, port.protocol.lower()): name
        for name, container, port in published
    }


async def called_for(
    services: Services,
    instance: ChallengeInstance,
    found: Iterable[ContainerState],
    row: Row | None,
) -> Row | None:
    """The row that the instance's containers call for; ``row`` is the one that there is.

    None when one is not of the instance's template, or not all of the ports are known: a container
    that was never made has none, and what the status tells of it may be another's by now. Raises
    RuntimeFault.
    """
    template = instance.status.template
    if template is None:
        return None
    wanted = template_hash(template)
    states = {state.container: state for state in found}
    if any(state.template_hash != wanted for state in states.values()):
        return None
    told = {port.name: port.host_port for port in instance.status.ports}
    ports = {}
    for name, container, port in published_ports(template):
        host_port = await _bound(services, states.get(container.name), port) or told.get(name)
        if host_port is None:
            return None
        ports[name] = host_port
    if row is not None:
        return replace(row, ports=ports)
    ref = instance.spec.challenge_ref
    now = milliseconds(services.clock.now())
    return Row(
        uid=instance.metadata.uid,
        namespace=instance.metadata.namespace,
        name=instance.metadata.name,
        challenge=ref.name if ref else None,
        ports=ports,
        created=now,
        attempt_started=now,
    )


async def adopt_subnets(services: Services, found: Mapping[str, Iterable[ContainerState]]) -> None:
    """Note whose networks are whose: a network is its containers' instance's."""
    settings, pool = services.settings, services.own_networks.pool
    users = {state.network: uid for uid, states in found.items() for state in states}
    now = milliseconds(services.clock.now())
    for network in await networks.list_networks(
        services.engine, installation=settings.installation, node=settings.node_name
    ):
        owner = users.get(network.name)
        if network.kind != labels.KIND_INSTANCE or owner is None or network.subnet is None:
            continue
        if network.subnet.subnet_of(pool):
            try:
                await services.book(
                    Ledger.adopt_subnet, owner, pool=pool, subnet=network.subnet, now=now
                )
            except LedgerConflict as conflict:
                logger.warning("A network has a subnet of somebody else: %s", conflict)


async def _bound(
    services: Services, state: ContainerState | None, port: ContainerPort
) -> int | None:
    """The host port that the container has for one of its own, running or not."""
    if state is None:
        return None
    bindings = state.bindings
    if state.state not in comparison.UP:
        try:  # a list tells of no port of one that does not run
            bindings = (await containers.inspect(services.engine, state.name)).bindings
        except NotFound:
            return None
    return next(
        (
            each.host_port
            for each in bindings
            if each.container_port == port.container_port and each.protocol.upper() == port.protocol
        ),
        None,
    )
