"""Which network an instance's containers are put on.

Single containers share bridges on which no container reaches another; an instance of several, or
one that may send raw packets, gets a small network of its own. Knows nothing of ports.
"""

import ipaddress
from typing import Final

from controller.ledger import Ledger
from controller.reconcile.clock import milliseconds
from controller.reconcile.isolation import wants_net_raw
from controller.reconcile.services import Services
from controller.reconcile.work import Work
from controller.runtime import networks

INSTANCE_PREFIX: Final = 27
"""29 addresses: 10 containers and some to spare."""


async def network(work: Work) -> str:
    """The network for a launch of the instance; made if it is not there.

    Raises NetworkExhausted, SubnetsExhausted, RuntimeFault.
    """
    if shares_bridge(work) and networks.bridge_nf_enabled():
        return await work.services.bridges.current()
    subnet = await _subnet(work.services, work.uid, work.services.settings.instance_subnets)
    return await networks.ensure_instance_network(work.services.engine, work.owner, subnet)


def shares_bridge(work: Work) -> bool:
    """Whether the instance needs no network of its own."""
    containers = work.template.containers
    return len(containers) == 1 and not wants_net_raw(containers[0])


async def _subnet(services: Services, uid: str, pool: str) -> ipaddress.IPv4Network:
    return await services.book(
        Ledger.allocate_subnet,
        uid,
        pool=ipaddress.IPv4Network(pool),
        prefix=INSTANCE_PREFIX,
        now=milliseconds(services.clock.now()),
    )
