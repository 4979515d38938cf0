"""Whose subnet is whose, put right before anything is launched: a network is its containers'.

A ledger that is older than what runs has subnets of instances that have gone, which others have by
now: the next one to ask would be put into a network with somebody in it. It changes nothing but the
ledger.
"""

import logging
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network

from controller.ledger import Ledger, LedgerConflict
from controller.reconcile.clock import milliseconds
from controller.reconcile.ownnetworks import owners
from controller.reconcile.services import Services
from controller.runtime import labels, networks
from controller.runtime.containers import ContainerState

logger = logging.getLogger(__name__)


async def put_right(
    services: Services, containers: Mapping[str, Iterable[ContainerState]], booked: set[str]
) -> None:
    """Give every instance the subnet that its containers are in; raises RuntimeFault, LedgerError.

    ``containers`` are all of the node by uid; ``booked`` those that have a row.
    """
    pool, book = services.own_networks.pool, services.book
    in_use = await _in_use(services, containers)
    held = await book(owners, pool)
    now = milliseconds(services.clock.now())
    for owner in sorted(stale(held, in_use)):
        await book(Ledger.free_subnet, owner, now=now)
    for uid in sorted(in_use.keys() & booked):
        subnet = in_use[uid]
        if held.get(subnet) == uid or not subnet.subnet_of(pool):
            continue
        try:
            await book(Ledger.adopt_subnet, uid, pool=pool, subnet=subnet, now=now)
        except LedgerConflict as conflict:
            logger.warning("A network has a subnet of somebody else: %s", conflict)


def stale(held: Mapping[IPv4Network, str], in_use: Mapping[str, IPv4Network]) -> set[str]:
    """Who holds a subnet that another's containers are in, or another one than its own are in."""
    return {
        owner
        for subnet, owner in held.items()
        if in_use.get(owner, subnet) != subnet
        or any(uid != owner and used.overlaps(subnet) for uid, used in in_use.items())
    }


async def _in_use(
    services: Services, containers: Mapping[str, Iterable[ContainerState]]
) -> dict[str, IPv4Network]:
    """The subnets of networks of one instance each that have containers, by uid."""
    users = {state.network: uid for uid, states in containers.items() for state in states}
    settings = services.settings
    return {
        users[network.name]: network.subnet
        for network in await networks.list_networks(
            services.engine, installation=settings.installation, node=settings.node_name
        )
        if network.kind == labels.KIND_INSTANCE
        and network.name in users
        and network.subnet is not None
    }
